package window_test

import (
	"fmt"
	"maps"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/telluride-stream/telluride/engine/record"
	"github.com/telluride-stream/telluride/engine/stage"
)

// flush emits what is open and forgets it, as a change does whose state does
// not fit, and goes on with a new operator. It returns what was emitted.
func (l *lane) flush() []row {
	l.t.Helper()
	l.batch(l.now, record.Checkpoint)
	n := len(l.rows)
	l.op.(stage.Partial).EmitPartial(l.driver.Context)
	l.batch(l.now, record.Checkpoint)
	if len(l.state) > 0 {
		l.t.Errorf("%d keys are left in the state", len(l.state))
	}
	l.restart()
	return l.rows[n:]
}

// TestPartialAndLaterResultsMakeTheTotal: with windows flushed at any times,
// every record counts once in each of its windows.
func TestPartialAndLaterResultsMakeTheTotal(t *testing.T) {
	const aggregate = ", aggregate: {n: count(), sum: sum(x)}}"
	kinds := []string{"tumbling: 5s", "hopping: {size: 6s, every: 2s}", "session: {gap: 3s}", "count: 4", "global: true, emit: {every: 1h}"}
	rapid.Check(t, func(rt *rapid.T) {
		kind := rapid.SampledFrom(kinds).Draw(rt, "kind")
		inTime := kind[0] != 'c' && kind[0] != 'g' // no two results of a key end at one time
		f := build(t, "window: {by: k, "+kind+aggregate)
		facts := drawFacts(rt)
		l := newLane(t, f)
		partial, sent := 0, 0
		for _, b := range split(rt, facts) {
			var events []event
			for range b {
				events = append(events, numbered(facts, sent))
				sent++
			}
			l.batch(b[0].now, record.None, events...)
			for range rapid.IntRange(0, 2).Draw(rt, "flush") - 1 {
				partial += len(l.flush())
			}
		}
		l.batch(l.now, record.End)
		l.lines()
		if seen := map[string]bool{}; inTime {
			for _, partial := range []bool{true, false} {
				for _, r := range l.rows {
					if strings.Contains(r.json, `"partial"`) != partial {
						continue
					}
					if seen[r.id] && !partial { // of equal content at one time of the stream there may be two
						rt.Fatalf("id %s comes twice: %s", r.id, r.json)
					}
					seen[r.id] = true
				}
			}
		}
		late := map[string]bool{}
		for _, s := range l.sides {
			late[strings.TrimPrefix(s, "late: ")] = true
		}
		wantN, wantSum := 0.0, 0.0
		for i, f := range facts {
			if !late[numbered(facts, i).json] {
				windows := 1.0
				if strings.HasPrefix(kind, "hopping") {
					windows = openWindows(f, 6*second, 2*second)
				}
				wantN += windows
				if !f.missing {
					wantSum += windows * f.x
				}
			}
		}
		gotN, gotSum, marked := 0.0, 0.0, 0
		for _, r := range l.rows {
			m := r.object(t)
			gotN += m["n"].(float64)
			if sum, ok := m["sum"].(float64); ok {
				gotSum += sum
			}
			if mark, ok := m["partial"]; ok {
				marked++
				if mark != true || !strings.HasSuffix(r.json, `,"partial":true}`) {
					rt.Fatalf("partial is %v, or not the last field: %s", mark, r.json)
				}
			}
		}
		if gotN != wantN || !near(gotSum, wantSum, "") || marked != partial {
			rt.Fatalf("%s: n %v, want %v; sum %v, want %v; %d of %d partial results are marked", kind, gotN, wantN, gotSum, wantSum, marked, partial)
		}
	})
}

// numbered is the event of a fact, with its number as the field i.
func numbered(facts []fact, i int) event {
	e := facts[i].event()
	e.json = fmt.Sprintf(`{"i":%d,%s`, i, e.json[1:])
	return e
}

// openWindows is how many windows take a record when it comes.
func openWindows(f fact, size, every int64) (n float64) {
	for start := f.time - f.time%every; start > f.time-size; start -= every {
		if start+size > f.watermark {
			n++
		}
	}
	return n
}

func TestWhatHasFiredIsNoPartialResult(t *testing.T) {
	for kind, want := range map[string]string{
		"tumbling: 10s":                   "10 1",
		"hopping: {size: 10s, every: 5s}": "5 1, 10 1",
		"session: {gap: 5s}":              "12 1",
	} {
		l := newLane(t, build(t, "window: {by: [], allowed_lateness: 1m, "+kind+", aggregate: {n: count()}}"))
		l.batch(0, record.None, at(1, "{}"), at(12, "{}").under(11))
		fired := len(l.rows)
		var got []string
		for _, r := range l.flush() {
			m := r.object(t)
			got = append(got, fmt.Sprintf("%s %v", strings.TrimSuffix(strings.TrimPrefix(m["window_start"].(string), "1970-01-01T00:00:"), "Z"), m["n"]))
		}
		text := strings.ReplaceAll(strings.Join(got, ", "), "05 ", "5 ")
		if text != want || fired == 0 {
			t.Errorf("%s: %d results before, partial %s, want %s", kind, fired, text, want)
		}
	}
}

// TestPartialResultsOfAReplayAreTheSame: ids of partial results depend on
// the saved state and the stream's time alone, and are different once either
// has moved on.
func TestPartialResultsOfAReplayAreTheSame(t *testing.T) {
	for _, kind := range []string{"tumbling: 1h", "hopping: {size: 1h, every: 30m}", "session: {gap: 1h}", "count: 9", "global: true, emit: {every: 1h}"} {
		f := build(t, "window: {by: k, "+kind+", aggregate: {n: count()}}")
		l := newLane(t, f)
		l.batch(1, record.Checkpoint, at(1, `{"k":"a"}`), at(1, `{"k":"b"}`), at(2, `{"k":3}`))
		saved := maps.Clone(l.state)
		first := ids(l.flush())
		again := newLane(t, f)
		again.state, again.mark, again.now = saved, l.mark, l.now+5
		again.restart()
		if second := ids(again.flush()); len(first) < 3 || first != second {
			t.Errorf("%s: ids %s, then %s", kind, first, second)
		}
		// The same again, a little later.
		l.batch(2, record.Checkpoint, at(3, `{"k":"a"}`), at(3, `{"k":"b"}`), at(4, `{"k":3}`))
		for _, id := range strings.Fields(ids(l.flush())) {
			if strings.Contains(first, id) {
				t.Errorf("%s: id %s comes twice", kind, id)
			}
		}
	}
}

func ids(rows []row) string {
	text := ""
	for _, r := range rows {
		text += r.id + " "
	}
	return text
}

func TestSlidingWindowsHaveNoPartialResults(t *testing.T) {
	for _, last := range []string{"3", "3s"} {
		l := newLane(t, build(t, "window: {by: k, sliding: {last: "+last+"}, aggregate: {n: count(), partial: max(x)}}"))
		l.batch(0, record.None, at(1, `{"k":"a"}`), at(2, `{"k":"a","x":7}`))
		if rows := l.flush(); len(rows) > 0 {
			t.Errorf("got %v", rows)
		}
		l.batch(0, record.End, at(2, `{"k":"a"}`))
		equalLines(t, l.lines()[2:], []string{strings.Replace(l.rows[2].json, `"n":2`, `"n":1`, 1)})
	}
}

// TestResultsOfAnotherGenerationHaveOtherIDs: a window whose state began anew
// counts its results from the beginning, yet no id comes again.
func TestResultsOfAnotherGenerationHaveOtherIDs(t *testing.T) {
	one := build(t, "window: {by: [], count: 2, aggregate: {n: count()}}")
	two := build(t, "window: {by: [], count: 3, aggregate: {n: count()}}")
	l := newLane(t, one)
	l.batch(0, record.Checkpoint, at(1, "{}"), at(1, "{}"))
	l.state = map[string][]byte{}
	l.flow = two
	l.restart()
	l.batch(0, record.Checkpoint, at(1, "{}"), at(1, "{}"), at(1, "{}"))
	if len(l.rows) != 2 || l.rows[0].id == l.rows[1].id {
		t.Errorf("got %v", l.rows)
	}
}
