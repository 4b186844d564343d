package record

// Span names a span of a distributed trace, as W3C Trace Context does. The
// zero Span is none.
type Span struct {
	Trace [16]byte
	ID    [8]byte
	Flags byte
	State string // what other systems keep along the trace: tracestate
}

// Sampled says that the span is recorded.
func (s *Span) Sampled() bool { return s.Flags&1 == 1 }

// MaxSpans bounds the spans that a batch is known to come from.
const MaxSpans = 32

// JoinSpans is a list of spans with those of another behind it, each of them
// once, and no more than [MaxSpans]. Neither argument is changed: lists of
// spans are shared by batches.
func JoinSpans(spans, more []Span) []Span {
	if len(spans) == 0 {
		return more
	}
	joined := spans[:len(spans):len(spans)]
	for i := range more {
		if len(joined) >= MaxSpans {
			break
		}
		if !HasSpan(joined, &more[i]) {
			joined = append(joined, more[i])
		}
	}
	return joined
}

// HasSpan says whether a span is in a list.
func HasSpan(spans []Span, s *Span) bool {
	for i := range spans {
		if spans[i].ID == s.ID && spans[i].Trace == s.Trace {
			return true
		}
	}
	return false
}
