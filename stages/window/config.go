package window

import (
	"fmt"
	"time"

	"gopkg.in/yaml.v3"

	"github.com/telluride-stream/telluride/engine/conf"
	"github.com/telluride-stream/telluride/engine/diag"
	"github.com/telluride-stream/telluride/engine/stage"
)

// Stage is the declaration of `window`.
func Stage() stage.Kind {
	return stage.DefineStage("window", "Aggregates records per key over windows of time or of a number of records.",
		(*Config).bind, build).WithExample(`window:
  by: sensor_id
  tumbling: 10s
  allowed_lateness: 5s
  aggregate:
    total_reads: "count()"
    max: "max(celsius)"
    mean: "mean(celsius)"
    hot: {value: "count()", where: "celsius > 80"}
`)
}

// Config is the stage as a flow file has it.
type Config struct {
	By       []conf.Text
	Kind     string // the key that was given: tumbling, …
	Tumbling time.Duration
	Hopping  struct{ Size, Every time.Duration }
	Sliding  struct {
		Last       conf.Text
		Records    int
		Duration   time.Duration
		MaxRecords int
	}
	Session  struct{ Gap, Max time.Duration }
	Count    int
	Global   bool
	Timezone conf.Text
	Location *time.Location // nil: UTC
	Lateness time.Duration
	Emit     struct {
		Every       time.Duration
		ChangedOnly bool
	}
	Aggregates []aggregateConfig
	Span       diag.Span // of the mapping
}

const day = 24 * time.Hour

var kinds = [...]string{"tumbling", "hopping", "sliding", "session", "count", "global"}

func (c *Config) bind(f *conf.Fields) {
	c.Span = f.Pos()
	f.Paths(&c.By, "by", "The fields, or expressions, by which records are grouped. Default: the key of the partition before. `[]` makes everything one group.")
	c.bindKinds(f)
	f.Text(&c.Timezone, "timezone", "", "Windows of whole days begin at midnight in this time zone, such as Europe/Vienna, also on days that are 23 or 25 hours long. Default: UTC.")
	f.Duration(&c.Lateness, "allowed_lateness", 0, "How long behind its end, in event time, a tumbling, hopping or session window still takes late records. Each of them makes the window emit its corrected result at once, or a session that has grown at its new end.")
	f.Object("emit", "Emits intermediate results at intervals of processing time. Without it, a window emits when it closes. A global window never closes and needs it.", func(f *conf.Fields) {
		f.Duration(&c.Emit.Every, "every", 0, "How often, at multiples of this on the clock.").Min(10 * time.Millisecond).Required()
		f.Bool(&c.Emit.ChangedOnly, "changed_only", true, "Leave out windows that have taken no record since they were last emitted.")
	})
	c.bindAggregates(f)
	c.check(f)
}

func (c *Config) bindKinds(f *conf.Fields) {
	const atLeast = time.Millisecond
	f.Duration(&c.Tumbling, "tumbling", 0, "Windows of this length, one behind the other. They begin at multiples of it in UTC, those of whole weeks on Mondays.").Min(atLeast)
	f.Object("hopping", "Windows of one length that begin at shorter intervals, so that they overlap.", func(f *conf.Fields) {
		f.Duration(&c.Hopping.Size, "size", 0, "The length of each window.").Min(atLeast).Required()
		f.Duration(&c.Hopping.Every, "every", 0, "The time from the beginning of one window to that of the next. Longer than size leaves gaps, whose records are filtered.").Min(atLeast).Required()
	})
	f.Object("sliding", "A result for every record, over the last records of its group up to and including it.", func(f *conf.Fields) {
		f.Text(&c.Sliding.Last, "last", "", "A number of records, such as 100, or a length of event time, such as 30s.").Required().NotEmpty()
		f.Int(&c.Sliding.MaxRecords, "max_records", 10_000, "With a length of time: the most records of a group to keep. A record beyond is a dead letter.").Min(1).Max(1_000_000)
		c.parseLast(f)
	})
	f.Object("session", "Windows of activity: a session ends when its group has no record for the length of the gap.", func(f *conf.Fields) {
		f.Duration(&c.Session.Gap, "gap", 0, "Records that are less than this apart in event time belong to one session.").Min(atLeast).Required()
		f.Duration(&c.Session.Max, "max", 0, "No session crosses a multiple of this (UTC): it is cut there, and another begins. Default: not cut.").Min(atLeast)
	})
	f.Int(&c.Count, "count", 0, "Windows of this many records of a group, in the order of arrival.").Min(1).Max(1 << 31)
	f.Bool(&c.Global, "global", false, "One window for each group that never closes: a running aggregate. It needs emit.")
	f.OneOf(kinds[:]...)
	for _, k := range kinds {
		if f.Given(k) && c.Kind == "" {
			c.Kind = k
		}
	}
}

func (c *Config) parseLast(f *conf.Fields) {
	text := c.Sliding.Last
	if text.Value == "" {
		return
	}
	n, d, err := parseLast(text.Value)
	switch {
	case err != nil:
		f.Fail(text.Span, fmt.Sprintf("last: expected a number of records or a duration, got %q", text.Value), "write a number such as 100, or a duration such as 30s")
	case d == 0 && (n < 1 || n > 1_000_000):
		f.Fail(text.Span, fmt.Sprintf("last %s is not between 1 and 1000000", text.Value), "for more records use a window of time")
	case n == 0 && d < time.Millisecond:
		f.Fail(text.Span, fmt.Sprintf("last %s is below the minimum 1ms", text.Value), "use at least 1ms")
	}
	c.Sliding.Records, c.Sliding.Duration = n, d
}

const aggregateDoc = "The fields of a result, in their order: name and aggregate. An aggregate is one call over expressions, such as \"count()\", \"mean((reading - 32) / 1.8)\" or \"quantile(latency, 0.99)\", " +
	"or a mapping `{value: \"sum(amount)\", where: \"amount > 0\"}`, which counts only records for which the condition holds. " +
	"Aggregates: count(), count(x), sum(x), mean(x), min(x), max(x), variance(x), stddev(x), first(x), last(x), sma(x, n), quantile(x, q), distinct(x), top(x, k), collect(x), collect(x, max). " +
	"Values that are missing or null are left out."

func (c *Config) bindAggregates(f *conf.Fields) {
	c.Aggregates = nil
	o := conf.ObjectMap(f, "aggregate", aggregateDoc, func(key conf.Text, f *conf.Fields) {
		var n *yaml.Node
		f.Whole(&n, "One aggregate.")
		if n == nil || f.Describing() {
			return
		}
		c.Aggregates = append(c.Aggregates, decodeAggregate(f.Scope(), key, n))
	})
	o.Schema(map[string]any{
		"description": aggregateDoc,
		"type":        "object", "minProperties": 1,
		"additionalProperties": map[string]any{"anyOf": []any{
			map[string]any{"type": "string"},
			map[string]any{
				"type": "object", "additionalProperties": false, "required": []any{"value"},
				"properties": map[string]any{
					"value": map[string]any{"type": "string", "description": "The aggregate."},
					"where": map[string]any{"type": "string", "description": "The condition under which a record counts."},
				},
			},
		}},
	})
	o.Required().NotEmpty()
}

// decodeAggregate reads one entry: the short form is the long one with only a
// value.
func decodeAggregate(scope *conf.Scope, key conf.Text, n *yaml.Node) aggregateConfig {
	a := aggregateConfig{Name: key}
	if n.Kind == yaml.MappingNode {
		f := conf.NewFields(scope, n, "window: aggregate: "+key.Value)
		f.Expr(&a.Value, "value", "The aggregate.").Required()
		f.Expr(&a.Where, "where", "The condition under which a record counts.")
		f.Finish()
		return a
	}
	name := &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: key.Value, Line: key.Span.Start.Line, Column: key.Span.Start.Col}
	short := &yaml.Node{Kind: yaml.MappingNode, Line: n.Line, Column: n.Column, Content: []*yaml.Node{name, n}}
	f := conf.NewFields(scope, short, "window: aggregate")
	f.Expr(&a.Value, key.Value, "The aggregate.")
	f.Finish()
	return a
}
