package window

import (
	"slices"

	"github.com/axiomhq/hyperloglog"

	"github.com/telluride-stream/telluride/engine/record"
)

// exactDistinct is how many distinct values are counted exactly.
const exactDistinct = 512

// distinct counts different values by their 64-bit hashes: exactly while they
// are few, then by HyperLogLog with 2^14 registers, whose standard error is
// 0.8 %. Registers do not depend on the order in which values come.
type distinct struct {
	few  []uint64 // ascending
	many *hyperloglog.Sketch
}

func (s *distinct) add(v record.Value, _ moment) {
	var buf [64]byte
	s.insert(record.Hash(record.AppendKey(buf[:0], v)))
}

func (s *distinct) insert(hash uint64) {
	if s.many != nil {
		s.many.InsertHash(hash)
		return
	}
	at, known := slices.BinarySearch(s.few, hash)
	switch {
	case known:
	case len(s.few) < exactDistinct:
		s.few = slices.Insert(s.few, at, hash)
	default:
		s.grow()
		s.many.InsertHash(hash)
	}
}

func (s *distinct) grow() {
	s.many = hyperloglog.NewNoSparse()
	for _, hash := range s.few {
		s.many.InsertHash(hash)
	}
	s.few = nil
}

func (s *distinct) merge(other store) {
	o := other.(*distinct)
	if o.many == nil {
		for _, hash := range o.few {
			s.insert(hash)
		}
		return
	}
	if s.many == nil {
		s.grow()
	}
	// Both have the same precision, which is all that Merge can complain about.
	if err := s.many.Merge(o.many); err != nil {
		panic(err)
	}
}

func (s *distinct) result(*output) record.Value {
	if s.many == nil {
		return record.IntValue(int64(len(s.few)))
	}
	return record.IntValue(int64(s.many.Estimate()))
}

func (s *distinct) encode(e *encoder) {
	if s.many != nil {
		e.byte(1)
		b, err := s.many.MarshalBinary()
		if err != nil { // it writes to memory and knows no other errors
			panic(err)
		}
		e.bytes(b)
		return
	}
	e.byte(0)
	e.uvarint(uint64(len(s.few)))
	for _, hash := range s.few {
		e.fixed(hash)
	}
}

func (s *distinct) decode(d *decoder) {
	if d.byte() == 1 {
		s.many = new(hyperloglog.Sketch)
		// Of another kind or precision it could not be merged later.
		b := d.bytes()
		if len(b) < 4 || b[1] != 14 || b[3] != 0 || s.many.UnmarshalBinary(b) != nil {
			d.fail("distinct")
		}
		return
	}
	n := d.length(8)
	if n > exactDistinct {
		d.fail("distinct")
		return
	}
	for range n {
		s.insert(d.fixed())
	}
}
