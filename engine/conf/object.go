package conf

import (
	"fmt"

	"gopkg.in/yaml.v3"
)

// Object is a field that holds fields of its own.
type Object struct {
	field *field
	count int
}

// Present says whether the file has the key, be its value empty.
func (o *Object) Present() bool { return o.field.given() }

// Required refuses a file without the field.
func (o *Object) Required() *Object {
	o.field.required()
	return o
}

// NotEmpty refuses a list or mapping without entries where one is given.
func (o *Object) NotEmpty() *Object {
	o.field.doc.NotEmpty = true
	if o.field.given() && !o.field.bad && o.count == 0 {
		o.field.failName(o.field.span(), "is empty", "give it at least one entry")
	}
	return o
}

// Schema replaces the JSON Schema of the field.
func (o *Object) Schema(fragment map[string]any) *Object {
	o.field.doc.Override = fragment
	return o
}

// Object declares a nested object. Where the file does not have it, bind still runs, so that its variables
// get their defaults; nothing is required then.
func (f *Fields) Object(name, doc string, bind func(*Fields)) *Object {
	d := &FieldDoc{Name: name, Type: TypeObject, Kind: KindObject, Doc: doc}
	o := &Object{field: f.declare(d)}
	switch {
	case f.mode == describing:
		d.take(bind)
	case o.field.entry == nil:
		bind(f.child(name, nil, defaulting))
	default:
		c := f.child(name, o.field.entry.value, decoding)
		c.span = o.field.span()
		bind(c)
		c.Finish()
		o.field.bad = c.failed
		o.count = len(c.entries)
	}
	return o
}

// Objects declares a list of objects. The list is set to one T for each entry, bound by bind.
func Objects[T any](f *Fields, name, doc string, items *[]T, bind func(*T, *Fields)) *Object {
	*items = nil
	d := &FieldDoc{Name: name, Type: TypeObject, Kind: KindList, Doc: doc}
	o := &Object{field: f.declare(d)}
	if f.mode == describing {
		d.take(func(f *Fields) { bind(new(T), f) })
		return o
	}
	if o.field.entry == nil {
		return o
	}
	n := o.field.entry.value
	if n.Kind != yaml.SequenceNode {
		o.field.fail(o.field.span(), "expected a list, got "+kindOf(n), `start each entry with "- "`)
		return o
	}
	*items = make([]T, len(n.Content))
	o.count = len(n.Content)
	for i, item := range n.Content {
		c := f.child(name, item, decoding)
		bind(&(*items)[i], c)
		c.Finish()
		o.field.bad = o.field.bad || c.failed
	}
	return o
}

// ObjectMap declares a mapping from names of the user's choice to objects; bind is called for each, in the order of the file.
// To describe the field, bind is called once with an empty key.
func ObjectMap(f *Fields, name, doc string, bind func(key Text, f *Fields)) *Object {
	return objectMap(f, &FieldDoc{Name: name, Type: TypeObject, Kind: KindMap, Doc: doc}, "a mapping of names to objects", bind)
}

// ExprMap is ObjectMap for objects that may be written as an expression alone, which is then their field short:
// with the short "value", `n: "count()"` is `n: {value: "count()"}`. bind must declare that field with Expr.
func ExprMap(f *Fields, name, short, doc string, bind func(key Text, f *Fields)) *Object {
	d := &FieldDoc{Name: name, Type: TypeObject, Kind: KindMap, Doc: doc, Short: short}
	return objectMap(f, d, "a mapping of names to expressions", bind)
}

func objectMap(f *Fields, d *FieldDoc, want string, bind func(key Text, f *Fields)) *Object {
	o := &Object{field: f.declare(d)}
	if f.mode == describing {
		d.take(func(f *Fields) { bind(Text{}, f) })
		return o
	}
	o.field.pairs(want, func(key Text, e *entry) {
		o.count++
		c := f.child(fmt.Sprintf("%s: %s", d.Name, key.Value), e.value, decoding)
		if isNull(e.value) {
			c.span = key.Span
		}
		if d.Short != "" && e.value.Kind != yaml.MappingNode {
			c.badKind = false
			c.entries = []*entry{{name: d.Short, key: e.key, value: e.value, short: true}}
		}
		bind(key, c)
		c.Finish()
		o.field.bad = o.field.bad || c.failed
	})
	return o
}

// Node declares a field whose value the caller reads itself; p stays nil when it is not given.
func (f *Fields) Node(p **yaml.Node, name, doc string) *Value {
	*p = nil
	v := &Value{field: f.declare(&FieldDoc{Name: name, Type: TypeAny, Doc: doc})}
	v.empty = func() bool { return *p == nil || isNull(*p) || (*p).Kind != yaml.ScalarNode && len((*p).Content) == 0 }
	if v.field.entry != nil {
		*p = v.field.entry.value
	}
	return v
}

// Whole declares that the caller reads the object itself, whatever its kind: a list of steps, say. It
// replaces every other field of the object; p stays nil when the file does not have it.
func (f *Fields) Whole(p **yaml.Node, doc string) *Value {
	*p = nil
	d := &FieldDoc{Type: TypeAny, Doc: doc}
	if f.mode == describing {
		f.doc.Whole = d
	}
	v := &Value{field: &field{fields: f, doc: d}}
	v.empty = func() bool { return *p == nil || isNull(*p) || (*p).Kind != yaml.ScalarNode && len((*p).Content) == 0 }
	if f.mode == decoding && f.node != nil {
		*p = f.node
		v.field.entry = &entry{key: f.node, value: f.node}
		f.badKind = false
		for _, e := range f.entries {
			e.known = true
		}
	}
	return v
}
