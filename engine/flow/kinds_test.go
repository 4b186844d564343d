package flow_test

import (
	"time"

	"github.com/telluride-stream/telluride/engine/conf"
	"github.com/telluride-stream/telluride/engine/expr"
	"github.com/telluride-stream/telluride/engine/stage"
)

// kinds is a registry of small kinds: each has what the compiler must know of
// the real ones of that name, and does nothing.
func kinds() *stage.Registry {
	return stage.NewRegistry(
		fileSource(), typedSource(), madeSource(),
		filterStep(), setStep(), dedupeStep(),
		windowStage(), batchStage(),
		sink("stdout"), sink("file"), columnsSink(),
		postFeed(),
	)
}

type pathConfig struct{ path string }

func (c *pathConfig) bind(f *conf.Fields) {
	f.String(&c.path, "path", "", "The file.").Required().NotEmpty()
}

func fileSource() stage.Kind {
	return stage.DefineSource("file", "Reads a file.", (*pathConfig).bind, func(c *pathConfig, _ *stage.Builder) stage.SourceSpec {
		return stage.SourceSpec{Raw: true, Text: c.path}
	}).WithMeta(stage.MetaKey{Name: "file"}, stage.MetaKey{Name: "line"})
}

type nothing struct{}

func (*nothing) bind(*conf.Fields) {}

// typedSource has payloads of which every field is known.
func typedSource() stage.Kind {
	schema := (&expr.Schema{}).With("sensor_id", expr.String).With("line_id", expr.String).
		With("reading", expr.Float).With("timestamp", expr.String).With("broken", expr.Bool).With("tags", expr.List)
	return stage.DefineSource("typed", "Reads known fields.", (*nothing).bind, func(*nothing, *stage.Builder) stage.SourceSpec {
		return stage.SourceSpec{Raw: true, Schema: schema, Text: "typed"}
	})
}

// madeSource has records without payloads.
func madeSource() stage.Kind {
	return stage.DefineSource("made", "Makes records.", (*nothing).bind, func(_ *nothing, b *stage.Builder) stage.SourceSpec {
		b.Make([]stage.MadeField{{Name: "id", Type: expr.Int}, {Name: "at", Type: expr.String}})
		return stage.SourceSpec{Schema: b.Schema, Text: "made"}
	}).WithMeta(stage.MetaKey{Name: "index"})
}

type filterConfig struct{ when conf.Expr }

func (c *filterConfig) bind(f *conf.Fields) {
	f.Expr(&c.when, "filter", "The condition.").Required()
}

func filterStep() stage.Kind {
	return stage.DefineStep("filter", "Keeps some records.", (*filterConfig).bind, func(c *filterConfig, b *stage.Builder) stage.OperatorSpec {
		b.Condition(c.when)
		return stage.OperatorSpec{RecordWise: true, Text: c.when.Value}
	})
}

type setConfig struct{ fields []conf.NamedExpr }

func (c *setConfig) bind(f *conf.Fields) {
	f.Exprs(&c.fields, "set", "The fields.").Required().NotEmpty()
}

func setStep() stage.Kind {
	return stage.DefineStep("set", "Writes fields.", (*setConfig).bind, func(c *setConfig, b *stage.Builder) stage.OperatorSpec {
		for _, n := range c.fields {
			if p := b.Expr(n.Expr); p != nil {
				b.Schema = b.Schema.With(n.Name.Value, p.Type())
				b.Wrote(n.Name.Value)
			}
		}
		return stage.OperatorSpec{RecordWise: true}
	})
}

type dedupeConfig struct{ by []conf.Text }

func (c *dedupeConfig) bind(f *conf.Fields) {
	f.Paths(&c.by, "dedupe", "The id.").Required()
}

func dedupeStep() stage.Kind {
	return stage.DefineStep("dedupe", "Drops repeats.", (*dedupeConfig).bind, func(c *dedupeConfig, b *stage.Builder) stage.OperatorSpec {
		b.KeyBy(c.by)
		return stage.OperatorSpec{Stateful: true, Ordered: true}
	})
}

type windowConfig struct {
	by       []conf.Text
	tumbling time.Duration
	mean     conf.Expr
}

func (c *windowConfig) bind(f *conf.Fields) {
	f.Paths(&c.by, "by", "The key.")
	f.Duration(&c.tumbling, "tumbling", 0, "The length.").Min(time.Millisecond).Required()
	f.Expr(&c.mean, "mean", "What to take the mean of.").Required()
}

func windowStage() stage.Kind {
	return stage.DefineStage("window", "Aggregates.", (*windowConfig).bind, func(c *windowConfig, b *stage.Builder) stage.OperatorSpec {
		key := b.KeyBy(c.by)
		b.Expr(c.mean)
		var made []stage.MadeField
		for i := range key.Len() {
			made = append(made, stage.MadeField{Name: key.Fields[i].Name, Type: key.Fields[i].Type})
		}
		b.Make(append(made, stage.MadeField{Name: "mean", Type: expr.Float}))
		return stage.OperatorSpec{Stateful: true, Makes: true, Ordered: true, Timer: c.tumbling / 10, Signature: key.Text(), Text: "by " + key.Text()}
	}).WithMeta(stage.MetaKey{Name: "message_id"})
}

type batchConfig struct {
	size int
	as   string
}

func (c *batchConfig) bind(f *conf.Fields) {
	f.Int(&c.size, "size", 100, "How many.").Min(1)
	f.Enum(&c.as, "as", "records", []string{"records", "message"}, "What leaves.")
}

func batchStage() stage.Kind {
	return stage.DefineStage("batch", "Groups records.", (*batchConfig).bind, func(c *batchConfig, _ *stage.Builder) stage.OperatorSpec {
		message := c.as == "message"
		return stage.OperatorSpec{Holds: true, Makes: message, Opaque: message, Timer: 50 * time.Millisecond}
	})
}

func sink(name string) stage.Kind {
	return stage.DefineSink(name, "Writes.", func(c *pathConfig, f *conf.Fields) {
		f.String(&c.path, "path", "", "The file.")
	}, func(c *pathConfig, _ *stage.Builder) stage.SinkSpec {
		return stage.SinkSpec{Text: c.path}
	})
}

type columnsConfig struct{ columns []conf.Text }

func (c *columnsConfig) bind(f *conf.Fields) {
	f.Paths(&c.columns, "columns", "The fields to write.").Required()
}

func columnsSink() stage.Kind {
	return stage.DefineSink("table", "Writes columns.", (*columnsConfig).bind, func(c *columnsConfig, b *stage.Builder) stage.SinkSpec {
		for _, column := range c.columns {
			b.Expr(conf.Expr{Text: column})
		}
		return stage.SinkSpec{}
	})
}

func postFeed() stage.Kind {
	return stage.DefineFeed("post", "Brings letters.", (*pathConfig).bind, func(c *pathConfig, b *stage.Builder) stage.FeedSpec {
		if c.path == "nowhere" {
			b.Diags.Errorf(b.Span, "%s: no post comes from nowhere", b.Name)
		}
		return stage.FeedSpec{Text: c.path}
	})
}
