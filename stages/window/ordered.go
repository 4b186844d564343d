package window

import (
	"github.com/telluride-stream/telluride/engine/record"
)

// ordered is a list of values in the order of their moments, of which it
// keeps a number: the first ones (collect) or the last ones (sma).
type ordered struct {
	items  []item
	size   int
	newest bool // keep the last ones
}

type item struct {
	at    moment
	value record.Value
}

func (s *ordered) add(v record.Value, at moment) {
	n := len(s.items)
	full := n == s.size
	i := n
	for i > 0 && at.before(s.items[i-1].at) {
		i--
	}
	switch {
	case full && s.newest && i == 0, full && !s.newest && i == n:
		return
	case full && s.newest:
		s.items = append(s.items[1:], item{})
		i--
	case !full:
		s.items = append(s.items, item{})
	}
	copy(s.items[i+1:], s.items[i:])
	s.items[i] = item{at, keep(v)}
}

func (s *ordered) merge(other store) {
	for _, i := range other.(*ordered).items {
		s.add(i.value, i.at)
	}
}

func (s *ordered) result(o *output) record.Value {
	if o.fn == "collect" {
		return s.list()
	}
	if len(s.items) == 0 {
		return record.NullValue()
	}
	var c cell
	for _, i := range s.items {
		c.n++
		c.addReal(i.value.Float())
	}
	return c.mean()
}

func (s *ordered) list() record.Value {
	b := []byte{'['}
	for i := range s.items {
		if i > 0 {
			b = append(b, ',')
		}
		b = record.AppendValue(b, s.items[i].value)
	}
	return record.ListValue(string(append(b, ']')))
}

func (s *ordered) encode(e *encoder) {
	e.uvarint(uint64(len(s.items)))
	for i := range s.items {
		e.moment(s.items[i].at)
		e.value(s.items[i].value)
	}
}

func (s *ordered) decode(d *decoder) {
	n := d.length(3)
	if n > s.size {
		d.fail("list of values")
		return
	}
	for range n {
		at, v := d.moment(), d.value()
		if d.err != nil {
			return
		}
		s.add(v, at)
	}
}
