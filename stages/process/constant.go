package process

import (
	"github.com/telluride-stream/telluride/engine/conf"
	"github.com/telluride-stream/telluride/engine/diag"
	"github.com/telluride-stream/telluride/engine/expr"
	"github.com/telluride-stream/telluride/engine/record"
	"github.com/telluride-stream/telluride/engine/stage"
)

// warnConstant warns of a condition that reads nothing of a record. One that
// names a param is a switch.
func warnConstant(b *stage.Builder, e conf.Expr, p *expr.Program, whenTrue, otherwise string) {
	if p == nil || len(p.Params()) > 0 {
		return
	}
	v, constant := p.Const()
	if !constant {
		return
	}
	means := otherwise
	if v.Kind() == record.Bool && v.Bool() {
		means = whenTrue
	}
	b.Diags.Add(diag.Diagnostic{
		Severity: diag.Warning, Span: e.Span,
		Message: b.Name + ": the condition reads no field: " + means, Advice: "name a field, or remove it",
	})
}
