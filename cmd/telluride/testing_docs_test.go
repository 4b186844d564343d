package main

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/telluride-stream/telluride/engine/flowtest"
)

var fenced = regexp.MustCompile("(?ms)^```(\\w+) (\\S+)\n(.*?)^```$")

// took is how long something took, in the output of a test.
var took = regexp.MustCompile(`\([0-9.]+(ns|µs|ms|s)\)`)

// TestTheExamplesOfTheTestingGuide runs docs/testing.md as it stands, in an
// empty folder: blocks with the name of a file are that file, `yaml tests` are
// tests that pass, unless a `text failing` says what they print instead.
func TestTheExamplesOfTheTestingGuide(t *testing.T) {
	text, err := os.ReadFile(filepath.Join("..", "..", "docs", "testing.md"))
	if err != nil {
		t.Fatal(err)
	}
	t.Chdir(t.TempDir())
	blocks := fenced.FindAllStringSubmatch(string(text), -1)
	for _, b := range blocks {
		if strings.Contains(b[2], ".") {
			if err := os.WriteFile(b[2], []byte(b[3]), 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
	tests := 0
	for i, b := range blocks {
		if b[2] != "tests" {
			continue
		}
		tests++
		if err := os.WriteFile("thermometers_test.yaml", []byte(b[3]), 0o644); err != nil {
			t.Fatal(err)
		}
		want, code := "", exitFine
		if i+1 < len(blocks) && blocks[i+1][1] == "text" {
			want = blocks[i+1][3]
			if blocks[i+1][2] == "failing" {
				code = exitFailed
			}
		}
		f := newFake()
		got := f.execute("test")
		out := took.ReplaceAllString(f.out.String(), "(TIME)")
		if got != code {
			t.Errorf("exit code %d for\n%s\n%s%s", got, b[3], out, &f.err)
		} else if want != "" && out != want {
			t.Errorf("it prints\n%s\nand not\n%s", out, want)
		}
	}
	if tests < 5 {
		t.Errorf("only %d examples were found", tests)
	}
}

// TestTheTestingGuideNamesEveryKey says that the guide leaves out nothing that
// a file of tests may have.
func TestTheTestingGuideNamesEveryKey(t *testing.T) {
	words := wordsOf(t, filepath.Join("..", "..", "docs", "testing.md"))
	var look func(v any)
	look = func(v any) {
		switch v := v.(type) {
		case map[string]any:
			if properties, ok := v["properties"].(map[string]any); ok {
				for key := range properties {
					if !words[key] {
						t.Errorf("key %s is missing", key)
					}
				}
			}
			for _, inner := range v {
				look(inner)
			}
		case []any:
			for _, inner := range v {
				look(inner)
			}
		}
	}
	look(flowtest.Schema())
}
