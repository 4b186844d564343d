package topology

import (
	"sync"

	"github.com/reugn/go-streams"
	"github.com/reugn/go-streams/flow"

	"github.com/telluride-stream/telluride/engine/record"
	"github.com/telluride-stream/telluride/engine/telemetry"
	"github.com/telluride-stream/telluride/engine/telemetry/trace"
)

// worker runs a step over a stream, batch by batch, and measures it. It is a
// go-streams operator, as FlatMap with one goroutine is; that one does not
// tell waiting for input from waiting to hand on.
type worker struct {
	step   step
	meter  *meter
	trace  *trace.Stage
	stages []string      // for the meter
	looks  <-chan func() // run between two batches, also while none comes; nil: none
	in     chan any
	out    chan any
}

// step takes a batch and returns those to send on. What is to go on earlier it
// gives to send, which waits until it is taken.
type step func(b *record.Batch, send func(*record.Batch)) []*record.Batch

var _ streams.Flow = (*worker)(nil)

// newWorker starts a worker. It ends when its input does.
func newWorker(wg *sync.WaitGroup, m *meter, t *trace.Stage, stages []string, step step, looks <-chan func()) *worker {
	w := &worker{step: step, meter: m, trace: t, stages: stages, looks: looks, in: make(chan any), out: make(chan any)}
	wg.Go(w.run)
	return w
}

func (w *worker) In() chan<- any  { return w.in }
func (w *worker) Out() <-chan any { return w.out }

func (w *worker) Via(f streams.Flow) streams.Flow {
	flow.DoStream(w, f)
	return f
}

func (w *worker) To(s streams.Sink) {
	flow.DoStream(w, s)
	s.AwaitCompletion()
}

func (w *worker) run() {
	defer close(w.out)
	w.meter.begin(w.stages...)
	defer w.meter.end()
	for {
		el, ok := w.recv()
		if !ok {
			return
		}
		b := el.(*record.Batch)
		n := len(b.Records)
		traced := w.trace.Begin(b)
		out := w.step(b, func(b *record.Batch) {
			w.trace.HandOn(traced, b)
			w.meter.send(w.out, b)
		})
		w.trace.End(traced, out)
		if n > 0 || made(out) {
			w.meter.called(n)
		}
		for _, b := range out {
			w.meter.send(w.out, b)
		}
	}
}

// recv receives what is next, and runs looks before it comes.
func (w *worker) recv() (el any, ok bool) {
	if w.looks == nil {
		return w.meter.recv(w.in)
	}
	for {
		select {
		case look := <-w.looks:
			look()
		default:
		}
		select {
		case el, ok = <-w.in: // still busy
			return el, ok
		default:
		}
		w.meter.enter(telemetry.Idle)
		select {
		case el, ok = <-w.in:
			w.meter.enter(telemetry.Busy)
			return el, ok
		case look := <-w.looks:
			w.meter.enter(telemetry.Busy)
			look()
		}
	}
}

func made(out []*record.Batch) bool {
	for _, b := range out {
		if len(b.Records) > 0 {
			return true
		}
	}
	return false
}
