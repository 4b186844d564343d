package window

import (
	"fmt"
	"slices"
	"time"

	"github.com/telluride-stream/telluride/engine/conf"
	"github.com/telluride-stream/telluride/engine/diag"
	"github.com/telluride-stream/telluride/engine/expr"
	"github.com/telluride-stream/telluride/engine/record"
	"github.com/telluride-stream/telluride/engine/stage"
)

func build(c *Config, b *stage.Builder) stage.OperatorSpec {
	s := &spec{config: c, key: b.KeyBy(c.By)}
	s.set = compile(b, c.Aggregates)
	state := layoutOf(c, s)
	s.results = makeResults(c, b, s)
	s.results.signature = record.Hash(state.String())
	out := stage.OperatorSpec{
		New:       func() stage.Operator { return newOperator(s) },
		Stateful:  true,
		Makes:     true,
		Ordered:   needsOrder(c, s.set),
		Signature: state.String(),
		Explain:   s.explain,
		Carry: func(signature string) (func(string, []byte) ([]byte, error), bool) {
			return state.carry(s.results.stage, signature)
		},
		Timer: timer(c),
		Text:  c.text(),
	}
	if s.key.Len() > 0 {
		out.Text += " by " + s.key.Text()
	}
	return out
}

// needsOrder says whether results depend on the order in which records come:
// those of windows over so many records do, and the aggregates that keep an
// order, if only among equals. What top estimates when it meets more values than
// it has room for may differ too, within its error.
func needsOrder(c *Config, set *aggregates) bool {
	if c.Kind == "sliding" || c.Kind == "count" {
		return true
	}
	return slices.ContainsFunc(set.cells, func(cell cellSpec) bool {
		switch cell.op {
		case opFirst, opLast, opSMA, opCollect:
			return true
		}
		return false
	})
}

// partialField marks the results of windows that were still open. Others do
// not have it.
const partialField = "partial"

const aKeyField = "a field of the key"

func newOperator(s *spec) stage.Operator {
	switch s.config.Kind {
	case "session":
		return newSessions(s)
	case "count":
		return newCounted(s)
	case "global":
		return newRunning(s)
	case "sliding":
		return newSliding(s)
	}
	return newPanes(s)
}

// makeResults declares the fields of results: those of the key, the bounds of
// the window, the aggregates.
func makeResults(c *Config, b *stage.Builder, s *spec) *results {
	r := &results{flow: b.Flow, stage: b.Name, set: s.set, location: c.Location, bounded: c.bounded()}
	var fields []stage.MadeField
	taken := map[string]string{}
	if c.Kind != "sliding" { // where nothing is open
		taken[partialField] = "the mark of partial results"
	}
	add := func(span diag.Span, what, name string, typ expr.Type) {
		if other, ok := taken[name]; ok {
			advice := "choose another name"
			if what == aKeyField {
				advice = "name each once; set fields before the window to rename them"
			}
			b.Diags.Add(diag.Diagnostic{Span: span, Message: fmt.Sprintf("%s: %s and %s have the same name %q", b.Name, other, what, name), Advice: advice})
			return
		}
		taken[name] = what
		fields = append(fields, stage.MadeField{Name: name, Type: typ})
	}
	for i := range s.key.Len() {
		f := &s.key.Fields[i]
		span := c.Span
		if i < len(c.By) {
			span = c.By[i].Span
		}
		add(span, aKeyField, f.Name, f.Type)
	}
	if r.bounded {
		add(c.Span, "the beginning of the window", "window_start", expr.String)
		add(c.Span, "the end of the window", "window_end", expr.String)
	}
	for _, o := range s.set.outputs {
		add(c.spanOf(o.name), "an aggregate", o.name, o.typ)
	}
	if c.Kind != "sliding" {
		fields = append(fields, stage.MadeField{Name: partialField, Type: expr.Bool})
	}
	r.slots, r.shape = b.Make(fields)
	r.layout = b.Layout
	for i, f := range fields {
		r.names = append(r.names, f.Name)
		r.width = max(r.width, int(r.slots[i])+1)
	}
	return r
}

func (c *Config) spanOf(aggregate string) diag.Span {
	for i := len(c.Aggregates) - 1; i >= 0; i-- {
		if c.Aggregates[i].Name.Value == aggregate {
			return c.Aggregates[i].Name.Span
		}
	}
	return c.Span
}

// bounded says whether results carry window_start and window_end.
func (c *Config) bounded() bool {
	return c.timed() || c.Kind == "sliding" && c.Sliding.Duration > 0
}

// timer is the finest time, in processing time, that matters: windows shall
// close promptly also where time is processing time.
func timer(c *Config) time.Duration {
	var t time.Duration
	switch c.Kind {
	case "tumbling":
		t = c.Tumbling
	case "hopping":
		t = min(c.Hopping.Size, c.Hopping.Every)
	case "session":
		t = c.Session.Gap
	}
	if t > 0 {
		t = min(max(t/10, 10*time.Millisecond), time.Second)
	}
	if e := c.ExpireAfter; e > 0 {
		t = min(max(e/10, 10*time.Millisecond), time.Second)
	}
	if c.Emit.Every > 0 && (t == 0 || c.Emit.Every < t) {
		t = c.Emit.Every
	}
	return t
}

func (c *Config) text() string {
	d := conf.FormatDuration
	switch c.Kind {
	case "tumbling":
		return "tumbling " + d(c.Tumbling)
	case "hopping":
		return "hopping " + d(c.Hopping.Size) + " every " + d(c.Hopping.Every)
	case "session":
		return "session " + d(c.Session.Gap)
	case "count":
		return fmt.Sprintf("count %d", c.Count)
	case "sliding":
		return "sliding " + c.Sliding.Last.Value
	}
	return c.Kind
}

var _ record.Meta = (*meta)(nil)
