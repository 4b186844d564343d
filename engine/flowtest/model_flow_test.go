package flowtest_test

import (
	"fmt"
	"slices"
	"strings"

	"pgregory.net/rapid"

	"github.com/telluride-stream/telluride/engine/flowtest"
)

// The model says what must become of each message of a random flow. It knows
// nothing of lanes, batches, epochs or sessions: it takes the messages one by
// one, in the order in which they were fed.

// fact is a message.
type fact struct {
	id, v  int
	k, e   string // the key, and an id that several messages may have
	at     int    // seconds of event time
	broken bool
	tag    int // that was set for certain when it was fed
}

func (f *fact) payload() string {
	if f.broken {
		return fmt.Sprintf(`{"id":%d,"k":`, f.id)
	}
	return fmt.Sprintf(`{"id":%d,"k":"%s","e":"%s","v":%d,"at":%d}`, f.id, f.k, f.e, f.v, flowtest.DefaultBase.Unix()+int64(f.at))
}

// modelFlow is a random flow.
type modelFlow struct {
	queue, ids bool // a queue, whose messages have ids; else a file
	prefetch   int
	disorder   int // seconds by which times may be out of order
	dead, late bool
	nodes      []modelNode
	window     string   // "", tumbling or global: behind the nodes
	after      []string // stages behind the window
	poison     bool     // the sink main refuses some records for good
	// secret is a stage that the model does not know: what a bug would be.
	secret string
}

// modelNode is a stage.
type modelNode struct {
	kind, yaml string
	n          int // the number that a stage is about
	low, rest  []modelNode
	sink       bool // records of the branch low go to a sink of their own
}

func drawFlow(t *rapid.T) *modelFlow {
	f := &modelFlow{queue: rapid.Bool().Draw(t, "queue"), disorder: rapid.SampledFrom([]int{0, 3, 20}).Draw(t, "disorder")}
	if f.queue {
		f.ids = rapid.Bool().Draw(t, "ids")
		f.prefetch = rapid.SampledFrom([]int{1, 3, 10, 1000}).Draw(t, "prefetch")
	}
	f.dead, f.late = rapid.Bool().Draw(t, "dead letters"), rapid.Bool().Draw(t, "late")
	f.nodes = drawNodes(t, 0)
	f.window = rapid.SampledFrom([]string{"", "tumbling", "global"}).Draw(t, "window")
	if f.window != "" && rapid.Bool().Draw(t, "behind") {
		f.after = []string{`batch: {size: "${params.size}", timeout: 2s}`}
	}
	f.poison = f.window == "" && rapid.IntRange(0, 3).Draw(t, "poison") == 0
	return f
}

func drawNodes(t *rapid.T, depth int) (nodes []modelNode) {
	kinds := []string{"filter", "assert", "set", "partition", "batch", "batch"}
	if depth == 0 {
		kinds = append(kinds, "dedupe", "route", "route")
	}
	seen := map[string]bool{}
	for range rapid.IntRange(0, 3).Draw(t, "nodes") {
		n := modelNode{kind: rapid.SampledFrom(kinds).Draw(t, "kind"), n: rapid.IntRange(0, 6).Draw(t, "n")}
		if n.kind == "dedupe" && (seen[n.kind] || seen["route"]) {
			// Behind a route whose branches hold records, it is not said which
			// of several with one id comes first.
			continue
		}
		seen[n.kind] = true
		switch n.kind {
		case "filter":
			n.yaml = fmt.Sprintf(`filter: "v != %d"`, n.n)
		case "assert":
			n.yaml = fmt.Sprintf(`assert: {that: "v != %d"}`, n.n)
		case "set":
			n.yaml = fmt.Sprintf(`set: {w: "v + %d"}`, n.n)
		case "partition":
			n.yaml = `partition: {by: k, lanes: "${params.lanes}"}`
		case "batch":
			n.yaml = rapid.SampledFrom([]string{
				`batch: {size: "${params.size}", timeout: 1500ms}`, `batch: {size: 4, timeout: 1h}`, `batch: {size: 2, timeout: 700ms, by: k}`,
			}).Draw(t, "batch")
		case "dedupe":
			n.yaml = `dedupe: {by: e, within: 1h}`
		case "route":
			n.low, n.rest, n.sink = drawNodes(t, 1), drawNodes(t, 1), rapid.Bool().Draw(t, "own sink")
		}
		nodes = append(nodes, n)
	}
	return nodes
}

// yaml is the flow file.
func (f *modelFlow) yaml() string {
	var b strings.Builder
	b.WriteString("name: model\nparams: {lanes: {default: 2, min: 1, max: 8}, size: {default: 3, min: 1, max: 100}, tag: 0}\n")
	if f.queue {
		fmt.Fprintf(&b, "source:\n  rabbitmq: {queue: q, prefetch: %d, declare: {dead_letter: {exchange: x}}}\n", f.prefetch)
	} else {
		b.WriteString("source:\n  file: {path: in.ndjson, follow: true}\n")
	}
	fmt.Fprintf(&b, "  time: {field: at, out_of_order: %ds}\nstages:\n  - set: {tag: \"params.tag\"}\n", f.disorder)
	if f.secret != "" {
		fmt.Fprintf(&b, "  - name: secret\n    %s\n", f.secret)
	}
	f.writeNodes(&b, f.nodes, "  ", new(int))
	switch f.window {
	case "tumbling":
		b.WriteString("  - name: totals\n    window: {by: k, tumbling: 10s, aggregate: {n: \"count()\", sum: \"sum(v)\", squares: \"sum(id * id)\", ids: \"collect(id)\"}}\n")
	case "global":
		b.WriteString("  - name: totals\n    window: {by: k, global: true, emit: {every: 24h}, aggregate: {n: \"count()\", sum: \"sum(v)\", squares: \"sum(id * id)\", ids: \"collect(id)\"}}\n")
	}
	for i, s := range f.after {
		fmt.Fprintf(&b, "  - name: after%d\n    %s\n", i, s)
	}
	b.WriteString("sink: {name: main, file: {path: out.ndjson}}\n")
	if f.dead {
		b.WriteString("dead_letter: {file: {path: dead.ndjson}}\n")
	}
	if f.late {
		b.WriteString("late: {file: {path: late.ndjson}}\n")
	}
	return b.String()
}

func (f *modelFlow) writeNodes(b *strings.Builder, nodes []modelNode, indent string, count *int) {
	for _, n := range nodes {
		*count++
		fmt.Fprintf(b, "%s- name: n%d\n", indent, *count)
		if n.kind != "route" {
			fmt.Fprintf(b, "%s  %s\n", indent, n.yaml)
			continue
		}
		name := *count
		fmt.Fprintf(b, "%s  route:\n%s    branches:\n", indent, indent)
		for _, branch := range []struct {
			name, when string
			nodes      []modelNode
			sink       bool
		}{{"low", fmt.Sprintf(`when: "v < %d"`, n.n), n.low, n.sink}, {"rest", "otherwise: true", n.rest, false}} {
			fmt.Fprintf(b, "%s      - name: %s%d\n%s        %s\n", indent, branch.name, name, indent, branch.when)
			if len(branch.nodes) > 0 {
				fmt.Fprintf(b, "%s        stages:\n", indent)
				f.writeNodes(b, branch.nodes, indent+"          ", count)
			}
			if branch.sink {
				fmt.Fprintf(b, "%s        sink: {name: own%d, file: {path: own%d.ndjson}}\n", indent, name, name)
			}
		}
	}
}

// sinks are the names of all sinks that may fail.
func (f *modelFlow) sinks() []string {
	all := []string{"main"}
	count := 0
	var visit func(nodes []modelNode)
	visit = func(nodes []modelNode) {
		for _, n := range nodes {
			count++
			if n.kind != "route" {
				continue
			}
			if n.sink {
				all = append(all, fmt.Sprintf("own%d", count))
			}
			visit(n.low)
			visit(n.rest)
		}
	}
	visit(f.nodes)
	if f.dead {
		all = append(all, "dead_letter")
	}
	if f.late {
		all = append(all, "late")
	}
	return all
}

// fate is what must become of a message.
type fate struct {
	*fact
	sink string // that it arrives at; "": none
	dead bool
	late bool
	w    int    // the field w; -1: it has none
	path string // records of a key keep their order on one path
	in   *total // the window that it counts in
}

// total is the result of a window.
type total struct {
	k          string
	start      int // seconds; of a tumbling window
	n, sum     int
	ids        []int
	deliveries int // not the model's: how often it came
}

// judge says what must become of messages.
func (f *modelFlow) judge(facts []fact) (fates []fate, totals []*total) {
	j := judge{flow: f, seen: map[string]bool{}, mark: -1 << 30, open: map[string]*total{}}
	for i := range facts {
		fates = append(fates, j.one(&facts[i]))
	}
	return fates, j.totals
}

type judge struct {
	flow   *modelFlow
	seen   map[string]bool // ids that dedupe has seen
	mark   int             // the watermark
	open   map[string]*total
	totals []*total
}

func (j *judge) one(m *fact) fate {
	one := fate{fact: m, w: -1}
	if m.broken {
		one.dead = true
		return one
	}
	j.mark = max(j.mark, m.at-j.flow.disorder)
	goes := j.walk(j.flow.nodes, &one, new(int))
	switch {
	case !goes:
	case j.flow.window != "":
		j.count(&one)
	case j.flow.poison && m.id%5 == 3:
		one.dead = true
	default:
		one.sink = "main"
	}
	return one
}

func (j *judge) walk(nodes []modelNode, one *fate, count *int) (goes bool) {
	for _, n := range nodes {
		*count++
		switch n.kind {
		case "filter":
			if one.v == n.n {
				return false
			}
		case "assert":
			if one.v == n.n {
				one.dead = true
				return false
			}
		case "set":
			one.w = one.v + n.n
		case "dedupe":
			if j.seen[one.e] {
				return false
			}
			j.seen[one.e] = true
			one.path += " " + one.e // equal ids keep their order, keys need not
		case "route":
			name := *count
			low := one.v < n.n
			branch, from := n.rest, name+sizeOf(n.low)
			if low {
				branch, from = n.low, name
			}
			one.path += fmt.Sprint(" ", low)
			if !j.walk(branch, one, &from) {
				return false
			}
			*count = name + sizeOf(n.low) + sizeOf(n.rest)
			if low && n.sink {
				one.sink = fmt.Sprintf("own%d", name)
				return false
			}
		}
	}
	return true
}

// sizeOf is how many stages there are in nodes, those of branches included.
func sizeOf(nodes []modelNode) (n int) {
	for _, one := range nodes {
		n += 1 + sizeOf(one.low) + sizeOf(one.rest)
	}
	return n
}

func (j *judge) count(one *fate) {
	start := 0
	if j.flow.window == "tumbling" {
		start = one.at / 10 * 10
		if start+10 <= j.mark {
			one.late = true
			return
		}
	}
	key := fmt.Sprint(one.k, start)
	w := j.open[key]
	if w == nil {
		w = &total{k: one.k, start: start}
		j.open[key] = w
		j.totals = append(j.totals, w)
	}
	w.n++
	w.sum += one.v
	w.ids = append(w.ids, one.id)
	slices.Sort(w.ids)
	one.in = w
}
