package window_test

import (
	"fmt"
	"testing"

	"github.com/telluride-stream/telluride/engine/record"
	"github.com/telluride-stream/telluride/engine/stage"
)

// BenchmarkProcess runs windows of a second over 1,000 keys, 100,000 records
// a second of event time, in batches of 256. One operation is one record.
func BenchmarkProcess(b *testing.B) {
	const four = "n: count(), min: min(x), max: max(x), mean: mean(x)"
	for _, bench := range []struct{ name, kind, aggregates string }{
		{"tumbling", "tumbling: 1s", four},
		{"tumbling_expression", "tumbling: 1s", `n: count(), mean: "mean((x - 32) / 1.8)"`},
		{"tumbling_where", "tumbling: 1s", `n: count(), hot: {value: "mean(x)", where: "x > 500"}`},
		{"tumbling_quantile", "tumbling: 1s", `p99: "quantile(x, 0.99)"`},
		{"tumbling_distinct", "tumbling: 1s", `d: "distinct(x)"`},
		{"hopping", "hopping: {size: 10s, every: 1s}", four},
		{"session", "session: {gap: 50ms}", four},
		{"count", "count: 100", four},
		{"global", "global: true, emit: {every: 1s}", four},
		{"sliding_count", "sliding: {last: 100}", four},
		{"sliding_time", "sliding: {last: 1s}", four},
	} {
		b.Run(bench.name, func(b *testing.B) {
			process(b, fmt.Sprintf("window: {by: k, %s, aggregate: {%s}}", bench.kind, bench.aggregates))
		})
	}
}

func process(b *testing.B, src string) {
	f := build(b, src)
	const keys, size, step = 1000, 256, int64(10_000)
	l := newLane(b, f)
	own := record.NewBatch(0)
	templates := make([]record.Record, keys)
	for i := range templates {
		templates[i] = l.record(own, at(0, `{"k":"sensor_%06d","x":%d.25}`, i, i))
	}
	driver := stage.NewDriver("window", f.spec.New(), size, false)
	b.ReportAllocs()
	b.ResetTimer()
	now, n := int64(0), 0
	for n < b.N {
		in := record.NewBatch(size)
		in.Records = in.Records[:min(size, b.N-n)]
		for i := range in.Records {
			now += step
			r := &in.Records[i]
			*r = templates[n*7919%keys]
			r.Time, r.Watermark = now, now
			n++
		}
		in.Now, in.Watermark, in.Ordered = now, now, true
		for _, out := range driver.Step(in, nil) {
			out.Release()
		}
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds()/1e6, "Mrec/s")
}

// BenchmarkAdvance has a million open windows and nothing due.
func BenchmarkAdvance(b *testing.B) {
	f := build(b, "window: {by: k, tumbling: 1h, aggregate: {n: count()}}")
	l := newLane(b, f)
	driver := stage.NewDriver("window", f.spec.New(), 256, false)
	for i := range 1_000_000 / 1000 {
		in := record.NewBatch(1000)
		for j := range 1000 {
			in.Records = append(in.Records, l.record(in, at(0, `{"k":%d}`, i*1000+j)))
		}
		in.Ordered = true
		for _, out := range driver.Step(in, nil) {
			out.Release()
		}
	}
	b.ReportAllocs()
	b.ResetTimer()
	for i := range b.N {
		for _, out := range driver.Step(&record.Batch{Now: int64(i), Watermark: int64(i)}, nil) {
			out.Release()
		}
	}
}

// nowhere takes a snapshot as a checkpoint does, and keeps nothing.
type nowhere struct{ buf []byte }

func (n *nowhere) Put(key string, value []byte) {
	if n.buf = append(append(n.buf, key...), value...); len(n.buf) > 64<<10 {
		n.buf = n.buf[:0]
	}
}

func (n *nowhere) Delete(string) {}

// BenchmarkSnapshot writes the state of keys that have changed.
func BenchmarkSnapshot(b *testing.B) {
	const keys = 16384
	f := build(b, "window: {by: k, global: true, emit: {every: 1h}, aggregate: {n: count(), lo: min(x), hi: max(x), mid: mean(x)}}")
	l := newLane(b, f)
	var events []event
	for i := range keys {
		events = append(events, at(1, `{"k":"sensor_%06d","x":%d.5}`, i, i))
	}
	l.batch(0, record.None, events...)
	saved := l.op.(stage.Stateful)
	for b.Loop() {
		b.StopTimer()
		l.batch(0, record.None, events...)
		b.StartTimer()
		saved.Snapshot(&nowhere{})
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/keys, "ns/key")
}
