package trace

import (
	"sync"
	"time"

	"go.opentelemetry.io/otel/attribute"
	oteltrace "go.opentelemetry.io/otel/trace"

	"github.com/telluride-stream/telluride/engine/record"
	"github.com/telluride-stream/telluride/engine/stage"
)

// maxOpen bounds the batches of a source whose spans wait for a commit.
const maxOpen = 1024

// Source traces what one source reads: a span a batch, from when it was read
// until it is settled.
type Source struct {
	flow      *Flow
	name      string
	messaging *stage.Messaging

	mu      sync.Mutex
	open    []reading // in the order of their sequence numbers
	settled []record.Span
}

type reading struct {
	span *span
	upto uint64
}

// Source makes the tracing of a source. messaging is nil when its records are
// no messages.
func (f *Flow) Source(name string, m *stage.Messaging) *Source {
	if f == nil {
		return nil
	}
	return &Source{flow: f, name: name, messaging: m}
}

// Read traces a batch that was read, unless the sampler does not want it. upto
// is its last sequence number.
func (s *Source) Read(b *record.Batch, upto uint64) {
	if s == nil || len(b.Records) == 0 {
		return
	}
	name, kind, from, named := "read "+s.name, oteltrace.SpanKindInternal, origins{}, 0
	if s.messaging != nil {
		name, kind = "process "+s.messaging.Destination, oteltrace.SpanKindConsumer
		from, named = senders(b.Records)
	}
	span := s.flow.begin(name, kind, from, time.Now())
	if span == nil {
		return
	}
	b.Spans = span.list()
	span.set(attribute.String("telluride.source", s.name), attribute.Int("telluride.records", len(b.Records)))
	if m := s.messaging; m != nil {
		span.set(attribute.String("messaging.system", m.System), attribute.String("messaging.destination.name", m.Destination),
			attribute.String("messaging.operation.type", "process"), attribute.String("messaging.operation.name", "process"),
			attribute.Int("messaging.batch.message_count", len(b.Records)), attribute.Int("telluride.traced_messages", named))
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.open) >= maxOpen {
		s.open[0].span.end()
		s.open = s.open[1:]
	}
	s.open = append(s.open, reading{span, upto})
}

// senders are the spans that the senders of messages named, and how many are
// sampled. A batch is of one trace, or has one of its own and is linked to
// theirs. Unless one of them is sampled, the decision is theirs when all have
// made it, and else the sampler's.
func senders(records []record.Record) (from origins, sampled int) {
	from.remote = true
	var unsampled record.Span
	unnamed := false
	for i := range records {
		switch s, _, ok := incoming(&records[i]); {
		case !ok:
			unnamed = true
		case s.Sampled():
			sampled++
			if len(from.spans) < record.MaxSpans && !record.HasSpan(from.spans, &s) {
				from.spans = append(from.spans, s)
			}
			from.root = from.root || s.Trace != from.spans[0].Trace
		default:
			unsampled = s
		}
	}
	if sampled == 0 && !unnamed {
		from.spans = []record.Span{unsampled}
	}
	return from, sampled
}

// Broken says that records of a batch could not be read.
func (s *Source) Broken(b *record.Batch) {
	if s == nil || len(b.Spans) == 0 || len(b.Side) == 0 {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range s.open {
		if s.open[i].span.context.ID == b.Spans[0].ID {
			s.open[i].span.died(len(b.Side))
		}
	}
}

// Settled ends the spans of what was settled.
func (s *Source) Settled(upto uint64) {
	if s == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	n := 0
	for ; n < len(s.open) && s.open[n].upto <= upto; n++ {
		s.open[n].span.end()
		s.settled = record.JoinSpans(s.settled, s.open[n].span.list())
	}
	s.open = s.open[n:]
}

// Take hands over the spans that have ended since the last call.
func (s *Source) Take() []record.Span {
	if s == nil {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	spans := s.settled
	s.settled = nil
	return spans
}

// Abort ends the spans of what was not settled.
func (s *Source) Abort() {
	if s == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range s.open {
		r.span.failed("aborted", "not committed, and read again")
		r.span.end()
	}
	s.open = nil
}
