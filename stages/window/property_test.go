package window_test

import (
	"fmt"
	"testing"

	"pgregory.net/rapid"

	"github.com/telluride-stream/telluride/engine/record"
)

// drawFacts draws an input that is out of order, with a watermark that stays
// behind the highest time by less than records may be late.
func drawFacts(t *rapid.T) []fact {
	n := rapid.IntRange(0, 60).Draw(t, "n")
	slack := rapid.Int64Range(0, 6).Draw(t, "slack")
	jitter := rapid.Int64Range(0, 12).Draw(t, "jitter")
	var facts []fact
	now, highest, watermark := int64(0), int64(0), -1_000_000*second
	for i := range n {
		now += rapid.Int64Range(0, 4).Draw(t, "step")
		f := fact{
			key:     rapid.SampledFrom([]string{"a", "b", "c"}).Draw(t, "key"),
			x:       rapid.SampledFrom([]float64{-7, -1, 0, 1, 1, 2, 2.5, 100.25, 1e6}).Draw(t, "x"),
			missing: rapid.IntRange(0, 9).Draw(t, "missing") == 0,
			time:    max(0, now-rapid.Int64Range(0, jitter).Draw(t, "jitter")) * second,
		}
		if i == 0 || f.time > highest {
			highest = f.time
		}
		watermark = max(watermark, highest-slack*second)
		f.watermark = watermark
		facts = append(facts, f)
	}
	return facts
}

// split cuts facts into batches with rising processing times.
func split(t *rapid.T, facts []fact) [][]fact {
	var batches [][]fact
	now := int64(0)
	for len(facts) > 0 {
		n := rapid.IntRange(1, min(len(facts), 17)).Draw(t, "batch")
		now += rapid.Int64Range(0, 700).Draw(t, "now") * 1e6
		batch := append([]fact(nil), facts[:n]...)
		for i := range batch {
			batch[i].now = now
		}
		batches = append(batches, batch)
		facts = facts[n:]
	}
	return batches
}

// run sends batches through a new lane, with restarts at random places. The
// end of the input comes with the last batch, or alone.
func run(t *rapid.T, f *flow, tb testing.TB, batches [][]fact, restarts bool) *lane {
	l := newLane(tb, f)
	now := int64(0)
	for i, b := range batches {
		var events []event
		for _, f := range b {
			events = append(events, f.event())
			now = f.now
		}
		if i+1 == len(batches) && rapid.Bool().Draw(t, "end comes along") {
			l.batch(now, record.End, events...)
			return l
		}
		kind := record.None
		restart := restarts && rapid.IntRange(0, 3).Draw(t, "restart") == 0
		if restart || rapid.Bool().Draw(t, "checkpoint") {
			kind = record.Checkpoint
		}
		l.batch(now, kind, events...)
		if restart {
			l.restart()
		}
	}
	l.batch(now, record.End)
	return l
}

// compareAll compares what came out with what the oracle says, key by key.
func compareAll(t *rapid.T, tb testing.TB, l *lane, want []emission) {
	l.lines()
	got := map[string][]map[string]any{}
	for _, r := range l.rows {
		m := r.object(tb)
		key := m["k"].(string)
		simplifyTop(m)
		got[key] = append(got[key], m)
	}
	expected := perKey(want)
	for key := range expected {
		if len(got[key]) != len(expected[key]) {
			t.Fatalf("key %s: %d results, want %d\ngot  %v\nwant %v", key, len(got[key]), len(expected[key]), got[key], expected[key])
		}
		for i := range expected[key] {
			if !near(got[key][i], expected[key][i], "") {
				t.Fatalf("key %s, result %d:\ngot  %v\nwant %v", key, i, got[key][i], expected[key][i])
			}
		}
	}
	if len(got) > len(expected) {
		t.Fatalf("results of unknown keys: %v, want %v", got, expected)
	}
}

// simplifyTop leaves the counts of top, as the oracle does.
func simplifyTop(m map[string]any) {
	if list, ok := m["top"].([]any); ok {
		for i := range list {
			list[i] = list[i].(map[string]any)["count"]
		}
	}
}

func compareLate(t *rapid.T, l *lane, facts []fact, want []int) {
	var lines []string
	for _, i := range want {
		lines = append(lines, "late: "+facts[i].event().json)
	}
	if fmt.Sprint(l.sides) != fmt.Sprint(lines) {
		t.Fatalf("late records:\ngot  %v\nwant %v", l.sides, lines)
	}
}

const everyAggregate = oracleAggregates + oracleSketches

func TestTumblingAndHoppingWindowsAreTheOracles(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		every := rapid.Int64Range(1, 10).Draw(rt, "every")
		size := rapid.Int64Range(1, 20).Draw(rt, "size")
		late := rapid.SampledFrom([]int64{0, 0, 1, 5, 20}).Draw(rt, "late")
		src := fmt.Sprintf("window:\n  by: k\n  allowed_lateness: %ds\n  hopping: {size: %ds, every: %ds}\n", late, size, every)
		if rapid.Bool().Draw(rt, "tumbling") {
			every = size
			src = fmt.Sprintf("window:\n  by: k\n  allowed_lateness: %ds\n  tumbling: %ds\n", late, size)
		}
		f := build(t, src+everyAggregate)
		facts := drawFacts(rt)
		want, lates := oracleHopping(facts, size*second, every*second, late*second)
		l := run(rt, f, t, split(rt, facts), rapid.Bool().Draw(rt, "restarts"))
		compareAll(rt, t, l, want)
		compareLate(rt, l, facts, lates)
		uniqueIDs(rt, l)
	})
}

func TestSessionsAreTheOracles(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		gap := rapid.Int64Range(1, 8).Draw(rt, "gap")
		late := rapid.SampledFrom([]int64{0, 0, 1, 5, 20}).Draw(rt, "late")
		limit := rapid.SampledFrom([]int64{0, 0, 10}).Draw(rt, "max")
		session := fmt.Sprintf("{gap: %ds}", gap)
		if limit > 0 {
			session = fmt.Sprintf("{gap: %ds, max: %ds}", gap, limit)
		}
		f := build(t, fmt.Sprintf("window:\n  by: k\n  allowed_lateness: %ds\n  session: %s\n", late, session)+everyAggregate)
		facts := drawFacts(rt)
		want, lates := oracleSessions(facts, gap*second, limit*second, late*second)
		l := run(rt, f, t, split(rt, facts), rapid.Bool().Draw(rt, "restarts"))
		compareAll(rt, t, l, want)
		compareLate(rt, l, facts, lates)
		uniqueIDs(rt, l)
	})
}

func TestCountWindowsAreTheOracles(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		size := rapid.IntRange(1, 9).Draw(rt, "size")
		f := build(t, fmt.Sprintf("window:\n  by: k\n  count: %d\n", size)+everyAggregate)
		facts := drawFacts(rt)
		l := run(rt, f, t, split(rt, facts), rapid.Bool().Draw(rt, "restarts"))
		compareAll(rt, t, l, oracleCount(facts, size))
		uniqueIDs(rt, l)
	})
}

func TestSlidingWindowsAreTheOracles(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		n := rapid.IntRange(1, 12).Draw(rt, "last")
		sketches := rapid.Bool().Draw(rt, "sketches")
		aggregates := oracleAggregates
		if sketches {
			aggregates = everyAggregate
		}
		facts := drawFacts(rt)
		restarts := rapid.Bool().Draw(rt, "restarts")
		if rapid.Bool().Draw(rt, "count") {
			f := build(t, fmt.Sprintf("window:\n  by: k\n  sliding: {last: %d}\n", n)+aggregates)
			l := run(rt, f, t, split(rt, facts), restarts)
			compareAll(rt, t, l, oracleSlidingCount(facts, n, sketches))
			uniqueIDs(rt, l)
			return
		}
		f := build(t, fmt.Sprintf("window:\n  by: k\n  sliding: {last: %ds}\n", n)+aggregates)
		l := run(rt, f, t, split(rt, facts), restarts)
		want, lates := oracleSlidingTime(facts, int64(n)*second, sketches)
		compareAll(rt, t, l, want)
		compareLate(rt, l, facts, lates)
		uniqueIDs(rt, l)
	})
}

func TestGlobalWindowsAreTheOracles(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		f := build(t, "window:\n  by: k\n  global: true\n  emit: {every: 1s}\n"+everyAggregate)
		batches := split(rt, drawFacts(rt))
		l := run(rt, f, t, batches, false)
		compareAll(rt, t, l, oracleGlobal(batches, second))
		uniqueIDs(rt, l)
	})
}

// TestRestartsChangeNothing compares whole outputs, ids and last digits
// included.
func TestRestartsChangeNothing(t *testing.T) {
	var flows []*flow
	for _, kind := range []string{
		"tumbling: 5s\n  allowed_lateness: 3s", "hopping: {size: 6s, every: 2s}\n  allowed_lateness: 3s", "session: {gap: 2s}\n  allowed_lateness: 3s",
		"count: 4", "sliding: {last: 5}", "sliding: {last: 5s}",
	} {
		for _, aggregates := range []string{oracleAggregates, everyAggregate} {
			flows = append(flows, build(t, "window:\n  by: k\n  "+kind+aggregates))
		}
	}
	rapid.Check(t, func(rt *rapid.T) {
		f := rapid.SampledFrom(flows).Draw(rt, "flow")
		facts := drawFacts(rt)
		a := run(rt, f, t, split(rt, facts), false)
		b := run(rt, f, t, split(rt, facts), true)
		for _, key := range []string{"a", "b", "c"} {
			if x, y := rowsOf(a, key), rowsOf(b, key); x != y {
				rt.Fatalf("key %s:\nwithout restarts\n%s\nwith\n%s", key, x, y)
			}
		}
	})
}

func rowsOf(l *lane, key string) string {
	text := ""
	for _, r := range l.rows {
		if r.object(l.t)["k"] == key {
			text += fmt.Sprintln(r.json, r.time, r.watermark, r.id)
		}
	}
	return text
}

// TestUnorderedStreamsLoseNothing: when batches are merged from several
// streams only the stream's watermark is progress. What is on time then is in
// the first firing, wherever batches are cut.
func TestUnorderedStreamsLoseNothing(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		f := build(t, "window:\n  by: k\n  hopping: {size: 6s, every: 3s}\n"+everyAggregate)
		facts := drawFacts(rt)
		for i := range facts {
			facts[i].watermark = facts[i].time - 13*second // nothing is late
			if i > 0 {
				facts[i].watermark = max(facts[i].watermark, facts[i-1].watermark)
			}
		}
		l := newLane(t, f)
		l.ordered = false
		for _, b := range split(rt, facts) {
			var events []event
			for _, f := range b {
				events = append(events, f.event())
			}
			l.batch(b[0].now, record.None, events...)
		}
		l.batch(0, record.End)
		want, _ := oracleHopping(facts, 6*second, 3*second, 0)
		compareAll(rt, t, l, want)
	})
}

func uniqueIDs(t *rapid.T, l *lane) {
	seen := map[string]string{}
	for _, r := range l.rows {
		if other, ok := seen[r.id]; ok {
			t.Fatalf("two results with id %s:\n%s\n%s", r.id, other, r.json)
		}
		seen[r.id] = r.json
	}
}
