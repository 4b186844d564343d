package window

import (
	"github.com/telluride-stream/telluride/engine/record"
	"github.com/telluride-stream/telluride/engine/stage"
)

// running is the operator of global windows: one for each key, that never
// closes. It emits on a timer, and what changed since at the end of input.
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

func newRunning(s *spec) *running { return &running{base: newBase[runningState](s)} }

func (o *running) Process(c *stage.Context, r *record.Record) stage.Verdict {
	if reason := o.in.read(&c.Scope, r); reason != "" {
		return c.Dead(r, reason)
	}
	e := o.entry(r)
	s := &e.state
	if s.cells == nil {
		s.cells, s.latest, s.born = o.cells(), r.Time, r.Time
	}
	s.latest = max(s.latest, r.Time)
	e.seq++
	o.in.apply(s.cells, moment{r.Time, e.seq})
	o.change(e)
	o.touch(e)
	return stage.Absorb
}

func (o *running) Advance(c *stage.Context) {
	if o.timer(c) {
		o.emitAll(c)
	}
}

func (o *running) End(c *stage.Context) { o.emitAll(c) }

func (o *running) emitAll(c *stage.Context) {
	for _, e := range o.takeTouched() {
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
	})
}

func (o *running) Restore(key string, value []byte) error {
	_, err := o.restore(key, value, func(d *decoder, e *entry[runningState], _ int64) {
		e.state.born, e.state.latest = d.varint(), d.varint()
		e.state.cells = o.getCells(d)
	})
	return err
}
