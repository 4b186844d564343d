package main

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/telluride-stream/telluride/engine/change"
	"github.com/telluride-stream/telluride/engine/flowtest"
	"github.com/telluride-stream/telluride/stages"
)

// TestFlowTests runs the tests of the shipped flows, and those of
// testdata/suite. `make flowtests` runs them in every variant.
func TestFlowTests(t *testing.T) {
	t.Chdir(filepath.Join("..", ".."))                                         // tables are found from the root
	o := flowtest.Options{Registry: stages.All(), Seed: 1, Timeout: time.Hour} // the machine may be busy
	files, err := flowtest.Find([]string{"flows", "testdata/suite"})
	if err != nil {
		t.Fatal(err)
	}
	flowtest.CheckFlows(files, o)
	for _, f := range files {
		if err := f.Diags.Err(); err != nil {
			t.Fatal(err)
		}
	}
	results := flowtest.RunAll(context.Background(), files, o)
	for _, r := range results {
		if r.Failed() {
			var text strings.Builder
			(&flowtest.TextReport{W: &text}).Result(r)
			t.Error(text.String())
		}
	}
	if n := len(results); n < 80 {
		t.Errorf("%d tests ran: where are the others?", n)
	}
	for _, c := range flowtest.Coverage(results) {
		for _, m := range c.Missing {
			t.Errorf("%s:%d: %s", c.Flow, m.Line, m.What)
		}
	}
}

func TestEveryShippedFlowHasTests(t *testing.T) {
	folder := filepath.Join("..", "..", "flows")
	entries, err := os.ReadDir(folder)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		name := e.Name()
		if !change.FlowFile(name) {
			continue
		}
		tests := strings.TrimSuffix(name, ".yaml") + flowtest.Suffix + ".yaml"
		if _, err := os.Stat(filepath.Join(folder, tests)); err != nil {
			t.Errorf("%s has no %s", name, tests)
		}
	}
}
