package plan

import (
	"fmt"

	"github.com/telluride-stream/telluride/engine/diag"
)

// Outcome is what becomes of a stage's state, or a source's session, when one
// plan takes the place of another.
type Outcome string

const (
	Kept      Outcome = "kept"      // goes on as it is
	Carried   Outcome = "carried"   // goes on as far as the new stage can take it over
	Flushed   Outcome = "flushed"   // is emitted, marked partial, and begins anew
	Discarded Outcome = "discarded" // is dropped, as the flow says, and begins anew
	New       Outcome = "new"       // was not there before
	Dropped   Outcome = "dropped"   // is not there any more
)

// Difference is what becomes of one stage with state, or of one source.
type Difference struct {
	Name    string  `json:"name"`
	Kind    string  `json:"kind"`
	Outcome Outcome `json:"outcome"`
	// Why says what the outcome depends on, in a few words; it may be empty.
	Why string `json:"why,omitempty"`
}

// Diff is what a change from one plan to another does.
type Diff struct {
	Sources []Difference `json:"sources"`
	// Stages lists the stages with state.
	Stages []Difference `json:"stages"`
}

// Compare says what a change from old to next does. The list holds an error
// for each stage whose state cannot go on and for which the flow does not say
// what to do, and warnings; with an error the change is to be refused.
func Compare(old, next *Plan) (Diff, diag.List) {
	var d Diff
	var problems diag.List
	d.Sources = compareSources(old, next)
	if old.Durability != next.Durability {
		problems.Add(diag.Diagnostic{
			Span:    diag.Span{File: next.File},
			Message: fmt.Sprintf("durability cannot change from %s to %s while the flow runs", old.Durability, next.Durability),
			Advice:  "drain the flow and start it anew",
		})
	}
	before, after := stateful(old), stateful(next)
	for _, n := range after {
		o := find(before, n.op.Name)
		if o == nil {
			d.Stages = append(d.Stages, Difference{n.op.Name, n.op.Kind, New, ""})
			continue
		}
		one := compareState(o.op, n.op, &problems)
		if (one.Outcome == Kept || one.Outcome == Carried) && o.upstream != n.upstream {
			one.Why = joinWhy(one.Why, "what comes before it has changed")
			problems.Add(diag.Diagnostic{
				Severity: diag.Warning, Span: n.op.Span,
				Message: fmt.Sprintf("%s: its state is kept, but what comes before it has changed", n.op.Name),
				Advice:  "what it holds was made the old way; on_change: discard does not apply to state that fits",
			})
		}
		d.Stages = append(d.Stages, one)
	}
	for _, o := range before {
		if find(after, o.op.Name) == nil {
			d.Stages = append(d.Stages, Difference{o.op.Name, o.op.Kind, Dropped, "no stage of this name keeps state any more"})
		}
	}
	problems.Sort()
	return d, problems
}

func compareSources(old, next *Plan) []Difference {
	var all []Difference
	byName := map[string]*Source{}
	for i := range old.Sources {
		byName[old.Sources[i].Name] = &old.Sources[i]
	}
	for i := range next.Sources {
		n := &next.Sources[i]
		o := byName[n.Name]
		delete(byName, n.Name)
		switch {
		case o == nil:
			all = append(all, Difference{n.Name, n.Kind, New, ""})
		case o.Signature == n.Signature:
			all = append(all, Difference{n.Name, n.Kind, Kept, ""})
		default:
			all = append(all, Difference{n.Name, n.Kind, New, "its configuration has changed: it is opened anew"})
		}
	}
	for i := range old.Sources {
		if o := &old.Sources[i]; byName[o.Name] != nil {
			all = append(all, Difference{o.Name, o.Kind, Dropped, ""})
		}
	}
	return all
}

func compareState(old, next *Operator, problems *diag.List) Difference {
	one := Difference{Name: next.Name, Kind: next.Kind}
	if old.Kind == next.Kind && old.Spec.Signature == next.Spec.Signature {
		one.Outcome = Kept
		return one
	}
	one.Why = "what its state depends on has changed"
	if old.Kind != next.Kind {
		one.Why = fmt.Sprintf("it was a %s", old.Kind)
	}
	switch next.OnChange {
	case "flush":
		one.Outcome = Flushed
	case "discard":
		one.Outcome = Discarded
	default:
		if old.Kind == next.Kind && next.Spec.Carry != nil {
			if _, ok := next.Spec.Carry(old.Spec.Signature); ok {
				one.Outcome = Carried
				return one
			}
		}
		advice := "write on_change: flush to emit what it holds, or on_change: discard to drop it"
		if next.OnChange == "carry" {
			advice = "nothing of it can be carried; " + advice
		}
		problems.Add(diag.Diagnostic{Span: next.Span, Message: fmt.Sprintf("%s: its state does not fit: %s", next.Name, one.Why), Advice: advice})
		one.Outcome = Dropped
	}
	return one
}

func joinWhy(a, b string) string {
	if a == "" {
		return b
	}
	return a + "; " + b
}

// placed is a stage with state and what stands before it.
type placed struct {
	op       *Operator
	upstream string
}

func find(all []placed, name string) *placed {
	for i := range all {
		if all[i].op.Name == name {
			return &all[i]
		}
	}
	return nil
}

// stateful lists the stages with state, each with the text of everything
// before it that makes its records what they are.
func stateful(p *Plan) []placed {
	var all []placed
	var walk func(nodes []Node, before string) string
	walk = func(nodes []Node, before string) string {
		for _, n := range nodes {
			switch n := n.(type) {
			case *Operator:
				if n.Spec.Stateful {
					all = append(all, placed{n, before})
				}
				before += "|" + n.Config
			case *Route:
				joined := before
				for _, b := range n.Branches {
					when := ""
					if b.When != nil {
						when = b.When.String()
					}
					joined += walk(b.Nodes, before+"|"+b.Name+":"+when)
				}
				before = joined
			}
		}
		return before
	}
	walk(p.Nodes, "")
	return all
}
