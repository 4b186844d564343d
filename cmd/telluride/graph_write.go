package main

import (
	"fmt"
	"strings"

	"github.com/telluride-stream/telluride/engine/plan"
)

// maxText bounds a text in a box or on an arrow.
const maxText = 60

// writeMermaid is the drawing as a Mermaid flow chart.
func writeMermaid(d *plan.Drawing) string {
	var b strings.Builder
	b.WriteString("flowchart LR\n")
	fmt.Fprintf(&b, "  subgraph flow[%s]\n", mermaidText(d.Name))
	for _, x := range d.Boxes {
		open, shut := mermaidShape(x.Look)
		fmt.Fprintf(&b, "    %s%s%s%s\n", x.ID, open, mermaidBox(x), shut)
	}
	for _, e := range d.Edges {
		if e.Label == "" {
			fmt.Fprintf(&b, "    %s --> %s\n", e.From, e.To)
			continue
		}
		fmt.Fprintf(&b, "    %s -->|%s| %s\n", e.From, mermaidText(cut(e.Label, maxText)), e.To)
	}
	b.WriteString("  end\n")
	for _, x := range d.Sides {
		open, shut := mermaidShape(x.Look)
		fmt.Fprintf(&b, "  %s%s%s%s\n", x.ID, open, mermaidBox(x), shut)
		fmt.Fprintf(&b, "  flow -.->|%s| %s\n", mermaidText(x.Label), x.ID)
		fmt.Fprintf(&b, "  style %s stroke-dasharray: 5 5\n", x.ID)
	}
	return b.String()
}

func mermaidShape(l plan.Look) (open, shut string) {
	switch l {
	case plan.LookEnd:
		return "([", "])"
	case plan.LookPartition:
		return "{{", "}}"
	case plan.LookRoute:
		return "{", "}"
	}
	return "[", "]"
}

func mermaidBox(x plan.Box) string {
	text := escapeMermaid(cut(x.Title, maxText))
	if x.Text != "" {
		text += "<br/>" + escapeMermaid(cut(x.Text, maxText))
	}
	return `"` + text + `"`
}

func mermaidText(s string) string { return `"` + escapeMermaid(s) + `"` }

// escapeMermaid writes what Mermaid or HTML would read as their own as entity
// codes, which Mermaid writes #…;.
func escapeMermaid(s string) string {
	return strings.NewReplacer(
		"#", "#35;", `"`, "#quot;", "<", "#lt;", ">", "#gt;", "&", "#amp;", "`", "#96;", "|", "#124;", "\n", " ", "\r", " ",
	).Replace(s)
}

// writeDOT is the drawing in Graphviz's language.
func writeDOT(d *plan.Drawing) string {
	var b strings.Builder
	fmt.Fprintf(&b, "digraph %s {\n", quoteDOT(d.Name))
	b.WriteString("  rankdir=LR; compound=true; fontname=\"sans-serif\";\n")
	b.WriteString("  node [shape=box, fontname=\"sans-serif\"]; edge [fontname=\"sans-serif\", fontsize=10];\n")
	fmt.Fprintf(&b, "  subgraph cluster_flow {\n    label=%s;\n", quoteDOT(d.Name))
	for _, x := range d.Boxes {
		fmt.Fprintf(&b, "    %s [label=%s%s];\n", x.ID, labelDOT(x), shapeDOT(x.Look))
	}
	for _, e := range d.Edges {
		label := ""
		if e.Label != "" {
			label = " [label=" + quoteDOT(cut(e.Label, maxText)) + "]"
		}
		fmt.Fprintf(&b, "    %s -> %s%s;\n", e.From, e.To, label)
	}
	b.WriteString("  }\n")
	for _, x := range d.Sides {
		fmt.Fprintf(&b, "  %s [label=%s%s, style=dashed];\n", x.ID, labelDOT(x), shapeDOT(x.Look))
		fmt.Fprintf(&b, "  %s -> %s [label=%s, style=dashed, ltail=cluster_flow];\n", d.Boxes[0].ID, x.ID, quoteDOT(x.Label))
	}
	b.WriteString("}\n")
	return b.String()
}

func shapeDOT(l plan.Look) string {
	switch l {
	case plan.LookEnd:
		return ", shape=cylinder"
	case plan.LookPartition:
		return ", shape=hexagon"
	case plan.LookRoute:
		return ", shape=diamond"
	}
	return ""
}

func labelDOT(x plan.Box) string {
	text := cut(x.Title, maxText)
	if x.Text != "" {
		text += "\n" + cut(x.Text, maxText)
	}
	return quoteDOT(text)
}

func quoteDOT(s string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`, "\r", "").Replace(s) + `"`
}
