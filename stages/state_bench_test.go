package stages_test

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/telluride-stream/telluride/engine"
	"github.com/telluride-stream/telluride/engine/checkpoint"
	"github.com/telluride-stream/telluride/engine/flow"
	"github.com/telluride-stream/telluride/engine/heap"
	"github.com/telluride-stream/telluride/engine/plan"
	"github.com/telluride-stream/telluride/stages"
)

// A flow with state that grows with the number of sensors and never closes.
const stateFlow = `
name: state
params: {in: "-"}
source: {file: {path: "${params.in}"}}
checkpoint: {interval: 1s}
stages:
  - partition: {by: sensor_id}
  - window:
      global: true
      emit: {every: EMIT}
      aggregate: {count: "count()", min: "min(reading)", max: "max(reading)", mean: "mean(reading)"}
sink: {drop: {}}
durability: DURABILITY
`

func compileState(tb testing.TB, durability, emit, in string) *plan.Plan {
	tb.Helper()
	src := strings.NewReplacer("DURABILITY", durability, "EMIT", emit).Replace(stateFlow)
	p, problems := flow.Compile("state.yaml", []byte(src), flow.Options{
		Registry: stages.All(), Params: map[string]string{"in": in},
		Env: func(string) (string, bool) { return "", false },
	})
	if p == nil {
		tb.Fatal(problems.Err())
	}
	return p
}

func openStore(tb testing.TB, dir string) *checkpoint.Pebble {
	tb.Helper()
	s, err := checkpoint.Open(dir, checkpoint.Options{})
	if err != nil {
		tb.Fatal(err)
	}
	return s
}

// BenchmarkDurability runs a flow over the readings of 10,000 sensors with its
// state on the disk and in memory in turn. ratio is the speed of the first by
// that of the second, the median of the rounds.
func BenchmarkDurability(b *testing.B) {
	const n, sensors = 2_000_000, 10_000
	in := filepath.Join(b.TempDir(), "in.ndjson")
	writeReadings(b, in, n, sensors)
	run := func(durability string) time.Duration {
		store := openStore(b, b.TempDir())
		defer store.Close()
		runtime.GC()
		start := time.Now()
		f := engine.New(engine.Config{Store: store}).Start(compileState(b, durability, "1h", in))
		if err := f.Wait(); err != nil {
			b.Fatal(err)
		}
		return time.Since(start)
	}
	run("disk")
	var ratios []float64
	for b.Loop() {
		disk, memory := run("disk"), run("memory")
		ratios = append(ratios, memory.Seconds()/disk.Seconds())
	}
	slices.Sort(ratios)
	b.ReportMetric(ratios[len(ratios)/2], "ratio")
}

// BenchmarkMillionKeys fills the state of a flow with a million keys, twice
// over, and starts it again from its folder. It prints the most memory that
// the process has had meanwhile, all in all, and how long it took from opening the
// folder until the flow had taken another record.
func BenchmarkMillionKeys(b *testing.B) {
	const keys = 1_000_000
	defer heap.Pace()() // as the program does
	lowWater(b)
	var restart time.Duration
	for b.Loop() {
		dir := b.TempDir()
		feedState(b, dir, func(w io.Writer) uint64 {
			for i := range 2 * keys {
				fmt.Fprintf(w, `{"sensor_id":"sensor_%06d","reading":%d.%03d}`+"\n", i*7919%keys, 60+i%20, i%1000)
			}
			return 2 * keys
		})
		restart += feedState(b, dir, func(w io.Writer) uint64 {
			fmt.Fprintln(w, `{"sensor_id":"sensor_000001","reading":70.5}`)
			return 1
		})
	}
	b.ReportMetric(restart.Seconds()/float64(b.N), "restart-s")
	b.ReportMetric(highWater(b), "peak-RSS-MiB")
}

// feedState runs the flow over what write writes until it is committed, and says
// how long that took.
func feedState(b *testing.B, dir string, write func(io.Writer) uint64) time.Duration {
	b.Helper()
	return feedStateOf(b, dir, "1h", func(*plan.Plan) {}, write)
}

// feedStateOf does it with a plan that emits at intervals, and that watch may
// change.
func feedStateOf(b *testing.B, dir, emit string, watch func(*plan.Plan), write func(io.Writer) uint64) time.Duration {
	b.Helper()
	start := time.Now()
	store := openStore(b, dir)
	defer store.Close()
	stdin, w := io.Pipe()
	p := compileState(b, "disk", emit, "-")
	watch(p)
	f := engine.New(engine.Config{Store: store, Stdin: stdin}).Start(p)
	buffered := &chunks{w: w}
	n := write(buffered)
	buffered.flush()
	for taken := uint64(0); taken < n; {
		select {
		case <-f.Done():
			b.Fatal(f.Wait())
		case <-time.After(time.Millisecond):
		}
		for _, r := range f.Ledger.Rows() {
			if r.Kind == "window" {
				taken = r.Counts().Absorbed
			}
		}
	}
	took := time.Since(start)
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := f.Drain(ctx); err != nil {
		b.Fatal(err)
	}
	_ = w.Close()
	return took
}

// chunks writes lines in few goes.
type chunks struct {
	w   io.Writer
	buf []byte
}

func (c *chunks) Write(p []byte) (int, error) {
	if c.buf = append(c.buf, p...); len(c.buf) > 64<<10 {
		c.flush()
	}
	return len(p), nil
}

func (c *chunks) flush() {
	_, _ = c.w.Write(c.buf)
	c.buf = c.buf[:0]
}

// lowWater has highWater count from here on.
func lowWater(tb testing.TB) {
	debug.FreeOSMemory()
	if err := os.WriteFile("/proc/self/clear_refs", []byte("5"), 0); err != nil {
		tb.Logf("the peak includes what was before: %v", err)
	}
}

// highWater is the most memory that the process has had resident, in MiB.
func highWater(tb testing.TB) float64 {
	text, err := os.ReadFile("/proc/self/status")
	if err != nil {
		tb.Skip("the resident memory of a process is only known on Linux")
	}
	_, rest, _ := strings.Cut(string(text), "VmHWM:")
	kib, err := strconv.ParseFloat(strings.Fields(rest)[0], 64)
	if err != nil {
		tb.Fatal(err)
	}
	return kib / 1024
}
