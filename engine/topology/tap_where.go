package topology

import (
	"fmt"

	"github.com/telluride-stream/telluride/engine/expr"
	"github.com/telluride-stream/telluride/engine/record"
)

// Where is a condition on samples: what of them a person wants to see.
type Where struct {
	program *expr.Program
	reader  *record.Projector
	layout  *record.Layout
	scope   expr.Scope
}

// NewWhere compiles a condition.
func NewWhere(text string) (*Where, error) {
	w := &Where{layout: record.NewLayout()}
	p, err := expr.Compile(text, expr.Env{Layout: w.layout})
	if err != nil {
		return nil, err
	}
	if t := p.Type(); t != expr.Any && t != expr.Bool {
		return nil, fmt.Errorf("the condition is of type %s, not true or false", t)
	}
	w.program, w.reader = p, record.NewProjector(w.layout)
	return w, nil
}

// Holds says whether a sample is wanted. A condition that cannot be evaluated
// does not hold. It sees what is shown: a masked field tells nothing.
func (w *Where) Holds(s Sample) bool {
	if w == nil {
		return true
	}
	fields := make([]record.Value, w.layout.Len())
	if w.reader.Project(s.Record, fields) != nil {
		return false
	}
	w.scope.Record = &record.Record{Payload: s.Record, Fields: fields, Key: s.Key, Time: s.Time.UnixNano()}
	ok, err := w.program.Bool(&w.scope)
	return err == nil && ok
}
