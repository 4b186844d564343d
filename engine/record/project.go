package record

import (
	"encoding/binary"
	"math/bits"
	"slices"
)

// Projector reads the fields of a layout from payloads. It does not change
// after it was made and is safe for concurrent use.
type Projector struct {
	root node
}

// node is a place in the tree of projected paths.
type node struct {
	slot  int   // -1: only something below is wanted
	below []int // the slots below, without its own
	// keys are the children by object key, sorted by length: those of length
	// n are keys[first[n]:first[n+1]], with all long ones in the last group.
	keys  []keyNode
	first [longKey + 2]uint16
	items []itemNode // the children by list position, sorted
}

const longKey = 32

type keyNode struct {
	head uint64 // the first eight bytes, the first one lowest
	name string
	node *node
}

type itemNode struct {
	index int
	node  *node
}

// NewProjector compiles the paths of a layout, which must be complete: paths
// that are added to it later stay Missing.
func NewProjector(l *Layout) *Projector {
	p := &Projector{root: node{slot: -1}}
	for slot, path := range l.paths {
		n := &p.root
		for i, step := range path {
			if i > 0 {
				n.below = append(n.below, slot)
			}
			n = n.child(step)
		}
		n.slot = slot
	}
	p.root.index()
	return p
}

func (n *node) child(s Step) *node {
	if s.List {
		for _, c := range n.items {
			if c.index == s.Index {
				return c.node
			}
		}
		n.items = append(n.items, itemNode{s.Index, &node{slot: -1}})
		return n.items[len(n.items)-1].node
	}
	for _, c := range n.keys {
		if c.name == s.Key {
			return c.node
		}
	}
	n.keys = append(n.keys, keyNode{keyHead(s.Key), s.Key, &node{slot: -1}})
	return n.keys[len(n.keys)-1].node
}

func (n *node) index() {
	slices.SortFunc(n.items, func(a, b itemNode) int { return a.index - b.index })
	slices.SortStableFunc(n.keys, func(a, b keyNode) int {
		return min(len(a.name), longKey) - min(len(b.name), longKey)
	})
	for i := range n.first {
		at := slices.IndexFunc(n.keys, func(k keyNode) bool { return min(len(k.name), longKey) >= i })
		if at < 0 {
			at = len(n.keys)
		}
		n.first[i] = uint16(at)
	}
	for _, c := range n.keys {
		c.node.index()
	}
	for _, c := range n.items {
		c.node.index()
	}
}

func keyHead(name string) uint64 {
	var b [8]byte
	copy(b[:], name)
	return binary.LittleEndian.Uint64(b[:])
}

// find is the child for a key of which the first eight bytes are known; it
// is nil when there is none.
func (n *node) find(head uint64, s *scanner, from, to int) *node {
	length := min(to-from, longKey)
	for i := n.first[length]; i < n.first[length+1]; i++ {
		k := &n.keys[i]
		if k.head == head && (length <= 8 || k.name == s.text(from, to)) {
			return k.node
		}
	}
	return nil
}

// findOdd is find for a key that may have escapes in it.
func (n *node) findOdd(raw string) *node {
	name := unescape(raw)
	for i := range n.keys {
		if n.keys[i].name == name {
			return n.keys[i].node
		}
	}
	return nil
}

// Project checks that payload is one JSON object, by RFC 8259 and to its last
// byte, nested at most 512 levels deep, and fills fields, which must all be
// Missing and as many as the layout had slots, with the values of the paths.
//
// Strings and literals in fields alias payload. Of equal keys the last one
// counts, with all that is in it. Half a surrogate pair (`"\ud800"`) is
// accepted and reads as U+FFFD. A number is an Int when it has neither
// fraction nor exponent and fits an int64, and else the nearest Float, which
// may be infinite; either way it keeps its literal.
//
// The error is a *[SyntaxError], and fields are then unspecified.
func (p *Projector) Project(payload []byte, fields []Value) error {
	s := scanner{b: payload, fields: fields}
	i := 0
	if s.at(0) != '{' {
		i = s.space(0)
	}
	if s.at(i) == '{' {
		i = s.object(i+1, &p.root, 1)
	} else {
		i = s.noObject(i)
	}
	if i >= 0 && i != len(payload) {
		if i = s.space(i); i != len(payload) {
			s.fail(i, "unexpected data behind the document")
		}
	}
	if s.err != nil {
		return s.err
	}
	return nil
}

// noObject is the error for a document that is something else.
func (s *scanner) noObject(i int) int {
	if i >= len(s.b) {
		s.err = &SyntaxError{Offset: i, Msg: "the document is empty"}
		return -1
	}
	what := "a number"
	switch s.b[i] {
	case '[':
		what = "an array"
	case '"':
		what = "a string"
	case 't', 'f':
		what = "a boolean"
	case 'n':
		what = "null"
	}
	end := s.skip(i, 0)
	if end >= 0 && s.space(end) == len(s.b) {
		s.err = &SyntaxError{Offset: -1, Msg: "expected a JSON object, got " + what}
	}
	return end
}

// object reads an object behind its brace. n is what is wanted of it, or nil.
func (s *scanner) object(i int, n *node, depth int) int {
	if depth > maxDepth {
		return s.fail(i-1, "it is nested deeper than 512 levels")
	}
	c := s.at(i)
	if c <= ' ' {
		i = s.space(i)
		c = s.at(i)
	}
	if c == '}' {
		return i + 1
	}
	for {
		if c != '"' {
			return s.fail(i, "expected a key in quotes")
		}
		i++
		var child *node
		if n == nil {
			end, _ := s.str(i)
			if end < 0 {
				return -1
			}
			i = end + 1
		} else if i, child = s.key(i, n); i < 0 {
			return -1
		}

		c = s.at(i)
		if c != ':' {
			i = s.space(i)
			if s.at(i) != ':' {
				return s.fail(i, "expected ':' after an object key")
			}
		}
		i++
		if c = s.at(i); c <= ' ' {
			i = s.space(i)
			c = s.at(i)
		}

		switch {
		case child != nil:
			i = s.project(i, child, depth)
		case c == '"':
			i, _ = s.str(i + 1)
			i++
			if i == 0 {
				return -1
			}
		default:
			i = s.skip(i, depth)
		}
		if i < 0 {
			return -1
		}

		c = s.at(i)
		if c <= ' ' {
			i = s.space(i)
			c = s.at(i)
		}
		if c != ',' {
			if c == '}' {
				return i + 1
			}
			return s.fail(i, "expected ',' or '}' after a value")
		}
		i++
		if c = s.at(i); c <= ' ' {
			i = s.space(i)
			c = s.at(i)
		}
	}
}

// key reads a key behind its quote and looks it up.
func (s *scanner) key(i int, n *node) (int, *node) {
	w := s.load(i)
	m := special(w)
	if m == 0 {
		end, escaped := s.str(i + 8)
		if end < 0 {
			return -1, nil
		}
		if escaped {
			return end + 1, n.findOdd(s.text(i, end))
		}
		return end + 1, n.find(w, s, i, end)
	}
	end := i + bits.TrailingZeros64(m)>>3
	if s.at(end) == '"' {
		// The lowest bit of m is the high bit of the quote: the key is below its byte.
		return end + 1, n.find(w&((m&-m)>>7-1), s, i, end)
	}
	if end, _ = s.oddStr(end); end < 0 {
		return -1, nil
	}
	return end + 1, n.findOdd(s.text(i, end))
}

// array reads an array behind its bracket. n is what is wanted of it, or nil.
func (s *scanner) array(i int, n *node, depth int) int {
	if depth > maxDepth {
		return s.fail(i-1, "it is nested deeper than 512 levels")
	}
	var items []itemNode
	if n != nil {
		items = n.items
	}
	if i = s.space(i); s.at(i) == ']' {
		return i + 1
	}
	for at := 0; ; at++ {
		if len(items) > 0 && items[0].index == at {
			i = s.project(i, items[0].node, depth)
			items = items[1:]
		} else {
			i = s.skip(i, depth)
		}
		if i < 0 {
			return -1
		}
		i = s.space(i)
		if c := s.at(i); c != ',' {
			if c == ']' {
				return i + 1
			}
			return s.fail(i, "expected ',' or ']' after a value")
		}
		i = s.space(i + 1)
	}
}

// project reads a value that is wanted.
func (s *scanner) project(i int, n *node, depth int) int {
	for _, slot := range n.below {
		s.fields[slot] = Value{} // an equal key before may have left something
	}
	v, end := s.value(i, n, depth)
	if end >= 0 && n.slot >= 0 {
		s.fields[n.slot] = v
	}
	return end
}

// value reads any value, and what is wanted of the inside of an object or array.
func (s *scanner) value(i int, n *node, depth int) (Value, int) {
	var end int
	switch s.at(i) {
	case '"':
		end, escaped := s.str(i + 1)
		if end < 0 {
			return Value{}, -1
		}
		return Value{kind: String, s: s.text(i+1, end), escaped: escaped}, end + 1
	case '{':
		if end = s.object(i+1, n, depth+1); end >= 0 {
			return Value{kind: Map, s: s.text(i, end)}, end
		}
	case '[':
		if end = s.array(i+1, n, depth+1); end >= 0 {
			return Value{kind: List, s: s.text(i, end)}, end
		}
	case 't':
		return Value{kind: Bool, n: 1}, s.literal(i, "true")
	case 'f':
		return Value{kind: Bool}, s.literal(i, "false")
	case 'n':
		return Value{kind: Null}, s.literal(i, "null")
	default:
		if end = s.skip(i, depth); end >= 0 {
			return s.numberValue(i, end), end
		}
	}
	return Value{}, -1
}
