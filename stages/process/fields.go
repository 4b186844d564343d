package process

import (
	"fmt"

	"github.com/telluride-stream/telluride/engine/conf"
	"github.com/telluride-stream/telluride/engine/diag"
	"github.com/telluride-stream/telluride/engine/record"
	"github.com/telluride-stream/telluride/engine/stage"
)

// writer writes one top-level field of records, and what the flow reads
// inside it. It belongs to one instance of an operator.
type writer struct {
	layout *record.Layout
	name   string
	slot   record.Slot

	bound  bool
	inside []inner
}

// inner is a slot inside a top-level field, and the way from there to it.
type inner struct {
	slot record.Slot
	rest record.Path
}

func newWriter(b *stage.Builder, name string) writer {
	return writer{layout: b.Layout, name: name, slot: b.Layout.Slot(record.Path{{Key: name}})}
}

// set writes the field; Missing removes it.
func (w *writer) set(r *record.Record, v record.Value) {
	n := w.layout.Len()
	r.Set(w.slot, v, n)
	if !w.bound {
		w.bind()
	}
	if len(w.inside) == 0 {
		return
	}
	json := v.JSON()
	for i := range w.inside {
		in := &w.inside[i]
		if json == "" {
			r.Set(in.slot, record.Value{}, n)
		} else {
			r.Set(in.slot, record.ProjectValue(json, in.rest), n)
		}
	}
}

// bind looks for the slots inside the field. It waits for the first record,
// since the layout grows until the whole flow is built.
func (w *writer) bind() {
	w.bound = true
	for _, slot := range w.layout.Within(w.name) {
		w.inside = append(w.inside, inner{slot, w.layout.Path(slot)[1:]})
	}
}

// eraser empties the slots of top-level fields that leave the records, for
// as far as the flow reads them.
type eraser struct {
	layout *record.Layout
	gone   func(name string) bool

	bound bool
	slots []record.Slot
}

func (e *eraser) erase(r *record.Record) {
	if !e.bound {
		e.bound = true
		for s := range record.Slot(e.layout.Len()) {
			if e.gone(e.layout.Path(s)[0].Key) {
				e.slots = append(e.slots, s)
			}
		}
	}
	for _, s := range e.slots {
		if int(s) < len(r.Fields) {
			r.Fields[s] = record.Value{}
		}
	}
}

// fieldPath reads the path of a field, which begins with a name. It returns
// nil and reports the problem when it is none, or when it is known that there
// is no such field.
func fieldPath(b *stage.Builder, t conf.Text) record.Path {
	path, err := record.ParsePath(t.Value)
	if err != nil {
		b.Errorf(t.Span, "%s: %v", b.Name, err)
		return nil
	}
	if path[0].List {
		b.Diags.Add(diag.Diagnostic{
			Span:    t.Span,
			Message: fmt.Sprintf("%s: %q begins with a list position, but a record is an object", b.Name, t.Value),
			Advice:  "begin with the name of a field",
		})
		return nil
	}
	return path
}

// knownPath is fieldPath for a field that is to exist already.
func knownPath(b *stage.Builder, t conf.Text) record.Path {
	path := fieldPath(b, t)
	if path == nil || b.Schema == nil || b.Schema.Open {
		return path
	}
	name := path[0].Key
	if _, ok := b.Schema.Lookup(name); ok {
		return path
	}
	b.Diags.Add(diag.Diagnostic{
		Span:    t.Span,
		Message: fmt.Sprintf("%s: unknown field %q", b.Name, name),
		Advice:  suggest(name, b.Schema.Names()),
	})
	return nil
}

// topLevel is the name that a path consists of; ok is false, and the problem
// reported, when it leads further inside.
func topLevel(b *stage.Builder, t conf.Text, path record.Path, advice string) (name string, ok bool) {
	if path == nil {
		return "", false
	}
	if len(path) > 1 {
		b.Diags.Add(diag.Diagnostic{
			Span:    t.Span,
			Message: fmt.Sprintf("%s: %q is inside a field, expected the name of a field of the record itself", b.Name, t.Value),
			Advice:  advice,
		})
		return "", false
	}
	return path[0].Key, true
}

// suggest is advice for a name that is not among those that there are.
func suggest(name string, names []string) string {
	if near := diag.Suggest(name, names); near != "" {
		return fmt.Sprintf("did you mean %q?", near)
	}
	switch {
	case len(names) == 0:
		return ""
	case len(names) > 20:
		names = append(names[:20:20], "…")
	}
	text := "there is "
	for i, n := range names {
		if i > 0 {
			text += ", "
		}
		text += n
	}
	return text
}

// a is a kind with its article: "an int".
func a(k record.Kind) string {
	if k == record.Int {
		return "an " + k.String()
	}
	return "a " + k.String()
}
