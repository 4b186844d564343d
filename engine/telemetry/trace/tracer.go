package trace

import (
	"context"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	oteltrace "go.opentelemetry.io/otel/trace"

	"github.com/telluride-stream/telluride/engine/record"
)

// Tracer records spans for the flows of a process.
type Tracer struct {
	provider *sdktrace.TracerProvider
	tracer   oteltrace.Tracer
	stop     context.CancelFunc // ends what exporters are doing
}

// Close sends what is recorded, until ctx is done, and ends.
func (t *Tracer) Close(ctx context.Context) error {
	if t == nil {
		return nil
	}
	defer t.stop()
	return t.provider.Shutdown(ctx)
}

// Flow is what traces one flow.
type Flow struct {
	tracer *Tracer
	name   string
}

// Flow makes the tracing of a flow.
func (t *Tracer) Flow(name string) *Flow {
	if t == nil {
		return nil
	}
	return &Flow{tracer: t, name: name}
}

// origins are the spans that led to one. The first is its parent and the
// others are linked to, unless it begins a trace of its own: then all are.
type origins struct {
	spans  []record.Span
	root   bool
	remote bool // from another process
}

// span is one that has begun. nil is one that is not recorded.
type span struct {
	otel    oteltrace.Span
	context record.Span
}

// begin begins a span; nil when the sampler does not want it.
func (t *Tracer) begin(name string, kind oteltrace.SpanKind, from origins, at time.Time) *span {
	ctx, links := context.Background(), from.spans
	if !from.root && len(links) > 0 {
		parent := contextOf(&links[0], from.remote)
		ctx, links = oteltrace.ContextWithSpanContext(ctx, parent), links[1:]
	}
	options := make([]oteltrace.SpanStartOption, 0, 3)
	options = append(options, oteltrace.WithSpanKind(kind), oteltrace.WithTimestamp(at))
	if len(links) > 0 {
		list := make([]oteltrace.Link, len(links))
		for i := range links {
			list[i].SpanContext = contextOf(&links[i], from.remote)
		}
		options = append(options, oteltrace.WithLinks(list...))
	}
	_, s := t.tracer.Start(ctx, name, options...)
	if !s.SpanContext().IsSampled() {
		return nil
	}
	return &span{otel: s, context: spanOf(s.SpanContext())}
}

// begin begins a span of the flow.
func (f *Flow) begin(name string, kind oteltrace.SpanKind, from origins, at time.Time) *span {
	s := f.tracer.begin(name, kind, from, at)
	s.set(attribute.String("telluride.flow", f.name))
	return s
}

func (s *span) set(all ...attribute.KeyValue) {
	if s != nil {
		s.otel.SetAttributes(all...)
	}
}

// died says how many records became dead letters. The reasons stay out: they
// may quote what a record holds.
func (s *span) died(n int) {
	if s == nil || n == 0 {
		return
	}
	s.otel.SetAttributes(attribute.Int("telluride.dead_letters", n), attribute.String("error.type", "dead_letter"))
	s.otel.SetStatus(codes.Error, "records became dead letters")
}

// failed says that the work did not succeed. The error itself stays out.
func (s *span) failed(kind, why string) {
	if s != nil {
		s.otel.SetAttributes(attribute.String("error.type", kind))
		s.otel.SetStatus(codes.Error, why)
	}
}

func (s *span) end() {
	if s != nil {
		s.otel.End()
	}
}

// list is the span as the one that led to a batch.
func (s *span) list() []record.Span { return []record.Span{s.context} }

// Commit records a commit, when something of it was traced: spans are those of
// what it settled.
func (f *Flow) Commit(spans []record.Span, took time.Duration, epoch, messages uint64, bytes int) {
	if f == nil || len(spans) == 0 {
		return
	}
	s := f.begin("commit", oteltrace.SpanKindInternal, origins{spans: spans}, time.Now().Add(-took))
	s.set(attribute.Int64("telluride.epoch", int64(epoch)), attribute.Int64("telluride.settled", int64(messages)),
		attribute.Int("telluride.state_bytes", bytes))
	s.end()
}

// Change records a change of a flow, which began at a time and has ended.
func (t *Tracer) Change(flow, outcome, version string, ok bool, began time.Time, paused time.Duration) {
	if t == nil {
		return
	}
	s := t.Flow(flow).begin("change", oteltrace.SpanKindInternal, origins{}, began)
	s.set(attribute.String("telluride.outcome", outcome), attribute.String("telluride.version", version),
		attribute.Float64("telluride.paused_seconds", paused.Seconds()))
	if !ok {
		s.failed(outcome, "the change was not taken over")
	}
	s.end()
}
