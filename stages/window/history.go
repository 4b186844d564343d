package window

import (
	"slices"
	"sort"

	"github.com/telluride-stream/telluride/engine/record"
)

// history holds what the aggregates of a sliding window need of its records,
// oldest first. Records are counted from the first that it ever held: record
// i is at[i-base].
type history struct {
	base, begin int // base <= begin: those before begin are forgotten
	at          []moment
	met         []uint64
	vals        []record.Value
	stride      int // values of a record
}

func (l *history) end() int    { return l.base + len(l.at) }
func (l *history) len() int    { return l.end() - l.begin }
func (l *history) empty() bool { return l.len() == 0 }

func (l *history) values(i int) []record.Value {
	i -= l.base
	return l.vals[i*l.stride : (i+1)*l.stride]
}

// position is where a record of a moment belongs.
func (l *history) position(at moment) int {
	i := l.end()
	for i > l.begin && at.before(l.at[i-1-l.base]) {
		i--
	}
	return i
}

// behind is the first record later than a time.
func (l *history) behind(t int64) int {
	return l.begin + sort.Search(l.len(), func(i int) bool { return l.at[l.begin+i-l.base].time > t })
}

func (l *history) insert(i int, at moment, met uint64, vals []record.Value) {
	i -= l.base
	l.at = slices.Insert(l.at, i, at)
	l.met = slices.Insert(l.met, i, met)
	l.vals = slices.Insert(l.vals, i*l.stride, vals...)
	for j := range l.stride {
		v := &l.vals[i*l.stride+j]
		*v = keep(*v)
	}
}

// forget drops the records before i. Their memory is reclaimed when they are
// half of all.
func (l *history) forget(i int) {
	l.begin = i
	n := l.begin - l.base
	if n < 32 || 2*n < len(l.at) {
		return
	}
	l.at = slices.Delete(l.at, 0, n)
	l.met = slices.Delete(l.met, 0, n)
	l.vals = slices.Delete(l.vals, 0, n*l.stride)
	l.base = l.begin
}

// stack keeps the cells of a window whose records leave in the order in which
// they came, with a constant number of merges per record (the queue of two
// stacks; Tangwongsan et al., "General incremental sliding-window
// aggregation", 2015): for each record i from front up to mid the cells of
// the records i to mid, and for the rest of the window one set of cells.
type stack struct {
	stale      bool // records came out of order: build it again
	front, mid int  // records, as history counts them
	parts      []cell
	rest       []cell
}

// slide moves the window on and puts its content into scratch: it begins with
// record from and ends with the newest, which is not part of the stack yet.
func (o *sliding) slide(s *slidingState, from int) {
	k, l := &s.stack, &s.list
	if k.rest == nil {
		k.rest = make([]cell, len(o.set.cells))
		k.front, k.mid = from, from
	}
	if k.stale || from > k.mid {
		o.flip(k, l, from, l.end())
		clear(k.rest)
		k.stale = false
	} else {
		o.add(k.rest, l, l.end()-1)
	}
	clear(o.scratch)
	if from < k.mid {
		n := len(o.set.cells)
		at := (from - k.front) * n
		o.set.merge(o.scratch, k.parts[at:at+n])
	}
	o.set.merge(o.scratch, k.rest)
}

// flip builds the front part for the records from front up to mid.
func (o *sliding) flip(k *stack, l *history, front, mid int) {
	n := len(o.set.cells)
	k.front, k.mid = front, mid
	clear(k.parts)
	k.parts = slices.Grow(k.parts[:0], (mid-front)*n)[:(mid-front)*n]
	clear(k.parts)
	for i := mid - 1; i >= front; i-- {
		at := (i - front) * n
		if i+1 < mid {
			o.set.merge(k.parts[at:at+n], k.parts[at+n:at+2*n])
		}
		o.add(k.parts[at:at+n], l, i)
	}
}
