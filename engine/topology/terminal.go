package topology

import (
	"errors"
	"sync"

	"github.com/reugn/go-streams"

	"github.com/telluride-stream/telluride/engine/checkpoint"
	"github.com/telluride-stream/telluride/engine/plan"
	"github.com/telluride-stream/telluride/engine/record"
	"github.com/telluride-stream/telluride/engine/stage"
	"github.com/telluride-stream/telluride/engine/telemetry"
	"github.com/telluride-stream/telluride/engine/telemetry/trace"
)

// terminal is the end of a stream: it writes to a sink, hands on what left
// the flow on its way, and tells the coordinator what is durable.
type terminal struct {
	index  int
	writer *writer
	sides  *sides
	graph  *Graph

	meter *meter
	trace *trace.Sink
	in    chan any
	done  chan struct{}
	// flushes are those that have been called for and are not done; flushed
	// tells of the ends of them. Never more of them are under way than
	// barriers travel, so that telling does not block.
	flushes int
	flushed chan flushed
	failed  bool
}

type flushed struct {
	barrier record.Barrier
	now     int64 // the processing time at the barrier
	err     error
}

var _ streams.Sink = (*terminal)(nil)

func newTerminal(index int, p *plan.Sink, g *Graph) *terminal {
	w := newWriter(p, g)
	return &terminal{
		index: index, writer: w, sides: g.sides, graph: g, meter: g.meter(w.row, 0), trace: g.config.Trace.Sink(p.Name, p.Spec.Messaging),
		in: make(chan any), done: make(chan struct{}), flushed: make(chan flushed, checkpoint.MaxTravelling),
	}
}

func (t *terminal) In() chan<- any   { return t.in }
func (t *terminal) AwaitCompletion() { <-t.done }

// run takes batches until the stream closes and every flush is done. Once
// something has failed, or the graph was aborted, it discards them, so that
// everything upstream can end.
func (t *terminal) run() {
	defer close(t.done)
	t.writer.meter = t.meter
	t.meter.begin(t.writer.name)
	defer t.meter.end()
	in := t.in
	for in != nil || t.flushes > 0 && !t.discarding() {
		t.meter.enter(telemetry.Idle)
		select {
		case el, ok := <-in:
			if !ok {
				in = nil
				continue
			}
			b := el.(*record.Batch)
			t.meter.enter(telemetry.Busy)
			if !t.discarding() {
				t.check(t.take(b))
			}
			b.Release()
		case f := <-t.flushed:
			t.meter.enter(telemetry.Busy)
			t.flushes--
			if !t.discarding() {
				t.check(t.settled(f))
			}
		case <-t.graph.aborted.Done():
			t.discard(in)
			return
		}
	}
}

func (t *terminal) discard(in <-chan any) {
	if in == nil {
		return
	}
	for el := range in {
		el.(*record.Batch).Release()
	}
}

func (t *terminal) discarding() bool { return t.failed || t.graph.aborted.Err() != nil }

func (t *terminal) check(err error) {
	if err != nil {
		t.failed = true
		t.graph.coord.Fail(err)
	}
}

func (t *terminal) durable(b record.Barrier) {
	if !t.discarding() {
		t.graph.coord.Durable(t.index, b)
	}
}

// settled goes on behind a flush: it is tried again when it has failed, and
// what the sink found to be undeliverable becomes dead letters before the
// epoch counts as durable.
func (t *terminal) settled(f flushed) error {
	if f.err != nil {
		if err := t.writer.sync(t.graph.aborted); err != nil {
			return err
		}
	}
	u, ok := t.writer.sink.(stage.Undeliverer)
	if ok {
		for _, gone := range u.Undeliverable() {
			t.writer.row.Undelivered()
			if err := t.rejected(&gone.Record, errors.New(gone.Reason), f.now); err != nil {
				return err
			}
		}
	}
	if ok || f.err != nil {
		t.durable(f.barrier)
	}
	return nil
}

func (t *terminal) take(b *record.Batch) error {
	dead := 0
	reject := func(r *record.Record, cause error) error {
		dead++
		return t.rejected(r, cause, b.Now)
	}
	ctx, writing := t.trace.Begin(t.graph.aborted, b)
	err := t.writer.write(ctx, b.Records, reject)
	writing.End(dead, err)
	if err != nil {
		return err
	}
	if n := len(b.Records); n > 0 {
		t.meter.called(n)
	}
	if err := t.sides.take(b.Side, b.Now); err != nil {
		return err
	}
	if b.Barrier.Kind == record.None {
		return nil
	}
	barrier, now := b.Barrier, b.Now
	if !t.writer.opened {
		t.graph.coord.Durable(t.index, barrier)
		return nil
	}
	t.flushes++
	clock, began := t.graph.config.Clock, t.graph.config.Clock.Now()
	confirming := t.trace.Confirm()
	var once sync.Once
	done := func(err error) {
		once.Do(func() {
			confirming.End(err)
			t.writer.row.Flushed(clock.Now().Sub(began))
			if _, late := t.writer.sink.(stage.Undeliverer); err == nil && !late {
				t.graph.coord.Durable(t.index, barrier)
			}
			t.flushed <- flushed{barrier, now, err}
		})
	}
	err = guarded(func() error {
		t.writer.sink.Flush(done)
		return nil
	})
	if err != nil {
		done(err)
	}
	return nil
}

// rejected makes a dead letter of a record that the sink will never take.
func (t *terminal) rejected(r *record.Record, cause error, now int64) error {
	if stage.IsClosed(cause) {
		return cause
	}
	return t.sides.take([]record.Side{{Record: *r, Kind: record.Dead, Stage: t.writer.name, Reason: cause.Error()}}, now)
}
