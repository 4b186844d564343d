package flow

import (
	"fmt"
	"strconv"

	"github.com/telluride-stream/telluride/engine/conf"
	"github.com/telluride-stream/telluride/engine/diag"
)

// names gives out the names of one sort of parts. Names that the file gives
// are taken first.
type names struct {
	what  string
	taken map[string]diag.Span
}

func newNames(what string) *names { return &names{what: what, taken: map[string]diag.Span{}} }

// take notes a name that the file gives and reports one that cannot be.
func (n *names) take(c *compiler, name conf.Text) {
	if message, advice := badName(name.Value); message != "" {
		c.fail(name.Span, "name: "+message, advice)
		return
	}
	if first, ok := n.taken[name.Value]; ok {
		c.fail(name.Span, fmt.Sprintf("duplicate %s name %q; it is first at %s", n.what, name.Value, first.Start), "rename one of them")
		return
	}
	n.taken[name.Value] = name.Span
}

// unused is base, or base_2, base_3, … when that is taken.
func (n *names) unused(base string) string {
	name := base
	for i := 2; ; i++ {
		if _, ok := n.taken[name]; !ok {
			n.taken[name] = diag.Span{}
			return name
		}
		name = base + "_" + strconv.Itoa(i)
	}
}

func (c *compiler) nameSources(sources []*sourceNode) {
	unnamed := map[string]int{}
	of := map[string]int{}
	for _, s := range sources {
		of[s.kind]++
		if s.conf.name.Value != "" {
			c.sourceNames.take(c, s.conf.name)
			s.name = s.conf.name.Value
			continue
		}
		unnamed[s.kind]++
	}
	for _, s := range sources {
		if s.name != "" {
			continue
		}
		if s.kind != "" && of[s.kind] > 1 {
			c.fail(s.span, fmt.Sprintf("%s: %d sources of this kind need names, since their positions are kept by name", s.kind, of[s.kind]),
				fmt.Sprintf("add name: %s_a, or what fits", s.kind))
		}
		s.name = c.sourceNames.unused(s.kind)
	}
}

// nameSinks names all sinks of the flow, those of branches included.
func (c *compiler) nameSinks(t *tree) {
	all := sinksOf(t.stages)
	all = append(all, t.sinks...)
	for _, s := range []*sinkNode{t.dead, t.late} {
		if s != nil {
			all = append(all, s)
		}
	}
	for _, s := range all {
		if s.conf.name.Value != "" {
			c.sinkNames.take(c, s.conf.name)
			s.name = s.conf.name.Value
		}
	}
	for _, s := range all {
		if s.name == "" {
			s.name = c.sinkNames.unused(s.base)
		}
	}
}

func sinksOf(nodes []*node) []*sinkNode {
	var all []*sinkNode
	for _, n := range nodes {
		for _, b := range n.branches {
			all = append(all, sinksOf(b.nodes)...)
			all = append(all, b.sinks...)
		}
	}
	return all
}

// explicitStageNames takes the names that the file gives to stages.
func (c *compiler) explicitStageNames(nodes []*node) {
	for _, n := range nodes {
		if n.conf.name.Value != "" {
			c.stageNames.take(c, n.conf.name)
			n.name, n.named = n.conf.name.Value, true
		}
		c.explicitStageNames(n.steps)
		for _, b := range n.branches {
			c.explicitStageNames(b.nodes)
		}
	}
}

// defaultStageNames names the others by their kind. A process that has a name
// gives it to its steps as a prefix.
func (c *compiler) defaultStageNames(nodes []*node, prefix string) {
	for _, n := range nodes {
		switch {
		case n.kind == "process":
			inner := ""
			if n.name != "" {
				inner = n.name + "."
			}
			c.defaultStageNames(n.steps, inner)
		case n.name == "" && n.kind != "":
			n.name = c.stageNames.unused(prefix + n.kind)
		}
		for _, b := range n.branches {
			c.defaultStageNames(b.nodes, "")
		}
	}
}

// checkStateNames reports stages with state that cannot be told apart after
// the flow has changed: several of one kind, without names.
func (c *compiler) checkStateNames() {
	of := map[string]int{}
	for _, n := range c.stateful {
		of[n.kind]++
	}
	for _, n := range c.stateful {
		if of[n.kind] > 1 && !n.named {
			c.fail(n.span, fmt.Sprintf("%s: %d stages of this kind keep state, which is found again by name", n.kind, of[n.kind]),
				fmt.Sprintf("give each a name, such as name: %s_a", n.kind))
		}
	}
	c.checkStateFrom()
}

// checkStateFrom reports state that two stages would have.
func (c *compiler) checkStateFrom() {
	taken := map[string]string{}
	for _, n := range c.stateful {
		taken[n.name] = "is a stage of this flow, which keeps that state itself"
	}
	for _, n := range c.stateful {
		from := n.conf.from
		if from.Value == "" {
			continue
		}
		if why, ok := taken[from.Value]; ok {
			advice := "name a stage that is gone, or remove it"
			if from.Value == n.name {
				why = "is the name of the stage itself"
			}
			c.fail(from.Span, fmt.Sprintf("state_from: %q %s", from.Value, why), advice)
		}
		taken[from.Value] = fmt.Sprintf("is taken over by stage %q already", n.name)
	}
}
