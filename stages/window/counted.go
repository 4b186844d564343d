package window

import (
	"github.com/telluride-stream/telluride/engine/record"
	"github.com/telluride-stream/telluride/engine/stage"
)

// counted is the operator of windows of a number of records. A key is kept
// until it expires, since the number of its windows makes their message ids.
type counted struct {
	base[countState]
	size int64
}

// countState is what is kept of one key.
type countState struct {
	cells   []cell
	n       int64  // records in the window
	latest  int64  // the highest time among them
	windows uint64 // that were emitted
	born    int64  // the time of the key's first record; see identity
}

var (
	_ stage.Operator = (*counted)(nil)
	_ stage.Timed    = (*counted)(nil)
	_ stage.Ender    = (*counted)(nil)
	_ stage.Stateful = (*counted)(nil)
)

func newCounted(s *spec) *counted {
	o := &counted{base: newBase[countState](s), size: int64(s.config.Count)}
	o.idle = expiry[countState]{after: int64(s.config.ExpireAfter), drop: o.last}
	return o
}

func (o *counted) Process(c *stage.Context, r *record.Record) stage.Verdict {
	if reason := o.in.read(&c.Scope, r); reason != "" {
		return c.Dead(r, reason)
	}
	e := o.current(c, r)
	s := &e.state
	if s.cells == nil {
		s.cells = o.cells()
	}
	if e.seq == 0 {
		s.born = o.born(r)
	}
	if s.n == 0 || r.Time > s.latest {
		s.latest = r.Time
	}
	e.seq++
	s.n++
	o.in.apply(s.cells, moment{r.Time, e.seq})
	o.met(e, r)
	o.change(e)
	o.touch(e)
	if s.n == o.size {
		o.close(c, e, r.Watermark)
	}
	return stage.Absorb
}

// close emits the window and begins the next.
func (o *counted) close(c *stage.Context, e *entry[countState], watermark int64) {
	s := &e.state
	o.emit(c, e, s.cells, result{time: s.latest, watermark: watermark, id: identity{window: s.born, revision: s.windows}})
	s.windows++
	s.n = 0
	o.recycle(s.cells)
	s.cells = nil
	o.change(e)
}

func (o *counted) Advance(c *stage.Context) {
	if o.timer(c) {
		o.emitOpen(c)
	}
	o.expireIdle(c, c.Watermark)
}

// last emits the window of a key that expires before it is full.
func (o *counted) last(c *stage.Context, e *entry[countState], at int64) {
	if s := &e.state; s.n > 0 {
		o.emit(c, e, s.cells, result{time: s.latest, watermark: min(s.latest, at), id: identity{window: s.born, end: at, revision: e.seq, partial: true}})
	}
}

// emitOpen emits the windows that are not full as they are now.
func (o *counted) emitOpen(c *stage.Context) {
	for _, e := range o.takeTouched() {
		if s := &e.state; e.live && s.n > 0 {
			o.emit(c, e, s.cells, result{
				time: s.latest, watermark: min(s.latest, c.Watermark),
				id: identity{window: s.born, revision: e.seq, content: true},
			})
			o.change(e)
		}
	}
}

// End emits the windows that are not full.
func (o *counted) End(c *stage.Context) {
	o.expireIdle(c, c.Last)
	o.keys.all(func(e *entry[countState]) {
		if e.state.n > 0 {
			o.close(c, e, e.state.latest)
		}
	})
}

func (o *counted) Snapshot(w stage.StateWriter) {
	o.snapshot(w, func(enc *encoder, e *entry[countState]) {
		enc.varint(e.state.born)
		enc.uvarint(e.state.windows)
		enc.varint(e.state.n)
		if e.state.n > 0 {
			enc.varint(e.state.latest)
			o.putCells(enc, e.state.cells)
		}
		o.putSeen(enc, e)
	})
}

func (o *counted) Restore(key string, value []byte) error {
	_, err := o.restore(key, value, func(d *decoder, e *entry[countState], progress int64) {
		s := &e.state
		s.born, s.windows, s.n = d.varint(), d.uvarint(), d.varint()
		if s.n < 0 || s.n >= o.size {
			d.fail("window")
			return
		}
		if s.n > 0 {
			s.latest = d.varint()
			s.cells = o.getCells(d)
		}
		o.getSeen(d, e, max(s.born, s.latest, progress))
	})
	return err
}
