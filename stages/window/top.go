package window

import (
	"cmp"
	"slices"
	"strconv"

	"github.com/telluride-stream/telluride/engine/record"
)

// top counts how often values occur, for a bounded number of values
// (space-saving; Metwally, Agrawal, El Abbadi, "Efficient computation of
// frequent and top-k elements in data streams", 2005). Counts are exact until
// there are more different values than it has room for; then a count may be
// too high by at most the number of values seen divided by room.
type top struct {
	room    int
	index   map[string]*ranked // by record.AppendKey
	heap    []*ranked          // the one to give up first in front
	arrived uint64
}

type ranked struct {
	key   string
	value record.Value
	count int64
	seq   uint64 // breaks ties, so that results do not depend on the map
	pos   int    // in heap
}

// topRoom is how many values are followed to find the k most frequent.
func topRoom(k int) int { return max(10*k, 100) }

func newTop(room int) *top { return &top{room: room, index: map[string]*ranked{}} }

func (t *top) add(v record.Value, _ moment) {
	var buf [64]byte
	key := record.AppendKey(buf[:0], v)
	if r := t.index[string(key)]; r != nil {
		r.count++
		t.down(r.pos)
		return
	}
	t.insert(string(key), v.Clone(), 1)
}

// insert takes a value that is not followed yet. Without room it takes the
// place of the rarest, and its count.
func (t *top) insert(key string, v record.Value, count int64) {
	t.arrived++
	r := &ranked{key: key, value: v, count: count, seq: t.arrived, pos: len(t.heap)}
	t.index[key] = r
	if len(t.heap) < t.room {
		t.heap = append(t.heap, r)
		t.up(r.pos)
		return
	}
	rarest := t.heap[0]
	delete(t.index, rarest.key)
	r.count += rarest.count
	r.pos, t.heap[0] = 0, r
	t.down(0)
}

// merge adds the counts of values on either side; a value that a full side
// does not follow may have occurred there as often as its rarest one
// (Agarwal et al., "Mergeable summaries", 2012).
func (t *top) merge(other store) {
	o := other.(*top)
	mine, theirs := t.floor(), o.floor()
	var all []*ranked
	for _, r := range t.sorted() {
		sum := &ranked{key: r.key, value: r.value, count: r.count + theirs}
		if also := o.index[r.key]; also != nil {
			sum.count = r.count + also.count
		}
		all = append(all, sum)
	}
	for _, r := range o.sorted() {
		if t.index[r.key] == nil {
			all = append(all, &ranked{key: r.key, value: r.value, count: r.count + mine})
		}
	}
	sortRanked(all)
	t.fill(all[:min(len(all), t.room)])
}

// fill makes the values, the most frequent first, those that are followed.
func (t *top) fill(all []*ranked) {
	clear(t.index)
	t.heap = t.heap[:0]
	for _, r := range slices.Backward(all) {
		t.insert(r.key, r.value, r.count)
	}
}

// floor is how often a value may have occurred that is not followed.
func (t *top) floor() int64 {
	if len(t.heap) < t.room {
		return 0
	}
	return t.heap[0].count
}

func (t *top) sorted() []*ranked {
	s := slices.Clone(t.heap)
	sortRanked(s)
	return s
}

func sortRanked(s []*ranked) {
	slices.SortFunc(s, func(a, b *ranked) int {
		return cmp.Or(-cmp.Compare(a.count, b.count), cmp.Compare(a.key, b.key))
	})
}

func (t *top) result(o *output) record.Value {
	b := []byte{'['}
	for i, r := range t.sorted() {
		if i == o.k {
			break
		}
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, `{"value":`...)
		b = record.AppendValue(b, r.value)
		b = append(b, `,"count":`...)
		b = append(strconv.AppendInt(b, r.count, 10), '}')
	}
	return record.ListValue(string(append(b, ']')))
}

func (t *top) less(i, j int) bool {
	a, b := t.heap[i], t.heap[j]
	return a.count < b.count || a.count == b.count && a.seq < b.seq
}

func (t *top) swap(i, j int) {
	t.heap[i], t.heap[j] = t.heap[j], t.heap[i]
	t.heap[i].pos, t.heap[j].pos = i, j
}

func (t *top) up(i int) {
	for i > 0 && t.less(i, (i-1)/2) {
		t.swap(i, (i-1)/2)
		i = (i - 1) / 2
	}
}

func (t *top) down(i int) {
	for {
		least := i
		for child := 2*i + 1; child <= 2*i+2 && child < len(t.heap); child++ {
			if t.less(child, least) {
				least = child
			}
		}
		if least == i {
			return
		}
		t.swap(i, least)
		i = least
	}
}

// encode writes the values in the order in which they would be given up, so
// that a restored store goes on as this one would.
func (t *top) encode(e *encoder) {
	s := slices.Clone(t.heap)
	slices.SortFunc(s, func(a, b *ranked) int { return cmp.Compare(a.seq, b.seq) })
	e.uvarint(uint64(len(s)))
	for _, r := range s {
		e.value(r.value)
		e.varint(r.count)
	}
}

func (t *top) decode(d *decoder) {
	n := d.length(2)
	if n > t.room {
		d.fail("top")
		return
	}
	for range n {
		v, count := d.value(), d.varint()
		key := string(record.AppendKey(nil, v))
		if count <= 0 || t.index[key] != nil {
			d.fail("top")
		}
		if d.err != nil {
			return
		}
		t.insert(key, v, count)
	}
}
