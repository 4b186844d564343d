package flowtest

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/telluride-stream/telluride/engine/conf"
	"github.com/telluride-stream/telluride/engine/diag"
	"github.com/telluride-stream/telluride/engine/plan"
)

// run is one run of one test.
type run struct {
	test   *Test
	src    []byte // of the flow
	bench  *Bench
	seed   int64
	update bool
	// write writes a golden file.
	write func(path string, text []byte) error

	fed      []fed
	failures []Failure
	edits    []edit // of --update
}

// fed is a message that was fed, and where the test says so.
type fed struct {
	payload []byte
	span    diag.Span
}

// setup is what the test's bench needs.
func (t *Test) setup(src []byte, compile Compile) Setup {
	s := Setup{File: t.Flow, Src: src, Params: t.Params, Compile: compile, Base: t.Base, Mocks: t.Mocks}
	for _, one := range t.steps {
		if e, ok := one.(*expectStep); ok {
			for _, c := range e.checks {
				if place := c.watches(); place != "" && !slices.Contains(s.Watch, place) {
					s.Watch = append(s.Watch, place)
				}
			}
		}
	}
	return s
}

// script runs the steps, and then looks for what nobody has asked for.
func (r *run) script(b *Bench) error {
	r.bench = b
	if r.unknownMocks() {
		return nil
	}
	for i, s := range r.test.steps {
		b.Begin(i + 1)
		if err := s.run(r); err != nil {
			r.failures = append(r.failures, Failure{Span: s.at(), Message: err.Error()})
			return nil //nolint:nilerr // it is a failure of the test, and noted as such
		}
	}
	r.leftOver()
	r.balance()
	return nil
}

func (r *run) unknownMocks() bool {
	known := names(r.bench.Plan(), "stage")
	for name, span := range r.test.mocks {
		if !slices.Contains(known, name) {
			r.failures = append(r.failures, *unknownName(span, "mock", "stage", name, known))
		}
	}
	return len(r.failures) > 0
}

// run checks the expectations.
func (s *expectStep) run(r *run) error {
	for _, c := range s.checks {
		if f := c.check(r); f != nil {
			r.failures = append(r.failures, *f)
		}
	}
	return nil
}

// leftOver reports what came and was not asked for.
func (r *run) leftOver() {
	if len(r.failures) > 0 {
		return // what is wrong already may have left it
	}
	for _, place := range r.bench.Places() {
		kind, name, _ := strings.Cut(place, " ")
		if kind != "sink" || name == "dead_letter" || name == "late" {
			continue // stages and branches are only looked at; the others follow
		}
		r.unnamed(place, r.bench.Take(place))
	}
	var late, dead []Arrival
	for _, l := range r.bench.TakeLate() {
		late = append(late, l.Arrival)
	}
	for _, l := range r.bench.TakeDead() {
		l.Doc = letter(&l)
		dead = append(dead, l.Arrival)
	}
	r.unnamed("late", late)
	r.unnamed("dead_letter", dead)
}

func (r *run) unnamed(place string, all []Arrival) {
	if len(all) == 0 {
		return
	}
	f := Failure{Span: r.test.Span, Message: fmt.Sprintf("%s: %s came that no step expects", place, plural(len(all), "record"))}
	for i := range all[:min(len(all), shown)] {
		f.Differences = append(f.Differences, Difference{
			Span: r.test.Span, Title: "not expected", Lines: []Line{{'+', oneLine(all[i].Doc)}}, Comment: fmt.Sprintf("it came at +%v", all[i].At),
		})
	}
	r.failures = append(r.failures, f)
}

// balance holds the flow to the ledger: nothing vanishes.
func (r *run) balance() {
	for _, row := range r.bench.Ledger() {
		if !row.Balanced() {
			r.failures = append(r.failures, Failure{Span: r.test.Span, Message: fmt.Sprintf(
				"the ledger of %s %q does not balance: in %d, passed %d, absorbed %d, filtered %d, late %d, dead %d, held %d",
				row.Kind, row.Name, row.In, row.Passed, row.Absorbed, row.Filtered, row.Late, row.Dead, row.Held)})
		}
	}
}

// restarted turns problems of a flow that does not start into words.
func (r *run) restarted(err error) error {
	var list *diag.ListError
	if errors.As(err, &list) {
		return fmt.Errorf("the flow does not start: %w", err)
	}
	return err
}

// source is the source of a name, or the only one.
func (r *run) source(name conf.Text) (string, error) {
	return r.only("source", name.Value)
}

// sink is the sink of a name, or the only one.
func (r *run) sink(name conf.Text) (string, error) { return r.only("sink", name.Value) }

func (r *run) sinkNamed(name string) (string, error) { return r.only("sink", name) }

func (r *run) only(what, name string) (string, error) {
	known := names(r.bench.Plan(), what)
	if name != "" {
		if slices.Contains(known, name) {
			return name, nil
		}
		return "", errors.New(unknownName(diag.Span{}, what, what, name, known).Message)
	}
	main := slices.DeleteFunc(slices.Clone(known), func(n string) bool { return n == "dead_letter" || n == "late" })
	if len(main) != 1 {
		return "", fmt.Errorf("the flow has %s: say which one: %s", plural(len(main), what), strings.Join(main, ", "))
	}
	return main[0], nil
}

// known says whether the flow has a stage or branch.
func (r *run) known(kind, name string) error {
	all := names(r.bench.Plan(), kind)
	if slices.Contains(all, name) {
		return nil
	}
	return errors.New(unknownName(diag.Span{}, kind, kind, name, all).Message)
}

// names lists the names of the sources, sinks, stages or branches of a plan.
func names(p *plan.Plan, kind string) (all []string) {
	switch kind {
	case "source":
		for i := range p.Sources {
			all = append(all, p.Sources[i].Name)
		}
		return all
	case "sink":
		for _, s := range p.AllSinks() {
			all = append(all, s.Name)
		}
		for _, s := range []*plan.Sink{p.Dead, p.Late} {
			if s != nil {
				all = append(all, s.Name)
			}
		}
		return all
	}
	plan.Walk(p.Nodes, func(n plan.Node) {
		switch n := n.(type) {
		case *plan.Operator:
			if n.Kind != tapKind && kind == "stage" {
				all = append(all, n.Name)
			}
		case *plan.Partition:
			if !n.Implied && kind == "stage" {
				all = append(all, n.Name)
			}
		case *plan.Route:
			if kind == "stage" {
				all = append(all, n.Name)
			}
			for _, b := range n.Branches {
				if kind == "branch" {
					all = append(all, b.Name)
				}
			}
		}
	})
	return all
}

// trail says where the message was left that a missing record is most
// likely made of: the one that has the most fields in common with it.
func (r *run) trail(w *wanted) string {
	want, ok := w.doc.(map[string]any)
	if !ok {
		return ""
	}
	best, most := -1, 0
	var alike []string
	for i, f := range r.fed {
		got, ok := parseDoc(f.payload).(map[string]any)
		if !ok {
			continue
		}
		var same []string
		for key, v := range want {
			if g, there := got[key]; there && render(g) == render(v) {
				same = append(same, key+": "+render(v))
			}
		}
		if len(same) >= most && len(same) > 0 {
			best, most, alike = i, len(same), same
		}
	}
	if best < 0 {
		return ""
	}
	slices.Sort(alike)
	f := r.fed[best]
	what := fmt.Sprintf("the last message with %s, fed in line %d,", strings.Join(alike, ", "), f.span.Start.Line)
	return what + " " + whereabouts(r.bench.Plan(), r.bench.Trail(best+1))
}

// writeFile is how golden files are written.
func writeFile(path string, text []byte) error {
	if err := os.WriteFile(path, text, 0o644); err != nil {
		return fmt.Errorf("write %s: %w", path, cause(err))
	}
	return nil
}
