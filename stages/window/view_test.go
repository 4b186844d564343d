package window_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/telluride-stream/telluride/engine/record"
	"github.com/telluride-stream/telluride/engine/stage"
)

// view lists what is open, in the order of keys.
func (l *lane) view() (opened []string) {
	v := l.op.(stage.Viewer)
	var keys []string
	v.Keys(func(key string) { keys = append(keys, key) })
	slices.Sort(keys)
	for _, key := range keys {
		n := 0
		for o := range v.Open(key) {
			opened = append(opened, string(o.Values))
			n++
		}
		if n == 0 {
			l.t.Errorf("key %s has nothing open", key)
		}
	}
	return opened
}

// What can be looked at is what a flush would emit at that moment, and to look
// changes nothing.
func TestAViewIsWhatAFlushWouldEmit(t *testing.T) {
	const aggregate = ", aggregate: {n: count(), sum: sum(x), mid: \"quantile(x, 0.5)\", most: \"top(x, 2)\"}}"
	kinds := []string{
		"tumbling: 5s", "tumbling: 5s, allowed_lateness: 3s", "hopping: {size: 6s, every: 2s}", "hopping: {size: 6s, every: 2s}, allowed_lateness: 3s",
		"session: {gap: 3s}", "session: {gap: 3s}, allowed_lateness: 3s", "count: 4", "global: true, emit: {every: 1h}",
	}
	rapid.Check(t, func(rt *rapid.T) {
		f := build(t, "window: {by: k, "+rapid.SampledFrom(kinds).Draw(rt, "kind")+aggregate)
		looked, other := newLane(t, f), newLane(t, f)
		for _, b := range split(rt, drawFacts(rt)) {
			var events []event
			for _, f := range b {
				events = append(events, f.event())
			}
			looked.batch(b[0].now, record.None, events...)
			other.batch(b[0].now, record.None, events...)
			looked.view()
		}
		got := looked.view()
		var want []string
		for _, r := range looked.flush() {
			want = append(want, strings.Replace(r.json, `,"partial":true}`, "}", 1))
		}
		if !slices.Equal(got, want) {
			rt.Fatalf("the view is\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
		other.flush()
		if !slices.Equal(looked.lines(), other.lines()) {
			rt.Fatalf("looking changed what was emitted")
		}
	})
}

// Of a sliding window, what can be looked at is what it holds: the records
// that it took, counted here once more.
func TestAViewOfASlidingWindowHoldsItsRecords(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		timed := rapid.Bool().Draw(rt, "timed")
		last := "3"
		if timed {
			last = "4s"
		}
		l := newLane(t, build(t, "window: {by: k, sliding: {last: "+last+"}, aggregate: {n: count()}}"))
		taken := map[string][]fact{}
		for _, b := range split(rt, drawFacts(rt)) {
			for _, f := range b {
				late := len(l.sides)
				l.batch(b[0].now, record.None, f.event())
				if len(l.sides) == late {
					taken[f.key] = append(taken[f.key], f)
				}
			}
		}
		got := l.view()
		for _, key := range []string{"a", "b", "c"} {
			all, latest := taken[key], int64(0)
			if timed {
				for _, f := range all {
					latest = max(latest, f.time)
				}
				all = slices.DeleteFunc(slices.Clone(all), func(f fact) bool { return f.time <= latest-4*second })
			}
			n := len(all)
			if !timed {
				n = min(n, 3)
			}
			shown := slices.IndexFunc(got, func(row string) bool { return strings.HasPrefix(row, fmt.Sprintf(`{"k":%q,`, key)) })
			if shown < 0 {
				if n > 0 && (!timed || latest+4*second > l.mark) {
					rt.Fatalf("key %s is not shown", key)
				}
				continue
			}
			if !strings.Contains(got[shown], fmt.Sprintf(`"n":%d}`, n)) {
				rt.Fatalf("%s: want n %d of %v", got[shown], n, all)
			}
		}
	})
}
