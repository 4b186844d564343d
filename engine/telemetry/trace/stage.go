package trace

import (
	"strings"
	"time"

	"go.opentelemetry.io/otel/attribute"
	oteltrace "go.opentelemetry.io/otel/trace"

	"github.com/telluride-stream/telluride/engine/record"
)

// Stage traces a stage in one lane, or several that are fused. One goroutine
// at a time calls it.
type Stage struct {
	flow  *Flow
	name  string
	attrs []attribute.KeyValue
	// memory is of a stage that lets out later what comes in now; nil: it does
	// not. makes says that this is made anew.
	memory *memory
	makes  bool
	steps  uint64
}

// Stage makes the tracing of stages that are worked on together. holds says
// that what comes in may leave with a later batch, makes that other records do.
func (f *Flow) Stage(names []string, lane int, holds, makes bool) *Stage {
	if f == nil {
		return nil
	}
	s := &Stage{flow: f, name: strings.Join(names, "+"), makes: makes}
	s.attrs = []attribute.KeyValue{attribute.String("telluride.stage", s.name), attribute.Int("telluride.lane", lane)}
	if holds || makes {
		s.memory = &memory{}
	}
	return s
}

// Step is a batch in a stage; nil: it is not traced.
type Step struct {
	span   *span // nil: only what the stage lets out is traced
	began  time.Time
	sides  int
	in     int
	handed int // records that were let out before the end
}

// Begin is called before the stage works on a batch.
func (s *Stage) Begin(b *record.Batch) *Step {
	if s == nil || len(b.Spans) == 0 && s.memory.empty() {
		return nil
	}
	s.steps++
	step := &Step{began: time.Now(), sides: len(b.Side), in: len(b.Records)}
	if len(b.Spans) == 0 {
		return step
	}
	step.span = s.flow.begin(s.name, oteltrace.SpanKindInternal, origins{spans: b.Spans}, step.began)
	if s.memory == nil || step.span == nil {
		return step
	}
	for i := range b.Records {
		from := step.span.context
		if s.makes {
			// What is made begins a trace of its own: it is linked to the
			// messages' rather than to ours.
			if own, _, ok := incoming(&b.Records[i]); ok && own.Sampled() {
				from = own
			}
		}
		s.memory.add(b.Records[i].Hash, remembered{from, s.steps})
	}
	return step
}

// End is called with what the stage lets out.
func (s *Stage) End(step *Step, out []*record.Batch) {
	if step == nil {
		return
	}
	records, sides, dead := step.handed, 0, 0
	for _, b := range out {
		records += len(b.Records)
		for i := range b.Side {
			if sides++; sides > step.sides && b.Side[i].Kind == record.Dead {
				dead++
			}
		}
	}
	for _, b := range out {
		s.link(step, b)
	}
	step.span.set(s.attrs...)
	step.span.set(attribute.Int("telluride.records", step.in), attribute.Int("telluride.records_out", records))
	step.span.died(dead)
	step.span.end()
}

// HandOn is called with a batch that the stage lets out before End.
func (s *Stage) HandOn(step *Step, b *record.Batch) {
	if step != nil {
		step.handed += len(b.Records)
		s.link(step, b)
	}
}

func (s *Stage) link(step *Step, b *record.Batch) {
	b.Spans = nil
	switch {
	case s.memory != nil && len(b.Records) > 0:
		b.Spans = s.emitted(step, b)
	case step.span != nil && len(b.Records)+len(b.Side) > 0:
		b.Spans = step.span.list()
	}
}

// emitted is the span of a batch that leaves a stage which has kept what came
// in: the step's own when all of it has just come.
func (s *Stage) emitted(step *Step, b *record.Batch) []record.Span {
	spans, now := s.memory.take(b.Records, s.steps)
	switch {
	case now && step.span != nil:
		return step.span.list()
	case len(spans) == 0:
		return nil
	}
	out := s.flow.begin("emit "+s.name, oteltrace.SpanKindInternal, origins{spans: spans, root: s.makes}, step.began)
	if out == nil {
		return nil
	}
	out.set(s.attrs...)
	out.set(attribute.Int("telluride.records_out", len(b.Records)))
	out.end()
	return out.list()
}

// What a stage remembers of what led to what it holds, by key and at all.
const (
	perKey  = 8
	maxKept = 4096
)

// memory knows for keys which spans led to what is held of them, the newest
// few. When it is full it forgets everything: what is lost is a link.
type memory struct {
	keys map[uint64][]remembered
	n    int
}

type remembered struct {
	span record.Span
	step uint64
}

func (m *memory) empty() bool { return m == nil || m.n == 0 }

func (m *memory) add(key uint64, r remembered) {
	list := m.keys[key]
	if n := len(list); n > 0 && list[n-1].span.ID == r.span.ID {
		list[n-1].step = r.step
		return
	}
	switch {
	case len(list) >= perKey:
		copy(list, list[1:])
		list[perKey-1] = r
		return
	case m.n >= maxKept || m.keys == nil:
		m.keys, m.n, list = map[uint64][]remembered{}, 0, nil
	}
	m.keys[key] = append(list, r)
	m.n++
}

// take hands over what led to records that leave, and says whether it came
// with this step alone.
func (m *memory) take(records []record.Record, step uint64) (spans []record.Span, now bool) {
	now = true
	one := func(key uint64) {
		for _, r := range m.keys[key] {
			now = now && r.step == step
			if len(spans) < record.MaxSpans && !record.HasSpan(spans, &r.span) {
				spans = append(spans, r.span)
			}
		}
		m.n -= len(m.keys[key])
		delete(m.keys, key)
	}
	for i := range records {
		if m.n == 0 {
			break
		}
		if r := &records[i]; r.Key != "" || m.keys[r.Hash] != nil {
			one(r.Hash)
			continue
		}
		for key := range m.keys { // it stands for records of any key
			one(key)
		}
	}
	return spans, now && len(spans) > 0
}
