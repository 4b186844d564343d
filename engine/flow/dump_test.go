package flow_test

import (
	"fmt"
	"strings"

	"github.com/telluride-stream/telluride/engine/diag"
	"github.com/telluride-stream/telluride/engine/plan"
	"github.com/telluride-stream/telluride/engine/record"
)

// dump is a plan as text, complete but for what kinds keep to themselves.
func dump(p *plan.Plan, warnings diag.List) string {
	var b strings.Builder
	fmt.Fprintf(&b, "flow %s: tick %v, checkpoint %v, stateful %v, batch %d, durability %s\n",
		p.Name, p.Tick, p.Checkpoint, p.Stateful, p.Batch, p.Durability)
	var slots []string
	for i := range p.Layout.Len() {
		slots = append(slots, p.Layout.Path(record.Slot(i)).String())
	}
	fmt.Fprintf(&b, "slots %s; %d read\n", strings.Join(slots, " "), p.Reads)
	for _, v := range p.Params {
		fmt.Fprintf(&b, "param %s = %s %s (%s)\n", v.Name, v.Value.Kind(), v.Value.Text(), v.From)
	}
	for _, s := range p.Sources {
		fmt.Fprintf(&b, "source %s (%s)", s.Name, s.Kind)
		if s.Rate > 0 {
			fmt.Fprintf(&b, " rate %d per %v", s.Rate, s.Per)
		}
		if t := s.Time; t.Event {
			fmt.Fprintf(&b, " time %s=%s %s out_of_order %v idle %v max_ahead %v", t.Field, p.Layout.Path(t.Slot), t.Layout, t.OutOfOrder, t.Idle, t.MaxAhead)
		}
		b.WriteString("\n")
	}
	nodes(&b, p.Nodes, "")
	sinks(&b, "sink", p.Sinks, "")
	if p.Dead != nil {
		sinks(&b, "dead", []plan.Sink{*p.Dead}, "")
	}
	if p.Late != nil {
		sinks(&b, "late", []plan.Sink{*p.Late}, "")
	}
	for _, f := range p.Control {
		fmt.Fprintf(&b, "control %s (%s) %s\n", f.Name, f.Kind, f.Spec.Text)
	}
	if t := p.Telemetry; t != nil {
		fmt.Fprintf(&b, "telemetry every %v\n", t.Interval)
		for _, s := range []*plan.TelemetrySink{t.Nodes, t.Throughput} {
			if s != nil {
				fmt.Fprintf(&b, "%s (%s) %d slots\n", s.Name, s.Kind, s.Layout.Len())
			}
		}
	}
	for _, w := range warnings {
		fmt.Fprintf(&b, "%s\n", w)
	}
	return b.String()
}

func nodes(b *strings.Builder, list []plan.Node, indent string) {
	for _, n := range list {
		switch n := n.(type) {
		case *plan.Operator:
			fmt.Fprintf(b, "%s%s (%s)", indent, n.Name, n.Kind)
			if n.FlushAlways {
				b.WriteString(" flush always")
			}
			if n.OnChange != "" {
				b.WriteString(" on change " + n.OnChange)
			}
			b.WriteString("\n")
		case *plan.Partition:
			fmt.Fprintf(b, "%s%s (partition) by [%s] lanes %d implied %v\n", indent, n.Name, n.Key.Text(), n.Lanes, n.Implied)
		case *plan.Route:
			fmt.Fprintf(b, "%s%s (route) all %v in place %v\n", indent, n.Name, n.All, n.InPlace)
			for _, branch := range n.Branches {
				fmt.Fprintf(b, "%s  branch %s when %v\n", indent, branch.Name, branch.When != nil)
				nodes(b, branch.Nodes, indent+"    ")
				sinks(b, "sink", branch.Sinks, indent+"    ")
			}
		}
	}
}

func sinks(b *strings.Builder, what string, list []plan.Sink, indent string) {
	for _, s := range list {
		fmt.Fprintf(b, "%s%s %s (%s) deadline %v\n", indent, what, s.Name, s.Kind, s.Deadline)
	}
}
