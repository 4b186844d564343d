package window

import (
	"math"

	"github.com/DataDog/sketches-go/ddsketch/mapping"
	ddstore "github.com/DataDog/sketches-go/ddsketch/store"

	"github.com/telluride-stream/telluride/engine/record"
)

// accuracy is how far a quantile may be from a true value, relative to it.
const accuracy = 0.01

// sketch holds the distribution of values (DDSketch, Masson et al., "A fast
// and fully-mergeable quantile sketch with relative-error guarantees", 2019).
// Its bins are never collapsed: the range of float64 bounds them to 72,000
// for each sign.
type sketch struct {
	mapping  mapping.IndexMapping
	pos, neg ddstore.Store
	zeros    int64
	count    int64
	min, max float64
}

func newBins() mapping.IndexMapping {
	bins, err := mapping.NewLogarithmicMapping(accuracy)
	if err != nil {
		panic(err) // accuracy is a constant
	}
	return bins
}

func newSketch(m mapping.IndexMapping) *sketch {
	return &sketch{mapping: m, pos: ddstore.NewBufferedPaginatedStore(), neg: ddstore.NewBufferedPaginatedStore()}
}

func (s *sketch) add(v record.Value, _ moment) {
	x := v.Float()
	s.bound(x, x, 1)
	switch abs := min(math.Abs(x), s.mapping.MaxIndexableValue()); {
	case abs < s.mapping.MinIndexableValue():
		s.zeros++
	case x > 0:
		s.pos.Add(s.mapping.Index(abs))
	default:
		s.neg.Add(s.mapping.Index(abs))
	}
}

func (s *sketch) bound(lo, hi float64, n int64) {
	if s.count == 0 {
		s.min, s.max = lo, hi
	}
	s.min, s.max = min(s.min, lo), max(s.max, hi)
	s.count += n
}

func (s *sketch) merge(other store) {
	o := other.(*sketch)
	if o.count == 0 {
		return
	}
	s.bound(o.min, o.max, o.count)
	s.zeros += o.zeros
	addBins(s.pos, o.pos)
	addBins(s.neg, o.neg)
}

// addBins adds bin by bin: a store may take over the memory of one that it
// merges, and that one is still in use here.
func addBins(to, from ddstore.Store) {
	from.ForEach(func(index int, count float64) bool {
		to.AddWithCount(index, count)
		return false
	})
}

func (s *sketch) result(o *output) record.Value {
	if s.count == 0 {
		return record.NullValue()
	}
	return record.FloatValue(min(max(s.quantile(o.q), s.min), s.max))
}

func (s *sketch) quantile(q float64) float64 {
	// The value that has the fraction q of the others below it, and the lower
	// of two when q is between them.
	rank := math.Floor(q * float64(s.count-1))
	negative := s.neg.TotalCount()
	switch {
	case q == 0:
		return s.min
	case q == 1:
		return s.max
	case rank < negative:
		return -s.mapping.Value(s.neg.KeyAtRank(negative - 1 - rank))
	case rank < negative+float64(s.zeros):
		return 0
	}
	return s.mapping.Value(s.pos.KeyAtRank(rank - negative - float64(s.zeros)))
}

func (s *sketch) encode(e *encoder) {
	e.varint(s.count)
	if s.count == 0 {
		return
	}
	e.varint(s.zeros)
	e.float(s.min)
	e.float(s.max)
	e.bins(s.pos)
	e.bins(s.neg)
}

func (s *sketch) decode(d *decoder) {
	s.count = d.varint()
	if s.count == 0 {
		return
	}
	s.zeros = d.varint()
	s.min, s.max = d.float(), d.float()
	total := float64(s.zeros) + d.bins(s.pos) + d.bins(s.neg)
	if s.count < 0 || s.zeros < 0 || total != float64(s.count) || !(s.min <= s.max) {
		d.fail("quantile")
	}
}

func (e *encoder) bins(s ddstore.Store) {
	n := 0
	s.ForEach(func(int, float64) bool { n++; return false })
	e.uvarint(uint64(n))
	last := 0
	s.ForEach(func(index int, count float64) bool {
		e.varint(int64(index - last))
		e.uvarint(uint64(count))
		last = index
		return false
	})
}

// bins reads what encoder.bins wrote, and returns the sum of the counts.
func (d *decoder) bins(s ddstore.Store) (total float64) {
	const bound = 1 << 17 // no float64 has a bin beyond
	index := int64(0)
	for range d.length(2) {
		step, count := d.varint(), d.uvarint()
		index += step
		if step < -bound || step > 2*bound || index < -bound || index > bound || count == 0 || count > 1<<53 {
			d.fail("bin")
		}
		if d.err != nil {
			return 0
		}
		s.AddWithCount(int(index), float64(count))
		total += float64(count)
	}
	return total
}
