package process

import (
	"fmt"
	"strings"

	"github.com/telluride-stream/telluride/engine/conf"
	"github.com/telluride-stream/telluride/engine/diag"
	"github.com/telluride-stream/telluride/engine/expr"
	"github.com/telluride-stream/telluride/engine/record"
	"github.com/telluride-stream/telluride/engine/stage"
)

type setConfig struct{ fields []conf.NamedExpr }

func setStep() stage.Kind {
	return stage.DefineStep("set", "Computes fields from expressions.", (*setConfig).bind, (*setConfig).build).
		WithExample(`set: {celsius: "(reading - 32) / 1.8", site.name: "upper(line_id)"}`)
}

func (c *setConfig) bind(f *conf.Fields) {
	f.Exprs(&c.fields, "set", "Fields and the expressions that they are set to, in order: an expression sees the fields that are set before it. "+
		"A field that exists is replaced in its place, a new one comes last. The name may be a path such as `site.name`; objects on the way are made. "+
		"An expression that is nil sets null. One that fails, because a field is missing for example, makes a dead letter of the record as it was before the step.").
		Required().NotEmpty()
}

// setField is one field as the plan knows it.
type setField struct {
	writer
	text    string // the path as written
	rest    record.Path
	program *expr.Program
}

func (c *setConfig) build(b *stage.Builder) stage.OperatorSpec {
	fields := make([]setField, 0, len(c.fields))
	names := make([]string, 0, len(c.fields))
	for _, entry := range c.fields {
		path := fieldPath(b, entry.Name)
		program := b.Expr(entry.Expr)
		if path == nil || program == nil || !holdsFields(b, entry.Name, path) {
			continue
		}
		f := setField{writer: newWriter(b, path[0].Key), text: entry.Name.Value, rest: path[1:], program: program}
		typ := program.Type()
		if len(f.rest) > 0 {
			typ = expr.Map
		}
		b.Schema = b.Schema.With(f.name, typ)
		b.Wrote(f.name)
		fields, names = append(fields, f), append(names, f.text)
	}
	return stage.OperatorSpec{
		New:        func() stage.Operator { return newSetter(fields) },
		RecordWise: true,
		Text:       strings.Join(names, ", "),
	}
}

// holdsFields refuses a path through a field that is known to hold no others.
func holdsFields(b *stage.Builder, t conf.Text, path record.Path) bool {
	if len(path) < 2 {
		return true
	}
	switch typ, _ := b.Schema.Lookup(path[0].Key); typ {
	case expr.Any, expr.Null, expr.Map, expr.List:
		return true
	default:
		b.Diags.Add(diag.Diagnostic{
			Span:    t.Span,
			Message: fmt.Sprintf("%s: cannot set %q, since %s is of type %s", b.Name, t.Value, path[0].Key, typ),
			Advice:  "choose another name, or drop the field first",
		})
		return false
	}
}

type setter struct {
	fields []setField
	before []record.Value // what the fields were, to put back when a later one fails
	shape  transition
}

func newSetter(fields []setField) *setter {
	o := &setter{fields: append([]setField(nil), fields...), before: make([]record.Value, len(fields))}
	o.shape.apply = func(s *record.Shape) *record.Shape {
		for i := range o.fields {
			s = s.Set(o.fields[i].name, o.fields[i].slot)
		}
		return s
	}
	return o
}

func (o *setter) Process(c *stage.Context, r *record.Record) stage.Verdict {
	for i := range o.fields {
		f := &o.fields[i]
		o.before[i] = r.Field(f.slot)
		v, err := f.value(&c.Scope, r)
		if err != nil {
			o.undo(r, i)
			return c.Dead(r, "set: "+f.text+": "+err.Error())
		}
		f.set(r, v)
	}
	r.Shape = o.shape.next(r.Shape)
	return stage.Pass
}

// value is what the field is set to: for a path the whole object that holds
// the new value.
func (f *setField) value(s *expr.Scope, r *record.Record) (record.Value, error) {
	v, err := f.program.Eval(s)
	if err != nil {
		return v, err
	}
	if v.Kind() == record.Missing {
		v = record.NullValue()
	}
	if len(f.rest) == 0 {
		return v, nil
	}
	root := r.Field(f.slot)
	if !root.IsNil() && root.JSON() == "" {
		return v, fmt.Errorf("%s is %s, not an object", f.name, a(root.Kind()))
	}
	return record.SetPath(root, f.rest, v)
}

// undo takes back the first n fields, so that a dead letter shows the record
// as it came.
func (o *setter) undo(r *record.Record, n int) {
	for i := n - 1; i >= 0; i-- {
		o.fields[i].set(r, o.before[i])
	}
}
