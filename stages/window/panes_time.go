package window

import (
	"math"

	"github.com/telluride-stream/telluride/engine/stage"
)

func (o *panes) Advance(c *stage.Context) {
	if c.Watermark > o.progress {
		o.advance(c, c.Watermark)
	}
	if o.timer(c) {
		o.emitOpen(c)
	}
}

// advance fires what is due, in the order of the windows' ends.
func (o *panes) advance(c *stage.Context, progress int64) {
	o.progress = progress
	for o.fireAt <= progress {
		window, ok := o.fire.first()
		if !ok {
			break // the end of time
		}
		start, end := o.grid.bounds(window)
		list := o.fire.take()
		for _, e := range list.entries {
			// An entry is listed again when an earlier window turns up.
			if e.live && e.state.next == window {
				o.close(c, e, window, start, end)
			}
		}
		o.fire.done(list)
		o.fireAt = math.MaxInt64
		if next, ok := o.fire.first(); ok {
			o.fireAt = o.grid.end(next)
		}
	}
	for o.expireAt <= progress {
		window, ok := o.expire.first()
		if !ok {
			break
		}
		list := o.expire.take()
		for _, e := range list.entries {
			if e.live {
				o.drop(e, window)
			}
		}
		o.expire.done(list)
		o.expireAt = math.MaxInt64
		if next, ok := o.expire.first(); ok {
			o.expireAt = later(o.grid.end(next), o.late)
		}
	}
}

// close emits a window whose time has come, and plans the next one.
func (o *panes) close(c *stage.Context, e *entry[paneState], window, start, end int64) {
	o.emit(c, e, o.content(e, window), result{
		start: start, end: end, time: end - 1, watermark: end - 1,
		id: identity{window: start},
	})
	o.change(e)
	o.plan(e, window)
	if o.late == 0 {
		o.drop(e, window)
	} else {
		o.expireLater(e, window)
	}
}

// plan finds the first window behind one that holds records, and lists it.
func (o *panes) plan(e *entry[paneState], window int64) {
	e.state.next = none
	for i := range e.state.panes {
		if first, last := o.grid.windows(e.state.panes[i].index); last > window {
			o.fireLater(e, max(first, window+1))
			return
		}
	}
}

// drop gives up the panes that no window behind the given one needs.
func (o *panes) drop(e *entry[paneState], window int64) {
	s := &e.state
	n := 0
	for n < len(s.panes) {
		if _, last := o.grid.windows(s.panes[n].index); last > window {
			break
		}
		o.recycle(s.panes[n].cells)
		n++
	}
	if n > 0 {
		left := copy(s.panes, s.panes[n:])
		clear(s.panes[left:])
		s.panes, s.last = s.panes[:left], max(0, s.last-n)
	}
	revs := s.revs[:0]
	for _, r := range s.revs {
		if r.window > window {
			revs = append(revs, r)
		}
	}
	if n > 0 || len(revs) < len(s.revs) {
		o.change(e)
	}
	s.revs = revs
	if len(s.panes) == 0 {
		o.remove(e)
	}
}

// emitOpen emits the windows that have not fired yet as they are now.
func (o *panes) emitOpen(c *stage.Context) {
	for _, e := range o.takeTouched() {
		if !e.live || e.state.next == none {
			continue
		}
		sent := int64(none)
		for i := range e.state.panes {
			p := &e.state.panes[i]
			if !p.touched && o.config.Emit.ChangedOnly {
				continue
			}
			first, last := o.grid.windows(p.index)
			for w := max(first, e.state.next, sent+1); w <= last; w++ {
				start, end := o.grid.bounds(w)
				o.emit(c, e, o.content(e, w), result{
					start: start, end: end, time: end - 1, watermark: min(o.progress, end-1),
					id: identity{window: start, revision: e.seq, content: true},
				})
				sent = w
			}
		}
		for i := range e.state.panes {
			e.state.panes[i].touched = false
		}
		o.change(e)
	}
}
