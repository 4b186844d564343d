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

type selectConfig struct{ fields []conf.Text }

func selectStep() stage.Kind {
	return stage.DefineStep("select", "Keeps the named fields and drops all others.", (*selectConfig).bind, (*selectConfig).build).
		WithExample(`select: [sensor_id, reading, site.name]`)
}

func (c *selectConfig) bind(f *conf.Fields) {
	f.Paths(&c.fields, "select", "The fields that stay, in the order in which the record shall have them. A path such as `site.name` becomes a field "+
		"called by its last step, `name`. Fields that a record does not have are left out.").Required().NotEmpty()
}

// move brings a value from inside a field to a field of its own.
type move struct {
	from record.Slot
	to   writer
}

func (c *selectConfig) build(b *stage.Builder) stage.OperatorSpec {
	schema := &expr.Schema{}
	var (
		moves  []move
		shaped []record.ShapeField
		texts  []string
	)
	for _, t := range c.fields {
		path := knownPath(b, t)
		if path == nil {
			continue
		}
		last := path[len(path)-1]
		if last.List {
			b.Diags.Add(diag.Diagnostic{
				Span:    t.Span,
				Message: fmt.Sprintf("%s: %q ends with a list position, which gives the field no name", b.Name, t.Value),
				Advice:  fmt.Sprintf("give it one before, with set: {name: %q}", t.Value),
			})
			continue
		}
		if _, twice := schema.Lookup(last.Key); twice {
			b.Diags.Add(diag.Diagnostic{
				Span:    t.Span,
				Message: fmt.Sprintf("%s: two fields would be called %q", b.Name, last.Key),
				Advice:  "rename one of them with set before",
			})
			continue
		}
		typ := expr.Any
		if len(path) == 1 {
			typ, _ = b.Schema.Lookup(last.Key)
		}
		w := newWriter(b, last.Key)
		if len(path) > 1 {
			moves = append(moves, move{b.Layout.Slot(path), w})
		}
		schema = schema.With(last.Key, typ)
		shaped = append(shaped, record.ShapeField{Name: last.Key, Slot: w.slot})
		texts = append(texts, t.Value)
	}
	for _, m := range moves {
		b.Wrote(m.to.name)
	}
	b.Schema = schema
	shape, layout := record.NewShape(shaped...), b.Layout
	gone := func(name string) bool { _, stays := schema.Lookup(name); return !stays }
	return stage.OperatorSpec{
		New: func() stage.Operator {
			return &selection{
				moves:  append([]move(nil), moves...),
				values: make([]record.Value, len(moves)),
				others: eraser{layout: layout, gone: gone},
				shape:  shape,
			}
		},
		RecordWise: true,
		Text:       strings.Join(texts, ", "),
	}
}

type selection struct {
	moves  []move
	values []record.Value
	others eraser
	shape  *record.Shape // the same for all: what came in does not matter
}

func (o *selection) Process(_ *stage.Context, r *record.Record) stage.Verdict {
	// All are read before any is written: a field may go where another is.
	for i := range o.moves {
		o.values[i] = r.Field(o.moves[i].from)
	}
	o.others.erase(r)
	for i := range o.moves {
		o.moves[i].to.set(r, o.values[i])
	}
	r.Shape = o.shape
	return stage.Pass
}
