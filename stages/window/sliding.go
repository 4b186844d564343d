package window

import (
	"fmt"

	"github.com/telluride-stream/telluride/engine/record"
	"github.com/telluride-stream/telluride/engine/stage"
)

// sliding is the operator that emits, for every record, a result over the
// last records of its key: the last N to arrive, or those of the last
// duration of event time before it that have arrived by then.
type sliding struct {
	base[slidingState]
	records int   // 0: by duration
	length  int64 // the duration
	most    int   // by duration: records of a key that may be kept
	// parts says that every aggregate can be merged in constant time, so that
	// a window is merged from two parts instead of from all its records.
	parts   bool
	replay  inputs // for records that are kept
	scratch []cell
	empty   queue[*entry[slidingState]] // by duration: when a key has nothing left
}

// slidingState is what is kept of one key.
type slidingState struct {
	list  history
	stack stack
}

var (
	_ stage.Operator = (*sliding)(nil)
	_ stage.Timed    = (*sliding)(nil)
	_ stage.Ender    = (*sliding)(nil)
	_ stage.Stateful = (*sliding)(nil)
)

func newSliding(s *spec) *sliding {
	o := &sliding{
		base: newBase[slidingState](s), records: s.config.Sliding.Records, length: int64(s.config.Sliding.Duration),
		most: s.config.Sliding.MaxRecords, parts: true, replay: newInputs(s.set), scratch: make([]cell, len(s.set.cells)),
	}
	nothing := func(*stage.Context, *entry[slidingState], int64) {} // every record has had its result
	o.idle = expiry[slidingState]{after: int64(s.config.ExpireAfter), drop: nothing}
	for i := range s.set.cells {
		o.parts = o.parts && s.set.cells[i].op.constant()
	}
	return o
}

func (o *sliding) Process(c *stage.Context, r *record.Record) stage.Verdict {
	if p := o.progressed(c, r); p > o.progress {
		o.advance(p)
	}
	watermark := max(r.Watermark, o.progress)
	if o.records == 0 && r.Time < watermark {
		return c.Late(r, fmt.Sprintf("late: its time is %s, but a sliding window takes records in the order of time, and the watermark is at %s already, %s further",
			record.FormatTime(r.Time), record.FormatTime(watermark), shortly(watermark, r.Time)))
	}
	if reason := o.in.read(&c.Scope, r); reason != "" {
		return c.Dead(r, reason)
	}
	e := o.current(c, r)
	s := &e.state
	s.list.stride = len(o.set.args)
	if o.records == 0 {
		o.forget(e)
		if s.list.len() >= o.most {
			return c.Dead(r, fmt.Sprintf("the sliding window holds max_records (%d) of this key already", o.most))
		}
		if s.list.empty() {
			o.empty.push(later(r.Time, o.length), e)
		}
	}
	e.seq++
	cells := o.take(e, moment{r.Time, e.seq})
	o.met(e, r)
	o.change(e)
	id := identity{window: r.Time, revision: e.seq}
	if o.idle.after > 0 {
		id.end = r.Watermark // the count may begin anew
	}
	o.emit(c, e, cells, result{
		start: earlier(r.Time, o.length), end: r.Time, time: r.Time, watermark: r.Watermark, id: id,
	})
	return stage.Absorb
}

// take adds the record that was read, and returns the window up to it, valid
// until the next call.
func (o *sliding) take(e *entry[slidingState], at moment) []cell {
	s := &e.state
	l := &s.list
	in := l.position(at)
	if o.records > 0 {
		in = l.end() // by arrival
	}
	newest := in == l.end()
	l.insert(in, at, o.in.met, o.in.vals)
	from := l.begin
	switch {
	case o.records == 0:
		from = l.behind(earlier(at.time, o.length))
	case l.len() > o.records:
		from++
	}
	if o.parts && newest {
		o.slide(s, from)
	} else {
		s.stack.stale = true
		clear(o.scratch)
		for i := from; i <= in; i++ {
			o.add(o.scratch, l, i)
		}
	}
	if o.records > 0 {
		l.forget(from)
	}
	return o.scratch
}

// add applies a record that is kept.
func (o *sliding) add(cells []cell, l *history, i int) {
	o.replay.vals, o.replay.met = l.values(i), l.met[i-l.base]
	o.replay.choose() // it was accepted when it came
	o.replay.apply(cells, l.at[i-l.base])
}

// forget drops the records that no record on time can reach any more.
func (o *sliding) forget(e *entry[slidingState]) {
	l := &e.state.list
	from := l.begin
	for from < l.end() && later(l.at[from-l.base].time, o.length) <= o.progress {
		from++
	}
	l.forget(from)
}

func (o *sliding) Advance(c *stage.Context) {
	if c.Watermark > o.progress {
		o.advance(c.Watermark)
	}
	o.expireIdle(c, c.Watermark)
}

// End counts the keys that have expired.
func (o *sliding) End(c *stage.Context) { o.expireIdle(c, c.Last) }

// advance drops the keys that have nothing left.
func (o *sliding) advance(progress int64) {
	o.progress = progress
	for o.empty.due(progress) {
		_, e := o.empty.pop()
		l := &e.state.list
		if !e.live || l.empty() {
			continue
		}
		if at := later(l.at[len(l.at)-1].time, o.length); at > progress {
			o.empty.push(at, e)
			continue
		}
		o.remove(e)
	}
}
