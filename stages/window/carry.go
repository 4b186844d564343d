package window

import (
	"fmt"
	"slices"
)

// carrier turns state that was written under one layout into state of another
// whose windows and keys are the same, and whose aggregates differ. It is
// immutable.
type carrier struct {
	stage string
	kind  string
	old   *aggregates // cells and bins only
	cells []int       // by new cell: the old cell that it goes on from, or none
	// Of sliding windows, which keep what aggregates read:
	args   []int // by new argument: the old one, or none
	bits   []int // by new condition: the old one, or none
	stride int   // old arguments
}

const noPart = -1

// carry is [stage.OperatorSpec.Carry]: it says whether state of another
// signature can be taken over, and how. Aggregates that are in both go on,
// those that are new begin empty, and those that are gone are dropped. State
// of which no aggregate goes on is not taken over.
func (l *layout) carry(stage, signature string) (func(key string, value []byte) ([]byte, error), bool) {
	old, ok := parseLayout(signature)
	if !ok || !l.fits(old) {
		return nil, false
	}
	c := &carrier{stage: stage, kind: l.Kind, old: old.compiled()}
	goesOn := false
	for _, cell := range l.Cells {
		c.cells = append(c.cells, slices.Index(old.Cells, cell))
		goesOn = goesOn || slices.Contains(old.Cells, cell)
	}
	if l.Kind == "sliding" {
		c.args, c.bits, c.stride = places(l.args(), old.args()), places(l.wheres(), old.wheres()), len(old.args())
		history, sound := l.history(old)
		if !sound {
			return nil, false
		}
		goesOn = goesOn || history
	}
	return c.carry, goesOn
}

// places are the positions of texts in old, none for those that are not there.
func places(texts, old []string) []int {
	var all []int
	for _, t := range texts {
		all = append(all, slices.Index(old, t))
	}
	return all
}

// history says, for a sliding window, whether an aggregate that is new can be
// calculated from the records that are kept. It is not sound to carry them
// when one would see only some of them, or a value that it cannot take:
//
//   - A condition that is new holds for none of them, and an argument that is
//     new is missing in all of them: the aggregate begins empty.
//   - An argument that was read, under a condition that was evaluated, needs
//     an old aggregate that took it whenever the new one would have, and took
//     nothing that the new one refuses.
func (l *layout) history(old *layout) (calculated, sound bool) {
	args, wheres := old.args(), old.wheres()
	for _, c := range l.Cells {
		if slices.Contains(old.Cells, c) || c.Where != "" && !slices.Contains(wheres, c.Where) || c.Of != "" && !slices.Contains(args, c.Of) {
			continue
		}
		if c.Of != "" && !slices.ContainsFunc(old.Cells, c.covered) {
			return false, false
		}
		calculated = true
	}
	return calculated, true
}

// covered says whether an old aggregate took every value that c would have
// taken, and no other kinds of values.
func (c cellLayout) covered(old cellLayout) bool {
	return old.Of == c.Of && (old.Where == "" || old.Where == c.Where) && kindsOf(old.Op)&^kindsOf(c.Op) == 0
}

func kindsOf(opName string) uint16 {
	for _, f := range functions() {
		if f.op.String() == opName {
			return f.kinds
		}
	}
	return 0
}

// compiled is the layout as far as reading state needs it.
func (l *layout) compiled() *aggregates {
	set := &aggregates{bins: newBins()}
	for _, c := range l.Cells {
		o, _ := opNamed(c.Op) // parseLayout looked at it
		set.cells = append(set.cells, cellSpec{op: o, size: c.Size})
	}
	return set
}

// carry turns one value into one of the new layout.
func (c *carrier) carry(key string, value []byte) ([]byte, error) {
	m := &move{carrier: c, d: decoder{b: value}, rest: value}
	m.d.version()
	m.d.varint()
	m.d.uvarint()
	m.d.bool()
	switch c.kind {
	case "session":
		m.sessions()
	case "count":
		m.counted()
	case "global":
		m.d.varint()
		m.d.varint()
		m.cells()
	case "sliding":
		m.sliding()
	default:
		m.panes()
	}
	if c.kind == "global" || c.kind == "count" || c.kind == "sliding" {
		m.d.seen()
	}
	m.keep()
	if m.d.err == nil && len(m.d.b) > 0 {
		m.d.fail("there is more than expected")
	}
	if m.d.err != nil {
		return nil, fmt.Errorf("%s: key %q: %w", c.stage, key, m.d.err)
	}
	return m.out, nil
}

// move carries one value. What it reads is copied byte for byte, so that what
// goes on is what it was.
type move struct {
	*carrier
	d     decoder
	rest  []byte // from what was read, but neither kept nor skipped, on
	out   []byte
	parts [][]byte
}

// keep copies what was read since the last keep or skip.
func (m *move) keep() {
	if m.d.err == nil {
		m.out = append(m.out, m.skip()...)
	}
}

func (m *move) skip() []byte {
	read := m.rest[:len(m.rest)-len(m.d.b)]
	m.rest = m.d.b
	return read
}

// choose writes the parts that go on, and empty for those that do not.
func (m *move) choose(from []int, empty byte) {
	if m.d.err != nil {
		return
	}
	for _, i := range from {
		if i == noPart {
			m.out = append(m.out, empty)
		} else {
			m.out = append(m.out, m.parts[i]...)
		}
	}
}

func (m *move) cells() {
	m.keep()
	m.parts = m.parts[:0]
	for i := range m.old.cells {
		var c cell
		m.d.cell(m.old, &m.old.cells[i], &c)
		m.parts = append(m.parts, m.skip())
	}
	const emptyCell = 0 // that of n
	m.choose(m.carrier.cells, emptyCell)
}

func (m *move) panes() {
	for range m.d.length(2) {
		m.d.varint()
		m.d.bool()
		m.cells()
	}
	for range m.d.length(2) {
		m.d.varint()
		m.d.uvarint()
	}
}

func (m *move) sessions() {
	for range m.d.length(5) {
		m.d.varint()
		m.d.varint()
		m.d.uvarint()
		m.d.bool()
		m.d.bool()
		m.cells()
	}
}

func (m *move) counted() {
	m.d.varint()
	m.d.uvarint()
	if m.d.varint() > 0 {
		m.d.varint()
		m.cells()
	}
}

func (m *move) sliding() {
	if stale := m.d.bool(); !stale {
		m.d.uvarint()
	}
	for range m.d.length(3 + m.stride) {
		m.d.moment()
		m.keep()
		m.met(m.d.uvarint())
		m.parts = m.parts[:0]
		for range m.stride {
			m.d.value()
			m.parts = append(m.parts, m.skip())
		}
		m.choose(m.args, tagMissing)
		if m.d.err != nil {
			return
		}
	}
}

// met writes which of the new conditions a record is known to have met.
func (m *move) met(old uint64) {
	m.skip()
	met := old & always
	for i, j := range m.bits {
		if j != noPart && old>>j&1 != 0 {
			met |= 1 << i
		}
	}
	e := encoder{b: m.out}
	e.uvarint(met)
	m.out = e.b
}
