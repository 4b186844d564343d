package window_test

import (
	"fmt"
	"math/rand/v2"
	"regexp"
	"strings"
	"testing"

	"github.com/telluride-stream/telluride/engine/expr"
	"github.com/telluride-stream/telluride/engine/record"
	"github.com/telluride-stream/telluride/stages/window"
)

func TestMistakesAreNamedWithPlaceAndAdvice(t *testing.T) {
	const count = "\n  aggregate: {n: count()}"
	for _, tc := range []struct{ name, src, want string }{
		{"two kinds", "window:\n  tumbling: 1s\n  count: 3" + count, "f.yaml:3:3: window: tumbling and count cannot be given together"},
		{"no kind", "window:" + count, "f.yaml:2:3: window: one of tumbling, hopping, sliding, session, count or global is needed"},
		{"no aggregate", "window:\n  tumbling: 1s", "window: aggregate is missing"},
		{"empty aggregate", "window:\n  tumbling: 1s\n  aggregate: {}", "f.yaml:3:14: window: aggregate is empty"},
		{"small", "window:\n  tumbling: 0s" + count, "f.yaml:2:13: window: tumbling 0s is below the minimum 1ms; use at least 1ms"},
		{"bound", "window:\n  sliding: {max_records: 3}" + count, "window: sliding: last is missing"},
		{"last", "window:\n  sliding: {last: soon}" + count, `f.yaml:2:19: window: sliding: last: expected a number of records or a duration, got "soon"`},
		{"last 0", "window:\n  sliding: {last: 0}" + count, "f.yaml:2:19: window: sliding: last 0 is not between 1 and 1000000"},
		{"global", "window:\n  global: true" + count, `f.yaml:2:11: window: a global window never closes and would emit nothing; add "emit: {every: 1s}"`},
		{"global false", "window:\n  global: false\n  emit: {every: 1s}" + count, "global: false is no window"},
		{"lateness", "window:\n  count: 3\n  allowed_lateness: 1s" + count, "f.yaml:3:21: window: allowed_lateness does not go with count"},
		{"emit", "window:\n  sliding: {last: 3}\n  emit: {every: 1s}" + count, "window: emit does not go with sliding"},
		{"emit every", "window:\n  tumbling: 3s\n  emit: {changed_only: true}" + count, "window: emit: every is missing"},
		{"panes", "window:\n  hopping: {size: 1d, every: 1001ms}" + count, "a window of 1d every 1.001s consists of 86400000 parts, more than 10000"},
		{"timezone of hours", "window:\n  tumbling: 6h\n  timezone: Europe/Vienna" + count, "f.yaml:3:13: window: timezone needs windows of whole days"},
		{"timezone of count", "window:\n  count: 6\n  timezone: Europe/Vienna" + count, "window: timezone does not go with count"},
		{"timezone", "window:\n  tumbling: 1d\n  timezone: Europe/Wien" + count, `unknown time zone "Europe/Wien"`},
		{"two names", "window:\n  by: k\n  tumbling: 1s\n  aggregate: {k: count()}", `f.yaml:4:15: window: a field of the key and an aggregate have the same name "k"; choose another name`},
		{"a bound's name", "window:\n  tumbling: 1s\n  aggregate: {window_end: count()}", `the end of the window and an aggregate have the same name "window_end"`},
		{"the mark", "window:\n  tumbling: 1s\n  aggregate: {partial: count()}", `f.yaml:3:15: window: the mark of partial results and an aggregate have the same name "partial"; choose another name`},
		{"paths with one name", "window:\n  by: [user.id, site.id]\n  tumbling: 1s" + count, `f.yaml:2:17: window: a field of the key and a field of the key have the same name "id"; name each once; set fields before the window to rename them`},
		{"key twice", "window:\n  by: [k, k]\n  tumbling: 1s" + count, `f.yaml:2:11: window: a field of the key and a field of the key have the same name "k"`},
		{"unknown", "window:\n  count: 3\n  aggregate: {n: coutn()}", `f.yaml:3:18: window: aggregate: n: unknown aggregate "coutn"; did you mean "count"?`},
		{"avg", "window:\n  count: 3\n  aggregate: {n: avg(x)}", `unknown aggregate "avg"; write mean(x)`},
		{"no call", "window:\n  count: 3\n  aggregate: {n: \"1 + 2\"}", `window: aggregate: n: "1 + 2" is not one call`},
		{"few", "window:\n  count: 3\n  aggregate: {n: mean()}", "f.yaml:3:18: window: aggregate: n: mean takes 1 argument, not 0; write mean(x)"},
		{"many", "window:\n  count: 3\n  aggregate:\n    n: \"quantile(x, 1, 2)\"", "quantile takes 2 arguments, not 3; write quantile(x, q)"},
		{"q", "window:\n  count: 3\n  aggregate:\n    n: \"quantile(x, 99)\"", "f.yaml:4:21: window: aggregate: n: the quantile must be a number from 0 to 1, not 99"},
		{"n", "window:\n  count: 3\n  aggregate:\n    n: \"sma(x, 0)\"", "f.yaml:4:16: window: aggregate: n: the second argument of sma must be a whole number from 1 to 10000, not 0"},
		{"not constant", "window:\n  count: 3\n  aggregate:\n    n: \"top(x, y)\"", "f.yaml:4:16: window: aggregate: n: the number must be a constant, but y depends on the record"},
		{"text", "window:\n  count: 3\n  aggregate:\n    n: \"sum('a')\"", "f.yaml:4:13: window: aggregate: n: sum takes a finite number, but 'a' is a string"},
		{"argument", "window:\n  count: 3\n  aggregate:\n    n: \"quantile(x +, 0.5)\"", "f.yaml:4:"},
		{"where", "window:\n  count: 3\n  aggregate:\n    n: {value: \"sum(x)\", where: \"x + 1\"}", "f.yaml:4:33: window: the condition is of type"},
		{"key of an aggregate", "window:\n  count: 3\n  aggregate:\n    n: {valeu: \"sum(x)\"}", `window: aggregate: n: unknown key "valeu"; did you mean "value"?`},
		{"empty", "window:\n  count: 3\n  aggregate:\n    n:\n", "window: aggregate: n: the expression is empty"},
		{"trap", "window:\n  count: 3\n  aggregate: {m: max(a, b)}", "quote the expression"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			_, diags := check(tc.src, nil)
			if !diags.HasErrors() || !strings.Contains(diags.Err().Error(), tc.want) {
				t.Errorf("got  %v\nwant %s", diags.Err(), tc.want)
			}
		})
	}
}

func TestGapsBetweenWindowsAreAWarning(t *testing.T) {
	f, diags := check("window: {by: [], hopping: {size: 1s, every: 3s}, aggregate: {n: count()}}", nil)
	if diags.HasErrors() || len(diags) != 1 || !strings.Contains(diags[0].String(), "records in the gaps are filtered") {
		t.Fatalf("got %v", diags)
	}
	l := newLane(t, f)
	l.batch(0, record.None, at(0, "{}"), at(1, "{}"), at(2.5, "{}"), at(3, "{}"))
	l.batch(0, record.End)
	l.lines()
	if l.counts.Filtered != 2 || l.counts.Absorbed != 2 || len(l.rows) != 2 {
		t.Errorf("got %+v", l.counts)
	}
}

func TestParamsMayBeConstants(t *testing.T) {
	src := "window: {count: 3, aggregate: {n: \"sma(x, params.n)\"}}"
	f2, diags := check(src, map[string]record.Value{"n": record.IntValue(2)})
	if diags.HasErrors() {
		t.Fatal(diags.Err())
	}
	f3, _ := check(src, map[string]record.Value{"n": record.IntValue(3)})
	if f2.spec.Signature == f3.spec.Signature {
		t.Error("state of another size has the same signature")
	}
}

func TestSignature(t *testing.T) {
	base := build(t, "window: {by: k, tumbling: 10s, aggregate: {n: count(), m: mean(x)}}").spec.Signature
	for src, same := range map[string]bool{
		"window: {by: k, tumbling: 10000ms, aggregate: {n: count(), m: mean(x)}, emit: {every: 1s}, allowed_lateness: 1h}": true,
		"window: {by: k, tumbling: 10s, aggregate: {a: count(), b: mean(x)}}":                                              true,
		"window: {by: k, tumbling: 10s, aggregate: {a: count(), b: sum(x)}}":                                               true, // what is kept is the same
		"window: {by: j, tumbling: 10s, aggregate: {n: count(), m: mean(x)}}":                                              false,
		"window: {by: k, tumbling: 11s, aggregate: {n: count(), m: mean(x)}}":                                              false,
		"window: {by: k, tumbling: 10s, aggregate: {n: count(), m: mean(y)}}":                                              false,
		"window: {by: k, session: {gap: 10s}, aggregate: {n: count(), m: mean(x)}}":                                        false,
		`window: {by: k, tumbling: 10s, aggregate: {n: count(), m: {value: mean(x), where: "x > 0"}}}`:                     false,
	} {
		if got := build(t, src).spec.Signature == base; got != same {
			t.Errorf("%s: same signature: %v", src, got)
		}
	}
}

func TestSchemaOfResults(t *testing.T) {
	f := build(t, `window: {by: k, tumbling: 10s, aggregate: {n: count(), m: mean(x), l: collect(x), f: first(x)}}`)
	want := map[string]expr.Type{"k": expr.Any, "window_start": expr.String, "window_end": expr.String, "n": expr.Int, "m": expr.Float, "l": expr.List, "f": expr.Any, "partial": expr.Bool}
	if len(f.schema.Names()) != len(want) || f.schema.Open {
		t.Errorf("fields %v, open %v", f.schema.Names(), f.schema.Open)
	}
	for name, typ := range want {
		if got, ok := f.schema.Lookup(name); !ok || got != typ {
			t.Errorf("%s is %v, want %v", name, got, typ)
		}
	}
	if f.spec.Text != "tumbling 10s by k" || !f.spec.Stateful || !f.spec.Makes {
		t.Errorf("got %+v", f.spec)
	}
}

func TestStagesBehindReadInsideOfResults(t *testing.T) {
	f := build(t, `window: {by: [], count: 2, aggregate: {list: collect(x)}}`)
	p, err := expr.Compile("list[1].y", expr.Env{Layout: f.layout, Schema: f.schema})
	if err != nil {
		t.Fatal(err)
	}
	l := newLane(t, f)
	in := record.NewBatch(2)
	in.Records = append(in.Records, l.record(in, at(0, `{"x":1}`)), l.record(in, at(0, `{"x":{"y":7}}`)))
	for _, out := range l.driver.Step(in, nil) {
		for i := range out.Records {
			if v, err := p.Eval(&expr.Scope{Record: &out.Records[i]}); err != nil || v.Int() != 7 {
				t.Errorf("got %v, %v", v, err)
			}
		}
		if len(out.Records) != 1 {
			t.Errorf("%d results", len(out.Records))
		}
	}
}

func TestKeysHaveNamesOfTheTopLevel(t *testing.T) {
	l := newLane(t, build(t, `window: {by: [user.id, "upper(a)", b, "lower(a)"], count: 1, aggregate: {n: count()}}`))
	l.batch(0, record.None, at(0, `{"user":{"id":7},"a":"x","b":true}`))
	equalLines(t, l.lines(), []string{`{"id":7,"key":"X","b":true,"key_2":"x","n":1}`})
}

func TestTheExampleIsValid(t *testing.T) {
	build(t, window.Stage().Example)
}

// A window says that it depends on order if and only if its results differ
// when its records come in another order.
func TestOrderedSaysWhetherTheOrderOfRecordsMatters(t *testing.T) {
	digits := regexp.MustCompile(`(\.\d{9})\d+`)
	events := []event{}
	for i := range 40 {
		events = append(events, at(1, `{"k":"a","x":%d}`, (i*i)%17))
	}
	aggregates := map[string]bool{
		"count()": false, "sum(x)": false, "mean(x)": false, "min(x)": false, "max(x)": false, "variance(x)": false, "stddev(x)": false,
		"quantile(x, 0.9)": false, "distinct(x)": false, "top(x, 2)": false,
		"first(x)": true, "last(x)": true, "sma(x, 3)": true, "collect(x)": true,
	}
	for window, always := range map[string]bool{
		"tumbling: 10s": false, "hopping: {size: 10s, every: 5s}": false, "session: {gap: 5s}": false, "global: true, emit: {every: 1h}": false,
		"count: 7": true, "sliding: {last: 5}": true,
	} {
		for aggregate, ordered := range aggregates {
			f := build(t, fmt.Sprintf("window: {by: k, %s, aggregate: {n: %q}}", window, aggregate))
			if want := always || ordered; f.spec.Ordered != want {
				t.Errorf("%s of %s: ordered is %v", aggregate, window, f.spec.Ordered)
			}
			results := map[string]bool{}
			for range 40 {
				rand.Shuffle(len(events), func(i, j int) { events[i], events[j] = events[j], events[i] })
				l := newLane(t, f)
				l.batch(1e9, record.None, events...)
				l.batch(2e9, record.End)
				// Sums of squares differ in the last digits.
				results[digits.ReplaceAllString(strings.Join(l.lines(), "\n"), "$1")] = true
			}
			if differ := len(results) > 1; differ && !f.spec.Ordered || !differ && !always && f.spec.Ordered {
				t.Errorf("%s of %s has %d different results, and ordered is %v", aggregate, window, len(results), f.spec.Ordered)
			}
		}
	}
}
