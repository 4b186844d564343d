package flow

import (
	"gopkg.in/yaml.v3"

	"github.com/telluride-stream/telluride/engine/conf"
	"github.com/telluride-stream/telluride/engine/diag"
	"github.com/telluride-stream/telluride/engine/plan"
	"github.com/telluride-stream/telluride/engine/stage"
)

// feedNode is a decoded feed of changes.
type feedNode struct {
	name, kind string
	span       diag.Span
	decl       stage.Kind
	config     any
	signature  string
	sound      bool // decoded without errors
}

func (c *compiler) decodeFeed(n *yaml.Node, name string) *feedNode {
	d := &feedNode{name: name}
	e := c.open(n, feedSlot(), func(*conf.Fields) {})
	d.kind, d.span = e.kind, e.span
	if e.kind != "" {
		d.decl, _ = feedSlot().find(c.registry, e.kind)
		d.config = d.decl.Decode(e.fields)
		d.signature = c.signature(e.kind, e.value)
	}
	d.sound = e.finish()
	return d
}

// buildFeeds builds the feeds. They see no records.
func (c *compiler) buildFeeds(nodes []*feedNode) {
	for _, n := range nodes {
		if !n.sound {
			continue
		}
		b := c.builder(n.name, n.span, place{})
		spec := n.decl.Feed(n.config, b)
		if c.settle(b, place{made: true}) {
			c.plan.Control = append(c.plan.Control, plan.Feed{Name: n.name, Kind: n.kind, Spec: spec, Signature: n.signature, Span: n.span})
		}
	}
}
