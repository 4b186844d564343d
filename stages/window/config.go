package window

import (
	"fmt"
	"time"

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
`).WithMeta(stage.MetaKey{Name: "message_id", Doc: "An id of the result, the same again whenever the same result is emitted again."})
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
	// ExpireAfter is how long a key is kept without records; 0: for good.
	ExpireAfter time.Duration
	Emit        struct {
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
	f.Paths(&c.By, "by", "The fields, or expressions, by which records are grouped. Default: the key of the partition before; without a partition, everything is one group. `[]` makes everything one group. Results have each field under its own name, which for a path such as `user.id` is the last one in it, and other expressions as `key`, `key_2` and so on.")
	c.bindKinds(f)
	f.Text(&c.Timezone, "timezone", "", "Windows of whole days begin at midnight in this time zone, such as Europe/Vienna, also on days that are 23 or 25 hours long. Default: UTC.")
	f.Duration(&c.Lateness, "allowed_lateness", 0, "How long behind its end, in event time, a tumbling, hopping or session window still takes late records. Each of them makes the window emit its corrected result at once, or a session that has grown at its new end.")
	f.Object("emit", "Emits intermediate results at intervals of processing time. Without it, a window emits when it closes. A global window never closes and needs it.", func(f *conf.Fields) {
		f.Duration(&c.Emit.Every, "every", 0, "How often, at multiples of this on the clock.").Min(10 * time.Millisecond).Required()
		f.Bool(&c.Emit.ChangedOnly, "changed_only", true, "Leave out windows that have taken no record since they were last emitted.")
	})
	f.Duration(&c.ExpireAfter, "expire_after", 0, "For global and count windows, and sliding ones over a number of records: forget a key that has had no record for this long, in event time where the source has `time`. What is open is sent before: of a global window what changed since it was last sent, of a count window a result that is marked `partial`. When the key comes again, it begins anew. Without it, keys are kept for good. The other windows forget their keys by themselves.").Min(time.Millisecond).Optional()
	c.bindAggregates(f)
	c.check(f)
}

func (c *Config) bindKinds(f *conf.Fields) {
	const atLeast = time.Millisecond
	f.Duration(&c.Tumbling, "tumbling", 0, "Windows of this length, one behind the other. They begin at multiples of it in UTC, those of whole weeks on Mondays.").Min(atLeast).Optional()
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
		f.Duration(&c.Session.Max, "max", 0, "No session crosses a multiple of this (UTC): it is cut there, and another begins. Default: not cut.").Min(atLeast).Optional()
	})
	f.Int(&c.Count, "count", 0, "Windows of this many records of a group, in the order of arrival.").Min(1).Max(1 << 31).Optional()
	f.Bool(&c.Global, "global", false, "One window for each group that never closes: a running aggregate. It needs emit.").Optional()
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
	"Values that are missing or null are left out. " +
	"Aggregates may change while the flow runs: with on_change: carry those that stay go on, and those that are new count from the change on, also in windows that are open. " +
	"With on_change: flush, what windows hold at a change is sent as results that have a last field `partial`, which is true."

func (c *Config) bindAggregates(f *conf.Fields) {
	c.Aggregates = nil
	conf.ExprMap(f, "aggregate", "value", aggregateDoc, func(key conf.Text, f *conf.Fields) {
		a := aggregateConfig{Name: key}
		f.Expr(&a.Value, "value", "The aggregate.").Required()
		f.Expr(&a.Where, "where", "The condition under which a record counts.")
		c.Aggregates = append(c.Aggregates, a)
	}).Required().NotEmpty()
}
