package window

import (
	"math"

	"github.com/telluride-stream/telluride/engine/stage"
)

func (o *panes) Snapshot(w stage.StateWriter) {
	o.snapshot(w, func(enc *encoder, e *entry[paneState]) {
		enc.uvarint(uint64(len(e.state.panes)))
		for i := range e.state.panes {
			p := &e.state.panes[i]
			enc.varint(p.index)
			enc.bool(p.touched)
			o.putCells(enc, p.cells)
		}
		enc.uvarint(uint64(len(e.state.revs)))
		for _, r := range e.state.revs {
			enc.varint(r.window)
			enc.uvarint(r.n)
		}
	})
}

func (o *panes) Restore(key string, value []byte) error {
	e, err := o.restore(key, value, o.decode)
	if err != nil {
		return err
	}
	// Nothing can have fired since: it would have been another state.
	for i := range e.state.panes {
		first, last := o.grid.windows(e.state.panes[i].index)
		for first <= last && o.grid.end(first) <= e.state.fired {
			first++
		}
		if first <= last {
			o.fireLater(e, first)
			break
		}
	}
	for i := range e.state.panes {
		if _, last := o.grid.windows(e.state.panes[i].index); o.grid.end(last) <= e.state.fired {
			o.expireLater(e, last)
		}
	}
	return nil
}

func (o *panes) decode(d *decoder, e *entry[paneState], progress int64) {
	s := &e.state
	s.next, s.fired = none, progress
	lowest, highest := o.grid.pane(math.MinInt64), o.grid.pane(math.MaxInt64)
	n := d.length(2)
	if n == 0 {
		d.fail("no window is open")
	}
	for range n {
		index, touched := d.varint(), d.bool()
		if d.err == nil && (index < lowest || index > highest || len(s.panes) > 0 && index <= s.panes[len(s.panes)-1].index) {
			d.fail("window")
		}
		if d.err != nil {
			return
		}
		s.panes = append(s.panes, pane{index: index, touched: touched, cells: o.getCells(d)})
	}
	for range d.length(2) {
		s.revs = append(s.revs, revision{d.varint(), d.uvarint()})
	}
}
