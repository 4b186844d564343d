package record

import "slices"

// Shape is how records read as documents. It is immutable and shared: every
// record that took the same way through a flow has the same shape, so an
// edit costs nothing per record. A nil Shape is exactly the payload, and its
// methods work.
//
// A field stands where the key of the payload stands that it replaced or
// renamed, at the first of them when the payload has several. When the
// payload has no such key the field comes after the payload's keys, as new
// fields do, in the order in which they were set.
type Shape struct {
	// base says that the document starts from the payload.
	base bool
	// fields are in the order of the document, as far as they are not placed
	// by a key of the payload.
	fields []shapeField
	// gone are keys of the payload that are left out.
	gone []string
	// edits are the keys of the payload that are not copied.
	edits []shapeEdit
}

// ShapeField is one key of a document and the slot that holds its value. A
// Missing slot leaves the key out.
type ShapeField struct {
	Name string
	Slot Slot
}

type shapeField struct {
	ShapeField
	json   string // the key as it is written: `"name":`
	placed bool   // it stands where key from of the payload stands
	from   string
}

type shapeEdit struct {
	key   string
	field int // that takes its place, or gone
}

// What becomes of a key of the payload, if no field takes its place.
const (
	gone      = -1
	untouched = -2
)

// NewShape is the shape of records that consist of the given fields only.
// Of fields with equal names the last one counts.
func NewShape(fields ...ShapeField) *Shape {
	s := &Shape{}
	for _, f := range fields {
		s.put(shapeField{ShapeField: f})
	}
	return s
}

// Select is the shape of the given fields only, whatever was there before.
func (s *Shape) Select(fields []ShapeField) *Shape { return NewShape(fields...) }

// Set is the shape with the field name taken from slot: in its place if there
// is such a field, at the end if not.
func (s *Shape) Set(name string, slot Slot) *Shape {
	c := s.clone()
	f := shapeField{ShapeField: ShapeField{name, slot}}
	if c.find(name) < 0 && c.copies(name) {
		f.placed, f.from = true, name
	}
	c.put(f)
	return c.compile()
}

// Drop is the shape without the field name.
func (s *Shape) Drop(name string) *Shape {
	c := s.clone()
	c.remove(name)
	return c.compile()
}

// Rename is the shape in which the field from is called to, keeps its place
// and is taken from slot. Another field called to is removed, also from a
// record that has no field from: whoever renames decides what slot holds then.
func (s *Shape) Rename(from, to string, slot Slot) *Shape {
	if from == to {
		return s.Set(to, slot)
	}
	c := s.clone()
	c.remove(to)
	f := shapeField{ShapeField: ShapeField{to, slot}}
	if i := c.find(from); i >= 0 {
		f.placed, f.from = c.fields[i].placed, c.fields[i].from
		f.json = key(to)
		c.fields[i] = f
		return c.compile()
	}
	if c.copies(from) {
		f.placed, f.from = true, from
	}
	c.put(f)
	return c.compile()
}

// Equal says whether two shapes make the same document of every record.
// Shapes that took different ways to the same document may count as different.
func (s *Shape) Equal(t *Shape) bool {
	if s == t {
		return true
	}
	a, b := s.clone(), t.clone()
	return a.base == b.base && slices.Equal(a.fields, b.fields) && slices.Equal(a.gone, b.gone)
}

// clone is a copy to edit; nil becomes the payload without edits.
func (s *Shape) clone() *Shape {
	if s == nil {
		return &Shape{base: true}
	}
	return &Shape{base: s.base, fields: slices.Clone(s.fields), gone: slices.Clone(s.gone)}
}

func (s *Shape) find(name string) int {
	return slices.IndexFunc(s.fields, func(f shapeField) bool { return f.Name == name })
}

// copies says whether a key of the payload goes to the document as it is.
func (s *Shape) copies(key string) bool {
	return s.base && !slices.Contains(s.gone, key) &&
		!slices.ContainsFunc(s.fields, func(f shapeField) bool { return f.placed && f.from == key })
}

// put takes f in the place of the field with its name, or adds it.
func (s *Shape) put(f shapeField) {
	f.json = key(f.Name)
	if i := s.find(f.Name); i >= 0 {
		s.fields[i].Slot = f.Slot
		return
	}
	s.fields = append(s.fields, f)
}

func (s *Shape) remove(name string) {
	if i := s.find(name); i >= 0 {
		if f := s.fields[i]; f.placed {
			s.lose(f.from)
		}
		s.fields = slices.Delete(s.fields, i, i+1)
		return
	}
	if s.copies(name) {
		s.lose(name)
	}
}

func (s *Shape) lose(key string) {
	i, _ := slices.BinarySearch(s.gone, key)
	s.gone = slices.Insert(s.gone, i, key)
}

func (s *Shape) compile() *Shape {
	for i, f := range s.fields {
		if f.placed {
			s.edits = append(s.edits, shapeEdit{f.from, i})
		}
	}
	for _, k := range s.gone {
		s.edits = append(s.edits, shapeEdit{k, gone})
	}
	return s
}

// edit is what becomes of a key of the payload: the field that takes its
// place, or gone, or untouched.
func (s *Shape) edit(key string) int {
	for i := range s.edits {
		if e := &s.edits[i]; e.key == key {
			return e.field
		}
	}
	return untouched
}

func key(name string) string { return string(append(appendQuoted(nil, name), ':')) }
