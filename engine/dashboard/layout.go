package dashboard

import (
	"cmp"
	"fmt"
	"html/template"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/telluride-stream/telluride/engine/plan"
)

// Sizes of the graph, in pixels.
const (
	boxWidth, boxHeight = 172, 82
	gapAlong            = 28 // between columns; in rows, between boxes
	gapAcross           = 20
	labelRoom           = 92 // more between columns where arrows have labels
	lineRoom            = 26 // the same between rows
	margin              = 12
)

// graph is a drawing with places.
type graph struct {
	ID            string
	Width, Height int
	Boxes         []placed
	Edges         []routed
}

type placed struct {
	plan.Box
	X, Y int
}

// routed is an arrow with its path.
type routed struct {
	plan.Arrow
	Path           string
	LabelX, LabelY int
}

// layout gives every box a place: as far from the sources as the longest way
// to it has boxes, and near the boxes that lead to it. tall is from top to
// bottom, else from left to right.
func layout(d *plan.Drawing, tall bool) *graph {
	boxes := append(slices.Clone(d.Boxes), d.Sides...)
	at := map[string]int{}
	for i, b := range boxes {
		at[b.ID] = i
	}
	depth, parents := ranks(boxes, d.Edges, at, tall)
	columns := make([][]int, slices.Max(append(depth, 0))+1)
	for i, n := range depth {
		columns[n] = append(columns[n], i)
	}
	unit := boxHeight + gapAcross
	if tall {
		unit = boxWidth + gapAcross
	}
	across := spread(columns, parents, unit)
	g := &graph{ID: "wide"}
	long, gap, room := boxWidth, gapAlong, labelRoom
	if tall {
		g.ID, long, room = "tall", boxHeight, lineRoom
	}
	offsets := make([]int, len(columns))
	for n := range columns {
		if n == 0 {
			offsets[n] = margin
			continue
		}
		offsets[n] = offsets[n-1] + long + gap
		if labelled(d.Edges, depth, at, n) {
			offsets[n] += room
		}
	}
	for i, b := range boxes {
		p := placed{Box: b, X: offsets[depth[i]], Y: margin + across[i]}
		if tall {
			p.X, p.Y = margin+across[i], offsets[depth[i]]
		}
		g.Boxes = append(g.Boxes, p)
		g.Width, g.Height = max(g.Width, p.X+boxWidth+margin), max(g.Height, p.Y+boxHeight+margin)
	}
	for _, e := range d.Edges {
		g.Edges = append(g.Edges, route(e, g.Boxes[at[e.From]], g.Boxes[at[e.To]], tall))
	}
	return g
}

// ranks is how far from the sources each box is, and which boxes lead to it.
// Boxes stand behind those that lead to them. Dead letters and late records
// stand with the sinks, or in a tall graph below them.
func ranks(boxes []plan.Box, edges []plan.Arrow, at map[string]int, tall bool) (depth []int, parents [][]int) {
	depth, parents = make([]int, len(boxes)), make([][]int, len(boxes))
	deepest := 0
	for _, e := range edges {
		from, to := at[e.From], at[e.To]
		depth[to] = max(depth[to], depth[from]+1)
		parents[to] = append(parents[to], from)
		deepest = max(deepest, depth[to])
	}
	if tall {
		deepest++
	}
	for i, b := range boxes {
		if b.Label != "" {
			depth[i] = deepest
		}
	}
	return depth, parents
}

func labelled(edges []plan.Arrow, depth []int, at map[string]int, column int) bool {
	return slices.ContainsFunc(edges, func(e plan.Arrow) bool { return e.Label != "" && depth[at[e.To]] == column })
}

// spread gives the boxes of each column their place across, at least a unit
// apart, in the middle of what leads to them.
func spread(columns [][]int, parents [][]int, unit int) map[int]int {
	across := map[int]int{}
	lowest := 0
	for _, column := range columns {
		want := map[int]int{}
		for _, i := range column {
			for _, p := range parents[i] {
				want[i] += across[p] / len(parents[i])
			}
			if len(parents[i]) == 0 && len(across) > 0 {
				want[i] = 1 << 20 // a side: below the others
			}
		}
		slices.SortStableFunc(column, func(a, b int) int { return cmp.Compare(want[a], want[b]) })
		shift, n := 0, 0
		for k, i := range column {
			across[i] = want[i]
			if want[i] == 1<<20 {
				across[i] = 0
			}
			if k > 0 {
				across[i] = max(across[i], across[column[k-1]]+unit)
			}
			if len(parents[i]) > 0 {
				shift, n = shift+across[i]-want[i], n+1
			}
		}
		for _, i := range column {
			if n > 0 {
				across[i] -= shift / n
			}
			lowest = min(lowest, across[i])
		}
	}
	for i := range across {
		across[i] -= lowest
	}
	return across
}

// route is a curve from the end of one box to the beginning of another.
func route(e plan.Arrow, from, to placed, tall bool) routed {
	r := routed{Arrow: e}
	if tall {
		x1, y1, x2, y2 := from.X+boxWidth/2, from.Y+boxHeight, to.X+boxWidth/2, to.Y-5
		bend := (y2 - y1) / 2
		r.Path = fmt.Sprintf("M%d %dC%d %d %d %d %d %d", x1, y1, x1, y1+bend, x2, y2-bend, x2, y2)
		r.LabelX, r.LabelY = to.X+boxWidth/2, y2-12
		return r
	}
	x1, y1, x2, y2 := from.X+boxWidth, from.Y+boxHeight/2, to.X-5, to.Y+boxHeight/2
	bend := min(36, (x2-x1)/2)
	r.Path = fmt.Sprintf("M%d %dC%d %d %d %d %d %d", x1, y1, x1+bend, y1, x2-bend, y2, x2, y2)
	r.LabelX, r.LabelY = (x1+x2)/2, to.Y+boxHeight/2-7
	if y2 > y1 {
		r.LabelY = y2 + 15
	}
	return r
}

var functions = template.FuncMap{
	"short":  func(version string) string { return version[:min(len(version), 12)] },
	"cut":    cut,
	"add":    func(a, b int) int { return a + b },
	"number": func(x *float64) string { return strconv.FormatFloat(*x, 'f', -1, 64) },
	"first":  func(label string) string { name, _, _ := strings.Cut(label, ":"); return name },
	"iso":    func(t time.Time) string { return t.UTC().Format(time.RFC3339) },
	// What the heading leaves of a line.
	"subheading": func(b plan.Box) string {
		if b.Name == b.Kind {
			return ""
		}
		return cut(max(4, 20-utf8.RuneCountInString(b.Kind)), b.Name)
	},
	// What a box does: of a partition its key too, which its title has elsewhere.
	"what": func(b plan.Box) string {
		if b.Look == plan.LookPartition {
			return strings.TrimPrefix(b.Title, "partition ") + ", " + b.Text
		}
		return b.Text
	},
}

// cut shortens a text to n characters.
func cut(n int, text string) string {
	if utf8.RuneCountInString(text) <= n {
		return text
	}
	return string([]rune(text)[:n-1]) + "…"
}
