package plan

import (
	"fmt"

	"github.com/telluride-stream/telluride/engine/stage"
)

// Drawing is a plan as boxes and arrows.
type Drawing struct {
	Name  string  `json:"name"`
	Boxes []Box   `json:"boxes"`
	Edges []Arrow `json:"edges"`
	// Sides take dead letters and late records, from anywhere.
	Sides []Box `json:"sides"`
}

// Look is what a box stands for.
type Look string

const (
	LookEnd       Look = "end"       // a source or sink
	LookStage     Look = "stage"     // an operator
	LookPartition Look = "partition" // spreads records over lanes
	LookRoute     Look = "route"     // sends them different ways
)

// Box is a source, a node or a sink.
type Box struct {
	ID   string `json:"id"`
	Look Look   `json:"look"`
	// Row is the kind under which the box is counted: source, sink, or the
	// kind of the stage; "" when it is not counted.
	Row  string `json:"row"`
	Kind string `json:"kind"`
	Name string `json:"name"`
	// Title is kind and name; Text says what it does. Label is for the arrow
	// to a side.
	Title string `json:"title"`
	Text  string `json:"text,omitempty"`
	Label string `json:"label,omitempty"`
	// Lanes is the number of lanes that a partition makes.
	Lanes int `json:"lanes,omitempty"`
	// Keyed says that the stage keeps values by key that can be looked at.
	Keyed bool `json:"keyed,omitempty"`
	// Node is what was drawn: *Operator, *Partition or *Route; nil for an end.
	Node Node `json:"-"`
}

// Place names the place where records that pass the box can be looked at: in
// front of a sink, behind everything else.
func (b Box) Place() string {
	if b.Row == "source" || b.Row == "sink" {
		return b.Row + "/" + b.Name
	}
	return b.Name
}

// Arrow leads from one box to another.
type Arrow struct {
	From  string `json:"from"`
	To    string `json:"to"`
	Label string `json:"label,omitempty"`
}

// end is where an arrow to the next box begins.
type end struct{ from, label string }

// Draw makes the drawing of a plan.
func Draw(p *Plan) *Drawing {
	d := &Drawing{Name: p.Name, Boxes: []Box{}, Edges: []Arrow{}, Sides: []Box{}}
	var open []end
	for _, s := range p.Sources {
		id := d.box(Box{Look: LookEnd, Row: "source", Kind: s.Kind, Name: s.Name, Title: titled(s.Kind, s.Name), Text: s.Spec.Text}, nil)
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
func (d *Drawing) box(b Box, open []end) string {
	b.ID = fmt.Sprintf("n%d", len(d.Boxes)+1)
	d.Boxes = append(d.Boxes, b)
	for _, e := range open {
		d.Edges = append(d.Edges, Arrow{e.from, b.ID, e.label})
	}
	return b.ID
}

func (d *Drawing) side(s *Sink, label string) {
	d.Sides = append(d.Sides, Box{
		ID: fmt.Sprintf("s%d", len(d.Sides)+1), Look: LookEnd, Row: "sink", Kind: s.Kind, Name: s.Name,
		Title: titled(s.Kind, s.Name), Text: s.Spec.Text, Label: label,
	})
}

func (d *Drawing) sinks(sinks []Sink, open []end) {
	for _, s := range sinks {
		d.box(Box{Look: LookEnd, Row: "sink", Kind: s.Kind, Name: s.Name, Title: titled(s.Kind, s.Name), Text: s.Spec.Text}, open)
	}
}

// nodes draws a chain of nodes behind the open ends and returns its own.
func (d *Drawing) nodes(nodes []Node, open []end) []end {
	for _, n := range nodes {
		switch n := n.(type) {
		case *Operator:
			open = []end{{from: d.box(Box{
				Look: LookStage, Row: n.Kind, Kind: n.Kind, Name: n.Name, Title: titled(n.Kind, n.Name), Text: n.Spec.Text, Keyed: keyed(n), Node: n,
			}, open)}}
		case *Partition:
			b := Box{Look: LookPartition, Row: "partition", Kind: "partition", Name: n.Name, Title: partitionTitle(n), Text: lanes(n.Lanes), Lanes: n.Lanes, Node: n}
			if n.Implied {
				b.Row = ""
			}
			open = []end{{from: d.box(b, open)}}
		case *Route:
			open = d.route(n, open)
		}
	}
	return open
}

// keyed says whether an operator has values by key to look at.
func keyed(n *Operator) bool {
	if n.Spec.RecordWise || !n.Spec.Stateful {
		return false
	}
	_, ok := n.Spec.New().(stage.Viewer)
	return ok
}

func lanes(n int) string {
	if n == 1 {
		return "1 lane"
	}
	return fmt.Sprintf("%d lanes", n)
}

func partitionTitle(n *Partition) string {
	if n.Key.Len() == 0 {
		return "all records together"
	}
	return "partition by " + n.Key.Text()
}

func (d *Drawing) route(n *Route, open []end) []end {
	match := "first match"
	if n.All {
		match = "all matches"
	}
	id := d.box(Box{Look: LookRoute, Row: "route", Kind: "route", Name: n.Name, Title: titled("route", n.Name), Text: match, Node: n}, open)
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
