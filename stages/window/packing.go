package window

import (
	"encoding/binary"
	"math"
)

// packing is how the cells of a window lie in the bytes of a row: what cells
// mostly hold in a quarter of their size, and without a pointer. What does not
// fit (texts, counts beyond 32 bits, sums beyond 64 bits or the range of a
// float64) stays in cells, and so do aggregates that have a store.
type packing struct {
	ops  []op
	size int // of all cells; 0: these aggregates are not packed
}

func newPacking(set *aggregates) packing {
	var p packing
	for i := range set.cells {
		n := packedSize(set.cells[i].op)
		if n == 0 {
			return packing{}
		}
		p.ops = append(p.ops, set.cells[i].op)
		p.size += n
	}
	return p
}

// The packed cells: the values taken in 4 bytes; then of minimum and maximum
// the form and the number, of sums the form, the sum of whole numbers and both
// parts of the other sum, of spreads the mean and the sum of squares.
const (
	packedCount   = 4
	packedExtreme = packedCount + 1 + 8
	packedSum     = packedCount + 1 + 3*8
	packedSpread  = packedCount + 2*8
)

func packedSize(o op) int {
	switch o {
	case opCount:
		return packedCount
	case opMin, opMax:
		return packedExtreme
	case opSum:
		return packedSum
	case opSpread:
		return packedSpread
	}
	return 0
}

// pack writes cells. It says whether they fit; b is spoiled otherwise.
func (p *packing) pack(b []byte, cells []cell) bool {
	for i, o := range p.ops {
		c := &cells[i]
		if uint64(c.n) > math.MaxUint32 || c.scaled || c.store != nil {
			return false
		}
		binary.LittleEndian.PutUint32(b, uint32(c.n))
		switch o {
		case opCount:
			b = b[packedCount:]
		case opMin, opMax:
			b[4] = byte(c.form)
			number := c.lo
			if c.form == formReal {
				number = math.Float64bits(c.f)
			}
			binary.LittleEndian.PutUint64(b[5:], number)
			b = b[packedExtreme:]
		case opSum:
			if !c.fitsInt() {
				return false
			}
			b[4] = byte(c.form)
			binary.LittleEndian.PutUint64(b[5:], c.lo)
			binary.LittleEndian.PutUint64(b[13:], math.Float64bits(c.f))
			binary.LittleEndian.PutUint64(b[21:], math.Float64bits(c.c))
			b = b[packedSum:]
		case opSpread:
			binary.LittleEndian.PutUint64(b[4:], math.Float64bits(c.f))
			binary.LittleEndian.PutUint64(b[12:], math.Float64bits(c.c))
			b = b[packedSpread:]
		}
	}
	return true
}

// unpack reads what pack wrote.
func (p *packing) unpack(b []byte, cells []cell) {
	for i, o := range p.ops {
		c := &cells[i]
		*c = cell{n: int64(binary.LittleEndian.Uint32(b))}
		switch o {
		case opCount:
			b = b[packedCount:]
		case opMin, opMax:
			c.form = form(b[4])
			number := binary.LittleEndian.Uint64(b[5:])
			if c.form == formReal {
				c.f = math.Float64frombits(number)
			} else {
				c.lo = number
			}
			b = b[packedExtreme:]
		case opSum:
			c.form = form(b[4])
			c.lo = binary.LittleEndian.Uint64(b[5:])
			c.hi = int64(c.lo) >> 63
			c.f = math.Float64frombits(binary.LittleEndian.Uint64(b[13:]))
			c.c = math.Float64frombits(binary.LittleEndian.Uint64(b[21:]))
			b = b[packedSum:]
		case opSpread:
			c.f = math.Float64frombits(binary.LittleEndian.Uint64(b[4:]))
			c.c = math.Float64frombits(binary.LittleEndian.Uint64(b[12:]))
			b = b[packedSpread:]
		}
	}
}
