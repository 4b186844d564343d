package plan_test

import (
	"strings"
	"testing"

	"github.com/telluride-stream/telluride/engine/diag"
	"github.com/telluride-stream/telluride/engine/plan"
	"github.com/telluride-stream/telluride/engine/stage"
)

func window(name, signature, onChange string) *plan.Operator {
	return &plan.Operator{
		Name: name, Kind: "window", OnChange: onChange, Config: signature, Span: diag.Span{File: "a.yaml", Start: diag.Pos{Line: 7, Col: 3}},
		Spec: stage.OperatorSpec{Stateful: true, Signature: signature, Carry: func(old string) (func(string, []byte) ([]byte, error), bool) {
			return nil, strings.HasPrefix(signature, old) // may gain aggregates
		}},
	}
}

func renamed(was string, o *plan.Operator) *plan.Operator {
	o.StateFrom = was
	return o
}

func filter(config string) *plan.Operator {
	return &plan.Operator{Name: "filter", Kind: "filter", Config: config}
}

func TestWhatBecomesOfState(t *testing.T) {
	cases := []struct {
		name      string
		old, next []plan.Node
		outcome   string
		problem   string
	}{
		{"the same", []plan.Node{window("w", "10s", "")}, []plan.Node{window("w", "10s", "")}, "w kept", ""},
		{"grown", []plan.Node{window("w", "10s", "")}, []plan.Node{window("w", "10s,max", "")}, "w carried", ""},
		{"another size", []plan.Node{window("w", "10s", "")}, []plan.Node{window("w", "20s", "")}, "w dropped", "a.yaml:7:3: w: its state does not fit: what its state depends on has changed; write on_change: flush"},
		{"another size, carry", []plan.Node{window("w", "10s", "")}, []plan.Node{window("w", "20s", "carry")}, "w dropped", "nothing of it can be carried"},
		{"another size, flush", []plan.Node{window("w", "10s", "")}, []plan.Node{window("w", "20s", "flush")}, "w flushed", ""},
		{"another size, discard", []plan.Node{window("w", "10s", "")}, []plan.Node{window("w", "20s", "discard")}, "w discarded", ""},
		{"added", nil, []plan.Node{window("w", "10s", "")}, "w new", ""},
		{"removed", []plan.Node{window("w", "10s", "")}, nil, "w dropped", "warning: the state of window \"w\" is dropped"},
		{"renamed", []plan.Node{window("w", "10s", "")}, []plan.Node{window("v", "10s", "")}, "v new, w dropped", "warning: the state of window \"w\" is dropped"},
		{"renamed, as it says", []plan.Node{window("w", "10s", "")}, []plan.Node{renamed("w", window("v", "10s", ""))}, "v kept", ""},
		{"renamed and grown", []plan.Node{window("w", "10s", "")}, []plan.Node{renamed("w", window("v", "10s,max", ""))}, "v carried", ""},
		{"renamed and another size", []plan.Node{window("w", "10s", "")}, []plan.Node{renamed("w", window("v", "20s", ""))}, "v dropped", "v: its state does not fit"},
		{"renamed before", []plan.Node{window("v", "10s", "")}, []plan.Node{renamed("w", window("v", "10s", ""))}, "v kept", ""},
		{"renamed to one that was there", []plan.Node{window("v", "10s", ""), window("w", "10s", "")}, []plan.Node{renamed("w", window("v", "10s", ""))}, "v kept, w dropped", "warning: the state of window \"w\" is dropped"},
		{"moved into a branch", []plan.Node{window("w", "10s", "")},
			[]plan.Node{&plan.Route{Branches: []plan.Branch{{Name: "b", Nodes: []plan.Node{window("w", "10s", "")}}}}}, "w kept", "warning: w: its state is kept, but"},
		{"changed upstream", []plan.Node{filter("a"), window("w", "10s", "")}, []plan.Node{filter("b"), window("w", "10s", "")}, "w kept", "warning: w: its state is kept, but"},
		{"changed downstream", []plan.Node{window("w", "10s", ""), filter("a")}, []plan.Node{window("w", "10s", ""), filter("b")}, "w kept", ""},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			d, problems := plan.Compare(&plan.Plan{Nodes: c.old}, &plan.Plan{Nodes: c.next})
			var got []string
			for _, s := range d.Stages {
				got = append(got, s.Name+" "+string(s.Outcome))
			}
			if text := strings.Join(got, ", "); text != c.outcome {
				t.Errorf("outcome %q, want %q", text, c.outcome)
			}
			text := ""
			for _, p := range problems {
				text += p.String() + "\n"
			}
			if c.problem == "" && text != "" || !strings.Contains(text, c.problem) {
				t.Errorf("problems %q, want %q", text, c.problem)
			}
		})
	}
}

func TestASourceKeepsItsSessionWhenItsConfigurationIsTheSame(t *testing.T) {
	old := &plan.Plan{Sources: []plan.Source{{Name: "a", Signature: "1"}, {Name: "b", Signature: "2"}, {Name: "c", Signature: "3"}}}
	next := &plan.Plan{Sources: []plan.Source{{Name: "a", Signature: "1", Rate: 5}, {Name: "b", Signature: "9"}, {Name: "d", Signature: "3"}}}
	d, _ := plan.Compare(old, next)
	var got []string
	for _, s := range d.Sources {
		got = append(got, s.Name+" "+string(s.Outcome))
	}
	if text := strings.Join(got, ", "); text != "a kept, b new, d new, c dropped" {
		t.Error(text)
	}
}
