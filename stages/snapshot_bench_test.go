//go:build linux

package stages_test

import (
	"fmt"
	"io"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/telluride-stream/telluride/engine/heap"
	"github.com/telluride-stream/telluride/engine/plan"
	"github.com/telluride-stream/telluride/engine/record"
	"github.com/telluride-stream/telluride/engine/stage"
)

// waits is how long lanes were held up, each time.
type waits struct {
	mu      sync.Mutex
	all     map[string][]time.Duration
	batches atomic.Int64 // that lanes took
}

func (w *waits) add(what string, d time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.all[what] = append(w.all[what], d)
}

func (w *waits) report(b *testing.B, what string) {
	list := w.all[what]
	slices.Sort(list)
	for _, q := range []struct {
		name string
		at   float64
	}{{"p50", 0.5}, {"p99", 0.99}, {"p99.9", 0.999}, {"max", 1}} {
		i := min(int(q.at*float64(len(list))), len(list)-1)
		b.ReportMetric(list[i].Seconds()*1000, what+"-"+q.name+"-ms")
	}
	b.Logf("%d of %s", len(list), what)
}

// reportBatches prints how long a batch waits for a snapshot that is captured
// when it comes: all of them, most of which meet none.
func (w *waits) reportBatches(b *testing.B) {
	list := append(make([]time.Duration, max(int(w.batches.Load())-len(w.all["capture"]), 0)), w.all["capture"]...)
	slices.Sort(list)
	b.ReportMetric(list[int(0.999*float64(len(list)))].Seconds()*1000, "batch-p99.9-ms")
	b.Logf("%d batches", len(list))
}

// globalWindow is what the operator of a global window can do.
type globalWindow interface {
	stage.Operator
	stage.Timed
	stage.Ender
	stage.Stateful
	stage.Growing
	stage.Partial
	stage.Viewer
}

// timedWindow measures for each snapshot how long it took (capture), how much of
// that the processor worked on it (work), and how long it was until the lane had
// its next batch (held). The first and the last include whatever else the
// machine did meanwhile, the last also what the source did.
type timedWindow struct {
	globalWindow
	waits *waits
	since time.Time
}

func (o *timedWindow) Process(c *stage.Context, r *record.Record) stage.Verdict {
	o.next()
	return o.globalWindow.Process(c, r)
}

func (o *timedWindow) Advance(c *stage.Context) { // once a batch
	o.waits.batches.Add(1)
	o.next()
	o.globalWindow.Advance(c)
}

func (o *timedWindow) next() {
	if !o.since.IsZero() {
		o.waits.add("held", time.Since(o.since))
		o.since = time.Time{}
	}
}

func (o *timedWindow) Snapshot(w stage.StateWriter) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	start, worked := time.Now(), threadTime()
	o.globalWindow.Snapshot(w)
	o.waits.add("work", threadTime()-worked)
	o.waits.add("capture", time.Since(start))
	o.since = start
}

// threadTime is how long the processor has worked for this thread.
func threadTime() time.Duration {
	var u syscall.Rusage
	const thread = 1 // RUSAGE_THREAD
	if syscall.Getrusage(thread, &u) != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func (w *waits) watch(p *plan.Plan) {
	for _, n := range p.Nodes {
		if op, ok := n.(*plan.Operator); ok && op.Kind == "window" {
			made := op.Spec.New
			op.Spec.New = func() stage.Operator { return &timedWindow{globalWindow: made().(globalWindow), waits: w} }
		}
	}
}

// BenchmarkSnapshotWaits changes a million keys again and again, and emits all
// that have changed every two seconds: a million at a time, most of them. It
// prints how long a lane is held up by a snapshot.
func BenchmarkSnapshotWaits(b *testing.B) {
	const keys = 1_000_000
	defer heap.Pace()()
	lowWater(b)
	w := &waits{all: map[string][]time.Duration{}}
	for b.Loop() {
		feedStateOf(b, b.TempDir(), "2s", w.watch, func(to io.Writer) uint64 {
			for i := range 5 * keys {
				fmt.Fprintf(to, `{"sensor_id":"sensor_%06d","reading":%d.%03d}`+"\n", i*7919%keys, 60+i%20, i%1000)
			}
			return 5 * keys
		})
	}
	w.reportBatches(b)
	w.report(b, "work")
	w.report(b, "capture")
	w.report(b, "held")
	b.ReportMetric(highWater(b), "peak-RSS-MiB")
}
