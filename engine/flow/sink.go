package flow

import (
	"fmt"
	"time"

	"gopkg.in/yaml.v3"

	"github.com/telluride-stream/telluride/engine/conf"
	"github.com/telluride-stream/telluride/engine/diag"
	"github.com/telluride-stream/telluride/engine/plan"
	"github.com/telluride-stream/telluride/engine/stage"
)

// sinkConfig is what every sink may have beside its kind.
type sinkConfig struct {
	name     conf.Text
	deadline time.Duration
}

func (s *sinkConfig) bind(f *conf.Fields) {
	f.Text(&s.name, "name", "", "The sink's name in metrics and messages. Default: its kind.")
	f.Duration(&s.deadline, "deadline", 0, "How long a write that fails is tried again before the flow stops with everything unacknowledged. 0s: for ever, and the flow shows as unready meanwhile.").Optional()
}

// sinkNode is a decoded sink.
type sinkNode struct {
	name, kind string
	base       string // what its default name is made of
	span       diag.Span
	conf       sinkConfig
	decl       stage.Kind
	config     any
	sound      bool
}

// decodeSinks decodes sink: or sinks:, of which at most one is given.
func (c *compiler) decodeSinks(one, several *yaml.Node) []*sinkNode {
	var items []*yaml.Node
	switch {
	case one != nil:
		items = []*yaml.Node{one}
	case several != nil:
		items = c.list(several, "sinks", `"- stdout: {}"`)
	}
	var all []*sinkNode
	for _, n := range items {
		all = append(all, c.decodeSink(n, ""))
	}
	return all
}

// decodeSink decodes one sink. base is its default name, "" for its kind.
func (c *compiler) decodeSink(n *yaml.Node, base string) *sinkNode {
	s := &sinkNode{base: base}
	e := c.open(n, sinkSlot(), s.conf.bind)
	s.kind, s.span = e.kind, e.span
	if s.base == "" {
		s.base = e.kind
	}
	if e.kind != "" {
		s.decl, _ = sinkSlot().find(c.registry, e.kind)
		s.config = s.decl.Decode(e.fields)
	}
	s.sound = e.finish()
	return s
}

func (c *compiler) buildSinks(nodes []*sinkNode, at place) []plan.Sink {
	var sinks []plan.Sink
	for _, n := range nodes {
		if s, ok := c.buildSink(n, at); ok {
			sinks = append(sinks, s)
		}
	}
	return sinks
}

func (c *compiler) buildSink(n *sinkNode, at place) (plan.Sink, bool) {
	if !n.sound {
		return plan.Sink{}, false
	}
	b := c.builder(n.name, n.span, at)
	spec := n.decl.Sink(n.config, b)
	return plan.Sink{Name: n.name, Kind: n.kind, Spec: spec, Deadline: n.conf.deadline, Span: n.span}, c.settle(b, at)
}

// sideSink builds the sink of records that leave the flow on their way. They
// come from anywhere, so nothing is known of their fields.
func (c *compiler) sideSink(n *sinkNode) *plan.Sink {
	if n == nil {
		return nil
	}
	s, ok := c.buildSink(n, place{})
	if !ok {
		return nil
	}
	return &s
}

// unreachable reports what no record comes to.
func (c *compiler) unreachable(span diag.Span, what, route string) {
	c.fail(span, fmt.Sprintf("no record comes to %s: every branch of route %q has sinks of its own", what, route),
		"remove it, or the sinks of a branch")
}
