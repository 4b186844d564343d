package window

import (
	"math"

	"github.com/telluride-stream/telluride/engine/stage"
)

// Windows that have fired and are only kept for late records are not emitted
// again: a late record makes them emit at once, so nothing is new in them.

var (
	_ stage.Partial = (*panes)(nil)
	_ stage.Partial = (*sessions)(nil)
	_ stage.Partial = (*counted)(nil)
	_ stage.Partial = (*running)(nil)
	_ stage.Partial = (*sliding)(nil)
)

// EmitPartial is [stage.Partial].
func (o *panes) EmitPartial(c *stage.Context) {
	for _, e := range o.byKey() {
		for w := range o.unfired(e) {
			start, end := o.grid.bounds(w)
			o.emitPartial(c, e, o.content(e, w), result{start: start, end: end, time: end - 1})
		}
	}
	o.forgetAll()
	o.fire, o.expire = schedule[*entry[paneState]]{}, schedule[*entry[paneState]]{}
	o.fireAt, o.expireAt = math.MaxInt64, math.MaxInt64
}

// EmitPartial is [stage.Partial].
func (o *sessions) EmitPartial(c *stage.Context) {
	for _, e := range o.byKey() {
		for _, s := range e.state.open {
			if !s.fired {
				o.emitPartial(c, e, s.cells, result{start: s.start, end: s.end, time: s.end - 1})
			}
		}
	}
	o.forgetAll()
	o.queue = queue[appointment]{}
}

// EmitPartial is [stage.Partial].
func (o *counted) EmitPartial(c *stage.Context) {
	for _, e := range o.byKey() {
		if s := &e.state; s.n > 0 {
			o.emitPartial(c, e, s.cells, result{start: s.born, time: s.latest})
		}
	}
	o.forgetAll()
}

// EmitPartial is [stage.Partial]. Every record has had its result, so there
// is nothing to emit.
func (o *sliding) EmitPartial(*stage.Context) {
	o.forgetAll()
	o.empty = queue[*entry[slidingState]]{}
}
