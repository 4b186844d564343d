package window

import (
	"cmp"
	"math"
	"slices"

	"github.com/telluride-stream/telluride/engine/record"
	"github.com/telluride-stream/telluride/engine/stage"
)

// sessions is the operator of session windows. Records that are less than the
// gap apart are of one session; one that comes between two sessions makes
// them one.
type sessions struct {
	base[sessionState]
	gap, max, late int64
	queue          queue[appointment]
}

// sessionState is what is kept of one key.
type sessionState struct {
	open []*session // by start
}

type session struct {
	entry *entry[sessionState]
	// start is the time of the first record, end the time at which nothing
	// more can join: the gap behind the last record.
	start, end int64
	cells      []cell
	emitted    uint64 // how often; the number of the next revision
	fired      bool   // and nothing has changed since
	touched    bool   // since the timer last emitted

	due  int64  // when the queue brings it up; never behind its end
	turn uint64 // of its place in the queue; an older one is void
}

// appointment is the place of a session in the queue.
type appointment struct {
	session *session
	turn    uint64
}

var (
	_ stage.Operator = (*sessions)(nil)
	_ stage.Timed    = (*sessions)(nil)
	_ stage.Stateful = (*sessions)(nil)
)

func newSessions(s *spec) *sessions {
	return &sessions{base: newBase[sessionState](s), gap: int64(s.config.Session.Gap), max: int64(s.config.Session.Max), late: int64(s.config.Lateness)}
}

// reach is the end of a session that consists of one record.
func (o *sessions) reach(t int64) int64 {
	end := later(t, o.gap)
	if o.max > 0 {
		within := t % o.max
		if within < 0 {
			within += o.max
		}
		end = min(end, later(t, o.max-within))
	}
	return end
}

func (o *sessions) Process(c *stage.Context, r *record.Record) stage.Verdict {
	if p := o.progressed(c, r); p > o.progress {
		o.advance(c, p)
	}
	watermark := max(r.Watermark, o.progress)
	e := o.known(r)
	start, end := r.Time, o.reach(r.Time)
	from, to := o.joined(e, start, end, watermark)
	if closed := later(end, o.late); from == to && closed <= watermark {
		return c.Late(r, tooLate(r, "a session with it", closed, watermark))
	}
	if reason := o.in.read(&c.Scope, r); reason != "" {
		return c.Dead(r, reason)
	}
	if e == nil {
		e = o.entry(r)
	}
	s := o.session(e, from, to, start, end, watermark)
	e.seq++
	o.in.apply(s.cells, moment{r.Time, e.seq})
	o.change(e)
	if o.every > 0 {
		s.touched = true
		o.touch(e)
	}
	s.fired = false
	if s.end <= o.progress {
		o.close(c, s, r.Watermark)
	} else if s.due > s.end || s.turn == 0 {
		o.call(s, s.end)
	}
	return stage.Absorb
}

func (o *sessions) known(r *record.Record) *entry[sessionState] {
	if len(o.key.Fields) == 0 {
		return o.keys.find(0, "")
	}
	return o.keys.find(r.Hash, r.Key)
}

// joined are the sessions from up to to, without to, that one from start to
// end touches and that still live at the watermark. Sessions of a key that
// live never overlap, hence those that are touched are neighbours; a dead one
// among them is left out later.
func (o *sessions) joined(e *entry[sessionState], start, end, watermark int64) (from, to int) {
	if e == nil {
		return 0, 0
	}
	open := e.state.open
	for from = len(open); from > 0 && open[from-1].end > start; from-- {
	}
	for to = from; to < len(open) && open[to].start < end; to++ {
	}
	for from < to && o.dead(open[from], watermark) {
		from++
	}
	return from, to
}

func (o *sessions) dead(s *session, watermark int64) bool { return later(s.end, o.late) <= watermark }

// session is the session that a record from start to end goes to: a new one,
// or those that it touches, as one.
func (o *sessions) session(e *entry[sessionState], from, to int, start, end, watermark int64) *session {
	var into *session
	open := e.state.open
	if from+1 == to && !o.dead(open[from], watermark) { // the usual case
		into = open[from]
		into.start, into.end = min(into.start, start), max(into.end, end)
		return into
	}
	kept := open[:from]
	for _, s := range slices.Clone(open[from:to]) {
		switch {
		case o.dead(s, watermark):
			kept = append(kept, s)
			continue
		case into == nil:
			into = s
			kept = append(kept, s)
		default:
			o.set.merge(into.cells, s.cells)
			into.emitted = max(into.emitted, s.emitted)
			into.touched = into.touched || s.touched
			o.recycle(s.cells)
			s.cells, s.turn = nil, math.MaxUint64
		}
		into.start, into.end = min(into.start, s.start), max(into.end, s.end)
	}
	e.state.open = slices.Delete(open, len(kept), to)
	if into == nil {
		into = &session{entry: e, start: start, end: end, cells: o.cells(), due: math.MaxInt64}
		at, _ := slices.BinarySearchFunc(e.state.open, start, func(s *session, start int64) int { return cmp.Compare(s.start, start) })
		e.state.open = slices.Insert(e.state.open, at, into)
		return into
	}
	into.start, into.end = min(into.start, start), max(into.end, end)
	return into
}

// call makes the queue bring the session up at a time.
func (o *sessions) call(s *session, at int64) {
	s.due = at
	s.turn++
	o.queue.push(at, appointment{s, s.turn})
}

func (o *sessions) Advance(c *stage.Context) {
	if c.Watermark > o.progress {
		o.advance(c, c.Watermark)
	}
	if o.timer(c) {
		o.emitOpen(c)
	}
}

func (o *sessions) advance(c *stage.Context, progress int64) {
	o.progress = progress
	for o.queue.due(progress) {
		at, a := o.queue.pop()
		s := a.session
		switch {
		case a.turn != s.turn:
		case s.fired:
			o.drop(s)
		case s.end > at: // it has grown since
			o.call(s, s.end)
		default:
			o.close(c, s, s.end-1)
		}
	}
}

// close emits a session that has ended.
func (o *sessions) close(c *stage.Context, s *session, watermark int64) {
	o.emit(c, s.entry, s.cells, result{
		start: s.start, end: s.end, time: s.end - 1, watermark: watermark,
		id: identity{window: s.start, end: s.end, revision: s.emitted},
	})
	s.emitted++
	s.fired, s.touched = true, false
	o.change(s.entry)
	if o.late == 0 {
		o.drop(s)
		return
	}
	o.call(s, later(s.end, o.late))
}

func (o *sessions) drop(s *session) {
	e := s.entry
	at := slices.Index(e.state.open, s)
	e.state.open = slices.Delete(e.state.open, at, at+1)
	o.recycle(s.cells)
	s.cells, s.turn = nil, math.MaxUint64
	o.change(e)
	if len(e.state.open) == 0 {
		o.remove(e)
	}
}

// emitOpen emits the sessions that have not ended as they are now.
func (o *sessions) emitOpen(c *stage.Context) {
	for _, e := range o.takeTouched() {
		if !e.live {
			continue
		}
		for _, s := range e.state.open {
			if s.fired || !s.touched && o.config.Emit.ChangedOnly {
				continue
			}
			s.touched = false
			o.emit(c, e, s.cells, result{
				start: s.start, end: s.end, time: s.end - 1, watermark: min(o.progress, s.end-1),
				id: identity{window: s.start, end: s.end, revision: e.seq, content: true},
			})
		}
		o.change(e)
	}
}

func (o *sessions) Snapshot(w stage.StateWriter) {
	o.snapshot(w, func(enc *encoder, e *entry[sessionState]) {
		enc.uvarint(uint64(len(e.state.open)))
		for _, s := range e.state.open {
			enc.varint(s.start)
			enc.varint(s.end)
			enc.uvarint(s.emitted)
			enc.bool(s.fired)
			enc.bool(s.touched)
			o.putCells(enc, s.cells)
		}
	})
}

func (o *sessions) Restore(key string, value []byte) error {
	e, err := o.restore(key, value, func(d *decoder, e *entry[sessionState], _ int64) {
		n := d.length(5)
		if n == 0 {
			d.fail("no session is open")
		}
		for range n {
			s := &session{entry: e, start: d.varint(), end: d.varint(), emitted: d.uvarint(), fired: d.bool(), touched: d.bool()}
			if d.err == nil && s.start >= s.end {
				d.fail("session")
			}
			if d.err != nil {
				return
			}
			s.cells = o.getCells(d)
			e.state.open = append(e.state.open, s)
		}
	})
	if err != nil {
		return err
	}
	for _, s := range e.state.open {
		if s.fired {
			o.call(s, later(s.end, o.late))
		} else {
			o.call(s, s.end)
		}
	}
	return nil
}
