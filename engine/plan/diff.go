package plan

import (
	"crypto/sha256"
	"encoding/hex"
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
	// From is the stage whose state it takes over, when that had another name.
	From string `json:"from,omitempty"`
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
	d.Stages = compareStates(States(old), next, &problems)
	problems.Sort()
	return d, problems
}

// Origin is the name under which the state is kept before the change.
func (d Difference) Origin() string {
	if d.From != "" {
		return d.From
	}
	return d.Name
}

// CompareStates is Compare for state that a flow left behind when it ended,
// at another version perhaps: what becomes of it when next starts. State that
// would have to be flushed is an error, since nothing runs that could do so.
func CompareStates(old []State, next *Plan) ([]Difference, diag.List) {
	var problems diag.List
	all := compareStates(old, next, &problems)
	for _, one := range all {
		if one.Outcome != Flushed {
			continue
		}
		n := find(stateful(next), one.Name)
		if n == nil {
			problems.Add(diag.Diagnostic{
				Span:    diag.Span{File: next.File},
				Message: fmt.Sprintf("%s %q holds records that are to be tried again, and nothing of that name does so any more", one.Kind, one.Name),
				Advice:  "start the version before, and apply this one while it runs: the records are then tried a last time",
			})
			continue
		}
		problems.Add(diag.Diagnostic{
			Span:    n.op.Span,
			Message: fmt.Sprintf("%s: %s, and on_change: flush needs the flow to run", one.Name, one.Why),
			Advice:  "start the version before and apply this one while it runs, or write on_change: discard",
		})
	}
	problems.Sort()
	return all, problems
}

func compareStates(before []State, next *Plan, problems *diag.List) []Difference {
	var all []Difference
	after := stateful(next)
	moved := map[string]bool{}
	for _, n := range after {
		o := findState(before, n.op.Name)
		if o == nil && n.op.StateFrom != "" {
			o = findState(before, n.op.StateFrom)
		}
		if o == nil {
			all = append(all, Difference{Name: n.op.Name, Kind: n.op.Kind, Outcome: New})
			continue
		}
		one := compareState(*o, n.op, problems)
		if o.Name != n.op.Name {
			moved[o.Name] = true
			one.From, one.Why = o.Name, joinWhy(fmt.Sprintf("it was called %s", o.Name), one.Why)
		}
		if (one.Outcome == Kept || one.Outcome == Carried) && o.Upstream != upstreamHash(n.upstream) {
			one.Why = joinWhy(one.Why, "what comes before it has changed")
			problems.Add(diag.Diagnostic{
				Severity: diag.Warning, Span: n.op.Span,
				Message: fmt.Sprintf("%s: its state is kept, but what comes before it has changed", n.op.Name),
				Advice:  "what it holds was made the old way; on_change: discard does not apply to state that fits",
			})
		}
		all = append(all, one)
	}
	for _, o := range before {
		if find(after, o.Name) == nil && !moved[o.Name] && o.Records {
			all = append(all, Difference{Name: o.Name, Kind: o.Kind, Outcome: Flushed, Why: "nothing tries again what it holds, which is tried a last time"})
			continue
		}
		if find(after, o.Name) == nil && !moved[o.Name] {
			all = append(all, Difference{Name: o.Name, Kind: o.Kind, Outcome: Dropped, Why: "no stage of this name keeps state any more"})
			problems.Add(diag.Diagnostic{
				Severity: diag.Warning, Span: diag.Span{File: next.File},
				Message: fmt.Sprintf("the state of %s %q is dropped: no stage of this name keeps state any more", o.Kind, o.Name),
				Advice:  fmt.Sprintf("state is found by the stage's name; if the stage was only renamed, write state_from: %s beside it", o.Name),
			})
		}
	}
	return all
}

// State is what has to be known of a stage's state to tell whether another
// version of the stage can go on with it. Its JSON is stored.
type State struct {
	Name      string `json:"name"`
	Kind      string `json:"kind"`
	Signature string `json:"signature"`
	// Upstream is a hash of what stands before the stage.
	Upstream string `json:"upstream"`
	// Records says that the state holds records; see stage.OperatorSpec.
	Records bool `json:"records,omitempty"`
}

// States lists the states that a plan keeps.
func States(p *Plan) []State {
	var all []State
	for _, s := range stateful(p) {
		all = append(all, State{s.op.Name, s.op.Kind, s.op.Spec.Signature, upstreamHash(s.upstream), s.op.Spec.Records})
	}
	return all
}

func upstreamHash(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:8])
}

func findState(all []State, name string) *State {
	for i := range all {
		if all[i].Name == name {
			return &all[i]
		}
	}
	return nil
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
			all = append(all, Difference{Name: n.Name, Kind: n.Kind, Outcome: New})
		case o.Signature == n.Signature:
			all = append(all, Difference{Name: n.Name, Kind: n.Kind, Outcome: Kept})
		default:
			all = append(all, Difference{Name: n.Name, Kind: n.Kind, Outcome: New, Why: "its configuration has changed: it is opened anew"})
		}
	}
	for i := range old.Sources {
		if o := &old.Sources[i]; byName[o.Name] != nil {
			all = append(all, Difference{Name: o.Name, Kind: o.Kind, Outcome: Dropped})
		}
	}
	return all
}

func compareState(old State, next *Operator, problems *diag.List) Difference {
	one := Difference{Name: next.Name, Kind: next.Kind}
	if old.Kind == next.Kind && old.Signature == next.Spec.Signature {
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
			if _, ok := next.Spec.Carry(old.Signature); ok {
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
