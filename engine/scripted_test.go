package engine_test

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"iter"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/telluride-stream/telluride/engine/expr"
	"github.com/telluride-stream/telluride/engine/record"
	"github.com/telluride-stream/telluride/engine/stage"
)

// Slots of the records in these tests: who they belong to, which they are,
// and, for results of a tally, how many there were.
const (
	slotKey record.Slot = iota
	slotID
	slotTotal
)

func testLayout() *record.Layout {
	l := record.NewLayout()
	for _, name := range []string{"key", "id", "total"} {
		l.Slot(record.Path{{Key: name}})
	}
	return l
}

var errLost = stage.Transient(errors.New("connection lost"))

// event is one step of a scripted source: after a wait, some records; or the
// loss of the session, once.
type event struct {
	wait time.Duration
	keys []int
	lose bool
}

// script is a source that plays events. Every record's id is its place in the
// whole script, so that ids do not depend on sessions. idle sources never end.
type script struct {
	name   string
	events []event
	idle   bool
	// ack says that it is like a queue: what is not settled comes again.
	ack bool
	// ids gives its messages ids; those below redelivered come again.
	ids         bool
	away        bool // cannot be opened for now
	redelivered int

	mu       sync.Mutex
	lost     map[int]bool // events that have been lost already
	settled  int          // ids below are settled
	onSettle func(ids []int)
	bySeq    []int // id of each sequence number of this session; [0] is unused
	rejects  []int
	eof      bool // this session has read everything
}

func (s *script) spec(prefetch int) stage.SourceSpec {
	return stage.SourceSpec{
		New:      func(rt stage.Runtime) stage.Source { return &scriptSession{script: s, clock: rt} },
		Prefetch: prefetch, Schema: &expr.Schema{Open: true},
	}
}

func (s *script) total() (n int) {
	for _, e := range s.events {
		n += len(e.keys)
	}
	return n
}

func (s *script) setAway(away bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.away = away
}

// idOf is the name of the record that a delivery of this session is.
func (s *script) idOf(seq uint64) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.name + "/" + strconv.Itoa(s.bySeq[seq])
}

// keyOf is the key of the record with an id.
func (s *script) keyOf(id int) string {
	for _, e := range s.events {
		if id < len(e.keys) {
			return "k" + strconv.Itoa(e.keys[id])
		}
		id -= len(e.keys)
	}
	panic("no such id")
}

type scriptSession struct {
	script *script
	clock  stage.Runtime
	at, id int
	part   int // of the event at hand, the records that were read
	until  int // ids below were read before
}

func (s *scriptSession) Open(_ context.Context, position []byte) error {
	s.script.mu.Lock()
	defer s.script.mu.Unlock()
	if s.script.away {
		return errLost
	}
	s.script.bySeq, s.script.eof = []int{-1}, false
	s.at, s.id, s.part = 0, 0, 0
	until := 0
	switch {
	case s.script.ack:
		until = s.script.settled
	case position != nil:
		until = int(binary.BigEndian.Uint64(position))
	}
	for s.at < len(s.script.events) && s.id+len(s.script.events[s.at].keys) <= until {
		s.id += len(s.script.events[s.at].keys)
		s.at++
	}
	s.until = until
	return nil
}

func (s *scriptSession) Probe(context.Context) error {
	s.script.mu.Lock()
	defer s.script.mu.Unlock()
	if s.script.away {
		return errLost
	}
	return nil
}

func (s *scriptSession) Read(ctx context.Context) (stage.Input, error) {
	for {
		if s.at == len(s.script.events) {
			if s.script.idle {
				<-ctx.Done()
				return stage.Input{}, ctx.Err()
			}
			s.script.mu.Lock()
			s.script.eof = true
			s.script.mu.Unlock()
			return stage.Input{}, io.EOF
		}
		at, e := s.at, s.script.events[s.at]
		if e.wait > 0 && s.part == 0 {
			timer := s.clock.Clock.NewTimer(e.wait)
			select {
			case <-timer.C():
			case <-ctx.Done():
				timer.Stop()
				return stage.Input{}, ctx.Err()
			}
		}
		keys := e.keys[s.part:]
		if s.clock.Singly != nil && s.clock.Singly.Load() {
			keys = keys[:min(1, len(keys))]
		}
		lose := e.lose && s.part == 0 && s.lose(at)
		if s.part += len(keys); lose || s.part == len(e.keys) {
			s.at, s.part = at+1, 0
		}
		if lose {
			return stage.Input{}, errLost
		}
		if in := s.input(keys); len(in.Batch.Records) > 0 {
			return in, nil
		}
	}
}

func (s *scriptSession) lose(at int) bool {
	s.script.mu.Lock()
	defer s.script.mu.Unlock()
	if s.script.lost == nil {
		s.script.lost = map[int]bool{}
	}
	before := s.script.lost[at]
	s.script.lost[at] = true
	return !before
}

func (s *scriptSession) input(keys []int) stage.Input {
	b := record.NewBatch(len(keys))
	s.script.mu.Lock()
	defer s.script.mu.Unlock()
	for _, k := range keys {
		id := s.id
		s.id++
		if id < s.until {
			continue
		}
		r := record.Record{Fields: b.Arena().Values(3)}
		r.Fields[slotKey] = record.StringValue("k" + strconv.Itoa(k))
		r.Fields[slotID] = record.StringValue(s.script.name + "/" + strconv.Itoa(id))
		r.Origin.Seq = uint64(len(s.script.bySeq))
		s.script.bySeq = append(s.script.bySeq, id)
		b.Records = append(b.Records, r)
	}
	in := stage.Input{Batch: b}
	if s.script.ids {
		for _, r := range b.Records {
			id := s.script.bySeq[r.Origin.Seq]
			in.IDs = append(in.IDs, s.script.name+"/"+strconv.Itoa(id))
			in.Redelivered = append(in.Redelivered, id < s.script.redelivered)
		}
	}
	if !s.script.ack {
		in.Position = binary.BigEndian.AppendUint64(nil, uint64(s.id))
	}
	return in
}

func (s *scriptSession) Settle(_ context.Context, set stage.Settlement) error {
	s.script.mu.Lock()
	defer s.script.mu.Unlock()
	upto := s.script.bySeq[set.Upto]
	var ids []int
	for id := s.script.settled; id <= upto; id++ {
		ids = append(ids, id)
	}
	for _, seq := range set.Rejected {
		s.script.rejects = append(s.script.rejects, s.script.bySeq[seq])
	}
	s.script.settled = max(s.script.settled, upto+1)
	if s.script.onSettle != nil {
		s.script.onSettle(ids)
	}
	return nil
}

func (s *scriptSession) Close() error { return nil }

// collector is a sink that remembers what it was given and what is durable.
// It fails as it is told, and makes things durable a while later.
type collector struct {
	delay time.Duration
	// failWrites are, by number of the Write, errors; failFlushes likewise.
	failWrites, failFlushes map[int]error
	// poison names records that it never takes.
	poison map[string]bool
	// letterOf makes it a sink of dead letters: their ids are asked for.
	letterOf func(record.Origin) string

	mu      sync.Mutex
	writes  int
	flushes int
	got     []got
	durable map[string]int
	open    bool
}

type got struct {
	id, key string
	total   int64
}

func (c *collector) spec() stage.SinkSpec {
	return stage.SinkSpec{New: func(rt stage.Runtime) stage.Sink { return &collecting{collector: c, clock: rt} }}
}

type collecting struct {
	*collector
	clock    stage.Runtime
	pending  []string
	flushing sync.WaitGroup
}

func (c *collecting) Open(context.Context) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.open = true
	return nil
}

func (c *collecting) Write(_ context.Context, records []record.Record) (int, error) {
	all := make([]got, len(records))
	for i := range records {
		r := &records[i]
		all[i] = got{id: r.Field(slotID).Str(), key: r.Field(slotKey).Str(), total: r.Field(slotTotal).Int()}
		if c.letterOf != nil {
			all[i] = got{id: c.letterOf(r.Origin), key: string(r.Payload)}
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.writes++
	fail := c.failWrites[c.writes]
	for i, g := range all {
		if c.poison[g.id] {
			return i, stage.Permanent(errors.New("poison"))
		}
		if fail != nil && i == len(all)/2 {
			return i, fail
		}
		c.got = append(c.got, g)
		c.pending = append(c.pending, g.id)
	}
	return len(records), nil
}

func (c *collecting) Flush(done func(error)) {
	c.mu.Lock()
	c.flushes++
	if err := c.failFlushes[c.flushes]; err != nil {
		c.mu.Unlock()
		done(err)
		return
	}
	n := len(c.pending)
	c.mu.Unlock()
	finish := func() {
		c.mu.Lock()
		if c.durable == nil {
			c.durable = map[string]int{}
		}
		for _, id := range c.pending[:min(n, len(c.pending))] {
			c.durable[id]++
		}
		c.mu.Unlock()
		done(nil)
	}
	if c.delay == 0 {
		finish()
		return
	}
	c.flushing.Go(func() {
		time.Sleep(c.delay)
		finish()
	})
}

func (c *collecting) Close() error {
	c.flushing.Wait()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.open = false
	return nil
}

// tally counts the records of each key, passes them on, and tells the totals
// at the end of input. Its counts are state.
type tally struct {
	counts  map[string]int64
	changed map[string]bool
}

func tallySpec() stage.OperatorSpec {
	return stage.OperatorSpec{
		New:      func() stage.Operator { return &tally{map[string]int64{}, map[string]bool{}} },
		Stateful: true, Ordered: true, Signature: "tally",
	}
}

func (t *tally) Process(_ *stage.Context, r *record.Record) stage.Verdict {
	key := string(append([]byte(nil), r.Key...))
	t.counts[key]++
	t.changed[key] = true
	return stage.Pass
}

func (t *tally) End(c *stage.Context) {
	for key, n := range t.counts {
		r := record.Record{Fields: make([]record.Value, 3)}
		r.Fields[slotKey] = record.StringValue("total of " + key)
		r.Fields[slotTotal] = record.IntValue(n)
		c.Emit(r)
	}
}

func (t *tally) Snapshot(w stage.StateWriter) {
	for key := range t.changed {
		w.Put(key, binary.BigEndian.AppendUint64(nil, uint64(t.counts[key])))
	}
	clear(t.changed)
}

func (t *tally) Restore(key string, value []byte) error {
	t.counts[key] = int64(binary.BigEndian.Uint64(value))
	return nil
}

func (t *tally) Keys(each func(key string)) {
	for key := range t.counts {
		each(key)
	}
}

func (t *tally) Open(key string) iter.Seq[stage.Opened] {
	return slices.Values([]stage.Opened{{Values: fmt.Appendf(nil, `{"total":%d}`, t.counts[key])}})
}

// keeper holds up to size records, and none for longer than timeout.
type keeper struct {
	size    int
	timeout time.Duration
	held    []kept
}

type kept struct {
	r     record.Record
	epoch uint64
	now   int64
}

func keeperSpec(size int, timeout time.Duration) stage.OperatorSpec {
	return stage.OperatorSpec{
		New:   func() stage.Operator { return &keeper{size: size, timeout: timeout} },
		Holds: true, Timer: timeout,
	}
}

func (k *keeper) Process(c *stage.Context, r *record.Record) stage.Verdict {
	k.held = append(k.held, kept{r.Clone(), c.Epoch, c.Now})
	if len(k.held) > k.size {
		// The newest is not counted as held yet.
		newest := k.held[len(k.held)-1]
		k.held = k.held[:len(k.held)-1]
		k.Flush(c)
		k.held = append(k.held, newest)
	}
	return stage.Hold
}

func (k *keeper) Advance(c *stage.Context) {
	if len(k.held) > 0 && c.Now-k.held[0].now >= int64(k.timeout) {
		k.Flush(c)
	}
}

func (k *keeper) Held() stage.Held {
	if len(k.held) == 0 {
		return stage.Held{}
	}
	h := stage.Held{Records: len(k.held), Epoch: k.held[0].epoch, Watermark: record.MaxTime}
	for _, one := range k.held {
		h.Watermark = min(h.Watermark, one.r.Watermark)
	}
	return h
}

func (k *keeper) Flush(c *stage.Context) {
	for _, one := range k.held {
		c.Release(one.r, nil)
	}
	k.held = k.held[:0]
}

// picky dead-letters records as told: by a panic, an error, or quietly.
type picky struct{ panics, errs, filters map[string]bool }

func (p *picky) Process(c *stage.Context, r *record.Record) stage.Verdict {
	id := r.Field(slotID).Str()
	switch {
	case p.panics[id]:
		panic(fmt.Sprintf("cannot bear %s", id))
	case p.errs[id]:
		return c.Dead(r, "no good")
	case p.filters[id]:
		return stage.Filter
	}
	return stage.Pass
}
