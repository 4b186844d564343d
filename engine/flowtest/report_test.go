package flowtest_test

import (
	"bytes"
	"context"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/telluride-stream/telluride/engine/flowtest"
	"github.com/telluride-stream/telluride/stages"
)

// reported runs a passing test, and one that fails in odd characters.
func reported(t *testing.T) []*flowtest.Result {
	t.Helper()
	dir := t.TempDir()
	t.Chdir(dir)
	write(t, "a.yaml", "source: {file: {path: x}}\nstages: [{filter: \"n > 1\"}]\nsink: {stdout: {}}\n")
	write(t, "a_test.yaml", `tests:
  - name: passes
    steps:
      - feed: [{n: 2}]
      - expect: "n == 2"
  - name: "fails <&> \x01"
    steps:
      - feed: [{n: 2, s: "\x01 <b> ]]>"}]
      - expect: {sink: [{s: other}]}
`)
	files, err := flowtest.Find(nil)
	if err != nil {
		t.Fatal(err)
	}
	return flowtest.RunAll(context.Background(), files, flowtest.Options{Registry: stages.All()})
}

// junit is what the schema of Jenkins' xUnit plugin (junit-10.xsd) allows below
// each element that a report has, and the attributes that it allows; those
// behind "!" are required.
var junit = map[string]struct{ children, attributes string }{
	"testsuites": {"testsuite", "name time tests failures errors"},
	"testsuite":  {"testsuite properties testcase system-out system-err", "!name !tests !failures !errors group time skipped timestamp hostname id package file log url"},
	"testcase":   {"skipped error failure system-out system-err", "!name time classname group"},
	"failure":    {"", "type message"},
	"skipped":    {"", "type message"},
}

func TestTheJUnitReportIsOneToOthers(t *testing.T) {
	results := reported(t)
	results = append(results, &flowtest.Result{Test: results[0].Test, Skipped: true})
	var out bytes.Buffer
	if err := flowtest.WriteJUnit(&out, results, 0); err != nil {
		t.Fatal(err)
	}
	var path []string
	count := map[string]int{}
	for dec := xml.NewDecoder(&out); ; {
		token, err := dec.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatalf("%v in\n%s", err, out.String())
		}
		switch e := token.(type) {
		case xml.StartElement:
			name := e.Name.Local
			rule, known := junit[name]
			if !known {
				t.Errorf("element %s is not in the schema", name)
			}
			if n := len(path); n > 0 && !slices.Contains(strings.Fields(junit[path[n-1]].children), name) {
				t.Errorf("%s stands in %s", name, path[n-1])
			}
			for _, a := range e.Attr {
				if !slices.Contains(strings.Fields(strings.ReplaceAll(rule.attributes, "!", "")), a.Name.Local) {
					t.Errorf("%s has the attribute %s", name, a.Name.Local)
				}
			}
			for _, a := range strings.Fields(rule.attributes) {
				needed, ok := strings.CutPrefix(a, "!")
				if ok && !slices.ContainsFunc(e.Attr, func(a xml.Attr) bool { return a.Name.Local == needed }) {
					t.Errorf("%s has no %s", name, needed)
				}
			}
			path = append(path, name)
			count[name]++
		case xml.EndElement:
			path = path[:len(path)-1]
		}
	}
	if fmt.Sprint(count) != "map[failure:1 skipped:1 testcase:3 testsuite:1 testsuites:1]" {
		t.Errorf("elements: %v", count)
	}
}

func TestTheJSONReportHasAStableShape(t *testing.T) {
	var out bytes.Buffer
	if err := flowtest.WriteJSON(&out, reported(t), flowtest.Options{Seed: 7}, 0, []flowtest.FlowCoverage{}); err != nil {
		t.Fatal(err)
	}
	var report map[string]any
	if err := json.Unmarshal(out.Bytes(), &report); err != nil {
		t.Fatal(err)
	}
	same := func(what string, v any, want string) map[string]any {
		m, _ := v.(map[string]any)
		var keys []string
		for k := range m {
			keys = append(keys, k)
		}
		slices.Sort(keys)
		if got := strings.Join(keys, " "); got != want {
			t.Errorf("%s has %s, not %s", what, got, want)
		}
		return m
	}
	same("the report", report, "coverage elapsed_ms failed passed seed skipped tests")
	tests := report["tests"].([]any)
	same("a test that passed", tests[0], "elapsed_ms file flow line name status")
	bad := same("a test that failed", tests[1], "elapsed_ms failures file flow line name status")
	failure := same("a failure", bad["failures"].([]any)[0], "column differences file line message")
	same("a difference", failure["differences"].([]any)[0], "column file line lines title")
}
