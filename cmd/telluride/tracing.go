package main

import (
	"context"
	"log/slog"
	"runtime/debug"
	"time"

	"github.com/telluride-stream/telluride/engine/telemetry/trace"
)

// lastSpans is how long a run that has ended waits for its last spans to be
// taken.
const lastSpans = 5 * time.Second

// openTracing makes the tracer that the environment asks for. Settings that are
// wrong cost the traces, and not the run: they are often those of a whole
// cluster.
func openTracing(log *slog.Logger) (t *trace.Tracer, finish func()) {
	info, _ := debug.ReadBuildInfo()
	t, err := trace.FromEnv(trace.Config{Version: describeBuild(info).Version, Log: log})
	if err != nil {
		log.Error("there will be no traces", "error", err)
	}
	return t, func() {
		ctx, cancel := context.WithTimeout(context.Background(), lastSpans)
		defer cancel()
		if err := t.Close(ctx); err != nil {
			log.Warn("the last traces were not sent", "error", err)
		}
	}
}
