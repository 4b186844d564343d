package process

import (
	"fmt"
	"slices"
	"strings"

	"github.com/telluride-stream/telluride/engine/conf"
	"github.com/telluride-stream/telluride/engine/diag"
	"github.com/telluride-stream/telluride/engine/expr"
	"github.com/telluride-stream/telluride/engine/record"
	"github.com/telluride-stream/telluride/engine/stage"
)

type renameConfig struct{ names []conf.Pair }

func renameStep() stage.Kind {
	return stage.DefineStep("rename", "Gives fields other names.", (*renameConfig).bind, (*renameConfig).build).
		WithExample(`rename: {temp: temperature, ts: timestamp}`)
}

func (c *renameConfig) bind(f *conf.Fields) {
	f.StringMap(&c.names, "rename", "Old names and new names, taken one after the other. A field keeps its place and its exact bytes; "+
		"another field that has the new name already is removed. A record without the old field stays as it is. "+
		"Only fields of the record itself can be renamed, not those inside another.").Required().NotEmpty()
}

type renaming struct {
	from, to writer
	shape    transition
}

func (c *renameConfig) build(b *stage.Builder) stage.OperatorSpec {
	var (
		renamings []renaming
		texts     []string
	)
	for _, pair := range c.names {
		const advice = "use set for the new field and drop_fields for the old one"
		from, okFrom := topLevel(b, pair.Key, knownPath(b, pair.Key), advice)
		to, okTo := topLevel(b, pair.Value, fieldPath(b, pair.Value), advice)
		if !okFrom || !okTo {
			continue
		}
		if from == to {
			b.Diags.Add(diag.Diagnostic{
				Span:    pair.Value.Span,
				Message: fmt.Sprintf("%s: %q is the old and the new name", b.Name, from),
				Advice:  "remove it, or choose another name",
			})
			continue
		}
		renamings = append(renamings, renaming{from: newWriter(b, from), to: newWriter(b, to)})
		texts = append(texts, from+" to "+to)
		b.Schema = renamed(b.Schema, from, to)
		b.Wrote(to)
	}
	return stage.OperatorSpec{
		New:        func() stage.Operator { return newRenamer(renamings) },
		RecordWise: true,
		Text:       strings.Join(texts, ", "),
	}
}

// renamed is the schema behind a renaming. Records without the old field keep
// another one that has the new name, and its type with it.
func renamed(schema *expr.Schema, from, to string) *expr.Schema {
	typ, _ := schema.Lookup(from)
	other, listed := schema.Lookup(to)
	if listed && other != typ || !listed && (schema == nil || schema.Open) {
		typ = expr.Any
	}
	return schema.Without(from).With(to, typ)
}

type renamer struct{ renamings []renaming }

func newRenamer(renamings []renaming) *renamer {
	o := &renamer{slices.Clone(renamings)}
	for i := range o.renamings {
		n := &o.renamings[i]
		n.shape.apply = func(s *record.Shape) *record.Shape { return s.Rename(n.from.name, n.to.name, n.to.slot) }
	}
	return o
}

func (o *renamer) Process(_ *stage.Context, r *record.Record) stage.Verdict {
	for i := range o.renamings {
		n := &o.renamings[i]
		v := r.Field(n.from.slot)
		if v.Kind() == record.Missing {
			continue
		}
		n.to.set(r, v)
		n.from.set(r, record.Value{})
		r.Shape = n.shape.next(r.Shape)
	}
	return stage.Pass
}
