package flow_test

import (
	"flag"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/telluride-stream/telluride/engine/diag"
	"github.com/telluride-stream/telluride/engine/flow"
	"github.com/telluride-stream/telluride/engine/plan"
)

var rewrite = flag.Bool("rewrite", false, "rewrite the golden files")

func options() flow.Options { return flow.Options{Registry: kinds(), Lanes: 8} }

func compile(t *testing.T, file, src string, o flow.Options) (*plan.Plan, diag.List) {
	t.Helper()
	p, list := flow.Compile(file, []byte(src), o)
	if (p == nil) != list.HasErrors() {
		t.Fatalf("plan is nil: %v, list has errors: %v", p == nil, list.HasErrors())
	}
	return p, list
}

func read(t *testing.T, file string) string {
	t.Helper()
	src, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(src)
}

func files(t *testing.T, pattern string) []string {
	t.Helper()
	all, err := filepath.Glob(pattern)
	if err != nil || len(all) == 0 {
		t.Fatalf("no files match %s (%v)", pattern, err)
	}
	return all
}

func TestAGoodFlowBecomesThePlanInItsGoldenFile(t *testing.T) {
	for _, file := range files(t, "testdata/good/*.yaml") {
		t.Run(filepath.Base(file), func(t *testing.T) {
			p, list := compile(t, filepath.Base(file), read(t, file), options())
			if p == nil {
				t.Fatal(list.Err())
			}
			got, golden := dump(p, list), strings.TrimSuffix(file, ".yaml")+".plan"
			if *rewrite {
				if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			if want := read(t, golden); got != want {
				t.Errorf("got\n%s\nwant\n%s", got, want)
			}
		})
	}
}

var expectation = regexp.MustCompile(`# (ERROR|WARNING): (.*?)( # (ERROR|WARNING): |$)`)

// expectations is what the comments of a bad flow say that its lines report.
func expectations(src string) map[int][]string {
	want := map[int][]string{}
	for i, line := range strings.Split(src, "\n") {
		for {
			m := expectation.FindStringSubmatchIndex(line)
			if m == nil {
				break
			}
			pattern := line[m[4]:m[5]]
			if line[m[2]:m[3]] == "WARNING" {
				pattern = "^warning: .*" + pattern
			}
			want[i+1] = append(want[i+1], pattern)
			line = line[m[5]:]
		}
	}
	return want
}

func TestEveryProblemOfABadFlowIsReportedWhereItIs(t *testing.T) {
	for _, file := range files(t, "testdata/bad/*.yaml") {
		t.Run(filepath.Base(file), func(t *testing.T) {
			src := read(t, file)
			p, list := compile(t, filepath.Base(file), src, options())
			if p != nil {
				t.Error("it compiles")
			}
			want := expectations(src)
			for _, d := range list {
				bare := d
				bare.Span = diag.Span{}
				if !take(t, want, d.Span.Start.Line, bare.String()) {
					t.Errorf("not expected: %s", d)
				}
			}
			for line, patterns := range want {
				for _, pattern := range patterns {
					t.Errorf("line %d does not report: %s", line, pattern)
				}
			}
		})
	}
}

// take strikes out the first expectation of a line that matches.
func take(t *testing.T, want map[int][]string, line int, got string) bool {
	t.Helper()
	for i, pattern := range want[line] {
		if regexp.MustCompile(pattern).MatchString(got) {
			want[line] = append(want[line][:i:i], want[line][i+1:]...)
			return true
		}
	}
	return false
}
