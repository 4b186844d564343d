package trace

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"strconv"
	"strings"
	"time"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	oteltrace "go.opentelemetry.io/otel/trace"
	"golang.org/x/time/rate"
)

// Config is what a tracer needs besides the environment.
type Config struct {
	Version string
	Log     *slog.Logger // also what the exporter `console` writes to
}

// FromEnv is the tracer that the OTEL_* variables ask for. It is nil unless
// OTEL_TRACES_EXPORTER names an exporter, or an endpoint is given. It reaches
// for nothing: a collector that is away is noticed when there are spans.
func FromEnv(c Config) (*Tracer, error) {
	if off, _ := strconv.ParseBool(variable("OTEL_SDK_DISABLED")); off {
		return nil, nil
	}
	sampler, err := samplerFromEnv()
	if err != nil {
		return nil, err
	}
	options := []sdktrace.TracerProviderOption{sdktrace.WithSampler(linked{sampler})}
	life, stop := context.WithCancel(context.Background())
	exporters, err := exportersFromEnv(life, c)
	if err != nil || len(exporters) == 0 {
		stop()
		return nil, err
	}
	for _, e := range exporters {
		options = append(options, sdktrace.WithBatcher(e))
	}
	// Later ones win: the environment may give the service another name.
	about, err := resource.New(context.Background(), resource.WithTelemetrySDK(),
		resource.WithAttributes(attribute.String("service.name", "telluride"), attribute.String("service.version", c.Version)),
		resource.WithFromEnv())
	if err != nil {
		stop()
		return nil, fmt.Errorf("OTEL_RESOURCE_ATTRIBUTES: %w", err)
	}
	sometimes := rate.Sometimes{First: 1, Interval: time.Minute}
	otel.SetErrorHandler(otel.ErrorHandlerFunc(func(err error) {
		sometimes.Do(func() { c.Log.Warn("tracing", "error", err) })
	}))
	provider := sdktrace.NewTracerProvider(append(options, sdktrace.WithResource(about))...)
	return &Tracer{
		provider: provider, stop: stop,
		tracer: provider.Tracer("github.com/telluride-stream/telluride", oteltrace.WithInstrumentationVersion(c.Version)),
	}, nil
}

// variable is an environment variable without the spaces around it.
func variable(name string) string { return strings.TrimSpace(os.Getenv(name)) }

func exportersFromEnv(life context.Context, c Config) ([]sdktrace.SpanExporter, error) {
	names := variable("OTEL_TRACES_EXPORTER")
	if names == "" && (variable("OTEL_EXPORTER_OTLP_ENDPOINT") != "" || variable("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT") != "") {
		names = "otlp"
	}
	var list []sdktrace.SpanExporter
	for name := range strings.SplitSeq(names, ",") {
		switch strings.TrimSpace(name) {
		case "", "none":
		case "otlp":
			u, err := newUploader(life)
			if err != nil {
				return nil, err
			}
			e, err := otlptrace.New(life, u)
			if err != nil {
				return nil, err
			}
			list = append(list, &watched{SpanExporter: e, log: c.Log, to: u.shown()})
		case "console":
			list = append(list, console{c.Log})
		default:
			return nil, fmt.Errorf("OTEL_TRACES_EXPORTER: %q is not known: use otlp, console or none", name)
		}
	}
	return list, nil
}

func samplerFromEnv() (sdktrace.Sampler, error) {
	name := strings.ToLower(variable("OTEL_TRACES_SAMPLER"))
	parent := strings.HasPrefix(name, "parentbased_") || name == ""
	var s sdktrace.Sampler
	switch strings.TrimPrefix(name, "parentbased_") {
	case "", "always_on":
		s = sdktrace.AlwaysSample()
	case "always_off":
		s = sdktrace.NeverSample()
	case "traceidratio":
		ratio := 1.0
		if arg := variable("OTEL_TRACES_SAMPLER_ARG"); arg != "" {
			var err error
			if ratio, err = strconv.ParseFloat(arg, 64); err != nil || !(ratio >= 0 && ratio <= 1) {
				return nil, fmt.Errorf("OTEL_TRACES_SAMPLER_ARG: %q is not a number from 0 to 1", arg)
			}
		}
		s = sdktrace.TraceIDRatioBased(ratio)
	default:
		return nil, fmt.Errorf("OTEL_TRACES_SAMPLER: %q is not known: use always_on, always_off, traceidratio, or one of these behind parentbased_", name)
	}
	if parent {
		s = sdktrace.ParentBased(s)
	}
	return s, nil
}

// linked has a span that begins a trace of its own, and is linked to others,
// sampled as a child of the first of them would be.
type linked struct{ sdktrace.Sampler }

func (l linked) ShouldSample(p sdktrace.SamplingParameters) sdktrace.SamplingResult {
	if len(p.Links) > 0 && !oteltrace.SpanContextFromContext(p.ParentContext).IsValid() {
		first := p.Links[0].SpanContext
		p.ParentContext, p.TraceID = oteltrace.ContextWithSpanContext(p.ParentContext, first), first.TraceID()
		result := l.Sampler.ShouldSample(p)
		result.Tracestate = oteltrace.TraceState{} // that is the other trace's
		return result
	}
	return l.Sampler.ShouldSample(p)
}

// watched is an exporter that says when it begins to fail and when it works
// again, instead of at every try.
type watched struct {
	sdktrace.SpanExporter
	log     *slog.Logger
	to      string
	failing bool // calls do not overlap
	lost    int
}

func (w *watched) ExportSpans(ctx context.Context, spans []sdktrace.ReadOnlySpan) error {
	err := w.SpanExporter.ExportSpans(ctx, spans)
	switch {
	case err != nil:
		w.lost += len(spans)
		if !w.failing {
			w.failing = true
			w.log.Warn("traces cannot be sent; they are dropped until they can", "to", w.to, "error", err)
		}
	case w.failing:
		w.log.Info("traces are sent again", "to", w.to, "spans_lost", w.lost)
		w.failing, w.lost = false, 0
	}
	return nil
}
