package change

import (
	"fmt"

	"github.com/telluride-stream/telluride/engine/diag"
	"github.com/telluride-stream/telluride/engine/plan"
)

// Mistyped lists the values that the change sets and that came in another type
// than their params have, though they read alike: "5" for 5.
func (c Change) Mistyped(p *plan.Plan) (problems diag.List) {
	for _, param := range p.Params {
		got, ok := c.Types[param.Name]
		want := typeOf(param)
		if !ok || got == want {
			continue
		}
		problems.Add(diag.Diagnostic{
			Span:    diag.Span{File: p.File},
			Message: fmt.Sprintf("param %q: expected %s, got the %s %q", param.Name, typeNames[want], got, c.Set[param.Name]),
			Advice:  "send it as " + typeNames[want],
		})
	}
	return problems
}

var typeNames = map[string]string{"text": "a text", "number": "a number", "bool": "true or false"}

func typeOf(p plan.Param) string {
	switch p.Value.Kind().String() {
	case "int", "float":
		return "number"
	case "bool":
		return "bool"
	}
	return "text"
}
