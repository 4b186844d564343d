package stages_test

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/telluride-stream/telluride/engine"
	"github.com/telluride-stream/telluride/engine/conf"
	"github.com/telluride-stream/telluride/engine/flow"
	"github.com/telluride-stream/telluride/engine/record"
	"github.com/telluride-stream/telluride/engine/stage"
	"github.com/telluride-stream/telluride/engine/telemetry/trace"
	"github.com/telluride-stream/telluride/stages"
)

// BenchmarkTracing has messages go through a flow, of which so many in a
// hundred are sampled by their senders, without tracing and with it.
func BenchmarkTracing(b *testing.B) {
	collector := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { _, _ = io.Copy(io.Discard, r.Body) }))
	defer collector.Close()
	for _, one := range []struct {
		name    string
		on      bool
		percent int // sampled by their senders; -1: messages have no headers
	}{
		{"off", false, 100}, {"on/no headers, sampler 1%", true, -1}, {"on/0%", true, 0}, {"on/1%", true, 1}, {"on/100%", true, 100},
	} {
		b.Run(one.name, func(b *testing.B) {
			var tracer *trace.Tracer
			if one.on {
				b.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.URL)
				b.Setenv("OTEL_TRACES_SAMPLER", "parentbased_traceidratio")
				b.Setenv("OTEL_TRACES_SAMPLER_ARG", "0.01")
				var err error
				if tracer, err = trace.FromEnv(trace.Config{Log: slog.New(slog.DiscardHandler)}); err != nil {
					b.Fatal(err)
				}
			}
			messages := &stream{n: b.N, sent: sentBy(one.percent)}
			p, list := flow.Compile("bench.yaml", []byte(`name: bench
source: {stream: {}}
stages:
  - filter: "reading > 0"
  - set: {celsius: "(reading - 32) / 1.8"}
sink: {carry: {}}
`), flow.Options{Registry: stage.NewRegistry(append(stages.All().Kinds(), messages.kind(), carryKind())...)})
			if p == nil {
				b.Fatal(list.Err())
			}
			b.ReportAllocs()
			b.ResetTimer()
			f := engine.New(engine.Config{Tracer: tracer}).Start(p)
			if err := f.Wait(); err != nil {
				b.Fatal(err)
			}
			b.StopTimer()
			ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
			defer cancel()
			if err := tracer.Close(ctx); err != nil {
				b.Fatal(err)
			}
		})
	}
}

// stream is a source of messages with headers.
type stream struct {
	n, at int
	sent  []string // traceparents, by turns
}

// sentBy are the headers of messages, a few of which are sampled.
func sentBy(percent int) (parents []string) {
	for i := range 100 {
		if percent < 0 {
			return nil
		}
		flags := "00"
		if i < percent {
			flags = "01"
		}
		parents = append(parents, fmt.Sprintf("00-%032x-%016x-%s", i+1, i+1, flags))
	}
	return parents
}

func (s *stream) kind() stage.Kind {
	return stage.DefineSource("stream", "Makes messages.", func(*int, *conf.Fields) {}, func(*int, *stage.Builder) stage.SourceSpec {
		return stage.SourceSpec{Raw: true, New: func(stage.Runtime) stage.Source { return s }, Messaging: &stage.Messaging{System: "bench", Destination: "queue"}}
	})
}

func (s *stream) Open(context.Context, []byte) error             { return nil }
func (s *stream) Settle(context.Context, stage.Settlement) error { return nil }
func (s *stream) Close() error                                   { return nil }

var reading = []byte(`{"device_id":"device_17","line_id":"line_1","reading":71.25,"sensor_id":"sensor_1234","timestamp":"2024-05-01T12:00:00Z"}`)

func (s *stream) Read(context.Context) (stage.Input, error) {
	if s.at >= s.n {
		return stage.Input{}, io.EOF
	}
	b := record.NewBatch(512)
	for ; s.at < s.n && len(b.Records) < 512; s.at++ {
		b.Append(record.Record{Payload: reading, Meta: (*headers)(s), Origin: record.Origin{Seq: uint64(s.at + 1)}})
	}
	return stage.Input{Batch: b}, nil
}

// headers is the Meta of a stream's messages.
type headers stream

func (h *headers) Lookup(path record.Path, seq uint64) record.Value {
	if len(path) != 2 || path[1].Key != "traceparent" || len(h.sent) == 0 {
		return record.Value{}
	}
	return record.StringValue(h.sent[seq%uint64(len(h.sent))])
}

// carryKind is a sink that makes messages with headers, and drops them.
func carryKind() stage.Kind {
	return stage.DefineSink("carry", "Makes messages.", func(*int, *conf.Fields) {}, func(*int, *stage.Builder) stage.SinkSpec {
		return stage.SinkSpec{New: func(rt stage.Runtime) stage.Sink { return &carry{rt: rt} }, Messaging: &stage.Messaging{System: "bench", Destination: "out"}}
	})
}

type carry struct {
	gather
	rt   stage.Runtime
	body []byte
}

func (c *carry) Write(ctx context.Context, records []record.Record) (int, error) {
	for i := range records {
		c.body = record.AppendJSON(c.body[:0], &records[i])
		if c.rt.Propagator != nil {
			c.rt.Propagator.Propagate(ctx, &records[i])
		}
	}
	return len(records), nil
}
