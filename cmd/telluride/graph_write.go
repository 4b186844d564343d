package main

import (
	"fmt"
	"strings"
)

// maxText bounds a text in a box or on an arrow.
const maxText = 60

// writeMermaid is the drawing as a Mermaid flow chart.
func writeMermaid(d *drawing) string {
	var b strings.Builder
	b.WriteString("flowchart LR\n")
	fmt.Fprintf(&b, "  subgraph flow[%s]\n", mermaidText(d.name))
	for _, x := range d.boxes {
		open, shut := mermaidShape(x.look)
		fmt.Fprintf(&b, "    %s%s%s%s\n", x.id, open, mermaidBox(x), shut)
	}
	for _, e := range d.edges {
		if e.label == "" {
			fmt.Fprintf(&b, "    %s --> %s\n", e.from, e.to)
			continue
		}
		fmt.Fprintf(&b, "    %s -->|%s| %s\n", e.from, mermaidText(cut(e.label, maxText)), e.to)
	}
	b.WriteString("  end\n")
	for _, x := range d.sides {
		open, shut := mermaidShape(x.look)
		fmt.Fprintf(&b, "  %s%s%s%s\n", x.id, open, mermaidBox(x), shut)
		fmt.Fprintf(&b, "  flow -.->|%s| %s\n", mermaidText(x.label), x.id)
		fmt.Fprintf(&b, "  style %s stroke-dasharray: 5 5\n", x.id)
	}
	return b.String()
}

func mermaidShape(l look) (open, shut string) {
	switch l {
	case lookEnd:
		return "([", "])"
	case lookPartition:
		return "{{", "}}"
	case lookRoute:
		return "{", "}"
	}
	return "[", "]"
}

func mermaidBox(x box) string {
	text := escapeMermaid(cut(x.title, maxText))
	if x.text != "" {
		text += "<br/>" + escapeMermaid(cut(x.text, maxText))
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
func writeDOT(d *drawing) string {
	var b strings.Builder
	fmt.Fprintf(&b, "digraph %s {\n", quoteDOT(d.name))
	b.WriteString("  rankdir=LR; compound=true; fontname=\"sans-serif\";\n")
	b.WriteString("  node [shape=box, fontname=\"sans-serif\"]; edge [fontname=\"sans-serif\", fontsize=10];\n")
	fmt.Fprintf(&b, "  subgraph cluster_flow {\n    label=%s;\n", quoteDOT(d.name))
	for _, x := range d.boxes {
		fmt.Fprintf(&b, "    %s [label=%s%s];\n", x.id, labelDOT(x), shapeDOT(x.look))
	}
	for _, e := range d.edges {
		label := ""
		if e.label != "" {
			label = " [label=" + quoteDOT(cut(e.label, maxText)) + "]"
		}
		fmt.Fprintf(&b, "    %s -> %s%s;\n", e.from, e.to, label)
	}
	b.WriteString("  }\n")
	for _, x := range d.sides {
		fmt.Fprintf(&b, "  %s [label=%s%s, style=dashed];\n", x.id, labelDOT(x), shapeDOT(x.look))
		fmt.Fprintf(&b, "  %s -> %s [label=%s, style=dashed, ltail=cluster_flow];\n", d.boxes[0].id, x.id, quoteDOT(x.label))
	}
	b.WriteString("}\n")
	return b.String()
}

func shapeDOT(l look) string {
	switch l {
	case lookEnd:
		return ", shape=cylinder"
	case lookPartition:
		return ", shape=hexagon"
	case lookRoute:
		return ", shape=diamond"
	}
	return ""
}

func labelDOT(x box) string {
	text := cut(x.title, maxText)
	if x.text != "" {
		text += "\n" + cut(x.text, maxText)
	}
	return quoteDOT(text)
}

func quoteDOT(s string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`, "\r", "").Replace(s) + `"`
}
