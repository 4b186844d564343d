package flow

import (
	"fmt"

	"github.com/telluride-stream/telluride/engine/conf"
	"github.com/telluride-stream/telluride/engine/plan"
	"github.com/telluride-stream/telluride/engine/stage"
)

const partitionSummary = "Sends records to parallel lanes by a key: those with equal keys take the same lane and keep their order. Keyed stages behind it use its key."

type partitionConfig struct {
	by    []conf.Text
	lanes int
}

func (p *partitionConfig) bind(f *conf.Fields) {
	f.Paths(&p.by, "by", "The field, the fields or the expression that the key is made of.").Required().NotEmpty()
	f.Int(&p.lanes, "lanes", 0, "The number of parallel lanes. Default: the number of CPUs.").Min(1).Max(maxLanes).Optional()
}

// partitioned is the place behind a partition.
func (p place) partitioned(n *plan.Partition) place {
	p.key, p.lost = n.Key, false
	if n.Key.Len() > 0 {
		p.lanes = n.Lanes
	}
	return p
}

func (c *compiler) buildPartition(n *node, at place) ([]plan.Node, place) {
	b := c.builder(n.name, n.span, at)
	key := b.KeyBy(n.partition.by)
	if !c.settle(b, at) {
		return nil, at.unknown()
	}
	for _, f := range key.Fields {
		if _, constant := f.Program.Const(); constant {
			c.warn(n.span, fmt.Sprintf("partition: %s is the same for every record: all take one lane", f.Source), "name a field")
		}
	}
	p := &plan.Partition{Name: n.name, Key: key, Lanes: c.lanes(n.partition.lanes), Span: n.span}
	if !at.needsPartition(key) && at.lanes == p.Lanes {
		c.warn(n.span, fmt.Sprintf("partition: the records are already partitioned by %s", key.Text()), "remove it")
		return nil, at
	}
	return []plan.Node{p}, at.partitioned(p)
}

// impliedPartition is what a keyed stage needs in front of it.
func (c *compiler) impliedPartition(n *node, key *stage.Key, at place) *plan.Partition {
	p := &plan.Partition{Name: c.stageNames.unused(n.name + ".partition"), Key: key, Lanes: 1, Implied: true, Span: n.span}
	if key.Len() > 0 {
		p.Lanes = c.lanes(at.lanes)
	}
	return p
}

// lanes is the number of lanes for what a flow says; 0: nothing.
func (c *compiler) lanes(said int) int {
	switch {
	case c.options.LanesOverride > 0:
		return c.options.LanesOverride
	case said > 0:
		return said
	}
	return min(c.options.Lanes, maxLanes)
}
