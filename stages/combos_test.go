package stages_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// doc is a record of a random flow as the oracle sees it.
type doc map[string]any

func (d doc) with(name string, v any) doc {
	d = maps.Clone(d)
	d[name] = v
	return d
}

// combo is a random flow, as text and as what it does with the whole input.
type combo struct {
	text  strings.Builder
	sinks map[string][]doc // what reaches each sink
	n     int              // for names
	// ordered says that equal keys keep their order on each way through the
	// flow: it is cut by a key other than k nowhere.
	ordered bool
}

func (c *combo) line(indent int, format string, args ...any) {
	fmt.Fprintf(&c.text, "%s%s\n", strings.Repeat("  ", indent), fmt.Sprintf(format, args...))
}

// stages draws stages and returns what passes them.
func (c *combo) stages(t *rapid.T, indent int, in []doc) []doc {
	for range rapid.IntRange(1, 3).Draw(t, "stages") {
		switch rapid.IntRange(0, 5).Draw(t, "stage") {
		case 0:
			by := rapid.SampledFrom([]string{"k", "k", "id % 3"}).Draw(t, "by")
			c.ordered = c.ordered && by == "k"
			c.line(indent, "- partition: {by: %q, lanes: 3}", by)
		case 1:
			c.line(indent, "- process:")
			in = c.step(t, indent+2, in)
			in = c.step(t, indent+2, in)
		case 2:
			in = c.batch(t, indent, in)
		case 3, 4:
			if indent < 7 {
				in = c.route(t, indent, in)
				continue
			}
			fallthrough
		default:
			in = c.step(t, indent, in)
		}
	}
	return in
}

// step draws a step that works on single records.
func (c *combo) step(t *rapid.T, indent int, in []doc) (out []doc) {
	c.n++
	if rapid.Bool().Draw(t, "filter") {
		limit := rapid.IntRange(-100, 900).Draw(t, "limit")
		c.line(indent, `- {name: keep_%d, filter: "x == nil || x > %d"}`, c.n, limit)
		for _, d := range in {
			if x, ok := d["x"].(float64); !ok || x > float64(limit) {
				out = append(out, d)
			}
		}
		return out
	}
	name := fmt.Sprintf("y%d", c.n)
	c.line(indent, `- {name: set_%d, set: {%s: "id * %d"}}`, c.n, name, c.n)
	for _, d := range in {
		out = append(out, d.with(name, d["id"].(float64)*float64(c.n)))
	}
	return out
}

func (c *combo) batch(t *rapid.T, indent int, in []doc) []doc {
	c.n++
	by := rapid.SampledFrom([]string{"", ", by: k"}).Draw(t, "batch by")
	size, timeout := rapid.IntRange(1, 40).Draw(t, "size"), rapid.SampledFrom([]string{"1ms", "100ms", "1h"}).Draw(t, "timeout")
	c.line(indent, `- {name: batch_%d, batch: {size: %d, timeout: %s%s}}`, c.n, size, timeout, by)
	return in
}

// route draws a route. Each of its branches leaves a field behind that says
// which way a record went: only on one way records keep their order.
func (c *combo) route(t *rapid.T, indent int, in []doc) (out []doc) {
	c.n++
	name := fmt.Sprintf("way%d", c.n)
	all := rapid.Bool().Draw(t, "all")
	match := "first"
	if all {
		match = "all"
	}
	c.line(indent, "- name: %s", name)
	c.line(indent, "  route:")
	c.line(indent, "    match: %s", match)
	c.line(indent, "    branches:")
	inPlace := rapid.Bool().Draw(t, "in place")
	taken := map[int]bool{} // indices in in
	branches := rapid.IntRange(1, 3).Draw(t, "branches")
	for b := range branches {
		modulo := rapid.IntRange(1, 3).Draw(t, "modulo")
		last := b == branches-1 && rapid.Bool().Draw(t, "otherwise")
		if last {
			c.line(indent+3, "- name: b%d", b)
			c.line(indent+3, "  otherwise: true")
		} else {
			c.line(indent+3, "- name: b%d", b)
			c.line(indent+3, `  when: "id %% 4 < %d"`, modulo)
		}
		var mine []doc
		for i, d := range in {
			matches := last || int(d["id"].(float64))%4 < modulo
			if matches && (all && !last || !taken[i]) {
				taken[i] = true
				mine = append(mine, d.with(name, float64(b)))
			}
		}
		c.line(indent+3, "  stages:")
		c.line(indent+4, `- {name: %s_%d, set: {%s: "%d"}}`, name, b, name, b)
		if inPlace {
			mine = c.step(t, indent+4, mine)
		} else {
			mine = c.stages(t, indent+4, mine)
		}
		if b > 0 && !inPlace && rapid.IntRange(0, 2).Draw(t, "own sink") == 0 {
			c.n++
			into := fmt.Sprintf("own%d", c.n)
			c.line(indent+3, "  sink: {name: %s, gather: {into: %s}}", into, into)
			c.sinks[into] = mine
			continue
		}
		out = append(out, mine...)
	}
	return out
}

// way is where a record came from and which way it went.
func way(d doc) string {
	text := fmt.Sprintf("key %#v", d["k"])
	for _, name := range slices.Sorted(maps.Keys(d)) {
		if strings.HasPrefix(name, "way") {
			text += fmt.Sprint(" ", name, "=", d[name])
		}
	}
	return text
}

// TestCombinationsLoseAndRepeatNothing runs random flows of partitions, steps,
// routes and batches. At any number of lanes and any size of batches every
// sink gets exactly what it is to get, and records of a key that go the same
// way arrive in their order.
func TestCombinationsLoseAndRepeatNothing(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		lines, in := soundLines(rt)
		c := &combo{sinks: map[string][]doc{}, ordered: true}
		c.line(0, "name: trial\nsource: {feed: {}}\nstages:")
		c.sinks["out"] = c.stages(rt, 1, in)
		c.line(0, "sink: {gather: {into: out}}")
		trial := drawTrial(rt, lines)
		if problem := trial.run(t, c.text.String()); problem != "" {
			rt.Fatalf("%s\n%s", problem, c.text.String())
		}
		for sink, want := range c.sinks {
			c.compare(rt, sink, trial.got[sink], want)
		}
	})
}

// soundLines draws lines that are sound, and reads them.
func soundLines(t *rapid.T) (lines []string, in []doc) {
	for _, line := range drawLines(t, rapid.SampledFrom([]int{8, 50}).Draw(t, "most")) {
		var d doc
		if json.Unmarshal([]byte(line), &d) == nil && d["id"] != nil {
			lines, in = append(lines, line), append(in, d)
		}
	}
	return lines, in
}

// compare compares what came with what was to come. That which the oracle
// lists for one way is in the order of the input.
func (c *combo) compare(t *rapid.T, sink string, lines []string, want []doc) {
	ways := map[string][2][]string{}
	add := func(d doc, side int) {
		text, err := json.Marshal(d)
		if err != nil {
			t.Fatal(err)
		}
		both := ways[way(d)]
		both[side] = append(both[side], string(text))
		ways[way(d)] = both
	}
	for _, line := range lines {
		var d doc
		if err := json.Unmarshal([]byte(line), &d); err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		add(d, 0)
	}
	for _, d := range want {
		add(d, 1)
	}
	for name, both := range ways {
		if !c.ordered {
			slices.Sort(both[0])
			slices.Sort(both[1])
		}
		if !slices.Equal(both[0], both[1]) {
			t.Fatalf("at %s, %s: got\n%s\nwant\n%s\n%s", sink, name, strings.Join(both[0], "\n"), strings.Join(both[1], "\n"), c.text.String())
		}
	}
}

// TestWindowsBehindAnythingAreTheOracles runs tumbling windows behind random
// combinations, and over two sources: where streams are merged, the order of
// records is not the input's any more, but what is late and what a window
// holds is.
func TestWindowsBehindAnythingAreTheOracles(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		outOfOrder := time.Duration(rapid.SampledFrom([]int{0, 2, 12}).Draw(rt, "out_of_order")) * time.Second
		size := int64(rapid.IntRange(1, 100).Draw(rt, "window")) * int64(100*time.Millisecond)
		c := &combo{sinks: map[string][]doc{}}
		feeds := make([][]string, rapid.IntRange(1, 2).Draw(rt, "sources"))
		c.line(0, "name: trial\nsources:")
		var in []doc
		var facts []fact
		for n := range feeds {
			lines, docs := soundLines(rt)
			feeds[n] = lines
			from, _ := readFacts(lines, outOfOrder)
			for i := range docs {
				in = append(in, docs[i].with("fact", float64(len(facts)+i)))
			}
			facts = append(facts, from...)
			c.line(1, "- {name: s%d, feed: {n: %d}, time: {field: t, out_of_order: %s}}", n, n, outOfOrder)
		}
		c.line(0, "stages:")
		passed := c.stages(rt, 1, in)
		c.line(1, "- window: {by: k, tumbling: %s, aggregate: {n: count(), sum: sum(x), max: max(x)}}", time.Duration(size))
		c.line(0, "sink: {gather: {into: out}}\nlate: {gather: {into: late}}")
		trial := drawTrial(rt, feeds...)
		if problem := trial.run(t, c.text.String()); problem != "" {
			rt.Fatalf("%s\n%s", problem, c.text.String())
		}
		var through []fact
		for _, d := range passed {
			through = append(through, facts[int(d["fact"].(float64))])
		}
		rows, late := tumblingOracle(through, size)
		got := slices.Sorted(slices.Values(trial.got["out"]))
		if want := slices.Sorted(slices.Values(rows)); !slices.Equal(got, want) {
			rt.Fatalf("got\n%s\nwant\n%s\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"), c.text.String())
		}
		if len(trial.got["late"]) != late {
			rt.Fatalf("%d late records, want %d\n%s", len(trial.got["late"]), late, c.text.String())
		}
	})
}

// tumblingOracle does without an order: a record is late by its own
// watermark, and every window is emitted once, with all that is not.
func tumblingOracle(facts []fact, size int64) (rows []string, late int) {
	type window struct {
		key   string
		start int64
	}
	content := map[window][]fact{}
	for _, f := range facts {
		start := f.at / size * size
		if start+size <= f.mark {
			late++
			continue
		}
		content[window{f.key, start}] = append(content[window{f.key, start}], f)
	}
	for w, in := range content {
		r := bounded(resultOf(in), w.start, w.start+size)
		number := func(name string) string {
			text, err := json.Marshal(r[name])
			if err != nil {
				panic(err)
			}
			return string(text)
		}
		rows = append(rows, fmt.Sprintf(`{"k":%s,"window_start":%q,"window_end":%q,"n":%d,"sum":%s,"max":%s}`,
			w.key, r["window_start"], r["window_end"], len(in), number("sum"), number("max")))
	}
	return rows, late
}
