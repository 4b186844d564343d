package flow

import (
	"fmt"
	"slices"
	"time"

	"github.com/telluride-stream/telluride/engine/plan"
)

// derive computes what follows from the whole of the plan.
func (c *compiler) derive() {
	p := c.plan
	markFlushes(p.Nodes, false)
	p.Tick = tick(p)
	plan.Walk(p.Nodes, func(n plan.Node) {
		if op, ok := n.(*plan.Operator); ok && op.Spec.Stateful {
			p.Stateful = true
		}
	})
	c.checkStateNames()
	c.warnOfSources()
	c.warnOfHolding()
	if p.Stateful {
		for _, span := range c.lateness {
			c.warn(span, "time: without out_of_order every record that is older than one before it is late",
				"add out_of_order: 2s, or out_of_order: 0s if records come in order")
		}
	}
}

// warnOfSources warns where what is known of a source does not go with the
// rest of the flow.
func (c *compiler) warnOfSources() {
	ordered := ""
	plan.Walk(c.plan.Nodes, func(n plan.Node) {
		if op, ok := n.(*plan.Operator); ok && op.Spec.Ordered && ordered == "" {
			ordered = op.Name
		}
	})
	for _, s := range c.plan.Sources {
		if s.Spec.Unordered && ordered != "" {
			c.warn(s.Span, fmt.Sprintf("%s: records lose their order, since several consumers read them, and stage %q depends on order", s.Name, ordered),
				"use one consumer, or a stage that does not depend on order")
		}
		if s.Spec.Drops != "" && c.plan.Dead == nil {
			c.warn(s.Span, s.Name+": "+s.Spec.Drops, s.Spec.DropsAdvice)
		}
	}
}

const (
	minTick     = time.Millisecond
	defaultTick = 100 * time.Millisecond
	maxTick     = time.Second
)

// tick is the finest time that anything in the plan wants to notice.
func tick(p *plan.Plan) time.Duration {
	var finest time.Duration
	note := func(d time.Duration) {
		if d > 0 && (finest == 0 || d < finest) {
			finest = d
		}
	}
	plan.Walk(p.Nodes, func(n plan.Node) {
		if op, ok := n.(*plan.Operator); ok {
			note(op.Spec.Timer)
		}
	})
	for _, s := range p.Sources {
		note(s.Time.Idle)
	}
	if finest == 0 {
		return defaultTick
	}
	return min(max(finest, minTick), maxTick)
}

// markFlushes sets FlushAlways on what holds records in front of a stage with
// state: the state's snapshot must contain those records. It says whether
// there is state in nodes or behind them.
func markFlushes(nodes []plan.Node, behind bool) bool {
	for _, n := range slices.Backward(nodes) {
		switch n := n.(type) {
		case *plan.Operator:
			n.FlushAlways = n.Spec.Holds && behind
			behind = behind || n.Spec.Stateful
		case *plan.Route:
			inside := behind
			for _, b := range n.Branches {
				inside = markFlushes(b.Nodes, behind && len(b.Sinks) == 0) || inside
			}
			behind = inside
		}
	}
	return behind
}
