package window

import "math/bits"

// marks is a set of rows, a bit each.
type marks struct {
	words []uint64
	n     int
}

func (m *marks) has(id rowID) bool {
	i := int(id / 64)
	return i < len(m.words) && m.words[i]>>(id%64)&1 != 0
}

func (m *marks) add(id rowID) {
	i := int(id / 64)
	for i >= len(m.words) {
		m.words = append(m.words, 0)
	}
	if bit := uint64(1) << (id % 64); m.words[i]&bit == 0 {
		m.words[i] |= bit
		m.n++
	}
}

func (m *marks) remove(id rowID) {
	if m.has(id) {
		m.words[id/64] &^= 1 << (id % 64)
		m.n--
	}
}

// take removes up to limit rows, the lowest first, and calls f for each. f may
// change other marks.
func (m *marks) take(limit int, f func(rowID)) {
	for i := 0; i < len(m.words) && m.n > 0; i++ {
		for m.words[i] != 0 {
			if limit == 0 {
				return
			}
			limit--
			bit := bits.TrailingZeros64(m.words[i])
			m.words[i] &^= 1 << bit
			m.n--
			f(rowID(64*i + bit))
		}
	}
}
