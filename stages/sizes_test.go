package stages_test

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/telluride-stream/telluride/engine"
	"github.com/telluride-stream/telluride/engine/checkpoint"
	"github.com/telluride-stream/telluride/engine/flow"
	"github.com/telluride-stream/telluride/engine/telemetry"
	"github.com/telluride-stream/telluride/stages"
)

// What a snapshot says of sizes is what the files and the store hold, and is
// there again when the flow goes on.
func TestASnapshotKnowsTheSizesOfStateAndData(t *testing.T) {
	dir := t.TempDir()
	in, out := filepath.Join(dir, "in.ndjson"), filepath.Join(dir, "out.ndjson")
	const n, keys = 1000, 37
	var lines bytes.Buffer
	for i := range n {
		fmt.Fprintf(&lines, "{\"k\":\"key %d\",\"v\":%d}\n", i%keys, i)
	}
	if err := os.WriteFile(in, lines.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	source := fmt.Sprintf(`name: sizes
source: {file: {path: %q, follow: true}}
stages:
  - partition: {by: k, lanes: 3}
  - dedupe: {by: v, within: 1h}
  - window: {by: k, global: true, aggregate: {n: "count()", all: "collect(v)"}, emit: {every: 10ms}}
sink: {file: {path: %q}}
`, in, out)
	store, err := checkpoint.Open(filepath.Join(dir, "state"), checkpoint.Options{Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = store.Close() })
	stage := func(f *engine.Flow, kind string) telemetry.StageStats {
		for _, s := range f.Snapshot().Stages {
			if s.Kind == kind {
				return s
			}
		}
		return telemetry.StageStats{}
	}
	for run := range 2 {
		p, list := flow.Compile("sizes.yaml", []byte(source), flow.Options{Registry: stages.All()})
		if p == nil {
			t.Fatal(list.Err())
		}
		f := engine.New(engine.Config{Store: store}).Start(p)
		t.Cleanup(f.Stop)
		ready := func() bool {
			return run == 0 && stage(f, "window").Counts.Absorbed == n || run == 1 && stage(f, "window").Keys > 0
		}
		for deadline := time.Now().Add(2 * time.Minute); !ready(); {
			if time.Now().After(deadline) {
				t.Fatalf("%+v", stage(f, "window"))
			}
			time.Sleep(10 * time.Millisecond) // between two looks
		}
		ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
		defer cancel()
		if err := f.Drain(ctx); err != nil {
			t.Fatal(err)
		}
		for _, kind := range []string{"window", "dedupe"} {
			var want, size int64
			err := store.State("sizes", kind, func(key string, value []byte) error {
				want++
				size += int64(len(key) + len(value))
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
			if got := stage(f, kind); !got.Keeps || got.Keys != want || got.StateBytes != size || want < keys {
				t.Errorf("run %d: %s has %d keys and %d bytes, and the store %d and %d", run, kind, got.Keys, got.StateBytes, want, size)
			}
		}
		if s := stage(f, "partition"); s.Keeps {
			t.Error("a partition keeps no state")
		}
	}
	// A run of its own, with a file of its own.
	if err := os.Remove(out); err != nil {
		t.Fatal(err)
	}
	p, _ := flow.Compile("sizes.yaml", []byte(source), flow.Options{Registry: stages.All()})
	other := engine.New(engine.Config{}).Start(p)
	t.Cleanup(other.Stop)
	for deadline := time.Now().Add(2 * time.Minute); stage(other, "sink").Counts.Passed == 0 || stage(other, "window").Counts.Absorbed < n; {
		if time.Now().After(deadline) {
			t.Fatal("nothing was written")
		}
		time.Sleep(10 * time.Millisecond) // between two looks
	}
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	if err := other.Drain(ctx); err != nil {
		t.Fatal(err)
	}
	written, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	if s := stage(other, "sink"); s.Bytes != int64(len(written)) || s.Bytes == 0 {
		t.Errorf("the sink says %d bytes, and the file has %d", s.Bytes, len(written))
	}
	// A payload is a line without its end.
	if s := stage(other, "source"); s.Bytes != int64(lines.Len()-n) {
		t.Errorf("the source says %d bytes, and the lines have %d", s.Bytes, lines.Len()-n)
	}
}
