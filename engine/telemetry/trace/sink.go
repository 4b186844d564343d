package trace

import (
	"context"
	"time"

	"go.opentelemetry.io/otel/attribute"
	oteltrace "go.opentelemetry.io/otel/trace"

	"github.com/telluride-stream/telluride/engine/record"
	"github.com/telluride-stream/telluride/engine/stage"
)

// Sink traces what is written to a sink. One goroutine at a time calls it.
type Sink struct {
	flow      *Flow
	name      string
	messaging *stage.Messaging
	written   []record.Span // not known to be durable
}

// Sink makes the tracing of a sink. messaging is nil when records do not
// become messages.
func (f *Flow) Sink(name string, m *stage.Messaging) *Sink {
	if f == nil {
		return nil
	}
	return &Sink{flow: f, name: name, messaging: m}
}

func (s *Sink) place() string {
	if s.messaging != nil {
		return s.messaging.Destination
	}
	return s.name
}

// Writing is a batch that a sink writes; nil: it is not traced.
type Writing struct {
	sink          *Sink
	span          *span
	parent, state string
	read          time.Time
	left          int // messages that may still get a span of their own
}

type writingKey struct{}

// Begin is called before a batch is written; the context that it returns is
// for the write.
func (s *Sink) Begin(ctx context.Context, b *record.Batch) (context.Context, *Writing) {
	if s == nil || len(b.Spans) == 0 || len(b.Records) == 0 {
		return ctx, nil
	}
	verb, kind := "write ", oteltrace.SpanKindInternal
	if s.messaging != nil {
		verb, kind = "send ", oteltrace.SpanKindProducer
	}
	span := s.flow.begin(verb+s.place(), kind, origins{spans: b.Spans}, time.Now())
	if span == nil {
		return ctx, nil
	}
	s.describe(span, "send")
	span.set(attribute.Int("telluride.records", len(b.Records)))
	if s.messaging != nil {
		span.set(attribute.Int("messaging.batch.message_count", len(b.Records)))
	}
	w := &Writing{
		sink: s, span: span, parent: formatParent(&span.context), state: span.context.State,
		read: time.Unix(0, b.Now), left: record.MaxSpans,
	}
	return context.WithValue(ctx, writingKey{}, w), w
}

func (s *Sink) describe(span *span, operation string) {
	span.set(attribute.String("telluride.sink", s.name))
	if m := s.messaging; m != nil {
		span.set(attribute.String("messaging.system", m.System), attribute.String("messaging.destination.name", m.Destination),
			attribute.String("messaging.operation.type", operation), attribute.String("messaging.operation.name", operation))
	}
}

// End is called behind the write. dead is how many records the sink has refused.
func (w *Writing) End(dead int, err error) {
	if w == nil {
		return
	}
	w.span.died(dead)
	if err != nil {
		w.span.failed("write", "the sink has failed")
	}
	w.span.end()
	w.sink.written = record.JoinSpans(w.sink.written, w.span.list())
}

// Confirm begins what lasts until everything that was written is durable; nil:
// nothing of it was traced.
func (s *Sink) Confirm() *Confirming {
	if s == nil || len(s.written) == 0 {
		return nil
	}
	span := s.flow.begin("confirm "+s.place(), oteltrace.SpanKindInternal, origins{spans: s.written}, time.Now())
	s.written = nil
	span.set(attribute.String("telluride.sink", s.name))
	return &Confirming{span}
}

// Confirming is a flush of a sink.
type Confirming struct{ span *span }

// End is called when the flush is done.
func (c *Confirming) End(err error) {
	if c == nil {
		return
	}
	if err != nil {
		c.span.failed("flush", "the sink has failed")
	}
	c.span.end()
}

var _ stage.Propagator = (*Flow)(nil)

// Propagate has the trace of a record go on in the message that is made of it.
// A message of the trace that the write is part of, or of none, continues that
// one; another gets a span of its own in its trace, linked to the write, as
// far as their number is bounded. What nobody records goes on as it came.
func (f *Flow) Propagate(ctx context.Context, r *record.Record) (parent, state string) {
	own, text, named := incoming(r)
	w, _ := ctx.Value(writingKey{}).(*Writing)
	switch {
	case !named && w == nil:
		return "", ""
	case w != nil && (!named || own.Trace == w.span.context.Trace):
		return w.parent, w.state
	case w == nil || !own.Sampled() || w.left == 0:
		return asItCame(text, &own)
	}
	w.left--
	s := f.begin("create "+w.sink.place(), oteltrace.SpanKindProducer,
		origins{spans: []record.Span{own, w.span.context}, remote: true}, w.read)
	if s == nil {
		return asItCame(text, &own)
	}
	w.sink.describe(s, "create")
	s.end()
	return formatParent(&s.context), s.context.State
}

// asItCame is the context of a message in the version that is known here.
func asItCame(text string, s *record.Span) (parent, state string) {
	if len(text) == parentLength && text[:2] == "00" {
		return text, s.State
	}
	return formatParent(s), s.State
}
