package flowtest

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"gopkg.in/yaml.v3"

	"github.com/telluride-stream/telluride/engine/conf"
	"github.com/telluride-stream/telluride/engine/diag"
	"github.com/telluride-stream/telluride/engine/stage"
)

// counts decodes the expectations that are no records.
func (f *File) counts(e *expectFields) (all []check) {
	f.each(e.ledger, "ledger", func(name conf.Text, value *yaml.Node) {
		c := &ledgerCheck{name: name}
		f.each(value, "ledger", func(count conf.Text, n *yaml.Node) {
			if !slices.Contains(countNames, count.Value) {
				advice := "known: " + strings.Join(countNames, ", ")
				if near := diag.Suggest(count.Value, countNames); near != "" {
					advice = fmt.Sprintf("did you mean %q?", near)
				}
				f.Diags.Add(diag.Diagnostic{Span: count.Span, Message: fmt.Sprintf("ledger: unknown count %q", count.Value), Advice: advice})
				return
			}
			c.want = append(c.want, numberOf{count, f.whole("ledger", n)})
		})
		all = append(all, c)
	})
	if n := e.unacknowledged; n != nil {
		c := &ackCheck{span: f.scope.Span(n)}
		if n.Kind == yaml.ScalarNode {
			c.want = append(c.want, numberOf{conf.Text{Span: c.span}, f.whole("unacknowledged", n)})
		} else {
			f.each(n, "source", func(name conf.Text, n *yaml.Node) {
				c.want = append(c.want, numberOf{name, f.whole("unacknowledged", n)})
			})
		}
		all = append(all, c)
	}
	if e.state != "" {
		all = append(all, &stateCheck{e.stateSpan, e.state, e.reason.Value})
	}
	return all
}

func (f *File) whole(what string, n *yaml.Node) int64 {
	v, err := strconv.ParseInt(n.Value, 10, 64)
	if n.Kind != yaml.ScalarNode || err != nil || v < 0 {
		f.fail(n, fmt.Sprintf("%s: expected a whole number, got %q", what, n.Value), "")
	}
	return v
}

type numberOf struct {
	name conf.Text
	n    int64
}

var countNames = []string{"in", "passed", "absorbed", "filtered", "late", "dead", "held", "emitted"}

func count(c *stage.Counts, name string) int64 {
	return map[string]int64{
		"in": int64(c.In), "passed": int64(c.Passed), "absorbed": int64(c.Absorbed), "filtered": int64(c.Filtered),
		"late": int64(c.Late), "dead": int64(c.Dead), "held": c.Held, "emitted": int64(c.Emitted),
	}[name]
}

// ledgerCheck expects counts of one stage.
type ledgerCheck struct {
	name conf.Text
	want []numberOf
}

func (*ledgerCheck) watches() string { return "" }

func (c *ledgerCheck) check(r *run) *Failure {
	var names []string
	for _, row := range r.bench.Ledger() {
		names = append(names, row.Name)
		if row.Name != c.name.Value {
			continue
		}
		failure := &Failure{Span: c.name.Span, Message: "ledger: the counts of " + row.Name + " differ"}
		for _, w := range c.want {
			if got := count(&row.Counts, w.name.Value); got != w.n {
				failure.Differences = append(failure.Differences, Difference{Span: w.name.Span, Lines: []Line{
					{'-', fmt.Sprintf("%s: %d", w.name.Value, w.n)}, {'+', fmt.Sprintf("%s: %d", w.name.Value, got)},
				}})
			}
		}
		if failure.Differences == nil {
			return nil
		}
		return failure
	}
	return unknownName(c.name.Span, "ledger", "stage", c.name.Value, names)
}

// unknownName is a failure for a name that the flow does not have.
func unknownName(span diag.Span, where, what, name string, known []string) *Failure {
	f := &Failure{Span: span, Message: fmt.Sprintf("%s: the flow has no %s %q", where, what, name)}
	if near := diag.Suggest(name, known); near != "" {
		f.Message += fmt.Sprintf("; did you mean %q?", near)
	} else if len(known) > 0 {
		f.Message += "; known: " + strings.Join(known, ", ")
	}
	return f
}

// ackCheck expects a number of messages to be unacknowledged.
type ackCheck struct {
	span diag.Span
	want []numberOf
}

func (*ackCheck) watches() string { return "" }

func (c *ackCheck) check(r *run) *Failure {
	failure := &Failure{Span: c.span, Message: "unacknowledged messages"}
	for _, w := range c.want {
		name, err := r.source(w.name)
		if err != nil {
			return &Failure{Span: w.name.Span, Message: err.Error()}
		}
		if got := r.bench.Unsettled(name); int64(got) != w.n {
			failure.Differences = append(failure.Differences, Difference{Span: w.name.Span, Lines: []Line{
				{'-', fmt.Sprintf("%s: %d", name, w.n)}, {'+', fmt.Sprintf("%s: %d", name, got)},
			}})
		}
	}
	if failure.Differences == nil {
		return nil
	}
	return failure
}

// stateCheck expects the flow to stand in some way.
type stateCheck struct {
	span          diag.Span
	state, reason string
}

func (*stateCheck) watches() string { return "" }

func (c *stateCheck) check(r *run) *Failure {
	state, reason := r.bench.State()
	if state == c.state && strings.Contains(reason, c.reason) {
		return nil
	}
	got := state
	if reason != "" {
		got += ": " + reason
	}
	want := c.state
	if c.reason != "" {
		want += ": … " + c.reason + " …"
	}
	return &Failure{Span: c.span, Message: "the flow stands otherwise", Differences: []Difference{{Span: c.span, Lines: []Line{{'-', want}, {'+', got}}}}}
}
