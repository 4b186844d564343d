package main

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/telluride-stream/telluride/engine/diag"
	"github.com/telluride-stream/telluride/engine/plan"
)

func newGraph(p *program) *cobra.Command {
	var s settings
	var format string
	c := &cobra.Command{
		Use:   "graph FLOW",
		Short: "Draw a flow, as Mermaid or DOT",
		Long: `Draws the plan of a flow: its sources, stages, partitions with their lanes,
routes with their branches, and sinks. Dead letters and late records are dashed.

Mermaid is shown by GitHub and GitLab in Markdown; DOT is for Graphviz.`,
		Example: `  telluride graph flows/quickstart.yaml
  telluride graph --format dot flows/quickstart.yaml | dot -Tsvg > quickstart.svg`,
		Args: func(c *cobra.Command, args []string) error {
			if len(args) != 1 {
				return fmt.Errorf("graph needs one flow file, as in: %s hello.yaml", c.CommandPath())
			}
			return nil
		},
		ValidArgsFunction: completeFlows,
		RunE: func(_ *cobra.Command, args []string) error {
			if err := oneOf("format", format, "mermaid", "dot"); err != nil {
				return err
			}
			flows, err := p.load(args, s)
			if err != nil {
				return err
			}
			if len(flows) != 1 {
				return fmt.Errorf("%s holds %s; graph draws one", args[0], plural(len(flows), "flow"))
			}
			f := flows[0]
			diag.Print(p.stderr, f.diags, map[string][]byte{f.file: f.src}, p.colour(p.stderr))
			if f.plan == nil {
				return &exitError{code: exitInvalid}
			}
			write := writeMermaid
			if format == "dot" {
				write = writeDOT
			}
			if _, err := io.WriteString(p.stdout, write(draw(f.plan))); err != nil {
				return failed(err)
			}
			return nil
		},
	}
	c.Flags().StringVar(&format, "format", "mermaid", "mermaid or dot")
	c.Flags().StringArrayVar(&s.set, "set", nil, "set a param: `name=value`")
	c.Flags().IntVar(&s.lanes, "lanes", 0, "lanes of every partition with a key; 0: what the flow says")
	return c
}

// drawing is a plan as boxes and arrows.
type drawing struct {
	name  string
	boxes []box
	edges []edge
	sides []box // dead letters and late records
}

type look uint8

const (
	lookEnd       look = iota // a source or sink
	lookStage                 // an operator
	lookPartition             // spreads records over lanes
	lookRoute                 // sends them different ways
)

type box struct {
	id   string
	look look
	// kind and name; text says what it does. label is for the edge to a side.
	title, text, label string
}

type edge struct {
	from, to, label string
}

// end is where an arrow to the next box begins.
type end struct {
	from, label string
}

// draw makes the drawing of a plan.
func draw(p *plan.Plan) *drawing {
	d := &drawing{name: p.Name}
	var open []end
	for _, s := range p.Sources {
		id := d.box(lookEnd, titled(s.Kind, s.Name), s.Spec.Text, nil)
		open = append(open, end{from: id})
	}
	d.sinks(p.Sinks, d.nodes(p.Nodes, open))
	if p.Dead != nil {
		d.side(p.Dead, "dead letters")
	}
	if p.Late != nil {
		d.side(p.Late, "late")
	}
	return d
}

// box adds a box, and arrows to it from the open ends.
func (d *drawing) box(l look, title, text string, open []end) string {
	id := fmt.Sprintf("n%d", len(d.boxes)+1)
	d.boxes = append(d.boxes, box{id: id, look: l, title: title, text: text})
	for _, e := range open {
		d.edges = append(d.edges, edge{e.from, id, e.label})
	}
	return id
}

func (d *drawing) side(s *plan.Sink, label string) {
	d.sides = append(d.sides, box{
		id: fmt.Sprintf("s%d", len(d.sides)+1), look: lookEnd,
		title: titled(s.Kind, s.Name), text: s.Spec.Text, label: label,
	})
}

func (d *drawing) sinks(sinks []plan.Sink, open []end) {
	for _, s := range sinks {
		d.box(lookEnd, titled(s.Kind, s.Name), s.Spec.Text, open)
	}
}

// nodes draws a chain of nodes behind the open ends and returns its own.
func (d *drawing) nodes(nodes []plan.Node, open []end) []end {
	for _, n := range nodes {
		switch n := n.(type) {
		case *plan.Operator:
			open = []end{{from: d.box(lookStage, titled(n.Kind, n.Name), n.Spec.Text, open)}}
		case *plan.Partition:
			id := d.box(lookPartition, partitionTitle(n), plural(n.Lanes, "lane"), open)
			open = []end{{from: id}}
		case *plan.Route:
			open = d.route(n, open)
		}
	}
	return open
}

func partitionTitle(n *plan.Partition) string {
	if n.Key.Len() == 0 {
		return "all records together"
	}
	return "partition by " + n.Key.Text()
}

func (d *drawing) route(n *plan.Route, open []end) []end {
	match := "first match"
	if n.All {
		match = "all matches"
	}
	id := d.box(lookRoute, titled("route", n.Name), match, open)
	var out []end
	for _, b := range n.Branches {
		when := "otherwise"
		if b.When != nil {
			when = b.When.String()
		}
		ends := d.nodes(b.Nodes, []end{{from: id, label: b.Name + ": " + when}})
		if len(b.Sinks) > 0 {
			d.sinks(b.Sinks, ends)
			continue
		}
		out = append(out, ends...)
	}
	return out
}

// titled is kind and name, where they differ.
func titled(kind, name string) string {
	if name == "" || name == kind {
		return kind
	}
	return kind + " " + name
}
