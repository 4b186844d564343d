package window

import (
	"cmp"
	"math"
	"slices"

	"github.com/telluride-stream/telluride/engine/record"
	"github.com/telluride-stream/telluride/engine/stage"
)

// panes is the operator of tumbling and hopping windows. A record goes into
// one pane, and a window is merged from its panes when it is emitted.
type panes struct {
	base[paneState]
	grid grid
	late int64

	fire   schedule[*entry[paneState]] // by entry.state.next
	expire schedule[*entry[paneState]] // of panes, by their last window
	// fireAt and expireAt are when the first of each is due.
	fireAt, expireAt int64

	at, other place  // where the last records went
	scratch   []cell // for merging
}

// paneState is what is kept of one key.
type paneState struct {
	panes []pane // ascending
	last  int    // the position of the pane that was used last
	next  int64  // the window to fire next; none when every one has fired
	fired int64  // only while being restored: the progress up to which windows have fired
	revs  []revision
}

type pane struct {
	index   int64
	cells   []cell
	touched bool // since the timer last emitted
}

// revision counts the corrections of a window that has fired.
type revision struct {
	window int64
	n      uint64
}

// none is not the index of any window.
const none = math.MinInt64

// place is a pane, and the windows that it is part of.
type place struct {
	start, end        int64
	pane              int64
	first, last       int64
	firstEnd, lastEnd int64
	known             bool
}

var (
	_ stage.Operator = (*panes)(nil)
	_ stage.Timed    = (*panes)(nil)
	_ stage.Stateful = (*panes)(nil)
)

func newPanes(s *spec) *panes {
	size, every := s.config.Tumbling, s.config.Tumbling
	if s.config.Kind == "hopping" {
		size, every = s.config.Hopping.Size, s.config.Hopping.Every
	}
	return &panes{
		base: newBase[paneState](s), grid: newGrid(size, every, s.config.Location), late: int64(s.config.Lateness),
		fireAt: math.MaxInt64, expireAt: math.MaxInt64, scratch: make([]cell, len(s.set.cells)),
	}
}

func (o *panes) Process(c *stage.Context, r *record.Record) stage.Verdict {
	if p := o.progressed(c, r); p > o.progress {
		o.advance(c, p)
	}
	o.locate(r.Time)
	if o.at.first > o.at.last {
		return stage.Filter // between two windows
	}
	// The record's own watermark decides. Progress is never beyond it, unless
	// a source breaks its word; the window is gone then, too.
	watermark := max(r.Watermark, o.progress)
	if closed := later(o.at.lastEnd, o.late); closed <= watermark {
		what := "its window"
		if o.config.Kind == "hopping" {
			what = "the last of its windows"
		}
		return c.Late(r, tooLate(r, what, closed, watermark))
	}
	if reason := o.in.read(&c.Scope, r); reason != "" {
		return c.Dead(r, reason)
	}
	e := o.entry(r)
	p := o.pane(e, o.at.pane)
	e.seq++
	o.in.apply(p.cells, moment{r.Time, e.seq})
	o.change(e)
	if o.every > 0 {
		p.touched = true
		o.touch(e)
	}
	if o.at.firstEnd <= o.progress {
		o.revise(c, e, r, watermark)
	}
	return stage.Absorb
}

func (o *panes) locate(t int64) {
	if o.at.known && t >= o.at.start && t < o.at.end {
		return
	}
	o.at, o.other = o.other, o.at
	if o.at.known && t >= o.at.start && t < o.at.end {
		return
	}
	g, p := &o.grid, o.grid.pane(t)
	first, last := g.windows(p)
	o.at = place{start: g.start(p), end: g.start(p + 1), pane: p, first: first, last: last, known: true}
	if first <= last {
		o.at.firstEnd, o.at.lastEnd = g.end(first), g.end(last)
	}
}

// pane is the pane of o.at, made if it is new.
func (o *panes) pane(e *entry[paneState], index int64) *pane {
	s := &e.state
	if s.last < len(s.panes) && s.panes[s.last].index == index {
		return &s.panes[s.last]
	}
	at, known := slices.BinarySearchFunc(s.panes, index, func(p pane, index int64) int { return cmp.Compare(p.index, index) })
	if !known {
		if len(s.panes) == 0 {
			s.next = none
		}
		s.panes = slices.Insert(s.panes, at, pane{index: index, cells: o.cells()})
		o.schedule(e, index)
	}
	s.last = at
	return &s.panes[at]
}

// schedule makes sure that the windows of a new pane will fire, and that it
// will be dropped.
func (o *panes) schedule(e *entry[paneState], index int64) {
	first, last := o.grid.windows(index)
	for first <= last && o.grid.end(first) <= o.progress {
		first++ // it has fired; only corrections follow
	}
	switch {
	case first > last:
		o.expireLater(e, last)
	case e.state.next == none || first < e.state.next:
		o.fireLater(e, first)
	}
}

func (o *panes) fireLater(e *entry[paneState], window int64) {
	e.state.next = window
	o.fire.add(window, e)
	o.fireAt = min(o.fireAt, o.grid.end(window))
}

func (o *panes) expireLater(e *entry[paneState], window int64) {
	o.expire.add(window, e)
	o.expireAt = min(o.expireAt, later(o.grid.end(window), o.late))
}

// revise emits again the windows of o.at that have fired already, those for
// which the record is late for good excepted.
func (o *panes) revise(c *stage.Context, e *entry[paneState], r *record.Record, watermark int64) {
	at := o.at
	for w := at.first; w <= at.last; w++ {
		start, end := o.grid.bounds(w)
		if end > o.progress {
			return
		}
		if later(end, o.late) <= watermark {
			continue
		}
		o.emit(c, e, o.content(e, w), result{
			start: start, end: end, time: end - 1, watermark: r.Watermark,
			id: identity{window: start, revision: e.state.revise(w)},
		})
	}
}

// revise is the number of the next correction of a window, from 1.
func (s *paneState) revise(window int64) uint64 {
	for i := range s.revs {
		if s.revs[i].window == window {
			s.revs[i].n++
			return s.revs[i].n
		}
	}
	s.revs = append(s.revs, revision{window, 1})
	return 1
}

// content is what a window holds. It is valid until the next call.
func (o *panes) content(e *entry[paneState], window int64) []cell {
	from := window * o.grid.step
	if o.grid.span == 1 {
		for i := range e.state.panes {
			if p := &e.state.panes[i]; p.index == from {
				return p.cells
			}
		}
	}
	clear(o.scratch)
	for i := range e.state.panes {
		if p := &e.state.panes[i]; p.index >= from && p.index < from+o.grid.span {
			o.set.merge(o.scratch, p.cells)
		}
	}
	return o.scratch
}
