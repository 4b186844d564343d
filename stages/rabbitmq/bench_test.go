package rabbitmq_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"runtime"
	"slices"
	"syscall"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/telluride-stream/telluride/engine"
	"github.com/telluride-stream/telluride/engine/flow"
	"github.com/telluride-stream/telluride/stages"
)

const passFlow = `
name: pass
params: {url: "", in: "", out: ""}
source: {rabbitmq: {url: "${params.url}", queue: "${params.in}"}}
sink: {rabbitmq: {url: "${params.url}", queue: "${params.out}"}}
dead_letter: {drop: {}}
`

const aggregateFlow = `
name: aggregate
params: {url: "", in: "", out: ""}
source: {rabbitmq: {url: "${params.url}", queue: "${params.in}"}}
stages:
  - window:
      by: sensor_id
      global: true
      emit: {every: 1s, changed_only: true}
      aggregate: {total_reads: "count()", min: "min(reading)", max: "max(reading)", mean: "mean(reading)"}
sink: {rabbitmq: {url: "${params.url}", queue: "${params.out}"}}
dead_letter: {drop: {}}
`

// bench is a broker for benchmarks, with a queue to read and one to write.
type bench struct {
	tb      testing.TB
	url     string
	conn    *amqp.Connection
	ch      *amqp.Channel
	in, out string
}

func newBench(tb testing.TB) *bench {
	tb.Helper()
	url := os.Getenv("RABBITMQ_URL")
	if url == "" {
		url = "amqp://guest:guest@localhost:5672/"
	}
	conn, err := amqp.Dial(url)
	if err != nil {
		tb.Skip("no RabbitMQ; `tools/broker ensure` starts one")
	}
	b := &bench{tb: tb, url: url, conn: conn}
	if b.ch, err = conn.Channel(); err != nil {
		tb.Fatal(err)
	}
	for _, q := range []*string{&b.in, &b.out} {
		*q = fmt.Sprintf("telluride-bench-%x", rand.Uint64())
		if _, err := b.ch.QueueDeclare(*q, true, false, false, false, nil); err != nil {
			tb.Fatal(err)
		}
	}
	tb.Cleanup(func() {
		for _, q := range []string{b.in, b.out} {
			b.ch.QueueDelete(q, false, false, false)
		}
		conn.Close()
	})
	return b
}

// fill puts n readings of about 130 bytes, of so many sensors, into the queue,
// and empties the other.
func (b *bench) fill(n, sensors int) {
	b.tb.Helper()
	ch, err := b.conn.Channel()
	if err != nil {
		b.tb.Fatal(err)
	}
	defer ch.Close()
	if err := ch.Confirm(false); err != nil {
		b.tb.Fatal(err)
	}
	if _, err := ch.QueuePurge(b.out, false); err != nil {
		b.tb.Fatal(err)
	}
	rnd := rand.New(rand.NewPCG(1, 2))
	var last *amqp.DeferredConfirmation
	for i := range n {
		s := rnd.IntN(sensors)
		last, err = ch.PublishWithDeferredConfirm("", b.in, false, false, amqp.Publishing{
			ContentType: "application/json", DeliveryMode: amqp.Transient,
			Body: fmt.Appendf(nil, `{"device_id":"device_%d","line_id":"line_%d","reading":%.3f,"sensor_id":"sensor_%06d","timestamp":"2026-01-01T00:00:00.%03dZ"}`, s%7, s%3, 70+rnd.NormFloat64()*5, s, i%1000),
		})
		if err != nil {
			b.tb.Fatal(err)
		}
		// The client looks through all that are open for every confirmation.
		if (i%500 == 0 || i == n-1) && !last.Wait() {
			b.tb.Fatal("not confirmed")
		}
	}
}

// count is the number of messages in a queue.
func (b *bench) count(queue string) int {
	q, err := b.ch.QueueDeclarePassive(queue, true, false, false, false, nil)
	if err != nil {
		b.tb.Fatal(err)
	}
	return q.Messages
}

// run runs a flow until it has read n messages and everything made of them is
// settled, and says how long that took.
func (b *bench) run(text string, n int) time.Duration {
	b.tb.Helper()
	p, problems := flow.Compile("bench.yaml", []byte(text), flow.Options{
		Registry: stages.All(), Params: map[string]string{"url": b.url, "in": b.in, "out": b.out},
	})
	if p == nil {
		b.tb.Fatal(problems.Err())
	}
	start := time.Now()
	f := engine.New(engine.Config{}).Start(p)
	for read := uint64(0); read < uint64(n); {
		select {
		case <-f.Done():
			b.tb.Fatal(f.Wait())
		case <-time.After(2 * time.Millisecond):
		}
		for _, r := range f.Ledger.Rows() {
			if r.Kind == "source" {
				read = r.Counts().Passed
			}
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if err := f.Drain(ctx); err != nil {
		b.tb.Fatal(err)
	}
	return time.Since(start)
}

// bareConsumer consumes n messages with the client alone.
func (b *bench) bareConsumer(n int) time.Duration {
	b.tb.Helper()
	start := time.Now()
	conn, ch, deliveries := b.consume()
	defer conn.Close()
	for i := 1; i <= n; i++ {
		d := <-deliveries
		if i%200 == 0 || i == n {
			if err := ch.Ack(d.DeliveryTag, true); err != nil {
				b.tb.Fatal(err)
			}
		}
	}
	return time.Since(start)
}

func (b *bench) consume() (*amqp.Connection, *amqp.Channel, <-chan amqp.Delivery) {
	b.tb.Helper()
	conn, err := amqp.Dial(b.url)
	if err != nil {
		b.tb.Fatal(err)
	}
	ch, err := conn.Channel()
	if err != nil {
		b.tb.Fatal(err)
	}
	if err := ch.Qos(1000, 0, false); err != nil {
		b.tb.Fatal(err)
	}
	deliveries, err := ch.Consume(b.in, "", false, false, false, false, nil)
	if err != nil {
		b.tb.Fatal(err)
	}
	return conn, ch, deliveries
}

// bareLoop consumes n messages and publishes them with pipelined confirms:
// every 200 messages are acknowledged once the 200 before them are confirmed.
func (b *bench) bareLoop(n int) time.Duration {
	b.tb.Helper()
	start := time.Now()
	conn, ch, deliveries := b.consume()
	defer conn.Close()
	other, err := amqp.Dial(b.url)
	if err != nil {
		b.tb.Fatal(err)
	}
	defer other.Close()
	out, err := other.Channel()
	if err != nil {
		b.tb.Fatal(err)
	}
	if err := out.Confirm(false); err != nil {
		b.tb.Fatal(err)
	}
	type part struct {
		tag  uint64
		last []*amqp.DeferredConfirmation
	}
	var flying []part
	var now part
	settle := func() {
		for _, c := range flying[0].last {
			if !c.Wait() {
				b.tb.Fatal("not confirmed")
			}
		}
		if err := ch.Ack(flying[0].tag, true); err != nil {
			b.tb.Fatal(err)
		}
		flying = flying[1:]
	}
	for i := 1; i <= n; i++ {
		d := <-deliveries
		c, err := out.PublishWithDeferredConfirm("", b.out, true, false, amqp.Publishing{
			ContentType: "application/json", DeliveryMode: amqp.Persistent, Body: d.Body,
		})
		if err != nil {
			b.tb.Fatal(err)
		}
		now.last, now.tag = append(now.last, c), d.DeliveryTag
		if i%200 == 0 || i == n {
			flying, now = append(flying, now), part{}
			if len(flying) > 2 {
				settle()
			}
		}
	}
	for len(flying) > 0 {
		settle()
	}
	return time.Since(start)
}

// BenchmarkPass runs a pass-through with confirms and the bare loop in turn.
func BenchmarkPass(b *testing.B) {
	const n, sensors = 50_000, 1000
	k := newBench(b)
	var ours, bare cost
	for b.Loop() {
		k.fill(n, sensors)
		ours.add(func() time.Duration { return k.run(passFlow, n) })
		if left, came := k.count(k.in), k.count(k.out); left != 0 || came != n {
			b.Fatalf("%d left, %d came", left, came)
		}
		k.fill(n, sensors)
		bare.add(func() time.Duration { return k.bareLoop(n) })
	}
	report(b, n, ours, bare)
}

// BenchmarkAggregate runs consume → aggregate → publish and a bare consumer,
// which publishes nothing, in turn. Each sensor makes one more message a second.
func BenchmarkAggregate(b *testing.B) {
	for _, sensors := range []int{100, 1000} {
		b.Run(fmt.Sprintf("sensors=%d", sensors), func(b *testing.B) { aggregate(b, sensors) })
	}
}

func aggregate(b *testing.B, sensors int) {
	const n = 100_000
	k := newBench(b)
	var ours, bare cost
	for b.Loop() {
		k.fill(n, sensors)
		ours.add(func() time.Duration { return k.run(aggregateFlow, n) })
		if left := k.count(k.in); left != 0 {
			b.Fatalf("%d left", left)
		}
		k.fill(n, sensors)
		bare.add(func() time.Duration { return k.bareConsumer(n) })
	}
	report(b, n, ours, bare)
}

// cost is the time that runs took, and the processor time of this process
// meanwhile, which does not depend on what else the machine does.
type cost struct {
	took, cpu time.Duration
	each      []time.Duration
}

func (c *cost) add(run func() time.Duration) {
	runtime.GC()
	before := used()
	c.each = append(c.each, run())
	c.took += c.each[len(c.each)-1]
	c.cpu += used() - before
}

func used() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func report(b *testing.B, n int, ours, bare cost) {
	records := float64(n) * float64(b.N)
	b.ReportMetric(records/ours.took.Seconds(), "records/s")
	b.ReportMetric(records/bare.took.Seconds(), "bare-records/s")
	// The median, since a broker and a machine have bad moments.
	var ratios []float64
	for i := range ours.each {
		ratios = append(ratios, bare.each[i].Seconds()/ours.each[i].Seconds())
	}
	slices.Sort(ratios)
	b.ReportMetric(ratios[len(ratios)/2], "ratio")
	b.ReportMetric(float64(ours.cpu.Nanoseconds())/records, "cpu-ns/record")
	b.ReportMetric(float64(bare.cpu.Nanoseconds())/records, "bare-cpu-ns/record")
}
