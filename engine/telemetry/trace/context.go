package trace

import (
	"encoding/hex"

	oteltrace "go.opentelemetry.io/otel/trace"

	"github.com/telluride-stream/telluride/engine/record"
)

// maxState is the longest tracestate that goes on. The standard asks for as
// much; a stranger's header does not get to grow every message behind it.
const maxState = 512

var (
	parentPath = record.Path{{Key: "headers"}, {Key: "traceparent"}}
	statePath  = record.Path{{Key: "headers"}, {Key: "tracestate"}}
)

// incoming is the span that the sender of a record's message named in its
// headers, as W3C Trace Context has it, and the text of that. What is malformed
// counts as absent.
func incoming(r *record.Record) (s record.Span, parent string, ok bool) {
	if r.Meta == nil {
		return s, "", false
	}
	v := r.Meta.Lookup(parentPath, r.Origin.Seq)
	if v.Kind() != record.String {
		return s, "", false
	}
	parent = v.Text()
	if s, ok = parseParent(parent); !ok {
		return s, "", false
	}
	if state := r.Meta.Lookup(statePath, r.Origin.Seq); state.Kind() == record.String {
		s.State = bounded(state.Text())
	}
	return s, parent, true
}

// bounded is a tracestate that may go on; "" when it may not.
func bounded(state string) string {
	if len(state) > maxState {
		return ""
	}
	if _, err := oteltrace.ParseTraceState(state); err != nil {
		return ""
	}
	return state
}

const parentLength = len("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")

// parseParent reads a traceparent. One of a later version is read as far as
// this one goes, as the standard has it.
func parseParent(text string) (s record.Span, ok bool) {
	if len(text) < parentLength || text[2] != '-' || text[35] != '-' || text[52] != '-' {
		return s, false
	}
	var version, flags [1]byte
	if !unhex(version[:], text) || !unhex(s.Trace[:], text[3:]) || !unhex(s.ID[:], text[36:]) || !unhex(flags[:], text[53:]) {
		return s, false
	}
	if version[0] == 0xff || s.Trace == [16]byte{} || s.ID == [8]byte{} {
		return s, false
	}
	if len(text) > parentLength && (version[0] == 0 || text[parentLength] != '-') {
		return s, false
	}
	const sampledOrRandom = 3
	s.Flags = flags[0] & sampledOrRandom
	return s, true
}

// unhex reads as many bytes as to has, in lower case.
func unhex(to []byte, text string) bool {
	bad := byte(0)
	for i := range to {
		hi, lo := nibbles[text[2*i]], nibbles[text[2*i+1]]
		to[i] = hi<<4 | lo&15
		bad |= hi | lo
	}
	return bad < 16
}

// nibbles are the values of digits; 16 is none.
var nibbles = func() (t [256]byte) {
	for c := range t {
		t[c] = 16
	}
	for v, c := range []byte("0123456789abcdef") {
		t[c] = byte(v)
	}
	return t
}()

// formatParent is a span as a traceparent.
func formatParent(s *record.Span) string {
	b := make([]byte, 0, 55)
	b = append(b, "00-"...)
	b = hex.AppendEncode(b, s.Trace[:])
	b = hex.AppendEncode(append(b, '-'), s.ID[:])
	return string(hex.AppendEncode(append(b, '-'), []byte{s.Flags}))
}

// contextOf is a span in the words of the SDK.
func contextOf(s *record.Span, remote bool) oteltrace.SpanContext {
	state, _ := oteltrace.ParseTraceState(s.State)
	return oteltrace.NewSpanContext(oteltrace.SpanContextConfig{
		TraceID: s.Trace, SpanID: s.ID, TraceFlags: oteltrace.TraceFlags(s.Flags), TraceState: state, Remote: remote,
	})
}

func spanOf(c oteltrace.SpanContext) record.Span {
	return record.Span{Trace: c.TraceID(), ID: c.SpanID(), Flags: byte(c.TraceFlags()), State: c.TraceState().String()}
}
