package expr

import "github.com/telluride-stream/telluride/engine/record"

// Type is what is known of a value before it exists. A value of any type may
// also be nil, since a record may lack any field.
type Type uint8

const (
	Any Type = iota // nothing is known
	Bool
	Int
	Float
	Number // an Int or a Float
	String
	List
	Map
	Null // always nil
)

var typeNames = [...]string{"any", "bool", "int", "float", "number", "string", "list", "map", "null"}

func (t Type) String() string { return typeNames[t] }

// plain is the type in the words of messages.
func (t Type) plain() string {
	switch t {
	case Bool:
		return "true or false"
	case Int, Float, Number:
		return "a number"
	case String:
		return "text"
	case List:
		return "a list"
	case Map:
		return "an object"
	case Null:
		return "nil"
	}
	return "unknown"
}

func (t Type) numeric() bool { return t == Int || t == Float || t == Number }

// class merges the kinds of numbers, which compare with each other.
func (t Type) class() Type {
	if t.numeric() {
		return Number
	}
	return t
}

// join is the type of a value that is either of type a or of type b.
func join(a, b Type) Type {
	switch {
	case a == b:
		return a
	case a == Null:
		return b
	case b == Null:
		return a
	case a.numeric() && b.numeric():
		return Number
	}
	return Any
}

// kindType is the type of a value that exists.
func kindType(k record.Kind) Type {
	switch k {
	case record.Bool:
		return Bool
	case record.Int:
		return Int
	case record.Float:
		return Float
	case record.String:
		return String
	case record.List:
		return List
	case record.Map:
		return Map
	}
	return Null
}

// Schema is what is known of the fields at one place of a flow. It is
// immutable but for Open, which is set before the schema is shared. A nil
// Schema knows nothing: every field may exist.
type Schema struct {
	Open   bool // fields that are not listed may exist too
	fields []schemaField
}

type schemaField struct {
	name string
	typ  Type
}

// Lookup is the type of a field and whether the field is listed.
func (s *Schema) Lookup(name string) (Type, bool) {
	if s != nil {
		for _, f := range s.fields {
			if f.name == name {
				return f.typ, true
			}
		}
	}
	return Any, false
}

// With is a copy in which the field has the given type. A new field comes
// last, a known one keeps its place.
func (s *Schema) With(name string, t Type) *Schema {
	c := s.copy()
	for i := range c.fields {
		if c.fields[i].name == name {
			c.fields[i].typ = t
			return c
		}
	}
	c.fields = append(c.fields, schemaField{name, t})
	return c
}

// Without is a copy that does not list the field.
func (s *Schema) Without(name string) *Schema {
	c := s.copy()
	for i := range c.fields {
		if c.fields[i].name == name {
			c.fields = append(c.fields[:i], c.fields[i+1:]...)
			break
		}
	}
	return c
}

func (s *Schema) copy() *Schema {
	if s == nil {
		return &Schema{Open: true}
	}
	return &Schema{Open: s.Open, fields: append([]schemaField(nil), s.fields...)}
}

// Names lists the fields in order.
func (s *Schema) Names() []string {
	if s == nil {
		return nil
	}
	names := make([]string, len(s.fields))
	for i, f := range s.fields {
		names[i] = f.name
	}
	return names
}

// open says whether fields may exist that are not listed.
func (s *Schema) open() bool { return s == nil || s.Open }
