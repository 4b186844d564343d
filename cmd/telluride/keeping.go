package main

import (
	"slices"

	"github.com/telluride-stream/telluride/engine/diag"
	"github.com/telluride-stream/telluride/engine/plan"
)

// needsDisk says that a flow would lose records with a process that keeps its
// state in memory only: its source is told that they are done once they are
// part of the state.
func needsDisk(p *plan.Plan) bool {
	acknowledges := func(s plan.Source) bool { return s.Spec.Prefetch > 0 }
	return p.Durability == "disk" && p.Stateful && slices.ContainsFunc(p.Sources, acknowledges)
}

// compile is how a process makes plans.
type compile = func(file string, src []byte, set map[string]string) (*plan.Plan, diag.List)

// keeping has plans refused that need a state folder where there is none: a
// flow may come, or become one of those, while the process runs.
func keeping(state *stateFolder, plans compile) compile {
	if state != nil {
		return plans
	}
	return func(file string, src []byte, set map[string]string) (*plan.Plan, diag.List) {
		p, list := plans(file, src, set)
		if p != nil && needsDisk(p) {
			list.Add(diag.Diagnostic{
				Span: diag.Span{File: file}, Message: "this process has no state folder, and what the flow acknowledges would be lost with it",
				Advice: "start it with --state-dir, or write durability: memory",
			})
			return nil, list
		}
		return p, list
	}
}
