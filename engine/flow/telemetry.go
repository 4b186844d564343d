package flow

import (
	"time"

	"gopkg.in/yaml.v3"

	"github.com/telluride-stream/telluride/engine/conf"
	"github.com/telluride-stream/telluride/engine/expr"
	"github.com/telluride-stream/telluride/engine/plan"
	"github.com/telluride-stream/telluride/engine/record"
	"github.com/telluride-stream/telluride/engine/telemetry/wire"
)

// telemetryConfig is the block `telemetry`.
type telemetryConfig struct {
	interval          time.Duration
	nodes, throughput *yaml.Node
}

func (t *telemetryConfig) bind(f *conf.Fields) {
	f.Duration(&t.interval, "interval", time.Second, "How often.").Min(10 * time.Millisecond)
	part(f, &t.nodes, "nodes", "A sink for what each node (a source, stage or sink in one lane) does: a message for every node that had something to do since the last time. Exactly one kind of sink.", "telemetry_sink", func(*conf.Fields) {})
	part(f, &t.throughput, "throughput", "A sink for how many messages the flow is done with, and how many of them failed: one message each time, once there is something to tell. Exactly one kind of sink.", "telemetry_sink", func(*conf.Fields) {})
	f.Check(func() (message, advice string) {
		if t.nodes == nil && t.throughput == nil && !f.Describing() {
			return "nothing is published", "add nodes or throughput, each with a sink such as rabbitmq, or remove telemetry"
		}
		return "", ""
	})
}

// telemetrySlot is a place for a sink of telemetry: it has no name, and no
// deadline, since what it cannot take is dropped.
func telemetrySlot() slot {
	s := sinkSlot()
	s.common = conf.Describe(func(*conf.Fields) {})
	return s
}

// telemetryNode is a decoded sink of telemetry.
type telemetryNode struct {
	sinkNode
	signature string
	messages  *wire.Form
}

func (c *compiler) decodeTelemetry(n *yaml.Node, name string, messages *wire.Form) *telemetryNode {
	if n == nil {
		return nil
	}
	d := &telemetryNode{sinkNode: sinkNode{name: name}, messages: messages}
	s := telemetrySlot()
	e := c.open(n, s, func(*conf.Fields) {})
	d.kind, d.span = e.kind, e.span
	if e.kind != "" {
		d.decl, _ = s.find(c.registry, e.kind)
		d.config = d.decl.Decode(e.fields)
		d.signature = c.signature(e.kind, e.value)
	}
	d.sound = e.finish()
	return d
}

// buildTelemetry builds the sinks of telemetry. Their records have a layout of
// their own, and nothing in common with those of the flow.
func (c *compiler) buildTelemetry(t *telemetryConfig, nodes, throughput *telemetryNode) {
	if nodes == nil && throughput == nil {
		return
	}
	c.plan.Telemetry = &plan.Telemetry{
		Interval: t.interval, Nodes: c.buildTelemetrySink(nodes), Throughput: c.buildTelemetrySink(throughput),
	}
}

func (c *compiler) buildTelemetrySink(n *telemetryNode) *plan.TelemetrySink {
	if n == nil || !n.sound {
		return nil
	}
	schema := &expr.Schema{}
	for _, f := range n.messages.Fields {
		schema = schema.With(f.Name, fieldType(f.Type))
	}
	layout := record.NewLayout()
	b := c.builder(n.name, n.span, place{schema: schema, meta: []string{}})
	b.Layout = layout
	spec := n.decl.Sink(n.config, b)
	if !c.settle(b, place{made: true}) {
		return nil
	}
	return &plan.TelemetrySink{Name: n.name, Kind: n.kind, Spec: spec, Signature: n.signature, Layout: layout, Span: n.span}
}

func fieldType(t wire.Type) expr.Type {
	switch t {
	case wire.Int:
		return expr.Int
	case wire.Float:
		return expr.Float
	case wire.Text:
		return expr.String
	}
	return expr.Any
}
