package window_test

import (
	"fmt"
	"math"
	"strings"
	"testing"

	"github.com/telluride-stream/telluride/engine/record"
)

// aggregate runs one aggregate over values of x, the JSON text of each.
func aggregate(t *testing.T, call string, values ...string) string {
	t.Helper()
	l := newLane(t, build(t, fmt.Sprintf("window:\n  by: []\n  count: 1000000\n  aggregate:\n    v: %q\n", call)))
	for i, v := range values {
		text := fmt.Sprintf(`{"x":%s}`, v)
		if v == "" {
			text = `{}`
		}
		l.batch(int64(i), record.None, at(float64(i), "%s", text))
	}
	l.batch(0, record.End)
	if len(l.reasons) > 0 {
		return "dead: " + l.reasons[0]
	}
	lines := l.lines()
	if len(lines) == 0 {
		return "nothing"
	}
	return strings.TrimSuffix(strings.TrimPrefix(lines[0], `{"v":`), "}")
}

func TestAggregates(t *testing.T) {
	big := "1" + strings.Repeat("0", 308)
	for _, tc := range []struct {
		call   string
		values string
		want   string
	}{
		{"count()", "1 null -", "3"},
		{"count(x)", "1 null - 2", "2"},
		{"sum(x)", "1 2 3", "6"},
		{"sum(x)", "1 2.5", "3.5"},
		{"sum(x)", "null", "null"},
		{"sum(x)", "9223372036854775807 1", "9223372036854776000"},
		{"sum(x)", "9223372036854775807 1 -1", "9223372036854775807"},
		{"sum(x)", "-9223372036854775808 -9223372036854775808", "-18446744073709552000"},
		{"sum(x)", "0.1 0.2 0.3", "0.6"},
		{"sum(x)", "1e16 1 -1e16", "1"},
		{"sum(x)", big + " " + big, "null"},
		{"sum(x)", big + " " + big + " -" + big, "1e+308"},
		{"mean(x)", big + " " + big, "1e+308"},
		{"mean(x)", "1 2 3 4", "2.5"},
		{"mean(x)", "null -", "null"},
		{"mean((x - 32) / 1.8)", "32 212", "50"},
		{"max(x)", "-5 -3 -9", "-3"},
		{"max(x)", "-1e300 -1e301", "-1e+300"},
		{"min(x)", "1e300 1e301", "1e+300"},
		{"min(x)", "5 3 9", "3"},
		{"min(x)", "2 1.5 3", "1.5"},
		{"max(x)", "1.5 2", "2"},
		{"max(x)", "9007199254740993 9007199254740992.0", "9007199254740993"},
		{"max(x)", `"b" "a" "c"`, `"c"`},
		{"min(x)", `"b" "a" "c"`, `"a"`},
		{"min(x)", `"b" 7`, "7"},
		{"max(x)", `7 "b" 8`, `"b"`},
		{"min(x)", "-", "null"},
		{"variance(x)", "2 4 4 4 5 5 7 9", "4.571428571428571"},
		{"stddev(x)", "1 1 1", "0"},
		{"stddev(x)", "1", "null"},
		{"variance(x)", "1000000000.1 1000000000.2 1000000000.3", "0.009999990463257"},
		{"first(x)", `null "a" "b"`, `"a"`},
		{"last(x)", `"a" "b" null`, `"b"`},
		{"last(x)", `{"a":[1,2]} 12345678901234567890`, "12345678901234567890"},
		{"first(x)", `true false`, "true"},
		{"sma(x, 2)", "1 2 3", "2.5"},
		{"sma(x, 5)", "-", "null"},
		{"distinct(x)", `1 1.0 "1" 2 null`, "3"},
		{"top(x, 2)", `"a" "b" "b" "c" "c" "c"`, `[{"value":"c","count":3},{"value":"b","count":2}]`},
		{"top(x, 2)", "-", "[]"},
		{"collect(x)", `1 "a" null [2]`, `[1,"a",[2]]`},
		{"collect(x, 2)", `1 2 3`, `[1,2]`},
		{"quantile(x, 0)", "3 1 2", "1"},
		{"quantile(x, 1)", "3 1 2", "3"},
		{"quantile(x, 0.5)", "-", "null"},
		{"quantile(x, 0.5)", "0 0 0", "0"},
		{"sum(x)", `1 "a"`, `dead: sum(x): "a" is a string, but a finite number is needed`},
		{"mean(x)", "1e999", `dead: mean(x): "1e999" is a float, but a finite number is needed`},
		{"max(x)", "[1]", `dead: max(x): "[1]" is a list, but a finite number or text is needed`},
	} {
		values := strings.Fields(tc.values)
		for i, v := range values {
			if v == "-" {
				values[i] = ""
			}
		}
		got := aggregate(t, tc.call, values...)
		var g, w float64
		_, err1 := fmt.Sscanf(got, "%g", &g)
		_, err2 := fmt.Sscanf(tc.want, "%g", &w)
		if got != tc.want && (strings.HasPrefix(tc.call, "variance") && err1 == nil && err2 == nil && math.Abs(g-w) < 1e-6*w) == false {
			t.Errorf("%s over %s: got %s, want %s", tc.call, tc.values, got, tc.want)
		}
	}
}

func TestARecordThatCannotBeAggregatedChangesNothing(t *testing.T) {
	l := newLane(t, build(t, `window: {by: k, tumbling: 10s, aggregate: {n: count(), m: max(x)}}`))
	l.batch(0, record.None, at(1, `{"k":1,"x":3}`), at(2, `{"k":1,"x":[9]}`), at(2, `{"k":2,"x":{}}`))
	l.batch(0, record.End)
	equalLines(t, l.lines(), []string{`{"k":1,"window_start":"1970-01-01T00:00:00Z","window_end":"1970-01-01T00:00:10Z","n":1,"m":3}`})
	if len(l.sides) != 2 || l.counts.Dead != 2 || l.counts.Absorbed != 1 {
		t.Errorf("got %v %v, %+v", l.sides, l.reasons, l.counts)
	}
}

func TestConditionsSelectRecords(t *testing.T) {
	l := newLane(t, build(t, `
window:
  by: k
  tumbling: 10s
  aggregate:
    all: "count()"
    hot: {value: "count()", where: "kind == 'hot'"}
    double: {value: "sum(x * 2)", where: "kind == 'hot'"}
    single: "sum(x ?? 0)"
`))
	// x * 2 of the second record would be an error, but nobody asks for it.
	l.batch(0, record.None, at(1, `{"k":1,"kind":"hot","x":3}`), at(2, `{"k":1,"kind":"cold"}`))
	l.batch(0, record.End)
	equalLines(t, l.lines(), []string{`{"k":1,"window_start":"1970-01-01T00:00:00Z","window_end":"1970-01-01T00:00:10Z","all":2,"hot":1,"double":6,"single":3}`})
}

func TestDistinctIsExactWhileFewAndCloseWhenMany(t *testing.T) {
	l := newLane(t, build(t, `window: {by: [], count: 20000, aggregate: {d: distinct(x)}}`))
	var events []event
	for i := range 20000 {
		events = append(events, at(0, `{"x":%d}`, i%10000))
	}
	l.batch(0, record.None, events...)
	d := l.rows[0].object(t)["d"].(float64)
	if math.Abs(d-10000) > 300 {
		t.Errorf("distinct of 10000 values: %v", d)
	}
	l.batch(0, record.End, events[:512]...)
	if d := l.rows[1].object(t)["d"]; d != 512.0 {
		t.Errorf("distinct of 512 values: %v", d)
	}
}

func TestTopNeverCountsTooLow(t *testing.T) {
	l := newLane(t, build(t, `window: {by: [], count: 30000, aggregate: {top: "top(x, 3)"}}`))
	var events []event
	for i := range 10000 {
		// 3000 of "a" and 2000 of "b" in 10000 that are all different.
		events = append(events, at(0, `{"x":%d}`, i), at(0, `{"x":"r%d"}`, i))
		switch {
		case i%10 < 3:
			events = append(events, at(0, `{"x":"a"}`))
		case i%10 < 5:
			events = append(events, at(0, `{"x":"b"}`))
		default:
			events = append(events, at(0, `{"x":"s%d"}`, i))
		}
	}
	l.batch(0, record.None, events...)
	list := l.rows[0].object(t)["top"].([]any)
	for i, want := range []struct {
		value string
		count float64
	}{{"a", 3000}, {"b", 2000}} {
		got := list[i].(map[string]any)
		if n := got["count"].(float64); got["value"] != want.value || n < want.count || n > want.count+30000/100 {
			t.Errorf("place %d: got %v, want %v", i, got, want)
		}
	}
}
