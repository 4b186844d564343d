package flowtest

import (
	"fmt"
	"strings"

	"github.com/telluride-stream/telluride/engine/plan"
)

// whereabouts says in words where a message went that was seen last at a
// place, "" for nowhere, and into which stage from there.
func whereabouts(p *plan.Plan, seen string) string {
	next, _ := after(p.Nodes, seen, "")
	switch {
	case strings.HasPrefix(seen, leftAt):
		return "left " + strings.TrimPrefix(seen, leftAt)
	case seen == "" && next == "":
		return "was not seen at any stage"
	case seen == "":
		return fmt.Sprintf("went into %s and did not come out", next)
	case next == "":
		return fmt.Sprintf("was seen last behind %s, the last one", seen)
	}
	return fmt.Sprintf("was seen last behind %s; it went into %s and did not come out", seen, next)
}

// leftAt begins the place of a message that became a dead letter or late.
const leftAt = "left "

// after is the stage that stands behind the tap of a place; "" when that is the
// last. follows is what stands behind all of nodes.
func after(nodes []plan.Node, seen, follows string) (next string, found bool) {
	found = seen == ""
	for i, n := range nodes {
		if name := stageOf(n); name != "" && found {
			return name, true
		}
		switch n := n.(type) {
		case *plan.Operator:
			found = found || n.Kind == tapKind && seen == placeOf(n.Name)
		case *plan.Route:
			behind, _ := after(nodes[i+1:], "", follows)
			for _, b := range n.Branches {
				if len(b.Sinks) > 0 {
					behind = ""
				}
				if next, ok := after(b.Nodes, seen, behind); ok {
					return next, true
				}
			}
		}
	}
	return follows, found
}

// stageOf names a node in messages, "" for one that the file does not have.
func stageOf(n plan.Node) string {
	switch n := n.(type) {
	case *plan.Operator:
		if n.Kind != tapKind {
			return fmt.Sprintf("stage %q", n.Name)
		}
	case *plan.Partition:
		if !n.Implied {
			return fmt.Sprintf("stage %q", n.Name)
		}
	case *plan.Route:
		return fmt.Sprintf("route %q", n.Name)
	}
	return ""
}

// placeOf is the place of a tap: `stage "clean"` for "stage clean".
func placeOf(tap string) string {
	kind, name, _ := strings.Cut(tap, " ")
	return fmt.Sprintf("%s %q", kind, name)
}
