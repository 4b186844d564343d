package trace

import (
	"bytes"
	"context"
	"encoding/hex"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"regexp"
	"runtime"
	"strings"
	"testing"
	"time"

	"go.opentelemetry.io/otel/propagation"
	oteltrace "go.opentelemetry.io/otel/trace"
	"go.uber.org/goleak"

	"github.com/telluride-stream/telluride/engine/record"
	"github.com/telluride-stream/telluride/engine/stage"
	"github.com/telluride-stream/telluride/engine/telemetry/trace/tracetest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	someTrace = "0af7651916cd43dd8448eb211c80319c"
	someSpan  = "b7ad6b7169203331"
	someone   = "00-" + someTrace + "-" + someSpan + "-01"
)

// What is read of a traceparent is what the SDK's own reader finds in it.
func FuzzTraceparent(f *testing.F) {
	for _, text := range []string{
		someone, "", "00", strings.ToUpper(someone), someone + "-", someone + "x", "01" + someone[2:], "01" + someone[2:] + "-more", "ff" + someone[2:],
		"0g" + someone[2:], "00-" + strings.Repeat("0", 32) + "-" + someSpan + "-01", "00-" + someTrace + "-" + strings.Repeat("0", 16) + "-01",
		strings.ReplaceAll(someone, "-", "_"), someone[:54], someone[:53] + "00", someone[:53] + "ff", "cc" + someone[2:] + "x",
	} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) { checkParent(t, text) })
}

func TestATraceparentIsReadAsTheSDKReadsIt(t *testing.T) {
	for range 20_000 {
		b := []byte(someone)
		for range rand.IntN(3) {
			b[rand.IntN(len(b))] = "0123456789abcdefABCDEFg- \x00\xff"[rand.IntN(27)]
		}
		checkParent(t, string(b))
	}
}

func checkParent(t *testing.T, text string) {
	t.Helper()
	want := oteltrace.SpanContextFromContext(propagation.TraceContext{}.Extract(context.Background(), propagation.MapCarrier{"traceparent": text}))
	got, ok := parseParent(text)
	switch {
	case ok != want.IsValid():
		// The SDK refuses flags that version 0 does not know, and takes a dash
		// behind its end: the standard has it the other way round.
		flags := ok && strings.HasPrefix(text, "00-") && text[53:55] > "03"
		dash := !ok && len(text) == parentLength+1 && strings.HasPrefix(text, "00-")
		if !flags && !dash {
			t.Errorf("%q is read: %v, by the SDK: %v", text, ok, want.IsValid())
		}
	case ok && (want.TraceID() != got.Trace || want.SpanID() != got.ID || want.IsSampled() != got.Sampled()):
		t.Errorf("%q is read as %+v, by the SDK as %v", text, got, want)
	}
	if back, again := parseParent(formatParent(&got)); ok && (!again || back != got) {
		t.Errorf("%q is written as %q", text, formatParent(&got))
	}
}

func TestTracingIsOffUnlessTheEnvironmentAsksForIt(t *testing.T) {
	for _, c := range []struct {
		env string
		on  bool
		err string
	}{
		{"", false, ""},
		{"OTEL_SERVICE_NAME=x", false, ""},
		{"OTEL_TRACES_EXPORTER=none OTEL_EXPORTER_OTLP_ENDPOINT=http://localhost:4318", false, ""},
		{"OTEL_SDK_DISABLED=true OTEL_TRACES_EXPORTER=console", false, ""},
		{"OTEL_TRACES_EXPORTER=console", true, ""},
		{"OTEL_TRACES_EXPORTER=otlp", true, ""},
		{"OTEL_TRACES_EXPORTER=console,otlp", true, ""},
		{"OTEL_EXPORTER_OTLP_ENDPOINT=http://localhost:4318", true, ""},
		{"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT=https://example.com/x", true, ""},
		{"OTEL_TRACES_EXPORTER=zipkin", false, `OTEL_TRACES_EXPORTER: "zipkin" is not known`},
		{"OTEL_TRACES_EXPORTER=otlp OTEL_EXPORTER_OTLP_PROTOCOL=grpc", false, "use http/protobuf"},
		{"OTEL_EXPORTER_OTLP_ENDPOINT=localhost:4317", false, "OTEL_EXPORTER_OTLP_ENDPOINT"},
		{"OTEL_TRACES_EXPORTER=otlp OTEL_EXPORTER_OTLP_HEADERS=broken", false, "OTEL_EXPORTER_OTLP_HEADERS"},
		{"OTEL_TRACES_EXPORTER=otlp OTEL_EXPORTER_OTLP_TIMEOUT=10s", false, "OTEL_EXPORTER_OTLP_TIMEOUT"},
		{"OTEL_TRACES_EXPORTER=otlp OTEL_EXPORTER_OTLP_COMPRESSION=brotli", false, "OTEL_EXPORTER_OTLP_COMPRESSION"},
		{"OTEL_TRACES_EXPORTER=otlp OTEL_EXPORTER_OTLP_CERTIFICATE=/no/such", false, "OTEL_EXPORTER_OTLP_CERTIFICATE"},
		{"OTEL_TRACES_EXPORTER=otlp OTEL_TRACES_SAMPLER=sometimes", false, "OTEL_TRACES_SAMPLER"},
		{"OTEL_TRACES_EXPORTER=otlp OTEL_TRACES_SAMPLER=traceidratio OTEL_TRACES_SAMPLER_ARG=2", false, "OTEL_TRACES_SAMPLER_ARG"},
		{"OTEL_TRACES_EXPORTER=otlp OTEL_TRACES_SAMPLER=traceidratio OTEL_TRACES_SAMPLER_ARG=NaN", false, "OTEL_TRACES_SAMPLER_ARG"},
	} {
		t.Run(c.env, func(t *testing.T) {
			before := runtime.NumGoroutine()
			tracer := fromEnv(t, new(bytes.Buffer), c.err, strings.Fields(c.env)...)
			if (tracer != nil) != c.on {
				t.Errorf("on: %v", tracer != nil)
			}
			if n := runtime.NumGoroutine(); !c.on && n > before {
				t.Errorf("%d goroutines, %d before", n, before)
			}
		})
	}
}

// fromEnv is FromEnv with these variables.
func fromEnv(t *testing.T, log *bytes.Buffer, problem string, env ...string) *Tracer {
	t.Helper()
	for _, e := range env {
		name, value, _ := strings.Cut(e, "=")
		t.Setenv(name, value)
	}
	tracer, err := FromEnv(Config{Version: "1", Log: slog.New(slog.NewTextHandler(log, nil))})
	if problem == "" && err != nil || problem != "" && (err == nil || !strings.Contains(err.Error(), problem)) {
		t.Fatalf("error %v, want %q", err, problem)
	}
	t.Cleanup(func() {
		if err := tracer.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return tracer
}

func TestEverythingOfNoTracerDoesNothing(t *testing.T) {
	var tracer *Tracer
	f := tracer.Flow("f")
	b := &record.Batch{Records: make([]record.Record, 3)}
	source, st, sink := f.Source("s", nil), f.Stage([]string{"a"}, 0, true, true), f.Sink("k", nil)
	allocs := testing.AllocsPerRun(100, func() {
		source.Read(b, 1)
		source.Broken(b)
		step := st.Begin(b)
		st.End(step, nil)
		ctx, w := sink.Begin(context.Background(), b)
		w.End(0, nil)
		sink.Confirm().End(nil)
		source.Settled(1)
		f.Commit(source.Take(), 0, 0, 0, 0)
		tracer.Change("f", "applied", "", true, time.Time{}, 0)
		_ = ctx
	})
	source.Abort()
	if allocs != 0 || b.Spans != nil {
		t.Errorf("%v allocations, spans %v", allocs, b.Spans)
	}
}

// sent is the Meta of a message that came with headers.
type sent map[string]string

func (s sent) Lookup(path record.Path, _ uint64) record.Value {
	if len(path) == 2 && path[0].Key == "headers" && s[path[1].Key] != "" {
		return record.StringValue(s[path[1].Key])
	}
	return record.Value{}
}

func messages(parents ...string) *record.Batch {
	b := &record.Batch{}
	for _, p := range parents {
		b.Append(record.Record{Meta: sent{"traceparent": p}})
	}
	return b
}

// numbered is the traceparent of message n.
func numbered(n int, flags string) string { return fmt.Sprintf("00-%032x-%016x-%s", n, n, flags) }

func TestABatchIsPartOfTheTraceOfItsMessages(t *testing.T) {
	var many []string
	for i := range 100 {
		many = append(many, numbered(i+1, "01"))
	}
	no := "OTEL_TRACES_SAMPLER=parentbased_always_off"
	for _, c := range []struct {
		name    string
		parents []string
		env     string
		traced  bool
		parent  string
		links   int
	}{
		{"one message", []string{someone}, no, true, someSpan, 0},
		{"one trace", []string{someone, "00-" + someTrace + "-0000000000000007-01"}, no, true, someSpan, 1},
		{"two traces", []string{numbered(1, "01"), numbered(2, "01")}, no, true, "", 2},
		{"many traces", many, no, true, "", record.MaxSpans},
		{"some sampled", []string{numbered(1, "00"), "", numbered(2, "01"), numbered(3, "00")}, no, true, fmt.Sprintf("%016x", 2), 0},
		{"none sampled", []string{numbered(1, "00"), numbered(2, "00")}, "OTEL_TRACES_SAMPLER=parentbased_always_on", false, "", 0},
		{"none sampled, and one that says nothing", []string{numbered(1, "00"), ""}, "OTEL_TRACES_SAMPLER=parentbased_always_on", true, "", 0},
		{"nothing said", []string{"", ""}, "OTEL_TRACES_SAMPLER=parentbased_always_on", true, "", 0},
		{"nothing said, sampler off", []string{"", ""}, no, false, "", 0},
		{"sampler on", []string{numbered(1, "00")}, "OTEL_TRACES_SAMPLER=always_on", true, fmt.Sprintf("%016x", 1), 0},
		{"sampler off", many, "OTEL_TRACES_SAMPLER=always_off", false, "", 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			collector := tracetest.Start(t)
			tracer := fromEnv(t, new(bytes.Buffer), "", "OTEL_EXPORTER_OTLP_ENDPOINT="+collector.URL, c.env)
			s := tracer.Flow("f").Source("rabbitmq", &stage.Messaging{System: "rabbitmq", Destination: "q"})
			b := messages(c.parents...)
			s.Read(b, 7)
			s.Settled(6)
			if s.Take() != nil {
				t.Error("it was settled too soon")
			}
			s.Settled(7)
			if err := tracer.Close(context.Background()); err != nil {
				t.Fatal(err)
			}
			spans := collector.Spans()
			if (len(b.Spans) == 1) != c.traced || len(spans) != len(b.Spans) {
				t.Fatalf("the batch has %v, the collector %v", b.Spans, spans)
			}
			if c.traced && (spans[0].Parent != c.parent || len(spans[0].Links) != c.links || spans[0].ID != hex.EncodeToString(b.Spans[0].ID[:])) {
				t.Errorf("%+v", spans[0])
			}
		})
	}
}

// A batch of many traces has so many messages with a span of their own; the
// others go on as they came.
func TestTheSpansOfABatchsMessagesAreBounded(t *testing.T) {
	collector := tracetest.Start(t)
	tracer := fromEnv(t, new(bytes.Buffer), "", "OTEL_EXPORTER_OTLP_ENDPOINT="+collector.URL)
	f := tracer.Flow("f")
	var parents []string
	for i := range 500 {
		parents = append(parents, numbered(i+1, "01"))
	}
	b := messages(parents...)
	f.Source("s", &stage.Messaging{}).Read(b, 1)
	ctx, w := f.Sink("k", &stage.Messaging{Destination: "out"}).Begin(context.Background(), b)
	asTheyCame := 0
	for i := range b.Records {
		parent, _ := f.Propagate(ctx, &b.Records[i])
		if parent == parents[i] {
			asTheyCame++
		} else if parent[:36] != parents[i][:36] {
			t.Errorf("message %d went on with %s", i, parent)
		}
	}
	w.End(0, nil)
	if err := tracer.Close(context.Background()); err != nil {
		t.Fatal(err)
	}
	if n := len(collector.Spans()); asTheyCame != 500-record.MaxSpans || n != record.MaxSpans+1 {
		t.Errorf("%d went on as they came; %d spans", asTheyCame, n)
	}
}

// What a stage remembers is bounded, and what it takes is of the keys asked for.
func TestAStageRemembersAFewSpansOfEachKey(t *testing.T) {
	m := &memory{}
	for i := range uint64(3 * maxKept) {
		for j := range byte(20) {
			m.add(i%2500, remembered{span: record.Span{ID: [8]byte{byte(i), byte(i >> 8), j}}, step: i})
		}
		n := 0
		if i%997 == 0 {
			for _, list := range m.keys {
				n += len(list)
				if len(list) > perKey {
					t.Fatalf("%d of one key", len(list))
				}
			}
			if n != m.n || n > maxKept {
				t.Fatalf("%d kept, said to be %d", n, m.n)
			}
		}
	}
	last := uint64(3*maxKept-1) % 2500
	spans, now := m.take([]record.Record{{Key: "k", Hash: last}}, 3*maxKept-1)
	if len(spans) == 0 || len(spans) > perKey || !now {
		t.Errorf("%d spans, all of now: %v", len(spans), now)
	}
	if again, _ := m.take([]record.Record{{Key: "k", Hash: last}}, 0); again != nil {
		t.Errorf("taken twice: %v", again)
	}
	if all, _ := m.take([]record.Record{{}}, 0); len(all) != record.MaxSpans || m.n != 0 || len(m.keys) != 0 {
		t.Errorf("what stands for all keys has %d spans; %d are left", len(all), m.n)
	}
}

func TestSpansAreSentAsTheEnvironmentSays(t *testing.T) {
	collector := tracetest.Start(t)
	collector.Answer(func(n int) int {
		if n == 0 {
			return http.StatusServiceUnavailable
		}
		return http.StatusOK
	})
	log := new(bytes.Buffer)
	tracer := fromEnv(t, log, "", "OTEL_EXPORTER_OTLP_ENDPOINT="+collector.URL+"/", "OTEL_EXPORTER_OTLP_HEADERS=api-key=a%20b, x=y",
		"OTEL_EXPORTER_OTLP_COMPRESSION=gzip", "OTEL_RESOURCE_ATTRIBUTES=service.name=other,host=h", "OTEL_SERVICE_NAME=mine")
	tracer.Change("f", "applied", "v1", true, time.Now(), 0)
	if err := tracer.Close(context.Background()); err != nil {
		t.Fatal(err)
	}
	spans, headers := collector.Spans(), collector.Headers()
	if len(spans) != 1 || spans[0].Name != "change" || spans[0].Service != "mine" || spans[0].Attrs["telluride.flow"] != "f" {
		t.Errorf("%+v", spans)
	}
	if h := headers[len(headers)-1]; len(headers) != 2 || h.Get("Api-Key") != "a b" || h.Get("X") != "y" {
		t.Errorf("%d requests, the last with %v", len(headers), h)
	}
	if log.Len() > 0 {
		t.Errorf("a try that was repeated is no news: %s", log)
	}
}

// A collector that refuses is told of once, and once more when it takes spans
// again; neither holds up who makes spans.
func TestACollectorThatFailsIsToldOfOnce(t *testing.T) {
	collector := tracetest.Start(t)
	collector.Answer(func(n int) int {
		if n < 3 {
			return http.StatusForbidden
		}
		return http.StatusOK
	})
	log := new(bytes.Buffer)
	tracer := fromEnv(t, log, "", "OTEL_EXPORTER_OTLP_ENDPOINT="+collector.URL, "OTEL_EXPORTER_OTLP_HEADERS=key=hush")
	for range 5 {
		tracer.Change("f", "applied", "v1", true, time.Now(), 0)
		if err := tracer.provider.ForceFlush(context.Background()); err != nil {
			t.Fatal(err)
		}
	}
	said := log.String()
	if strings.Count(said, "\n") != 2 || !regexp.MustCompile(`(?s)level=WARN.*403.*level=INFO.*spans_lost=3`).MatchString(said) || strings.Contains(said, "hush") {
		t.Errorf("it said\n%s", said)
	}
}

// A collector that is not there costs spans, never time: the queue is bounded,
// and the end waits no longer than it is told to.
func TestACollectorThatIsAwayHoldsNothingUp(t *testing.T) {
	block := make(chan struct{})
	collector := tracetest.Start(t)
	collector.Answer(func(int) int { <-block; return http.StatusOK })
	defer close(block)
	tracer := fromEnv(t, new(bytes.Buffer), "", "OTEL_EXPORTER_OTLP_ENDPOINT="+collector.URL, "OTEL_BSP_MAX_QUEUE_SIZE=16", "OTEL_BSP_MAX_EXPORT_BATCH_SIZE=4")
	for range 10_000 {
		tracer.Change("f", "applied", "v1", true, time.Now(), 0)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	if err := tracer.Close(ctx); err == nil {
		t.Error("the end says that everything was sent")
	}
}
