package window

import (
	"github.com/telluride-stream/telluride/engine/record"
	"github.com/telluride-stream/telluride/engine/stage"
)

// Snapshot writes the records, and where the stack is divided: built in
// another way, it would round sums differently.
func (o *sliding) Snapshot(w stage.StateWriter) {
	o.snapshot(w, func(enc *encoder, e *entry[slidingState]) {
		l, k := &e.state.list, &e.state.stack
		stale := k.stale || k.mid < l.begin
		enc.bool(stale)
		if !stale {
			enc.uvarint(uint64(k.mid - l.begin))
		}
		enc.uvarint(uint64(l.len()))
		for i := l.begin; i < l.end(); i++ {
			enc.moment(l.at[i-l.base])
			enc.uvarint(l.met[i-l.base])
			for _, v := range l.values(i) {
				enc.value(v)
			}
		}
		o.putSeen(enc, e)
	})
}

func (o *sliding) Restore(key string, value []byte) error {
	e, err := o.restore(key, value, o.decode)
	if err != nil {
		return err
	}
	if o.records == 0 {
		l := &e.state.list
		o.empty.push(later(l.at[len(l.at)-1].time, o.length), e)
	}
	return nil
}

func (o *sliding) decode(d *decoder, e *entry[slidingState], progress int64) {
	o.decodeRecords(d, e)
	seen := progress
	for _, at := range e.state.list.at {
		seen = max(seen, at.time)
	}
	o.getSeen(d, e, seen)
}

func (o *sliding) decodeRecords(d *decoder, e *entry[slidingState]) {
	l, k := &e.state.list, &e.state.stack
	l.stride = len(o.set.args)
	mid := uint64(0)
	if k.stale = d.bool(); !k.stale {
		mid = d.uvarint()
	}
	n := d.length(3 + l.stride)
	if n == 0 || mid > uint64(n) || o.records > 0 && n > o.records {
		d.fail("records")
		return
	}
	vals := make([]record.Value, l.stride)
	for i := range n {
		at, met := d.moment(), d.uvarint()
		for j := range vals {
			vals[j] = d.value()
		}
		if d.err == nil && o.records == 0 && i > 0 && !l.at[i-1].before(at) {
			d.fail("order of records")
		}
		if d.err != nil {
			return
		}
		l.insert(i, at, met, vals)
		o.replay.vals, o.replay.met = l.values(i), met
		if reason := o.replay.choose(); reason != "" {
			d.fail(reason)
			return
		}
	}
	k.rest = make([]cell, len(o.set.cells))
	if k.stale || !o.parts {
		k.stale = true
		return
	}
	o.flip(k, l, 0, int(mid))
	for i := int(mid); i < n; i++ {
		o.add(k.rest, l, i)
	}
}
