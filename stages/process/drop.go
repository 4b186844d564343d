package process

import (
	"slices"
	"strings"

	"github.com/telluride-stream/telluride/engine/conf"
	"github.com/telluride-stream/telluride/engine/record"
	"github.com/telluride-stream/telluride/engine/stage"
)

type dropConfig struct{ fields []conf.Text }

func dropStep() stage.Kind {
	return stage.DefineStep("drop_fields", "Drops the named fields and keeps all others.", (*dropConfig).bind, (*dropConfig).build).
		WithExample(`drop_fields: [debug, site.address]`)
}

func (c *dropConfig) bind(f *conf.Fields) {
	f.Paths(&c.fields, "drop_fields", "The fields that go. A path such as `site.address` drops a field inside another. "+
		"A field that a record does not have is no problem.").Required().NotEmpty()
}

// cut drops what is inside a field.
type cut struct {
	writer
	rest  record.Path
	shape transition
}

func (c *dropConfig) build(b *stage.Builder) stage.OperatorSpec {
	var (
		whole []string
		cuts  []cut
		texts []string
	)
	for _, t := range c.fields {
		path := knownPath(b, t)
		switch {
		case path == nil:
			continue
		case len(path) == 1:
			whole = append(whole, path[0].Key)
		default:
			cuts = append(cuts, cut{writer: newWriter(b, path[0].Key), rest: path[1:]})
		}
		texts = append(texts, t.Value)
	}
	for _, name := range whole {
		b.Schema = b.Schema.Without(name)
	}
	for i := range cuts {
		b.Wrote(cuts[i].name)
	}
	layout := b.Layout
	return stage.OperatorSpec{
		New:        func() stage.Operator { return newDropper(layout, whole, cuts) },
		RecordWise: true,
		Text:       strings.Join(texts, ", "),
	}
}

type dropper struct {
	cuts  []cut
	whole eraser
	shape transition
}

func newDropper(layout *record.Layout, whole []string, cuts []cut) *dropper {
	o := &dropper{cuts: slices.Clone(cuts)}
	for i := range o.cuts {
		c := &o.cuts[i]
		c.shape.apply = func(s *record.Shape) *record.Shape { return s.Set(c.name, c.slot) }
	}
	o.whole = eraser{layout: layout, gone: func(name string) bool { return slices.Contains(whole, name) }}
	o.shape.apply = func(s *record.Shape) *record.Shape {
		for _, name := range whole {
			s = s.Drop(name)
		}
		return s
	}
	return o
}

func (o *dropper) Process(_ *stage.Context, r *record.Record) stage.Verdict {
	for i := range o.cuts {
		c := &o.cuts[i]
		before := r.Field(c.slot)
		after := record.DropPath(before, c.rest)
		if len(after.JSON()) == len(before.JSON()) {
			continue // nothing there: the record keeps its bytes
		}
		c.set(r, after)
		r.Shape = c.shape.next(r.Shape)
	}
	o.whole.erase(r)
	r.Shape = o.shape.next(r.Shape)
	return stage.Pass
}
