package window

import (
	"github.com/telluride-stream/telluride/engine/record"
	"github.com/telluride-stream/telluride/engine/stage"
)

// running is the operator of global windows: one for each key, that never
// closes. It emits on a timer, and what changed since at the end of input, or
// when the key expires.
type running struct {
	base[runningState]
}

// runningState is what is kept of one key.
type runningState struct {
	cells  []cell
	latest int64 // the highest time of a record
	born   int64 // the time of the first record; see identity
}

var (
	_ stage.Operator = (*running)(nil)
	_ stage.Timed    = (*running)(nil)
	_ stage.Ender    = (*running)(nil)
	_ stage.Stateful = (*running)(nil)
)

func newRunning(s *spec) *running {
	o := &running{base: newBase[runningState](s)}
	o.idle = expiry[runningState]{after: int64(s.config.ExpireAfter), drop: o.last}
	return o
}

func (o *running) Process(c *stage.Context, r *record.Record) stage.Verdict {
	if reason := o.in.read(&c.Scope, r); reason != "" {
		return c.Dead(r, reason)
	}
	e := o.current(c, r)
	s := &e.state
	if s.cells == nil {
		s.cells, s.latest, s.born = o.cells(), r.Time, o.born(r)
	}
	s.latest = max(s.latest, r.Time)
	e.seq++
	o.in.apply(s.cells, moment{r.Time, e.seq})
	o.met(e, r)
	o.change(e)
	o.touch(e)
	return stage.Absorb
}

func (o *running) Advance(c *stage.Context) {
	if o.timer(c) {
		o.emitAll(c)
	}
	o.expireIdle(c, c.Watermark)
}

// last emits what is new of a key that expires.
func (o *running) last(c *stage.Context, e *entry[runningState], at int64) {
	if e.touched {
		o.emit(c, e, e.state.cells, result{time: at, watermark: at, id: identity{window: e.state.born, revision: e.seq, content: true}})
	}
}

func (o *running) End(c *stage.Context) {
	o.expireIdle(c, c.Last)
	o.emitAll(c)
}

func (o *running) emitAll(c *stage.Context) {
	for _, e := range o.takeTouched() {
		if !e.live {
			continue // it has expired since, and was emitted then
		}
		// The result is as of now: its time is never behind the watermark.
		res := result{time: max(e.state.latest, c.Watermark), watermark: c.Watermark, id: identity{window: e.state.born, revision: e.seq, content: true}}
		if c.Watermark == record.MaxTime {
			res.time, res.watermark = e.state.latest, e.state.latest
		}
		o.emit(c, e, e.state.cells, res)
		o.change(e)
	}
}

func (o *running) Snapshot(w stage.StateWriter) {
	o.snapshot(w, func(enc *encoder, e *entry[runningState]) {
		enc.varint(e.state.born)
		enc.varint(e.state.latest)
		o.putCells(enc, e.state.cells)
		o.putSeen(enc, e)
	})
}

func (o *running) Restore(key string, value []byte) error {
	_, err := o.restore(key, value, func(d *decoder, e *entry[runningState], _ int64) {
		e.state.born, e.state.latest = d.varint(), d.varint()
		e.state.cells = o.getCells(d)
		o.getSeen(d, e, e.state.latest)
	})
	return err
}
