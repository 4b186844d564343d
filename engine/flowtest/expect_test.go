package flowtest_test

import (
	"context"
	"os"
	"strings"
	"testing"

	"github.com/telluride-stream/telluride/engine/flowtest"
	"github.com/telluride-stream/telluride/stages"
)

func write(t *testing.T, name, text string) {
	t.Helper()
	if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// outcome runs one test of a flow that passes what it is fed, and says what
// was wrong, "" if nothing was.
func outcome(t *testing.T, steps string) string {
	t.Helper()
	t.Chdir(t.TempDir())
	write(t, "a.yaml", "source: {file: {path: x}}\nstages: [{filter: \"drop != true\"}]\nsink: {stdout: {}}\n")
	write(t, "a_test.yaml", "tests:\n  - name: one\n    steps:\n"+steps)
	files, err := flowtest.Find(nil)
	if err != nil {
		t.Fatal(err)
	}
	o := flowtest.Options{Registry: stages.All()}
	flowtest.CheckFlows(files, o)
	if err := files[0].Diags.Err(); err != nil {
		return "invalid: " + err.Error()
	}
	var text strings.Builder
	for _, r := range flowtest.RunAll(context.Background(), files, o) {
		if r.Failed() {
			(&flowtest.TextReport{W: &text}).Result(r)
		}
	}
	return text.String()
}

// TestExpectations says of each expectation whether it is met: an empty want
// is met, any other is part of what the report says.
func TestExpectations(t *testing.T) {
	const fed = `[{k: a, n: 1, f: 0.1}, {k: b, n: 2, sub: {x: 1, y: [1, {z: 2}]}}, {k: a, n: 3, none: null}]`
	for _, c := range []struct{ name, expect, want string }{
		{"named fields", `{sink: [{k: a}, {n: 2}, {n: 3}]}`, ""},
		{"another value", `{sink: [{k: a}, {n: 2}, {n: 4}]}`, "- n: 4"},
		{"one too few", `{sink: [{n: 1}, {n: 2}]}`, `+ {"k":"a","n":3,"none":null}`},
		{"one too many", `{sink: [{n: 1}, {n: 2}, {n: 3}, {n: 4}]}`, "missing"},
		{"another order", `{sink: [{n: 2}, {n: 1}, {n: 3}]}`, "2 of 3 records differ"},
		{"any order", `{sink: {records: [{n: 3}, {n: 2}, {n: 1}], order: any}}`, ""},
		{"any order, one wrong", `{sink: {records: [{n: 3}, {n: 2}, {n: 2}], order: any}}`, "- n: 2"},
		{"order per key", `{sink: {records: [{k: b, n: 2}, {k: a, n: 1}, {k: a, n: 3}], per: k}}`, ""},
		{"order per key, broken", `{sink: {records: [{k: b, n: 2}, {k: a, n: 3}, {k: a, n: 1}], per: k}}`, "differ"},
		{"whole records", `{sink: {records: [{k: a, n: 1, f: 0.1}, {k: b, n: 2, sub: {x: 1, y: [1, {z: 2}]}}, {k: a, n: 3, none: null}], whole: true}}`, ""},
		{"whole records with more fields", `{sink: {records: [{k: a, n: 1}, {n: 2}, {n: 3}], whole: true}}`, "+ f: 0.1"},
		{"inside of fields", `{sink: [{}, {sub: {y: [1, {z: 2}]}}, {}]}`, ""},
		{"a wrong value inside", `{sink: [{}, {sub: {y: [1, {z: 3}]}}, {}]}`, "- sub.y[1].z: 3"},
		{"a list of another length", `{sink: [{}, {sub: {y: [1]}}, {}]}`, "- sub.y: [1]"},
		{"null is there or not", `{sink: [{none: null}, {none: null}, {none: null}]}`, ""},
		{"null is not a value", `{sink: [{k: null}, {}, {}]}`, "- k: null"},
		{"a whole number with decimals", `{sink: [{n: 1.0}, {}, {}]}`, ""},
		{"another number", `{sink: [{f: 0.11}, {}, {}]}`, "- f: 0.11"},
		{"within a tolerance", `{sink: {records: [{f: 0.11}, {}, {}], tolerance: 0.02}}`, ""},
		{"beyond a tolerance", `{sink: {records: [{f: 0.13}, {}, {}], tolerance: 0.02}}`, "- f: 0.13"},
		{"a text is no number", `{sink: [{n: "1"}, {}, {}]}`, `- n: "1"`},
		{"expressions", `{sink: ["n == 1", "k == 'b' && sub.x == 1", {n: 3}]}`, ""},
		{"an expression that is false", `{sink: ["n == 2", {}, {}]}`, "- n == 2"},
		{"an expression over all", `"n > 0"`, ""},
		{"an expression over all that is false", `"n < 3"`, "record 3 does not fulfil it"},
		{"a count", `{sink: {count: 3}}`, ""},
		{"another count", `{sink: {count: 4}}`, "- 4 records"},
		{"nothing came", `{sink: nothing}`, "nothing was expected, and 3 records came"},
		{"a stage", `{sink: {count: 3}, stages: {filter: {count: 3}}}`, ""},
		{"no such stage", `{sink: {count: 3}, stages: {fliter: {count: 3}}}`, `did you mean "filter"?`},
		{"no such sink", `{sinks: {stdot: {count: 3}}}`, `did you mean "stdout"?`},
		{"no late", `{sink: {count: 3}, late: nothing}`, "the flow has no late:"},
		{"the ledger", `{sink: {count: 3}, ledger: {filter: {in: 3, passed: 3, dead: 0}}}`, ""},
		{"another ledger", `{sink: {count: 3}, ledger: {filter: {in: 4}}}`, "+ in: 3"},
		{"a state", `{sink: {count: 3}, state: running}`, ""},
		{"another state", `{sink: {count: 3}, state: ended}`, "+ running"},
		{"dead letters", `{sink: {count: 3}, dead_letter: nothing, rejected: nothing, receipts: nothing}`, ""},
		{"acknowledged", `{sink: {count: 3}, unacknowledged: 0}`, "+ file: 3"}, // until the next checkpoint
	} {
		t.Run(c.name, func(t *testing.T) {
			got := outcome(t, "      - feed: "+fed+"\n      - expect: "+c.expect+"\n")
			if c.want == "" && got != "" || c.want != "" && !strings.Contains(got, c.want) {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}

func TestWhatNobodyAskedForIsReported(t *testing.T) {
	for steps, want := range map[string]string{
		"      - feed: [{n: 1}]\n      - expect: {state: running}\n":                                                  "1 record came that no step expects",
		"      - feed: [broken]\n      - expect: {sink: nothing}\n":                                                   "dead_letter: 1 record came that no step expects",
		"      - feed: [{n: 1}]\n":                                                                                    "it cannot fail",
		"      - expect: {sink: nothing}\n      - at: 5s\n      - at: 3s\n":                                           "at: 3s is over, it is 5s by now",
		"      - idle\n      - expect: {sink: nothing}\n":                                                             "is never idle",
		"      - feed: {source: fiel, rows: [{}]}\n      - expect: {sink: nothing}\n":                                 `did you mean "file"?`,
		"      - feed: {file: nowhere.ndjson}\n      - expect: {sink: nothing}\n":                                     "read nowhere.ndjson: no such file",
		"      - sink_fails: {sink: stdotu}\n      - expect: {sink: nothing}\n":                                       `did you mean "stdout"?`,
		"      - expect: {sink: nothing}\n    mock: {fliter: {error: x}}\n":                                           `did you mean "filter"?`,
		"      - start: {flow: gone.yaml}\n      - expect: {sink: nothing}\n":                                         "gone.yaml",
		"      - sink_fails: {times: 1, error: permanent}\n      - feed: [{n: 1}]\n      - expect: {sink: nothing}\n": "dead_letter: 1 record came that no step expects",
	} {
		if got := outcome(t, steps); !strings.Contains(got, want) {
			t.Errorf("%s\nsays %q, not %q", steps, got, want)
		}
	}
}
