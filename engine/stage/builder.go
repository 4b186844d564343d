package stage

import (
	"errors"
	"slices"
	"strconv"
	"unicode/utf8"

	"github.com/telluride-stream/telluride/engine/conf"
	"github.com/telluride-stream/telluride/engine/diag"
	"github.com/telluride-stream/telluride/engine/expr"
	"github.com/telluride-stream/telluride/engine/record"
)

// Builder is what a kind gets for building a stage at one place of a flow:
// what is known of the records there, and where to report problems. It opens
// nothing and starts nothing.
type Builder struct {
	Flow  string
	Name  string    // the stage's name, unique among stages with state
	Span  diag.Span // where the stage stands in the file
	Diags *diag.List
	// Dir is the folder of the flow file. Relative paths of files that a flow
	// reads or writes are relative to the working directory, as in a shell;
	// Dir serves messages that want to help.
	Dir    string
	Layout *record.Layout
	// Schema is what is known of the records that come in. A kind that
	// changes them sets it to what goes out.
	Schema *expr.Schema
	Params map[string]record.Value
	// Meta lists what the records have behind meta; see [expr.Env].
	Meta []string
	// Sources are the names of the flow's sources, in its order.
	Sources []string
	// Opaque says that what comes in is text without fields, to be written as
	// it is: the stage before is [OperatorSpec].Opaque. Only sinks meet it.
	Opaque bool
	// Key is the key by which records are partitioned here; nil: they are not.
	// A keyed kind calls [Builder.KeyBy] rather than read it.
	Key *Key

	wanted *Key
	made   bool
	reads  int
}

// Key is what records are partitioned by.
type Key struct {
	Fields []KeyField
}

// KeyField is one part of a key.
type KeyField struct {
	Name    string // the field's name in results: see [Builder.KeyBy]
	Type    expr.Type
	Program *expr.Program
	Source  string // the expression as written, for comparing keys
}

// Same says whether two keys are equal by their expressions. A nil key is
// like one without fields: everything is one key.
func (k *Key) Same(other *Key) bool {
	if k.Len() != other.Len() {
		return false
	}
	for i := range k.Len() {
		if k.Fields[i].Source != other.Fields[i].Source {
			return false
		}
	}
	return true
}

// Len is the number of the key's fields.
func (k *Key) Len() int {
	if k == nil {
		return 0
	}
	return len(k.Fields)
}

// Text is the key as a flow file would have it.
func (k *Key) Text() string {
	text := ""
	for i := range k.Len() {
		if i > 0 {
			text += ", "
		}
		text += k.Fields[i].Source
	}
	return text
}

// Errorf reports a problem of the stage.
func (b *Builder) Errorf(span diag.Span, format string, args ...any) {
	b.Diags.Errorf(span, format, args...)
}

// Expr compiles an expression over the records that come in. It returns nil
// when that fails; the problem is then reported where it stands.
func (b *Builder) Expr(e conf.Expr) *expr.Program {
	p, err := expr.Compile(e.Value, expr.Env{Layout: b.Layout, Schema: b.Schema, Params: b.Params, Meta: b.Meta, Sources: b.Sources})
	if err == nil {
		for _, h := range p.Hints() {
			b.Diags.Add(diag.Diagnostic{Severity: diag.Warning, Span: within(e, h), Message: b.Name + ": " + h.Message, Advice: h.Advice})
		}
		return p
	}
	var bad *expr.Error
	if !errors.As(err, &bad) {
		b.Errorf(e.Span, "%s: %v", b.Name, err)
		return nil
	}
	b.Diags.Add(diag.Diagnostic{Span: within(e, bad), Message: b.Name + ": " + bad.Message, Advice: bad.Advice})
	return nil
}

// within is the place of an error in the file. The error counts bytes, a
// place characters.
func within(e conf.Expr, bad *expr.Error) diag.Span {
	from := min(bad.Offset, len(e.Value))
	to := min(from+bad.Len, len(e.Value))
	at := utf8.RuneCountInString(e.Value[:from])
	return e.At(at, at+utf8.RuneCountInString(e.Value[from:to]))
}

// Condition compiles an expression that must be true or false.
func (b *Builder) Condition(e conf.Expr) *expr.Program {
	p := b.Expr(e)
	if p == nil {
		return nil
	}
	if t := p.Type(); t != expr.Any && t != expr.Bool {
		b.Diags.Add(diag.Diagnostic{
			Span:    e.Span,
			Message: b.Name + ": the condition is of type " + t.String() + ", not true or false",
			Advice:  `compare it with something, such as "… > 0" or "… != nil"`,
		})
		return nil
	}
	return p
}

// KeyBy is the key of a keyed stage: by as the flow file says, or that of the
// partition when by is nil. An empty by makes everything one key. The
// compiler partitions the records by it when they are not already.
//
// In results a part of the key has the name of its field, which for a path
// such as user.id is the last name in it. Other expressions are called key,
// key_2 and so on, leaving out names that fields have. Two fields may share a
// name; a kind that makes records reports that, since only it needs names.
func (b *Builder) KeyBy(by []conf.Text) *Key {
	if by == nil {
		b.wanted = b.Key
		if b.wanted == nil {
			b.wanted = &Key{}
		}
		return b.wanted
	}
	key := &Key{}
	for _, text := range by {
		if p := b.Expr(conf.Expr{Text: text}); p != nil {
			key.Fields = append(key.Fields, KeyField{Name: fieldName(p), Type: p.Type(), Program: p, Source: text.Value})
		}
	}
	key.nameExpressions()
	b.wanted = key
	return key
}

// fieldName is the last name in the path of an expression that is just a
// field; "" for any other.
func fieldName(p *expr.Program) string {
	if _, isField := p.Slot(); !isField {
		return ""
	}
	for _, step := range slices.Backward(p.Paths()[0]) {
		if !step.List {
			return step.Key
		}
	}
	return ""
}

// nameExpressions names the parts of a key that have no name.
func (k *Key) nameExpressions() {
	taken := map[string]bool{}
	for i := range k.Fields {
		taken[k.Fields[i].Name] = true
	}
	name, n := "key", 1
	for i := range k.Fields {
		if k.Fields[i].Name != "" {
			continue
		}
		for taken[name] {
			n++
			name = "key_" + strconv.Itoa(n)
		}
		k.Fields[i].Name, taken[name] = name, true
	}
}

// Wrote says that the stage writes, moves or removes a top-level field: a
// partition key that reads it is no longer the key of the records.
func (b *Builder) Wrote(name string) {
	if b.Key.reads(name) {
		b.Key = nil
	}
}

// reads says whether the key depends on a top-level field.
func (k *Key) reads(name string) bool {
	for i := range k.Len() {
		if p := k.Fields[i].Program; p != nil {
			for _, path := range p.Paths() {
				if len(path) > 0 && path[0].Key == name {
					return true
				}
			}
		}
	}
	return false
}

// Wanted is the key that KeyBy asked for; nil when it was not called.
func (b *Builder) Wanted() *Key { return b.wanted }

// Make declares that the records going out are made by this stage, and what
// they consist of: the slots for their fields, the shape, and the schema. It
// is to be called after every expression over incoming records is compiled,
// so that slots of results are not looked for in payloads.
func (b *Builder) Make(fields []MadeField) (slots []record.Slot, shape *record.Shape) {
	if !b.made {
		b.made, b.reads = true, b.Layout.Len()
	}
	schema := &expr.Schema{}
	var shaped []record.ShapeField
	for _, f := range fields {
		slot := b.Layout.Slot(record.Path{{Key: f.Name}})
		slots = append(slots, slot)
		shaped = append(shaped, record.ShapeField{Name: f.Name, Slot: slot})
		schema = schema.With(f.Name, f.Type)
	}
	b.Schema = schema
	return slots, record.NewShape(shaped...)
}

// MadeField is a field of a record that a stage makes.
type MadeField struct {
	Name string
	Type expr.Type
}

// Reads is how many of the layout's slots the stage and those before it need
// from payloads.
func (b *Builder) Reads() int {
	if b.made {
		return b.reads
	}
	return b.Layout.Len()
}
