package flowtest

import (
	"errors"

	"github.com/telluride-stream/telluride/engine/conf"
	"github.com/telluride-stream/telluride/engine/diag"
	"github.com/telluride-stream/telluride/engine/expr"
	"github.com/telluride-stream/telluride/engine/record"
	"github.com/telluride-stream/telluride/engine/stage"
)

// condition is an expression that a record fulfils or not.
type condition struct {
	text    string
	program *expr.Program
	layout  *record.Layout
}

// condition checks an expression; nil when it is wrong.
func (f *File) condition(what string, text conf.Text) *condition {
	b := &stage.Builder{Name: what, Span: text.Span, Diags: &diag.List{}, Layout: record.NewLayout(), Schema: &expr.Schema{Open: true}}
	p := b.Condition(conf.Expr{Text: text})
	f.Diags.Add(*b.Diags...)
	if p == nil {
		return nil
	}
	return &condition{text.Value, p, b.Layout}
}

// holds says whether a document fulfils it, and why that cannot be said.
func (c *condition) holds(doc []byte) (bool, error) {
	r := record.Record{Payload: doc, Fields: make([]record.Value, c.layout.Len())}
	if err := record.NewProjector(c.layout).Project(doc, r.Fields); err != nil {
		return false, errors.New("the record has no fields: " + err.Error())
	}
	return c.program.Bool(&expr.Scope{Record: &r})
}
