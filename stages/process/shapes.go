package process

import "github.com/telluride-stream/telluride/engine/record"

// transition is the way from the shape of a record that comes in to that of
// the record that goes out. It is worked out once per incoming shape, of which
// there are usually one or two; records of one shape then share the next.
type transition struct {
	apply func(*record.Shape) *record.Shape

	used     bool
	from, to *record.Shape // of the record before
	known    map[*record.Shape]*record.Shape
}

// shapes bounds what a transition remembers. A flow has a handful of shapes
// per lane; beyond that they are worked out again.
const shapes = 1024

func (t *transition) next(s *record.Shape) *record.Shape {
	if !t.used || t.from != s {
		t.used, t.from, t.to = true, s, t.find(s)
	}
	return t.to
}

func (t *transition) find(s *record.Shape) *record.Shape {
	if to, ok := t.known[s]; ok {
		return to
	}
	to := t.canonical(s, t.apply(s))
	if t.known == nil || len(t.known) >= shapes {
		t.known = map[*record.Shape]*record.Shape{}
	}
	t.known[s] = to
	return to
}

// canonical is a known shape that equals to, if there is one: equal shapes
// that come in from several lanes go out as one.
func (t *transition) canonical(from, to *record.Shape) *record.Shape {
	if to.Equal(from) {
		return from
	}
	for _, k := range t.known {
		if to.Equal(k) {
			return k
		}
	}
	return to
}
