package window_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/telluride-stream/telluride/engine/record"
	"github.com/telluride-stream/telluride/engine/stage"
)

// item is one aggregate of a stage whose aggregates change.
type item struct{ name, call, where string }

// pool are aggregates of every kind. Those of one call and condition collect
// the same, as sum and mean do.
func pool() []item {
	const positive = "x != nil and x > 0"
	return []item{
		{"n", "count()", ""}, {"nx", "count(x)", ""}, {"positive", "count()", positive}, {"pos", "sum(x)", positive}, {"sum", "sum(x)", ""},
		{"mean", "mean(x)", ""}, {"min", "min(x)", ""}, {"max", "max(x)", "i % 2 == 0"}, {"dev", "stddev(x)", ""}, {"first", "first(x)", ""},
		{"last", "last(i)", ""}, {"sma", "sma(x, 3)", ""}, {"q", "quantile(x, 0.5)", ""}, {"distinct", "distinct(x)", positive}, {"top", "top(x, 2)", ""},
		{"list", "collect(i, 4)", ""},
	}
}

// collects is what an aggregate keeps: equal ones go on as each other.
func (it item) collects() string {
	return strings.Replace(it.call, "mean(", "sum(", 1) + " where " + it.where
}

// entry is the aggregate in a flow file.
func (it item) entry(name, where string) string {
	if where == "" {
		return fmt.Sprintf("    %s: %q\n", name, it.call)
	}
	return fmt.Sprintf("    %s: {value: %q, where: %q}\n", name, it.call, where)
}

func carrying(t testing.TB, kind string, items []item) *flow {
	src := "window:\n  by: k\n  " + kind + "\n  aggregate:\n"
	for _, it := range items {
		src += it.entry(it.name, it.where)
	}
	return build(t, src)
}

// reference has every aggregate twice: over all records, and over those that
// come behind the change.
func reference(t testing.TB, kind string, items []item) *flow {
	src := "window:\n  by: k\n  " + kind + "\n  aggregate:\n"
	for _, it := range items {
		src += it.entry(it.name, it.where) + it.entry(it.name+"_since", strings.TrimSuffix("behind and ("+it.where+")", " and ()"))
	}
	return build(t, src)
}

// carry goes on with another flow, which takes the state over.
func (l *lane) carry(next *flow) (ok bool) {
	l.t.Helper()
	l.batch(l.now, record.Checkpoint)
	turn, ok := next.spec.Carry(l.flow.spec.Signature)
	if !ok {
		return false
	}
	for key, value := range l.state {
		carried, err := turn(key, value)
		if err != nil {
			l.t.Fatalf("carry %q: %v", key, err)
		}
		l.state[key] = carried
	}
	l.flow = next
	l.restart()
	return true
}

// grouped are the rows by key.
func grouped(t testing.TB, rows []row) map[string][]map[string]any {
	m := map[string][]map[string]any{}
	for _, r := range rows {
		o := r.object(t)
		m[o["k"].(string)] = append(m[o["k"].(string)], o)
	}
	return m
}

// changed runs facts through a stage whose aggregates change on the way, from
// before (flow one) to after (flow other), and compares it with one that has
// had them all from the beginning. since says which of the new aggregates
// count from the change on only.
func changed(rt *rapid.T, tb testing.TB, all, one, other *flow, before, after []item, since func(item) bool) {
	facts := drawFacts(rt)
	batches := split(rt, facts)
	at := rapid.IntRange(0, len(batches)).Draw(rt, "change")
	from := 0
	for _, b := range batches[:at] {
		from += len(b)
	}
	l, ref := newLane(tb, one), newLane(tb, all)
	sent := 0
	send := func(batches [][]fact) {
		for _, b := range batches {
			var events []event
			for range b {
				e := numbered(facts, sent)
				e.json = fmt.Sprintf(`{"behind":%v,%s`, sent >= from, e.json[1:])
				events = append(events, e)
				sent++
			}
			l.batch(b[0].now, record.None, events...)
			ref.batch(b[0].now, record.None, events...)
		}
	}
	send(batches[:at])
	atChange := grouped(tb, l.rows)
	if !l.carry(other) {
		rt.Fatalf("%v cannot be carried to %v", before, after)
	}
	// The timer of emit starts again with every operator.
	ref.batch(ref.now, record.Checkpoint)
	ref.restart()
	send(batches[at:])
	l.batch(l.now, record.End)
	ref.batch(ref.now, record.End)
	got, want := grouped(tb, l.rows), grouped(tb, ref.rows)
	for key := range want {
		if len(got[key]) != len(want[key]) {
			rt.Fatalf("key %s: %d results, want %d", key, len(got[key]), len(want[key]))
		}
		for i, g := range got[key] {
			expected := map[string]any{"k": key}
			items := after
			if i < len(atChange[key]) {
				items = before
			}
			for _, it := range items {
				expected[it.name] = want[key][i][it.name]
				if i >= len(atChange[key]) && since(it) {
					expected[it.name] = want[key][i][it.name+"_since"]
				}
			}
			for _, bound := range []string{"window_start", "window_end"} {
				if v, ok := want[key][i][bound]; ok {
					expected[bound] = v
				}
			}
			if !near(g, expected, "") {
				rt.Fatalf("key %s, result %d, change at %d:\ngot  %v\nwant %v", key, i, from, g, expected)
			}
		}
	}
}

var carryKinds = []string{
	"tumbling: 5s\n  allowed_lateness: 3s\n  emit: {every: 1s}", "hopping: {size: 6s, every: 2s}", "session: {gap: 2s}\n  allowed_lateness: 3s",
	"count: 5", "global: true\n  emit: {every: 1s}",
}

func TestAggregatesInAnotherOrderGoOnAsTheyWere(t *testing.T) {
	before, after := pool(), pool()
	slices.Reverse(after)
	var flows [][3]*flow
	for _, kind := range append([]string{"sliding: {last: 5}", "sliding: {last: 5s}"}, carryKinds...) {
		flows = append(flows, [3]*flow{reference(t, kind, before), carrying(t, kind, before), carrying(t, kind, after)})
	}
	rapid.Check(t, func(rt *rapid.T) {
		f := rapid.SampledFrom(flows).Draw(rt, "kind")
		changed(rt, t, f[0], f[1], f[2], before, after, func(item) bool { return false })
	})
}

func TestNewAggregatesCountFromTheChangeOn(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		kind := rapid.SampledFrom(carryKinds).Draw(rt, "kind")
		before := rapid.SliceOfNDistinct(rapid.SampledFrom(pool()), 1, 8, func(it item) string { return it.name }).Draw(rt, "before")
		after := rapid.SliceOfNDistinct(rapid.SampledFrom(pool()), 1, 8, func(it item) string { return it.name }).Draw(rt, "after")
		one, other := carrying(t, kind, before), carrying(t, kind, after)
		isNew := func(it item) bool {
			return !slices.ContainsFunc(before, func(b item) bool { return b.collects() == it.collects() })
		}
		if !slices.ContainsFunc(after, func(it item) bool { return !isNew(it) }) {
			if _, ok := other.spec.Carry(one.spec.Signature); ok {
				rt.Fatalf("nothing of %v goes on in %v, and yet it is carried", before, after)
			}
			return
		}
		changed(rt, t, reference(t, kind, pool()), one, other, before, after, isNew)
	})
}

// TestSlidingWindowsCarryWhatIsSound: new aggregates are calculated from the
// records that are kept, or count from the change on, but never see a part.
func TestSlidingWindowsCarryWhatIsSound(t *testing.T) {
	const positive, even = "x != nil and x > 0", "i % 2 == 0"
	sum, sumPositive, sumI := item{"sum", "sum(x)", ""}, item{"pos", "sum(x)", positive}, item{"i", "sum(i)", ""}
	type change struct {
		name   string
		before []item
		add    item
		want   string // calculated, since, or refused
	}
	changes := []change{
		{"the same cell", []item{sum}, item{"a", "mean(x)", ""}, "calculated"},
		{"the same argument", []item{sum}, item{"a", "max(x)", ""}, "calculated"},
		{"a sketch", []item{sum}, item{"a", "quantile(x, 0.5)", ""}, "calculated"},
		{"no argument", []item{sum}, item{"a", "count()", ""}, "calculated"},
		{"another argument", []item{sum}, item{"a", "sum(i)", ""}, "since"},
		{"another condition", []item{sum}, item{"a", "sum(x)", positive}, "since"},
		{"another condition without argument", []item{sum}, item{"a", "count()", positive}, "since"},
		{"another condition and argument", []item{sum}, item{"a", "sum(i)", positive}, "since"},
		{"a known condition without argument", []item{sumPositive}, item{"a", "count()", positive}, "calculated"},
		{"a known condition and argument", []item{sumPositive}, item{"a", "max(x)", positive}, "calculated"},
		{"a known condition, an argument without one", []item{sumPositive, sumI}, item{"a", "max(i)", positive}, "calculated"},
		{"a known condition, another argument", []item{sumPositive}, item{"a", "max(i)", positive}, "since"},
		{"an argument of some records for all", []item{sumPositive}, item{"a", "max(x)", ""}, "refused"},
		{"an argument of other records", []item{sumPositive, {"e", "sum(i)", even}}, item{"a", "max(x)", even}, "refused"},
		{"values of any kind for numbers", []item{{"l", "last(x)", ""}}, item{"a", "sum(x)", ""}, "refused"},
		{"texts for numbers", []item{{"m", "max(x)", ""}}, item{"a", "sum(x)", ""}, "refused"},
	}
	rapid.Check(t, func(rt *rapid.T) {
		tc := rapid.SampledFrom(changes).Draw(rt, "change")
		kind := rapid.SampledFrom([]string{"sliding: {last: 4}", "sliding: {last: 4s}"}).Draw(rt, "kind")
		after := append([]item{tc.add}, tc.before...)
		one, other := carrying(t, kind, tc.before), carrying(t, kind, after)
		if _, ok := other.spec.Carry(one.spec.Signature); ok != (tc.want != "refused") {
			rt.Fatalf("%s: carried: %v, want it %s", tc.name, ok, tc.want)
		}
		if tc.want == "refused" {
			return
		}
		all := reference(t, kind, after)
		if rapid.Bool().Draw(rt, "remove") {
			changed(rt, t, all, other, one, after, tc.before, func(item) bool { return false })
		} else {
			changed(rt, t, all, one, other, tc.before, after, func(it item) bool { return it.name == "a" && tc.want == "since" })
		}
	})
}

func TestOnlyWindowsThatAreTheSameCarry(t *testing.T) {
	base := build(t, "window: {by: k, tumbling: 2d, aggregate: {n: count(), m: mean(x)}}").spec
	for src, want := range map[string]bool{
		"window: {by: k, tumbling: 2d, aggregate: {n: count()}}":                                   true,
		"window: {by: k, tumbling: 48h, allowed_lateness: 9s, aggregate: {p: max(x), a: count()}}": true,
		"window: {by: k, tumbling: 2d, aggregate: {m: max(x)}}":                                    false, // nothing goes on
		"window: {by: k, tumbling: 1d, aggregate: {n: count()}}":                                   false,
		"window: {by: j, tumbling: 2d, aggregate: {n: count()}}":                                   false,
		"window: {by: [k, j], tumbling: 2d, aggregate: {n: count()}}":                              false,
		"window: {by: [], tumbling: 2d, aggregate: {n: count()}}":                                  false,
		"window: {by: k, tumbling: 2d, timezone: Europe/Vienna, aggregate: {n: count()}}":          false,
		"window: {by: k, hopping: {size: 2d, every: 2d}, aggregate: {n: count()}}":                 false,
		"window: {by: k, session: {gap: 2d}, aggregate: {n: count()}}":                             false,
	} {
		if _, got := build(t, src).spec.Carry(base.Signature); got != want {
			t.Errorf("%s: carried: %v", src, got)
		}
	}
	for _, signature := range []string{"", "{}", "null", "[]", `{"window":1,"kind":"tumbling"`, strings.Replace(base.Signature, `"count"`, `"cuont"`, 1), strings.Replace(base.Signature, `"window":1`, `"window":2`, 1)} {
		if _, ok := base.Carry(signature); ok {
			t.Errorf("state of the signature %q is carried", signature)
		}
	}
}

func TestTheSignatureCanBeRead(t *testing.T) {
	f := build(t, `window: {by: [k, upper(j)], hopping: {size: 2d, every: 1d}, timezone: Europe/Vienna, aggregate: {n: count(), p: "quantile(x, 0.9)", l: {value: "sma(x, 3)", where: "x > 0"}}}`)
	const want = `{"window":1,"kind":"hopping","size":[172800000000000,86400000000000],"zone":"Europe/Vienna","by":["k","upper(j)"],` +
		`"cells":[{"op":"count"},{"op":"quantile","of":"x"},{"op":"sma","size":3,"of":"x","where":"x \u003e 0"}]}`
	if f.spec.Signature != want {
		t.Errorf("got  %s\nwant %s", f.spec.Signature, want)
	}
}

// reversed has the same aggregates in another order, and one of them less.
func reversed(t testing.TB, kind string) *flow {
	lines := strings.Split(strings.TrimSpace(strings.TrimPrefix(everyAggregate, "\n  aggregate:\n")), "\n")
	slices.Reverse(lines)
	src := "window:\n  by: k\n  " + kind + "\n  aggregate:\n"
	for _, line := range lines[1:] {
		src += "    " + strings.TrimSpace(line) + "\n"
	}
	return build(t, src)
}

func TestDamagedStateIsNotCarried(t *testing.T) {
	for _, kind := range stateKinds {
		l := stateful(t, kind, everyAggregate)
		turn, ok := reversed(t, kind).spec.Carry(l.flow.spec.Signature)
		if !ok {
			t.Fatalf("%s: not carried", kind)
		}
		for key, value := range l.state {
			saved := string(value)
			for cut := range value {
				if _, err := turn(key, value[:cut]); err == nil {
					t.Errorf("%s: %d of %d bytes are accepted", kind, cut, len(value))
				} else if !strings.HasPrefix(err.Error(), "window: key ") {
					t.Errorf("%s: %v", kind, err)
				}
			}
			if _, err := turn(key, append(value[:len(value):len(value)], 0)); err == nil {
				t.Errorf("%s: a byte too many is accepted", kind)
			}
			if _, err := turn(key, append([]byte{99}, value[1:]...)); err == nil || !strings.Contains(err.Error(), "version 99") {
				t.Errorf("%s: another version: %v", kind, err)
			}
			if _, err := turn(key, value); err != nil || string(value) != saved {
				t.Errorf("%s: %v, or the value was changed", kind, err)
			}
		}
	}
}

// FuzzCarry: whatever is carried is refused or works.
func FuzzCarry(f *testing.F) {
	var olds, nexts []*flow
	for i, kind := range stateKinds {
		l := stateful(f, kind, everyAggregate)
		olds, nexts = append(olds, l.flow), append(nexts, reversed(f, kind))
		for _, key := range slices.Sorted(maps.Keys(l.state)) {
			f.Add(i, l.state[key])
		}
	}
	f.Fuzz(func(t *testing.T, kind int, value []byte) {
		i := ((kind % len(olds)) + len(olds)) % len(olds)
		turn, _ := nexts[i].spec.Carry(olds[i].spec.Signature)
		key := string(record.AppendKey(nil, record.StringValue("a")))
		carried, err := turn(key, value)
		if err != nil {
			return
		}
		l := newLane(t, nexts[i])
		if err := l.op.(stage.Stateful).Restore(key, carried); err != nil {
			return
		}
		l.state[key] = carried
		l.driver = stage.NewDriver("window", l.op, 7, false)
		l.batch(1, record.Checkpoint, at(3, `{"k":"a","x":4}`), at(30, `{"k":"a","x":"b"}`))
		l.batch(2e9, record.End)
		for _, reason := range l.reasons {
			if strings.Contains(reason, "panic") {
				t.Fatal(reason)
			}
		}
	})
}
