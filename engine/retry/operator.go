package retry

import (
	"container/heap"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/telluride-stream/telluride/engine/record"
	"github.com/telluride-stream/telluride/engine/stage"
)

// Config says how often, and when, a record is tried again.
type Config struct {
	// Attempts is how often a record is tried in all; at least 2.
	Attempts int
	// Backoff is the pause before the second try. Each pause is twice the one
	// before, up to MaxBackoff.
	Backoff, MaxBackoff time.Duration
	// AnyOrder has records pass one of their key that is held. Otherwise they
	// wait behind it.
	AnyOrder bool
	// Max is how many records a lane holds.
	Max int
}

// Wrap makes an operator that tries records again of one that fails them
// ([stage.OperatorSpec].Retries). layout is that of the records, sources are
// the names of the flow's sources, and key is what the order is kept by.
func Wrap(spec stage.OperatorSpec, c Config, layout *record.Layout, sources []string, key string) stage.OperatorSpec {
	inner := spec.New
	spec.New = func() stage.Operator {
		o := &operator{config: c, inner: inner(), sources: sources, projector: record.NewProjector(layout), slots: layout.Len(), queues: map[string]*queue{}}
		o.timed, _ = o.inner.(stage.Timed)
		return o
	}
	spec.RecordWise, spec.Stateful, spec.Records = false, true, true
	spec.Signature = "retry by " + key
	finest := min(max(c.Backoff/4, 10*time.Millisecond), time.Second)
	if spec.Timer == 0 || finest < spec.Timer {
		spec.Timer = finest
	}
	return spec
}

// operator holds what failed in queues, one for each key with records that
// are held. A record whose key has none costs a look at an empty map.
type operator struct {
	config    Config
	inner     stage.Operator
	timed     stage.Timed // inner; nil: time does not matter to it
	sources   []string
	projector *record.Projector
	slots     int

	queues  map[string]*queue
	size    int64 // bytes of what snapshots have
	due     dueHeap
	held    int
	back    int   // of them, those that were restored and are not counted yet
	lowest  int64 // the lowest watermark of held records
	stale   bool  // lowest is to be looked for again
	changed []*queue
}

var (
	_ stage.Operator = (*operator)(nil)
	_ stage.Timed    = (*operator)(nil)
	_ stage.Holder   = (*operator)(nil)
	_ stage.Ender    = (*operator)(nil)
	_ stage.Partial  = (*operator)(nil)
	_ stage.Stateful = (*operator)(nil)
)

// Process tries a record, unless one of its key is held.
func (o *operator) Process(c *stage.Context, r *record.Record) stage.Verdict {
	if o.held > 0 && !o.config.AnyOrder {
		if q := o.queues[r.Key]; q != nil {
			if o.held < o.config.Max {
				o.add(q, o.keep(r))
				return stage.Hold
			}
			// Nothing more can wait: what is in front is tried a last time, so
			// that this one keeps its place.
			o.giveUp(c, q)
			c.Scope.Record = r
		}
	}
	c.AllowRetry()
	v := o.inner.Process(c, r)
	if v != stage.Again {
		return v
	}
	if o.held >= o.config.Max {
		return c.Dead(r, fmt.Sprintf("%s (not tried again: %d records are held already)", c.Failure(), o.held))
	}
	q := o.queues[r.Key]
	if q == nil {
		q = &queue{key: strings.Clone(r.Key), hash: r.Hash, at: -1}
		o.queues[q.key] = q
	}
	h := o.keep(r)
	h.tries, h.due, h.reason = 1, o.next(c.Now, 1), c.Failure()
	o.add(q, h)
	return stage.Hold
}

// next is when a record is due that has been tried so often.
func (o *operator) next(now int64, tries int) int64 {
	pause := o.config.Backoff
	for ; tries > 1 && pause < o.config.MaxBackoff; tries-- {
		pause *= 2
	}
	pause = min(pause, max(o.config.MaxBackoff, o.config.Backoff))
	if now > math.MaxInt64-int64(pause) {
		return math.MaxInt64
	}
	return now + int64(pause)
}

func (o *operator) add(q *queue, h held) {
	q.list = append(q.list, h)
	if o.held == 0 || h.watermark < o.lowest {
		o.lowest = h.watermark
	}
	o.held++
	o.touch(q)
	o.schedule(q)
}

// touch notes that a queue is not as the last snapshot has it.
func (o *operator) touch(q *queue) {
	if !q.changed {
		q.changed = true
		o.changed = append(o.changed, q)
	}
}

// schedule puts a queue where it belongs in the order of due times; an empty
// one goes.
func (o *operator) schedule(q *queue) {
	if len(q.list) == 0 {
		if q.at >= 0 {
			heap.Remove(&o.due, q.at)
		}
		delete(o.queues, q.key)
		o.size -= int64(q.saved)
		return
	}
	q.due = q.list[0].due
	if o.config.AnyOrder {
		for i := range q.list {
			q.due = min(q.due, q.list[i].due)
		}
	}
	if q.at < 0 {
		heap.Push(&o.due, q)
		return
	}
	heap.Fix(&o.due, q.at)
}

// Advance tries what is due.
func (o *operator) Advance(c *stage.Context) {
	if o.back > 0 {
		c.Restored(o.back)
		o.back = 0
	}
	if o.timed != nil {
		o.timed.Advance(c)
	}
	for len(o.due) > 0 && o.due[0].due <= c.Now {
		o.try(c, o.due[0], false)
	}
}

// End tries a last time what is held: nothing will be there to do so later.
func (o *operator) End(c *stage.Context) {
	if e, ok := o.inner.(stage.Ender); ok {
		e.End(c)
	}
	o.EmitPartial(c)
}

// EmitPartial likewise, when the flow changes so that nobody can go on with
// what is held. The results are whole.
func (o *operator) EmitPartial(c *stage.Context) {
	keys := make([]string, 0, len(o.queues))
	for key := range o.queues {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	for _, key := range keys {
		o.giveUp(c, o.queues[key])
	}
}

func (o *operator) giveUp(c *stage.Context, q *queue) { o.try(c, q, true) }

// try tries the records of a queue that are due, and those that waited behind
// them; with last all of them, a last time. A queue that is not empty behind it
// is due later than now.
func (o *operator) try(c *stage.Context, q *queue, last bool) {
	c.AllowRetry()
	o.touch(q)
	kept := q.list[:0]
	for i := range q.list {
		h := &q.list[i]
		waits := h.due > c.Now && !last
		if !o.config.AnyOrder {
			waits = waits || len(kept) > 0
		}
		if waits || o.again(c, q, h, last) {
			kept = append(kept, *h)
			continue
		}
		o.held--
		o.stale = true
	}
	clear(q.list[len(kept):])
	q.list = kept
	o.schedule(q)
}

// again tries one record, and says whether it stays.
func (o *operator) again(c *stage.Context, q *queue, h *held, last bool) (stays bool) {
	r, err := o.restored(q, h)
	if err != nil {
		c.Leave(c.DeadAfter(&r, "retry: "+err.Error(), max(h.tries, 1)))
		return false
	}
	defer func() {
		if p := recover(); p != nil {
			c.Leave(c.DeadAfter(&r, stage.Panicked(p), h.tries+1))
			stays = false
		}
	}()
	c.Scope.Record = &r
	switch v := o.inner.Process(c, &r); v {
	case stage.Again:
		h.tries++
		h.reason = c.Failure()
		if last || h.tries >= o.config.Attempts {
			c.Leave(c.DeadAfter(&r, h.reason, h.tries))
			return false
		}
		h.due = o.next(c.Now, h.tries)
		return true
	case stage.Pass:
		c.Release(r, nil)
	default:
		c.Leave(v)
	}
	return false
}

// Held keeps the watermark back, so that a window behind does not close
// without what is held. No epoch waits: what is held is in the state.
func (o *operator) Held() stage.Held {
	if o.held == 0 {
		return stage.Held{}
	}
	if o.stale {
		o.lowest, o.stale = math.MaxInt64, false
		for _, q := range o.queues {
			for i := range q.list {
				o.lowest = min(o.lowest, q.list[i].watermark)
			}
		}
	}
	return stage.Held{Records: o.held, Epoch: math.MaxUint64, Watermark: o.lowest}
}

// Flush has nothing to do, since nothing waits for what is held.
func (o *operator) Flush(*stage.Context) {}
