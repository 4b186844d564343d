package engine

import (
	"context"
	"sync"
	"time"

	"github.com/telluride-stream/telluride/engine/plan"
	"github.com/telluride-stream/telluride/engine/publish"
)

// publishing is what a flow publishes of itself. It belongs to the flow, not
// to a graph or a session: what a change leaves alone goes on, and a new
// version never waits for what it replaces.
type publishing struct {
	wg      sync.WaitGroup
	running map[string]published // by the sink's name
}

type published struct {
	signature string
	interval  time.Duration
	cancel    context.CancelFunc
}

// publish has the telemetry of a plan published from now on. It is called by
// the goroutine of the flow.
func (f *Flow) publish(t *plan.Telemetry) {
	if t == nil {
		t = &plan.Telemetry{}
	}
	f.publishTo("nodes", t.Nodes, t.Interval, publish.Nodes())
	f.publishTo("throughput", t.Throughput, t.Interval, publish.Throughput)
}

func (f *Flow) publishTo(what string, sink *plan.TelemetrySink, interval time.Duration, messages publish.Messages) {
	old, ok := f.published.running[what]
	if ok && sink != nil && old.signature == sink.Signature && old.interval == interval {
		return
	}
	if ok {
		old.cancel()
		delete(f.published.running, what)
	}
	if sink == nil {
		return
	}
	rt := f.engine.runtime(f)
	_, rt.Resumed, _ = f.engine.store(f.Plan).Last(f.Plan.Name) // a store that cannot be read ends the flow soon
	p := &publish.Publisher{
		Sink: sink, Interval: interval, Messages: messages, Snapshot: f.Snapshot, Runtime: rt, Steady: f.engine.config.Steady,
	}
	ctx, cancel := context.WithCancel(context.Background())
	if f.published.running == nil {
		f.published.running = map[string]published{}
	}
	f.published.running[what] = published{sink.Signature, interval, cancel}
	f.published.wg.Go(func() { p.Run(ctx) })
}

// endPublishing publishes a last time, as long as that does not take long.
func (f *Flow) endPublishing() {
	f.publish(nil)
	f.published.wg.Wait()
}
