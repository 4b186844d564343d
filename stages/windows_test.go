package stages_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

const second = int64(time.Second)

// drawLines draws readings of a few keys, out of order, some without a value
// and some broken.
func drawLines(t *rapid.T, most int) []string {
	keys := []string{`"a"`, `"b"`, `"c"`, `"d"`, `"1"`, `1`}
	// Coarse times meet the bounds of windows and watermarks.
	grain := rapid.SampledFrom([]int{1, 100, 500, 1000}).Draw(t, "grain")
	jitter := rapid.SampledFrom([]int{0, 900, 3_000, 12_000}).Draw(t, "jitter") / grain
	steps := rapid.SampledFrom([]int{0, 100, 1_000, 3_000}).Draw(t, "step") / grain
	base := time.Date(2026, 1, 1, 0, 1, 0, 0, time.UTC)
	now := time.Duration(0)
	lines := make([]string, 0, most)
	for i := range rapid.IntRange(most/2, most).Draw(t, "lines") {
		now += time.Duration(rapid.IntRange(0, steps).Draw(t, "step")*grain) * time.Millisecond
		at := base.Add(now - time.Duration(rapid.IntRange(0, jitter).Draw(t, "back")*grain)*time.Millisecond)
		x := ""
		switch what := rapid.IntRange(0, 19).Draw(t, "x"); {
		case what == 0:
		case what == 1:
			x = `"x":null,`
		case what == 2 && i%3 == 0:
			lines = append(lines, rapid.SampledFrom([]string{`{"k":"a","x":1`, `[]`, `{"k":"a","t":"yesterday"}`, `{"k":"a"}`}).Draw(t, "broken"))
			continue
		default:
			// Sums of these are exact, in any order.
			x = fmt.Sprintf(`"x":%v,`, float64(rapid.IntRange(-400, 4000).Draw(t, "value"))/4)
		}
		key := rapid.SampledFrom(keys).Draw(t, "key")
		lines = append(lines, fmt.Sprintf(`{"id":%d,"k":%s,%s"t":%q}`, i, key, x, at.Format("2006-01-02T15:04:05.000Z")))
	}
	return lines
}

// windowCase is a window of a random kind and what it must do with facts.
type windowCase struct {
	yaml   string
	judged func(facts []fact) (all []expected, late []int)
}

func drawWindow(t *rapid.T) windowCase {
	grain := rapid.SampledFrom([]int{1, 5, 10}).Draw(t, "window grain")
	ms := func(from, to int, name string) int64 {
		return int64((rapid.IntRange(from, to).Draw(t, name)+grain-1)/grain*grain) * int64(100*time.Millisecond)
	}
	text := func(n int64) string { return time.Duration(n).String() }
	lateness := int64(rapid.SampledFrom([]int{0, 1, 4, 20}).Draw(t, "lateness")) * second
	allowed := ""
	if lateness > 0 {
		allowed = ", allowed_lateness: " + text(lateness)
	}
	switch kind := rapid.SampledFrom([]string{"tumbling", "hopping", "session", "count", "sliding count", "sliding time"}).Draw(t, "kind"); kind {
	case "tumbling":
		size := ms(1, 100, "size")
		return windowCase{"tumbling: " + text(size) + allowed, func(f []fact) ([]expected, []int) { return gridOracle(f, size, size, lateness) }}
	case "hopping":
		size, every := ms(1, 100, "size"), ms(5, 60, "every")
		return windowCase{fmt.Sprintf("hopping: {size: %s, every: %s}", text(size), text(every)) + allowed,
			func(f []fact) ([]expected, []int) { return gridOracle(f, size, every, lateness) }}
	case "session":
		gap := ms(1, 40, "gap")
		return windowCase{fmt.Sprintf("session: {gap: %s}", text(gap)) + allowed, func(f []fact) ([]expected, []int) { return sessionOracle(f, gap, lateness) }}
	case "count":
		n := rapid.IntRange(1, 9).Draw(t, "n")
		return windowCase{fmt.Sprintf("count: %d", n), func(f []fact) ([]expected, []int) { return countOracle(f, n), nil }}
	case "sliding count":
		n := rapid.IntRange(1, 9).Draw(t, "n")
		return windowCase{fmt.Sprintf("sliding: {last: %d}", n), func(f []fact) ([]expected, []int) { return slidingCountOracle(f, n), nil }}
	default:
		length := ms(1, 60, "length")
		return windowCase{fmt.Sprintf("sliding: {last: %s}", text(length)), func(f []fact) ([]expected, []int) { return slidingTimeOracle(f, length) }}
	}
}

// windowFlow is a flow of one window behind a source. In a flow mapping the
// aggregates follow on lines of their own.
func windowFlow(source, partition, window string, outOfOrder time.Duration) string {
	window = strings.ReplaceAll(window, ", allowed", "\n      allowed")
	return fmt.Sprintf(`
name: trial
source:
  %s
  time: {field: t, out_of_order: %s}
stages:
%s  - window:
      by: k
      %s%s
sink: {gather: {into: out}}
dead_letter: {gather: {into: dead}}
late: {gather: {into: late}}
`, source, outOfOrder, partition, window, theAggregates)
}

// TestWindowsAreTheOracles runs whole flows, from NDJSON to sink, with windows
// of every kind that closes: at any number of lanes and any size of batches
// the results, their order for each key, the late records and the number of
// dead letters are those of the oracle.
func TestWindowsAreTheOracles(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		lines := drawLines(rt, rapid.SampledFrom([]int{6, 40, 120}).Draw(rt, "most"))
		outOfOrder := time.Duration(rapid.SampledFrom([]int{0, 1, 3, 12}).Draw(rt, "out_of_order")) * time.Second
		trial := drawTrial(rt, lines)
		source := "feed: {}"
		if rapid.IntRange(0, 3).Draw(rt, "file") == 0 {
			source = fmt.Sprintf("file: {path: %q}", trial.inFile(t, 0))
		}
		partition := rapid.SampledFrom([]string{"", "  - partition: {by: k}\n"}).Draw(rt, "partition")
		window := drawWindow(rt)
		text := windowFlow(source, partition, window.yaml, outOfOrder)
		if problem := trial.run(t, text); problem != "" {
			rt.Fatalf("%s\n%s", problem, text)
		}
		facts, broken := readFacts(lines, outOfOrder)
		all, late := window.judged(facts)
		compareRows(rt, text, trial.got["out"], inOrder(all))
		compareLate(rt, text, trial.got["late"], facts, late)
		if n := len(trial.got["dead"]); n != broken {
			rt.Errorf("%d dead letters, want %d\n%s", n, broken, text)
		}
	})
}

func compareRows(t *rapid.T, text string, lines []string, want map[string][]map[string]any) {
	got, err := byKey(lines)
	if err != nil {
		t.Fatal(err)
	}
	for key := range want {
		for i := range max(len(want[key]), len(got[key])) {
			var g, w any
			if i < len(got[key]) {
				g = got[key][i]
			}
			if i < len(want[key]) {
				w = want[key][i]
			}
			if !alike(g, w) {
				t.Fatalf("result %d of %s is\n%v\nwant\n%v\n%s", i, key, g, w, text)
			}
		}
	}
	for key := range got {
		if want[key] == nil {
			t.Fatalf("results of %s, which is to have none: %v\n%s", key, got[key], text)
		}
	}
}

// compareLate compares the late records of each key, byte by byte and in order.
func compareLate(t *rapid.T, text string, lines []string, facts []fact, late []int) {
	keyOf := func(line string) string {
		var doc struct{ K json.RawMessage }
		if err := json.Unmarshal([]byte(line), &doc); err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		return string(doc.K)
	}
	got, want := map[string][]string{}, map[string][]string{}
	for _, line := range lines {
		got[keyOf(line)] = append(got[keyOf(line)], line)
	}
	for _, i := range late {
		want[facts[i].key] = append(want[facts[i].key], facts[i].line)
	}
	for _, f := range facts {
		if !slices.Equal(got[f.key], want[f.key]) {
			t.Fatalf("late records of %s are\n%v\nwant\n%v\n%s", f.key, got[f.key], want[f.key], text)
		}
	}
}

// TestGlobalWindowsTellTheTruthSoFar: when a running aggregate is emitted
// depends on the clock, but each result is the one over a beginning of its
// key's records, longer each time, and the last one is over all of them.
func TestGlobalWindowsTellTheTruthSoFar(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		lines := drawLines(rt, 60)
		trial := drawTrial(rt, lines)
		every := rapid.SampledFrom([]string{"10ms", "100ms", "1s"}).Draw(rt, "every")
		text := windowFlow("feed: {}", "", fmt.Sprintf("global: true\n      emit: {every: %s}", every), 0)
		if problem := trial.run(t, text); problem != "" {
			rt.Fatalf("%s\n%s", problem, text)
		}
		facts, _ := readFacts(lines, 0)
		records := map[string][]fact{}
		for _, f := range facts {
			records[f.key] = append(records[f.key], f)
		}
		got, err := byKey(trial.got["out"])
		if err != nil {
			rt.Fatal(err)
		}
		for key, of := range records {
			before := 0
			for _, row := range got[key] {
				n := int(row["n"].(float64))
				if n <= before || n > len(of) || !alike(row, resultOf(of[:n])) {
					rt.Fatalf("%s has %v behind a result over %d of %d records\n%s", key, row, before, len(of), text)
				}
				before = n
			}
			if before != len(of) {
				rt.Fatalf("the last result of %s is over %d of %d records\n%s", key, before, len(of), text)
			}
		}
		if len(got) != len(records) {
			rt.Fatalf("results of %d keys, want %d\n%s", len(got), len(records), text)
		}
	})
}
