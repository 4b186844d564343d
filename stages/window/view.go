package window

import (
	"iter"
	"slices"

	"github.com/telluride-stream/telluride/engine/record"
	"github.com/telluride-stream/telluride/engine/stage"
)

var (
	_ stage.Viewer = (*panes)(nil)
	_ stage.Viewer = (*sessions)(nil)
	_ stage.Viewer = (*counted)(nil)
	_ stage.Viewer = (*running)(nil)
	_ stage.Viewer = (*sliding)(nil)
)

// Keys is [stage.Viewer]. Of windows that have fired and only wait for late
// records, nothing is open.
func (o *panes) Keys(each func(string)) {
	o.open(each, func(s *paneState) bool { return s.next != none })
}

// Open is [stage.Viewer].
func (o *panes) Open(key string) iter.Seq[stage.Opened] {
	return func(yield func(stage.Opened) bool) {
		e := o.lookup(key)
		if e == nil {
			return
		}
		for w := range o.unfired(e) {
			start, end := o.grid.bounds(w)
			if !yield(stage.Opened{Values: o.document(key, o.content(e, w), start, end)}) {
				return
			}
		}
	}
}

// unfired is the windows of a key that have records and have not fired, in order.
func (o *panes) unfired(e *entry[paneState]) iter.Seq[int64] {
	return func(yield func(int64) bool) {
		if e.state.next == none {
			return
		}
		sent := int64(none)
		for i := range e.state.panes {
			first, last := o.grid.windows(e.state.panes[i].index)
			for w := max(first, e.state.next, sent+1); w <= last; w++ {
				if !yield(w) {
					return
				}
				sent = w
			}
		}
	}
}

// Keys is [stage.Viewer].
func (o *sessions) Keys(each func(string)) {
	o.open(each, func(s *sessionState) bool {
		return slices.ContainsFunc(s.open, func(s *session) bool { return !s.fired })
	})
}

// Open is [stage.Viewer].
func (o *sessions) Open(key string) iter.Seq[stage.Opened] {
	return func(yield func(stage.Opened) bool) {
		e := o.lookup(key)
		if e == nil {
			return
		}
		for _, s := range e.state.open {
			if !s.fired && !yield(stage.Opened{Values: o.document(key, s.cells, s.start, s.end)}) {
				return
			}
		}
	}
}

// Keys is [stage.Viewer].
func (o *counted) Keys(each func(string)) {
	o.open(each, func(s *countState) bool { return s.n > 0 })
}

// Open is [stage.Viewer].
func (o *counted) Open(key string) iter.Seq[stage.Opened] {
	return func(yield func(stage.Opened) bool) {
		if e := o.lookup(key); e != nil && e.state.n > 0 {
			yield(stage.Opened{Values: o.document(key, e.state.cells, 0, 0), Records: int(e.state.n), Of: int(o.size)})
		}
	}
}

// Keys is [stage.Viewer].
func (o *running) Keys(each func(string)) {
	o.keys.all(func(id rowID) { each(string(o.keys.key(id))) })
}

// Open is [stage.Viewer].
func (o *running) Open(key string) iter.Seq[stage.Opened] {
	return func(yield func(stage.Opened) bool) {
		if id, ok := o.keys.find(o.hashOf(key), key); ok {
			yield(stage.Opened{Values: o.document(key, o.keys.cells(id), 0, 0)})
		}
	}
}

// Keys is [stage.Viewer].
func (o *sliding) Keys(each func(string)) {
	o.open(each, func(s *slidingState) bool { return !s.list.empty() })
}

// Open is [stage.Viewer]: the window that ends with the last record.
func (o *sliding) Open(key string) iter.Seq[stage.Opened] {
	return func(yield func(stage.Opened) bool) {
		e := o.lookup(key)
		if e == nil || e.state.list.empty() {
			return
		}
		l := &e.state.list
		from, end := l.begin, l.at[len(l.at)-1].time
		if o.records == 0 {
			from = l.behind(earlier(end, o.length))
		}
		clear(o.scratch)
		for i := from; i < l.end(); i++ {
			o.add(o.scratch, l, i)
		}
		opened := stage.Opened{Values: o.document(key, o.scratch, earlier(end, o.length), end)}
		if o.records > 0 {
			opened.Records, opened.Of = l.len(), o.records
		}
		yield(opened)
	}
}

// open calls each for the keys whose state has something open.
func (b *base[S]) open(each func(string), something func(*S) bool) {
	b.keys.all(func(e *entry[S]) {
		if something(&e.state) {
			each(e.key)
		}
	})
}

// lookup finds the entry of a key; nil when there is none.
func (b *base[S]) lookup(key string) *entry[S] {
	return b.keys.find(b.hashOf(key), key)
}

// document is what the stage would emit for a window now, as JSON.
func (b *common) document(key string, cells []cell, start, end int64) []byte {
	out := b.results
	fields := make([]record.Value, b.width)
	at := copyTo(fields, out.slots, b.keyOf(key))
	if out.bounded {
		fields[out.slots[at]], fields[out.slots[at+1]] = b.times.bounds(start, end)
		at += 2
	}
	for i := range b.set.outputs {
		fields[out.slots[at+i]] = b.set.value(&b.set.outputs[i], cells)
	}
	r := record.Record{Fields: fields, Shape: out.shape}
	return record.AppendJSON(nil, &r)
}
