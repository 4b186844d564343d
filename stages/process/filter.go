package process

import (
	"github.com/telluride-stream/telluride/engine/conf"
	"github.com/telluride-stream/telluride/engine/expr"
	"github.com/telluride-stream/telluride/engine/record"
	"github.com/telluride-stream/telluride/engine/stage"
)

type filterConfig struct{ when conf.Expr }

func filterStep() stage.Kind {
	return stage.DefineStep("filter", "Keeps the records for which an expression is true.", (*filterConfig).bind, (*filterConfig).build).
		WithExample(`filter: "reading != nil && reading > -50"`)
}

func (c *filterConfig) bind(f *conf.Fields) {
	f.Expr(&c.when, "filter", "Keeps a record when this is true. Where it is false the record is dropped and counted as filtered. "+
		"Where it is neither, because a field is missing for example, the record is a dead letter; `reading != nil && …` avoids that.").Required()
}

func (c *filterConfig) build(b *stage.Builder) stage.OperatorSpec {
	when := b.Condition(c.when)
	warnConstant(b, c.when, when, "every record passes", "no record passes")
	return stage.OperatorSpec{
		New:        func() stage.Operator { return &filter{when} },
		RecordWise: true,
		Text:       c.when.Value,
	}
}

type filter struct{ when *expr.Program }

func (o *filter) Process(c *stage.Context, r *record.Record) stage.Verdict {
	ok, err := o.when.Bool(&c.Scope)
	switch {
	case err != nil:
		return c.Dead(r, "filter: "+err.Error())
	case !ok:
		return stage.Filter
	}
	return stage.Pass
}
