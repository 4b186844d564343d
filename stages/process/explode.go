package process

import (
	"fmt"
	"slices"

	"github.com/telluride-stream/telluride/engine/conf"
	"github.com/telluride-stream/telluride/engine/expr"
	"github.com/telluride-stream/telluride/engine/record"
	"github.com/telluride-stream/telluride/engine/stage"
)

type explodeConfig struct {
	field      conf.Text
	as         conf.Text
	keepParent bool
	onEmpty    string
	max        int
}

func explodeStep() stage.Kind {
	return stage.DefineStep("explode", "Makes a record of each element of a list.", (*explodeConfig).bind, (*explodeConfig).build).
		WithExample(`explode: {field: readings, as: reading}`)
}

const mostRows = 10_000

func (c *explodeConfig) bind(f *conf.Fields) {
	c.keepParent, c.onEmpty, c.max = true, "drop", mostRows
	either(f, "explode", "The list to take apart: the path of its field, or a mapping. "+
		"Each element makes a record with the fields of the one that came, and the element in place of the list. "+
		"The records come in the order of the list. A field that is no list makes a dead letter.",
		func() *conf.Value { return f.Path(&c.field, "explode", "") },
		func(f *conf.Fields) {
			f.Path(&c.field, "field", "The field that holds the list.").Required()
			f.Path(&c.as, "as", "The name that the element gets; without it, that of the list.")
			f.Bool(&c.keepParent, "keep_parent", true, "Whether the records have the other fields of the one that came. "+
				"With false, each element must be an object and becomes the record itself, unless `as` names it.")
			f.Enum(&c.onEmpty, "on_empty", "drop", []string{"drop", "keep"}, "What becomes of a record whose list is empty, null or missing: "+
				"`drop` counts it as filtered, `keep` passes it once with null in place of an element.")
			f.Int(&c.max, "max", mostRows, "The most elements that a list may have; a record with more is a dead letter.").Min(1).Max(10_000_000)
			f.Check(func() (string, string) {
				if !c.keepParent && c.as.Value == "" && c.onEmpty == "keep" {
					return "on_empty: keep has no record to keep when elements become the records themselves", "remove it, or name the element with as"
				}
				return "", ""
			})
		})
}

// explosion is the step as the plan knows it.
type explosion struct {
	text    string
	list    record.Slot
	rest    record.Path // the way from the top-level field to the list; nil: it is the field
	top, as writer
	named   bool // the element gets a field of its own
	parent  bool
	keep    bool
	max     int
	layout  *record.Layout
	fields  *record.Projector
	buffer  []record.Value
	shape   transition
	missing eraser // the top-level field, when the element has another name
}

func (c *explodeConfig) build(b *stage.Builder) stage.OperatorSpec {
	spec := stage.OperatorSpec{Text: c.field.Value}
	path := knownPath(b, c.field)
	if path == nil {
		return spec
	}
	x := explosion{
		text: c.field.Value, list: b.Layout.Slot(path), rest: path[1:], top: newWriter(b, path[0].Key),
		parent: c.keepParent, keep: c.onEmpty == "keep", max: c.max, layout: b.Layout,
	}
	if c.as.Value != "" {
		name, ok := topLevel(b, c.as, fieldPath(b, c.as), "choose a plain name, and move it with set behind the step")
		if !ok {
			return spec
		}
		x.as, x.named = newWriter(b, name), name != x.top.name || len(x.rest) > 0 || !x.parent
		spec.Text += " as " + name
	}
	if typ, listed := b.Schema.Lookup(x.top.name); len(x.rest) == 0 && listed && typ != expr.Any && typ != expr.List && typ != expr.Null {
		b.Errorf(c.field.Span, "%s: %s is of type %s, not a list", b.Name, c.field.Value, typ)
	}
	x.declare(b)
	spec.New = func() stage.Operator { return x.instance() }
	return spec
}

// declare tells the builder what comes out.
func (x *explosion) declare(b *stage.Builder) {
	switch {
	case !x.parent && x.named:
		b.Schema = (&expr.Schema{}).With(x.as.name, expr.Any)
	case !x.parent:
		b.Schema = &expr.Schema{Open: true}
	case !x.named && len(x.rest) == 0:
		b.Schema = b.Schema.With(x.top.name, expr.Any)
	case x.named && len(x.rest) == 0:
		b.Schema = b.Schema.Without(x.top.name).With(x.as.name, expr.Any)
	case x.named:
		b.Schema = b.Schema.With(x.as.name, expr.Any)
	}
	b.Wrote(x.top.name)
	if x.named {
		b.Wrote(x.as.name)
	}
	if !x.parent {
		// Fields of an element may be called like those of its parent.
		b.Key = nil
	}
}

func (x *explosion) instance() *explosion {
	o := *x
	o.missing = eraser{layout: x.layout, gone: func(name string) bool { return name == x.top.name }}
	o.shape.apply = func(s *record.Shape) *record.Shape {
		switch {
		case !o.parent && o.named:
			return record.NewShape(record.ShapeField{Name: o.as.name, Slot: o.as.slot})
		case !o.parent:
			return nil
		case o.named && len(o.rest) == 0:
			return s.Rename(o.top.name, o.as.name, o.as.slot)
		case o.named:
			return s.Set(o.top.name, o.top.slot).Set(o.as.name, o.as.slot)
		}
		return s.Set(o.top.name, o.top.slot)
	}
	return &o
}

func (x *explosion) Process(c *stage.Context, r *record.Record) stage.Verdict {
	list := r.Field(x.list)
	if k := list.Kind(); k != record.List && !list.IsNil() {
		return c.Dead(r, fmt.Sprintf("explode: %s is %s, not a list", x.text, a(k)))
	}
	x.buffer = elements(x.buffer[:0], list, x.max+1)
	defer clear(x.buffer) // it must not keep the texts alive
	switch n := len(x.buffer); {
	case n > x.max:
		return c.Dead(r, fmt.Sprintf("explode: %s has more than %d elements, the maximum", x.text, x.max))
	case n == 0 && !x.keep:
		return stage.Filter
	case n == 0:
		return x.empty(c, r)
	}
	if !x.parent && !x.named {
		return x.elements(c, r)
	}
	return x.rows(c, r)
}

// rows emits a record for each element in the buffer.
func (x *explosion) rows(c *stage.Context, r *record.Record) stage.Verdict {
	root := r.Field(x.top.slot)
	if x.parent && x.named && len(x.rest) > 0 {
		root = record.DropPath(root, x.rest) // once for all of them
	}
	shape := x.shape.next(r.Shape)
	for _, v := range x.buffer {
		row := *r
		row.Fields = c.Values(x.layout.Len())
		if x.parent {
			copy(row.Fields, r.Fields)
		} else {
			row.Payload = nil
		}
		if err := x.put(&row, root, v); err != nil {
			return c.Dead(r, "explode: "+err.Error()) // the first row, or none
		}
		row.Shape = shape
		c.Emit(row)
	}
	return stage.Absorb
}

// put brings an element into a record. root is what the top-level field is to
// be when the list was inside it.
func (x *explosion) put(r *record.Record, root, v record.Value) error {
	switch {
	case !x.parent:
		x.as.set(r, v)
	case x.named && len(x.rest) == 0:
		x.missing.erase(r)
		x.as.set(r, v)
	case x.named:
		x.top.set(r, root)
		x.as.set(r, v)
	default:
		if len(x.rest) > 0 {
			var err error
			if v, err = record.SetPath(root, x.rest, v); err != nil {
				return err
			}
		}
		x.top.set(r, v)
	}
	return nil
}

// empty passes a record without elements.
func (x *explosion) empty(c *stage.Context, r *record.Record) stage.Verdict {
	root := r.Field(x.top.slot)
	if x.parent && x.named && len(x.rest) > 0 {
		root = record.DropPath(root, x.rest)
	}
	if !x.parent {
		r.Payload = nil
		clear(r.Fields)
	}
	if err := x.put(r, root, record.NullValue()); err != nil {
		return c.Dead(r, "explode: "+err.Error())
	}
	r.Shape = x.shape.next(r.Shape)
	return stage.Pass
}

// elements emits the elements in the buffer as records of their own.
func (x *explosion) elements(c *stage.Context, r *record.Record) stage.Verdict {
	if i := slices.IndexFunc(x.buffer, func(v record.Value) bool { return v.Kind() != record.Map }); i >= 0 {
		return c.Dead(r, fmt.Sprintf("explode: %s[%d] is %s, not an object that could be a record", x.text, i, a(x.buffer[i].Kind())))
	}
	if x.fields == nil {
		x.fields = record.NewProjector(x.layout)
	}
	for _, v := range x.buffer {
		row := *r
		row.Payload, row.Fields, row.Shape = []byte(v.JSON()), c.Values(x.layout.Len()), nil
		if err := x.fields.Project(row.Payload, row.Fields); err != nil {
			return c.Dead(r, "explode: "+err.Error())
		}
		c.Emit(row)
	}
	return stage.Absorb
}
