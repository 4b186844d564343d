package conf

import (
	"fmt"
	"slices"
	"strings"

	"gopkg.in/yaml.v3"

	"github.com/telluride-stream/telluride/engine/diag"
)

// Value is a field of text, a choice, a list, an expression or a raw tree. Its methods narrow what the field takes.
type Value struct {
	field *field
	empty func() bool
}

// Required refuses a file without the field.
func (v *Value) Required() *Value {
	v.field.required()
	return v
}

// NotEmpty refuses an empty value or list where one is given; with Required, a value is certain.
func (v *Value) NotEmpty() *Value {
	v.field.doc.NotEmpty = true
	if v.field.given() && !v.field.bad && v.empty() {
		v.field.failName(v.field.span(), "is empty", "give it a value")
	}
	return v
}

// Optional says that the field has no default: what the variable holds without it stands for "not given".
func (v *Value) Optional() *Value {
	v.field.doc.optional()
	return v
}

// Schema replaces the JSON Schema of the field.
func (v *Value) Schema(fragment map[string]any) *Value {
	v.field.doc.Override = fragment
	return v
}

// Given says whether the file has the field.
func (v *Value) Given() bool { return v.field.given() }

const text = "text"

// String declares a text. Numbers and true or false are taken as they are written.
func (f *Fields) String(p *string, name, def, doc string) *Value {
	return f.text(&FieldDoc{Name: name, Type: TypeString, Default: def, Doc: doc, def: def}, func(t Text) { *p = t.Value }, func() bool { return *p == "" })
}

// Secret is String for what must not be seen: no message and no default in a reference page shows it.
func (f *Fields) Secret(p *string, name, def, doc string) *Value {
	return f.text(&FieldDoc{Name: name, Type: TypeString, Doc: doc, Secret: true, def: def}, func(t Text) { *p = t.Value }, func() bool { return *p == "" })
}

// Text is String with the place of the value.
func (f *Fields) Text(p *Text, name, def, doc string) *Value {
	return f.text(&FieldDoc{Name: name, Type: TypeString, Default: def, Doc: doc, def: def}, func(t Text) { *p = t }, func() bool { return p.Value == "" })
}

func (f *Fields) text(doc *FieldDoc, set func(Text), empty func() bool) *Value {
	def := doc.def.(string)
	set(Text{Value: def, Span: f.span})
	v := &Value{field: f.declare(doc), empty: empty}
	if s, ok := v.field.scalar(text); ok {
		set(f.scope.text(s.node, s.value))
	}
	return v
}

// Bool declares true or false.
func (f *Fields) Bool(p *bool, name string, def bool, doc string) *Value {
	*p = def
	const want = "true or false"
	v := &Value{
		field: f.declare(&FieldDoc{Name: name, Type: TypeBool, Default: fmt.Sprint(def), Doc: doc, def: def}),
		empty: func() bool { return false },
	}
	s, ok := v.field.scalar(want)
	if !ok {
		return v
	}
	switch strings.ToLower(s.value) {
	case "true", "false":
		if !s.plain() {
			v.field.expected(s, want, "remove the quotes")
			return v
		}
		*p = strings.EqualFold(s.value, "true")
	case "yes", "on", "y":
		v.field.expected(s, want, "write true")
	case "no", "off", "n":
		v.field.expected(s, want, "write false")
	default:
		v.field.expected(s, want, "")
	}
	return v
}

// Enum declares a choice between words.
func (f *Fields) Enum(p *string, name, def string, choices []string, doc string) *Value {
	*p = def
	v := &Value{
		field: f.declare(&FieldDoc{Name: name, Type: TypeEnum, Default: def, Doc: doc, Enum: choices, def: def}),
		empty: func() bool { return *p == "" },
	}
	s, ok := v.field.scalar("one of " + list(choices, "or"))
	switch {
	case !ok:
	case slices.Contains(choices, s.value):
		*p = s.value
	default:
		advice := ""
		if near := diag.Suggest(s.value, choices); near != "" && !s.Env {
			advice = fmt.Sprintf("did you mean %q?", near)
		}
		v.field.expected(s, "one of "+list(choices, "or"), advice)
	}
	return v
}

// Strings declares a list of texts; a single text is a list of one.
func (f *Fields) Strings(p *[]string, name string, def []string, doc string) *Value {
	*p = slices.Clone(def)
	d := &FieldDoc{Name: name, Type: TypeString, Kind: KindList, Doc: doc, Default: strings.Join(def, ", ")}
	if def != nil {
		d.def = def
	}
	v := &Value{field: f.declare(d), empty: func() bool { return len(*p) == 0 }}
	if items, ok := v.field.items("a list of texts"); ok {
		*p = make([]string, 0, len(items))
		for _, t := range items {
			*p = append(*p, t.Value)
		}
	}
	return v
}

// Path declares the path of a field of a record, such as user.id.
func (f *Fields) Path(p *Text, name, doc string) *Value {
	*p = Text{}
	v := &Value{field: f.declare(&FieldDoc{Name: name, Type: TypePath, Doc: doc}), empty: func() bool { return p.Value == "" }}
	if s, ok := v.field.scalar("the name of a field"); ok {
		if s.value == "" {
			v.field.failName(s.span, "is empty", "name a field")
			return v
		}
		*p = f.scope.text(s.node, s.value)
	}
	return v
}

// Paths declares a list of field paths; a single path is a list of one.
func (f *Fields) Paths(p *[]Text, name, doc string) *Value {
	*p = nil
	v := &Value{field: f.declare(&FieldDoc{Name: name, Type: TypePath, Kind: KindList, Doc: doc}), empty: func() bool { return len(*p) == 0 }}
	items, ok := v.field.items("the names of fields")
	if !ok {
		return v
	}
	for _, t := range items {
		if t.Value == "" {
			v.field.fail(t.Span, "the name of a field is empty", "name a field, or remove it")
			return v
		}
	}
	*p = items
	return v
}

// items is a list of scalars, or one scalar as a list of one.
func (fd *field) items(want string) ([]Text, bool) {
	if fd.entry == nil {
		return nil, false
	}
	n := fd.entry.value
	if n.Kind != yaml.SequenceNode {
		s, ok := fd.scalar(want)
		if !ok {
			return nil, false
		}
		return []Text{fd.fields.scope.text(s.node, s.value)}, true
	}
	items := make([]Text, 0, len(n.Content))
	for _, c := range n.Content {
		if s, ok := fd.scalarOf(c, fd.fields.scope.Span(c), text); ok {
			items = append(items, fd.fields.scope.text(s.node, s.value))
		}
	}
	return items, !fd.bad
}

// StringMap declares an ordered mapping from names to texts.
func (f *Fields) StringMap(p *[]Pair, name, doc string) *Value {
	*p = nil
	v := &Value{field: f.declare(&FieldDoc{Name: name, Type: TypeString, Kind: KindMap, Doc: doc}), empty: func() bool { return len(*p) == 0 }}
	v.field.pairs("a mapping of names to texts", func(key Text, e *entry) {
		if s, ok := v.field.scalarOf(e.value, f.scope.Span(e.value), text); ok {
			*p = append(*p, Pair{Key: key, Value: f.scope.text(s.node, s.value)})
		}
	})
	return v
}

// pairs calls each for every entry of the field's mapping, in the order of the file.
func (fd *field) pairs(want string, each func(key Text, e *entry)) {
	if fd.entry == nil {
		return
	}
	n := fd.entry.value
	if n.Kind != yaml.MappingNode {
		fd.fail(fd.span(), fmt.Sprintf("expected %s, got %s", want, kindOf(n)), `write "name: value" lines, indented below`)
		return
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		k := n.Content[i]
		each(fd.fields.scope.text(k, k.Value), &entry{name: k.Value, key: k, value: resolve(n.Content[i+1])})
	}
}
