package trace

import (
	"context"
	"log/slog"
	"time"

	"go.opentelemetry.io/otel/codes"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
)

// console is the exporter for people: a message a span.
type console struct{ log *slog.Logger }

var _ sdktrace.SpanExporter = console{}

func (c console) ExportSpans(_ context.Context, spans []sdktrace.ReadOnlySpan) error {
	for _, s := range spans {
		args := []any{"name", s.Name(), "kind", s.SpanKind().String(), "took", s.EndTime().Sub(s.StartTime()).Round(time.Microsecond),
			"trace", s.SpanContext().TraceID().String(), "span", s.SpanContext().SpanID().String()}
		if p := s.Parent(); p.IsValid() {
			args = append(args, "parent", p.SpanID().String())
		}
		for _, l := range s.Links() {
			args = append(args, "link", l.SpanContext.TraceID().String()+"/"+l.SpanContext.SpanID().String())
		}
		if st := s.Status(); st.Code == codes.Error {
			args = append(args, "error", st.Description)
		}
		for _, a := range s.Attributes() {
			args = append(args, string(a.Key), a.Value.String())
		}
		c.log.Info("span", args...)
	}
	return nil
}

func (console) Shutdown(context.Context) error { return nil }
