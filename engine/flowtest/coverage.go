package flowtest

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/telluride-stream/telluride/engine/diag"
	"github.com/telluride-stream/telluride/engine/plan"
	"github.com/telluride-stream/telluride/engine/stage"
)

// FlowCoverage is what the tests of one flow exercised.
type FlowCoverage struct {
	Flow    string   `json:"flow"` // the file
	Covered int      `json:"covered"`
	Total   int      `json:"total"`
	Missing []Missed `json:"missing"`
}

// Missed is a part of a flow that no test exercised.
type Missed struct {
	Line int    `json:"line"`
	What string `json:"what"`

	span diag.Span
}

// part is one thing that a test can exercise.
type part struct {
	Missed
	hit bool
}

// Coverage says what of each flow the results have exercised: that records came
// to a stage, that a branch was taken, and that conditions were both true and false.
func Coverage(all []*Result) []FlowCoverage {
	var files []string
	counts := map[string]map[string]stage.Counts{}
	plans := map[string]*plan.Plan{}
	for _, r := range all {
		file := r.Test.Flow
		if r.Plan == nil {
			continue
		}
		if plans[file] == nil {
			files = append(files, file)
			plans[file], counts[file] = r.Plan, map[string]stage.Counts{}
		}
		for _, c := range r.Passes {
			sum := counts[file][c.Kind+" "+c.Name]
			sum.Add(c.Counts)
			counts[file][c.Kind+" "+c.Name] = sum
		}
	}
	slices.Sort(files)
	out := []FlowCoverage{}
	for _, file := range files {
		one := FlowCoverage{Flow: file, Missing: []Missed{}}
		for _, p := range parts(plans[file], counts[file]) {
			one.Total++
			if p.hit {
				one.Covered++
			} else {
				one.Missing = append(one.Missing, p.Missed)
			}
		}
		out = append(out, one)
	}
	return out
}

// parts lists what can be exercised of a plan, and whether it was.
func parts(p *plan.Plan, counts map[string]stage.Counts) (all []part) {
	add := func(span diag.Span, hit bool, format string, args ...any) {
		all = append(all, part{Missed{span.Start.Line, fmt.Sprintf(format, args...), span}, hit})
	}
	plan.Walk(p.Nodes, func(n plan.Node) {
		switch n := n.(type) {
		case *plan.Operator:
			if n.Kind == tapKind {
				return
			}
			c := counts[n.Kind+" "+n.Name]
			add(n.Span, c.In > 0, "%s %s: no record came to it", n.Kind, named(n.Name, n.Kind))
			switch {
			case c.In == 0:
			case n.Kind == "filter":
				add(n.Span, c.Passed > 0, "filter %q was never true", n.Spec.Text)
				add(n.Span, c.Filtered > 0, "filter %q was never false", n.Spec.Text)
			case n.Kind == "assert":
				add(n.Span, c.Passed > 0, "assert %q was never true", n.Spec.Text)
				add(n.Span, c.Dead > 0, "assert %q never failed", n.Spec.Text)
			case n.Kind == "window":
				add(n.Span, c.Emitted > 0, "window %s never emitted a result", named(n.Name, n.Kind))
			}
		case *plan.Route:
			c := counts["route "+n.Name]
			add(n.Span, c.In > 0, "route %s: no record came to it", named(n.Name, "route"))
			for _, b := range n.Branches {
				when := "otherwise"
				if b.When != nil {
					when = fmt.Sprintf("%q", b.When.String())
				}
				add(n.Span, counts[tapKind+" branch "+b.Name].In > 0, "branch %s (%s): no record took it", b.Name, when)
			}
		}
	})
	return all
}

// named is a name in front of a kind, unless it is the kind's own.
func named(name, kind string) string {
	if name == kind {
		return "(unnamed)"
	}
	return name
}

// WriteCoverage writes the coverage for people.
func WriteCoverage(w io.Writer, all []FlowCoverage) {
	fmt.Fprintln(w, "\ncoverage:")
	width := 0
	for _, c := range all {
		width = max(width, len(c.Flow))
	}
	for _, c := range all {
		share := 100
		if c.Total > 0 {
			share = c.Covered * 100 / c.Total
		}
		fmt.Fprintf(w, "  %s%s  %3d%% (%d of %d)\n", c.Flow, strings.Repeat(" ", width-len(c.Flow)), share, c.Covered, c.Total)
		for _, m := range c.Missing {
			fmt.Fprintf(w, "    %s:%d: %s\n", c.Flow, m.Line, m.What)
		}
	}
}
