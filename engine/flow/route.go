package flow

import (
	"fmt"

	"gopkg.in/yaml.v3"

	"github.com/telluride-stream/telluride/engine/conf"
	"github.com/telluride-stream/telluride/engine/diag"
	"github.com/telluride-stream/telluride/engine/expr"
	"github.com/telluride-stream/telluride/engine/plan"
)

const routeSummary = "Sends each record into the first branch whose condition is true, or into all of them. What matches no branch is counted as filtered."

type routeConfig struct {
	match string
	list  *yaml.Node
	items []branchConfig
}

func (r *routeConfig) bind(f *conf.Fields) {
	f.Enum(&r.match, "match", "first", []string{"first", "all"}, "Whether a record takes the first branch that matches, or every one that does.")
	const doc = "The branches, in order."
	if f.Describing() {
		conf.Objects(f, "branches", doc, &r.items, func(b *branchConfig, f *conf.Fields) { b.bind(f) }).Required().NotEmpty().
			Schema(map[string]any{"type": "array", "minItems": 1, "items": reference("branch")})
		return
	}
	f.Node(&r.list, "branches", doc).Required()
}

// branchConfig is one branch as it is written.
type branchConfig struct {
	name        conf.Text
	when        conf.Expr
	otherwise   bool
	stages      *yaml.Node
	sink, sinks *yaml.Node
}

func (b *branchConfig) bind(f *conf.Fields) {
	f.Text(&b.name, "name", "", "The branch's name, unique in its route. Default: branch_1, branch_2, ….")
	f.Expr(&b.when, "when", "The condition on which a record takes the branch.")
	f.Bool(&b.otherwise, "otherwise", false, "The branch takes what no other one took. It comes last.")
	parts(f, &b.stages, "stages", "What happens to the records of the branch.", "stage", new(stageConfig).bind)
	part(f, &b.sink, "sink", "Where the records of the branch go. Without it, they go on behind the route.", "sink", new(sinkConfig).bind)
	parts(f, &b.sinks, "sinks", "Several sinks, instead of sink.", "sink", new(sinkConfig).bind)
	f.AtMostOne("when", "otherwise")
	f.AtMostOne("sink", "sinks")
}

// branchNode is a decoded branch.
type branchNode struct {
	conf  branchConfig
	name  string
	span  diag.Span
	nodes []*node
	sinks []*sinkNode
	sound bool
}

func (c *compiler) decodeBranches(r *routeConfig) []*branchNode {
	if r.list == nil {
		return nil
	}
	var all []*branchNode
	names := newNames("branch")
	for _, n := range c.list(r.list, "route: branches", `"- {name: hot, when: \"reading > 90\"}"`) {
		b := &branchNode{span: c.scope.Span(n)}
		f := conf.NewFields(c.scope, n, "route: branch")
		b.conf.bind(f)
		b.sound = f.Finish()
		if b.sound && !b.conf.when.Given() && !b.conf.otherwise {
			b.sound = false
			c.fail(b.span, "route: the branch has no condition", `add when: "…", or otherwise: true for what no other branch took`)
		}
		if b.conf.name.Value != "" {
			names.take(c, b.conf.name)
		}
		if b.conf.stages != nil {
			b.nodes = c.decodeStages(b.conf.stages, "route: branch: stages")
		}
		b.sinks = c.decodeSinks(b.conf.sink, b.conf.sinks)
		all = append(all, b)
	}
	for i, b := range all {
		if b.name = b.conf.name.Value; b.name == "" {
			b.name = names.unused(fmt.Sprintf("branch_%d", i+1))
		}
		if b.conf.otherwise && i < len(all)-1 {
			c.fail(b.span, fmt.Sprintf("route: branch %q has otherwise but is not the last", b.name), "move it behind the others")
		}
	}
	return all
}

// buildRoute builds a route, and says what is known where its branches come
// together. Also the branches of a route with errors are built, for theirs.
func (c *compiler) buildRoute(n *node, at place) ([]plan.Node, place) {
	r := &plan.Route{Name: n.name, All: n.route.match == "all", Span: n.span}
	var behind []place
	taken := "" // the branch that takes everything
	for _, b := range n.branches {
		if taken != "" {
			c.fail(b.span, fmt.Sprintf("route: no record comes to branch %q: %q takes every one", b.name, taken), "remove it, or move it to the front")
		}
		branch := plan.Branch{Name: b.name}
		branch.When = c.condition(b, at)
		if c.takesAll(b, branch.When, r.All) {
			taken = b.name
		}
		var end place
		branch.Nodes, end = c.buildNodes(b.nodes, at)
		if end.ended != "" && len(b.sinks) > 0 {
			c.unreachable(b.sinks[0].span, "sink "+quoted(b.sinks[0].name), end.ended)
			end = end.unknown()
		}
		branch.Sinks = c.buildSinks(b.sinks, end)
		hasSinks := b.conf.sink != nil || b.conf.sinks != nil
		if !hasSinks && end.ended == "" {
			behind = append(behind, end)
		}
		r.Branches = append(r.Branches, branch)
	}
	r.InPlace = inPlace(r)
	if len(n.branches) == 0 {
		return nil, at.unknown()
	}
	if len(behind) == 0 {
		at.ended = n.name
		return []plan.Node{r}, at
	}
	return []plan.Node{r}, joined(behind)
}

// condition compiles a branch's condition; nil when it has none, or a wrong one.
func (c *compiler) condition(b *branchNode, at place) *expr.Program {
	if !b.conf.when.Given() {
		return nil
	}
	builder := c.builder(b.name, b.conf.when.Span, at)
	p := builder.Condition(b.conf.when)
	if !c.settle(builder, at) {
		return nil
	}
	return p
}

// takesAll says that nothing is left for the branches behind b.
func (c *compiler) takesAll(b *branchNode, when *expr.Program, all bool) bool {
	if b.conf.otherwise || when == nil {
		return false // that otherwise must be the last is reported already
	}
	v, constant := when.Const()
	switch {
	case !constant:
		return false
	case !v.Bool():
		c.warn(b.conf.when.Span, fmt.Sprintf("route: no record comes to branch %q: its condition is never true", b.name), "remove the branch, or change the condition")
		return false
	}
	return !all
}

// inPlace says whether a route can run where it stands: every branch only
// works on single records.
func inPlace(r *plan.Route) bool {
	if r.All {
		return false
	}
	for _, b := range r.Branches {
		if len(b.Sinks) > 0 {
			return false
		}
		for _, n := range b.Nodes {
			switch n := n.(type) {
			case *plan.Operator:
				if !n.Spec.RecordWise {
					return false
				}
			case *plan.Route:
				if !n.InPlace {
					return false
				}
			default:
				return false
			}
		}
	}
	return true
}
