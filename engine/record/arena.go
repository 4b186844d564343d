package record

import (
	"sync"
	"sync/atomic"
)

// Arena is the memory of a batch: payload bytes, slots and records. It is
// counted by the batches that refer to it and is reused when the last of them
// is released. A batch that is never released costs a reuse and nothing else.
type Arena struct {
	refs    atomic.Int32
	bytes   []byte
	values  []Value
	records []Record
}

var arenas = sync.Pool{New: func() any { return new(Arena) }}

// NewArena is an empty arena with one reference, which the first batch takes
// over ([Batch.Own]).
func NewArena() *Arena {
	a := arenas.Get().(*Arena)
	a.refs.Store(1)
	return a
}

// Bytes is a slice of n bytes with unspecified content. It is valid until the
// arena is released; a second call gives memory besides the first.
func (a *Arena) Bytes(n int) []byte {
	if cap(a.bytes)-len(a.bytes) < n {
		// What was handed out stays reachable through those who hold it.
		a.bytes = make([]byte, 0, max(n, 64<<10))
	}
	at := len(a.bytes)
	a.bytes = a.bytes[:at+n]
	return a.bytes[at : at+n : at+n]
}

// Values is a slice of n Missing values.
func (a *Arena) Values(n int) []Value {
	if cap(a.values)-len(a.values) < n {
		a.values = make([]Value, 0, max(n, 1024))
	}
	at := len(a.values)
	a.values = a.values[:at+n]
	v := a.values[at : at+n : at+n]
	clear(v)
	return v
}

func (a *Arena) copyValues(from []Value) []Value {
	if from == nil {
		return nil
	}
	to := a.Values(len(from))
	copy(to, from)
	return to
}

// Records is an empty slice with room for at least n records. At most one
// such slice is taken from an arena.
func (a *Arena) Records(n int) []Record {
	if cap(a.records) < n {
		a.records = make([]Record, 0, n)
	}
	return a.records[:0]
}

func (a *Arena) release() {
	if a.refs.Add(-1) > 0 {
		return
	}
	poison(a)
	const large = 8 << 20 // a batch of huge records does not stay in the pool
	if cap(a.bytes) > large || cap(a.records) > 1<<16 || cap(a.values) > 1<<20 {
		return
	}
	a.bytes, a.values, a.records = a.bytes[:0], a.values[:0], a.records[:0]
	arenas.Put(a)
}

// NewBatch is an empty batch with an arena of its own and room for n records.
func NewBatch(n int) *Batch {
	a := NewArena()
	return &Batch{Records: a.Records(n), Watermark: MinTime, own: a, arenas: []*Arena{a}}
}

// Own makes a the batch's own arena; the batch takes over the caller's
// reference to it. An arena that the batch had before stays alive with it.
func (b *Batch) Own(a *Arena) {
	b.own = a
	b.arenas = append(b.arenas, a)
}

// Arena is the batch's own arena, made if it has none. It is never one that
// the batch shares: two batches must not take memory from one arena.
func (b *Batch) Arena() *Arena {
	if b.own == nil {
		b.Own(NewArena())
	}
	return b.own
}

// Share keeps the memory of other alive as long as b is: b holds records of
// it, or parts of records.
func (b *Batch) Share(other *Batch) {
next:
	for _, a := range other.arenas {
		for _, own := range b.arenas {
			if own == a {
				continue next
			}
		}
		a.refs.Add(1)
		b.arenas = append(b.arenas, a)
	}
}

// Release gives the memory of the batch back. Nothing that was read from the
// batch may be used afterwards, unless a batch that shares it is still alive.
func (b *Batch) Release() {
	for _, a := range b.arenas {
		a.release()
	}
	b.own, b.arenas = nil, nil
	b.Records, b.Side = nil, nil
}
