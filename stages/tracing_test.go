package stages_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/telluride-stream/telluride/engine"
	"github.com/telluride-stream/telluride/engine/flow"
	"github.com/telluride-stream/telluride/engine/telemetry"
	"github.com/telluride-stream/telluride/engine/telemetry/trace"
	"github.com/telluride-stream/telluride/engine/telemetry/trace/tracetest"
	"github.com/telluride-stream/telluride/engine/topology"
	"github.com/telluride-stream/telluride/stages"
)

// traced is a flow between two queues of its own, and a collector that it
// sends its spans to.
type traced struct {
	t         *testing.T
	ch        *amqp.Channel
	url       string
	in, out   string
	collector *tracetest.Collector
	tracer    *trace.Tracer
	flow      *engine.Flow
}

// startTraced makes the queues. env are further variables, name=value.
func startTraced(t *testing.T, env ...string) *traced {
	t.Helper()
	conn, url := dialBroker(t)
	var err error
	run := fmt.Sprintf("-test-%x", rand.Uint64())
	s := &traced{t: t, url: url, in: "traced-in" + run, out: "traced-out" + run, collector: tracetest.Start(t)}
	if s.ch, err = conn.Channel(); err != nil {
		t.Fatal(err)
	}
	for _, q := range []string{s.in, s.out} {
		if _, err := s.ch.QueueDeclare(q, false, false, false, false, nil); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _, _ = s.ch.QueueDelete(q, false, false, false) })
	}
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", s.collector.URL)
	for _, e := range env {
		name, value, _ := strings.Cut(e, "=")
		t.Setenv(name, value)
	}
	if s.tracer, err = trace.FromEnv(trace.Config{Log: slog.New(slog.DiscardHandler)}); err != nil {
		t.Fatal(err)
	}
	return s
}

// run starts the flow that has these stages.
func (s *traced) run(stagesText string) {
	s.t.Helper()
	source := fmt.Sprintf(`name: traced
durability: memory
source: {rabbitmq: {url: %q, queue: %q}}
stages:
%s
sink: {rabbitmq: {url: %q, queue: %q}}
dead_letter: {drop: {}}
`, s.url, s.in, stagesText, s.url, s.out)
	p, list := flow.Compile("traced.yaml", []byte(source), flow.Options{Registry: stages.All()})
	if p == nil {
		s.t.Fatal(list.Err())
	}
	s.flow = engine.New(engine.Config{Tracer: s.tracer}).Start(p)
	s.t.Cleanup(s.flow.Stop)
}

// drain ends the flow, and with it whatever windows are open, and returns all
// spans.
func (s *traced) drain() []tracetest.Span {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	if err := s.flow.Drain(ctx); err != nil {
		s.t.Fatal(err)
	}
	if err := s.tracer.Close(ctx); err != nil {
		s.t.Fatal(err)
	}
	return s.collector.Spans()
}

func (s *traced) publish(body string, headers amqp.Table) {
	s.t.Helper()
	if err := s.ch.PublishWithContext(context.Background(), "", s.in, false, false, amqp.Publishing{Body: []byte(body), Headers: headers}); err != nil {
		s.t.Fatal(err)
	}
}

// take waits for n messages of the flow.
func (s *traced) take(n int) []amqp.Delivery {
	s.t.Helper()
	var got []amqp.Delivery
	for deadline := time.Now().Add(2 * time.Minute); len(got) < n; {
		d, ok, err := s.ch.Get(s.out, true)
		switch {
		case err != nil:
			s.t.Fatal(err)
		case ok:
			got = append(got, d)
		case time.Now().After(deadline):
			s.t.Fatalf("%d of %d messages came", len(got), n)
		default:
			time.Sleep(10 * time.Millisecond) // between two looks
		}
	}
	return got
}

// await waits until some stage is as it should be.
func (s *traced) await(what string, is func(telemetry.StageStats) bool) {
	s.t.Helper()
	for deadline := time.Now().Add(2 * time.Minute); !slices.ContainsFunc(s.flow.Snapshot().Stages, is); {
		if time.Now().After(deadline) {
			s.t.Fatalf("not so: %s", what)
		}
		time.Sleep(10 * time.Millisecond) // between two looks
	}
}

// sender is the span of whoever sent message n.
func sender(n int, flags string) (traceID, spanID, parent string) {
	traceID, spanID = fmt.Sprintf("%032x", 0xabc0000+n), fmt.Sprintf("%016x", 0xdef000+n)
	return traceID, spanID, "00-" + traceID + "-" + spanID + "-" + flags
}

func header(d *amqp.Delivery, name string) string {
	text, _ := d.Headers[name].(string)
	return text
}

// ancestors are the spans from one up to the root that was recorded; the last
// element is the id of what the root names as its parent.
func ancestors(t *testing.T, spans []tracetest.Span, traceID, id string) (names []string, beyond string) {
	t.Helper()
	for {
		found := false
		for _, s := range spans {
			if s.ID == id {
				if s.Trace != traceID {
					t.Fatalf("span %s %s is of trace %s, not %s", s.Name, id, s.Trace, traceID)
				}
				names, id, found = append(names, s.Name), s.Parent, true
				break
			}
		}
		if !found {
			return names, id
		}
	}
}

func TestATraceGoesOnThroughAFlow(t *testing.T) {
	s := startTraced(t)
	s.run(`  - partition: {by: k, lanes: 2}
  - set: {y: "x + 1"}`)
	traceID, spanID, parent := sender(1, "01")
	s.publish(`{"k": 1, "x": 41, "secret": "hush"}`, amqp.Table{"traceparent": parent, "tracestate": "vendor=state"})
	d := s.take(1)[0]
	spans := s.drain()
	went := strings.Split(header(&d, "traceparent"), "-")
	if len(went) != 4 || went[1] != traceID || went[2] == spanID || went[3] != "01" {
		t.Fatalf("the message went on with %q, and came with %q", header(&d, "traceparent"), parent)
	}
	if state := header(&d, "tracestate"); state != "vendor=state" {
		t.Errorf("tracestate is %q", state)
	}
	names, beyond := ancestors(t, spans, traceID, went[2])
	if got, want := strings.Join(names, ", "), "send "+s.out+", set, process "+s.in; got != want || beyond != spanID {
		t.Errorf("the message came by %s, from %s; want %s, from %s", got, beyond, want, spanID)
	}
	for _, one := range spans {
		for _, value := range one.Attrs {
			if strings.Contains(value, "hush") || strings.Contains(value, "guest") {
				t.Errorf("span %s says %q", one.Name, value)
			}
		}
		if one.Name == "process "+s.in {
			want := map[string]string{
				"messaging.system": "rabbitmq", "messaging.destination.name": s.in, "messaging.operation.type": "process",
				"messaging.batch.message_count": "1", "telluride.flow": "traced",
			}
			for k, v := range want {
				if one.Attrs[k] != v {
					t.Errorf("%s is %q, want %q", k, one.Attrs[k], v)
				}
			}
			if one.Kind != "consumer" || one.Service != "telluride" {
				t.Errorf("kind %s of service %s", one.Kind, one.Service)
			}
		}
	}
	for _, name := range []string{"confirm " + s.out, "commit"} {
		if !strings.Contains(fmt.Sprint(spans), name) {
			t.Errorf("there is no span %q", name)
		}
	}
}

// However the broker's messages are cut into batches: each goes on in its own
// trace, from a span whose ancestors lead to its sender, and every sender is
// known to the batch that its message was in.
func TestEveryMessageOfABatchGoesOnInItsOwnTrace(t *testing.T) {
	const n, state = 20, 5000
	s := startTraced(t)
	for i := range n {
		_, _, parent := sender(i, "01")
		s.publish(fmt.Sprintf(`{"i": %d}`, i), amqp.Table{"traceparent": parent, "tracestate": "long=" + strings.Repeat("x", state)})
	}
	s.run(`  - partition: {by: i, lanes: 3}
  - filter: "i >= 0"
  - batch: {size: 7, timeout: 50ms, as: records}`)
	got := s.take(n)
	spans := s.drain()
	seen := map[string]bool{}
	for i := range got {
		var number int
		if _, err := fmt.Sscanf(string(got[i].Body), `{"i": %d}`, &number); err != nil {
			t.Fatalf("%s: %v", got[i].Body, err)
		}
		traceID, spanID, _ := sender(number, "01")
		went := strings.Split(header(&got[i], "traceparent"), "-")
		if len(went) != 4 || went[1] != traceID {
			t.Fatalf("message %d went on with %q", number, header(&got[i], "traceparent"))
		}
		if _, beyond := ancestors(t, spans, traceID, went[2]); beyond != spanID {
			t.Errorf("message %d leads back to %s, not to its sender", number, beyond)
		}
		if header(&got[i], "tracestate") != "" {
			t.Errorf("a tracestate of %d bytes went on", len(header(&got[i], "tracestate")))
		}
		for _, one := range spans {
			if one.Name == "process "+s.in && (one.Parent == spanID || strings.Contains(fmt.Sprint(one.Links), traceID+"/"+spanID)) {
				seen[traceID] = true
			}
		}
	}
	if len(seen) != n {
		t.Errorf("%d of %d senders are known to a batch", len(seen), n)
	}
}

func TestWhatIsNotSampledGoesOnWithoutASpan(t *testing.T) {
	s := startTraced(t)
	s.run(`  - set: {y: "x + 1"}`)
	_, _, parent := sender(1, "00")
	s.publish(`{"x": 1}`, amqp.Table{"traceparent": parent, "tracestate": "a=b"})
	d := s.take(1)[0]
	if spans := s.drain(); len(spans) != 0 {
		t.Errorf("there are spans: %v", spans)
	}
	if header(&d, "traceparent") != parent || header(&d, "tracestate") != "a=b" {
		t.Errorf("it went on with %v", d.Headers)
	}
}

func TestWhatIsNoTraceDoesNotGoOn(t *testing.T) {
	s := startTraced(t, "OTEL_TRACES_SAMPLER=parentbased_always_off")
	s.run(`  - set: {y: "x + 1"}`)
	traceID, spanID, _ := sender(1, "01")
	bad := []any{
		"", "00", "00-" + traceID + "-" + spanID, "ff-" + traceID + "-" + spanID + "-01", "00-" + traceID + "-" + spanID + "-01-more",
		"00-" + strings.Repeat("0", 32) + "-" + spanID + "-01", strings.Repeat("00-", 10000), int64(7), []byte{0xff}, amqp.Table{"a": "b"}, nil,
	}
	for _, b := range bad {
		s.publish(`{"x": 1}`, amqp.Table{"traceparent": b, "tracestate": "a=b"})
	}
	s.publish(`{"x": 1}`, nil)
	for _, d := range s.take(len(bad) + 1) {
		if len(d.Headers) != 0 {
			t.Errorf("it went on with %v", d.Headers)
		}
	}
	if spans := s.drain(); len(spans) != 0 {
		t.Errorf("there are spans: %v", spans)
	}
}

func TestWithoutTracingNoHeaderIsAdded(t *testing.T) {
	s := startTraced(t, "OTEL_TRACES_EXPORTER=none")
	if s.tracer != nil {
		t.Fatal("there is a tracer")
	}
	s.run(`  - set: {y: "x + 1"}`)
	_, _, parent := sender(1, "01")
	s.publish(`{"x": 1}`, amqp.Table{"traceparent": parent})
	if d := s.take(1)[0]; len(d.Headers) != 0 {
		t.Errorf("it went on with %v", d.Headers)
	}
	if s.drain(); len(s.collector.Headers()) != 0 {
		t.Error("the collector was asked")
	}
}

// The result of a window begins a trace, which is linked to a bounded number
// of the messages that went into it, and to no others.
func TestTheResultOfAWindowIsLinkedToItsMessages(t *testing.T) {
	const n = 60
	s := startTraced(t)
	for i := range n {
		_, _, parent := sender(i, "01")
		s.publish(fmt.Sprintf(`{"k": %d}`, i%2), amqp.Table{"traceparent": parent})
	}
	s.run(`  - window: {by: k, tumbling: 1h, aggregate: {n: "count()"}}`)
	s.await("everything is in the window", func(one telemetry.StageStats) bool { return one.Counts.Absorbed == n })
	spans := s.drain() // closes the windows
	for _, d := range s.take(2) {
		went := strings.Split(header(&d, "traceparent"), "-")
		if len(went) != 4 {
			t.Fatalf("a result went on with %v", d.Headers)
		}
		var root tracetest.Span
		for _, one := range spans {
			if one.Trace == went[1] && one.Parent == "" {
				root = one
			}
		}
		if root.Name != "emit window" || len(root.Links) == 0 || len(root.Links) > 32 {
			t.Fatalf("its trace begins with %+v", root)
		}
		for _, l := range root.Links {
			traceID, spanID, _ := strings.Cut(l, "/")
			var i, j int
			if _, err := fmt.Sscanf(traceID+" "+spanID, "%x %x", &i, &j); err != nil || i-0xabc0000 < 0 || i-0xabc0000 >= n || j-0xdef000 != i-0xabc0000 {
				t.Errorf("it is linked to %s, which is no sender", l)
			}
		}
	}
}

func TestASpanSaysThatRecordsDied(t *testing.T) {
	s := startTraced(t)
	s.run(`  - assert: {that: "x > 0", reason: "too small"}`)
	_, _, parent := sender(1, "01")
	s.publish(`{"x": -1}`, amqp.Table{"traceparent": parent})
	s.publish(`{"x": 1}`, amqp.Table{"traceparent": parent})
	s.publish(`broken`, amqp.Table{"traceparent": parent})
	s.take(1)
	died := map[string]bool{}
	for _, one := range s.drain() {
		if one.Failed && one.Attrs["error.type"] == "dead_letter" && one.Attrs["telluride.dead_letters"] == "1" {
			died[one.Name] = true
		}
	}
	if !died["assert"] || !died["process "+s.in] || len(died) != 2 {
		t.Errorf("those that say so: %v", died)
	}
}

// A flow that is stopped gives back what it holds: the span of that says so.
func TestASpanSaysThatABatchIsReadAgain(t *testing.T) {
	s := startTraced(t)
	s.run(`  - batch: {size: 100, timeout: 1h, as: records}`)
	_, _, parent := sender(1, "01")
	s.publish(`{"x": 1}`, amqp.Table{"traceparent": parent})
	s.await("a record is held", func(one telemetry.StageStats) bool { return one.Counts.Held == 1 })
	s.flow.Stop()
	if err := s.flow.Wait(); err != nil && !errors.Is(err, topology.ErrStopped) {
		t.Fatal(err)
	}
	if err := s.tracer.Close(context.Background()); err != nil {
		t.Fatal(err)
	}
	for _, one := range s.collector.Spans() {
		if one.Name == "process "+s.in && one.Failed && one.Attrs["error.type"] == "aborted" {
			return
		}
	}
	t.Errorf("no span says so: %+v", s.collector.Spans())
}
