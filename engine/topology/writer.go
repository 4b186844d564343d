package topology

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/telluride-stream/telluride/engine/clock"
	"github.com/telluride-stream/telluride/engine/plan"
	"github.com/telluride-stream/telluride/engine/poison"
	"github.com/telluride-stream/telluride/engine/record"
	"github.com/telluride-stream/telluride/engine/stage"
	"github.com/telluride-stream/telluride/engine/telemetry"
)

// writer writes to a sink with patience: a transient error is tried again,
// with back-off, until the sink's deadline. It is used by one goroutine at a time.
type writer struct {
	name     string
	sink     stage.Sink
	lazy     bool // open before the first write
	opened   bool
	deadline time.Duration
	clock    clock.Clock
	steady   bool // waits have no jitter
	log      *slog.Logger
	row      *telemetry.Row
	weighed  uint64 // bytes that the sink was given so far
	// meter is that of the terminal that runs the writer; nil while none does.
	meter    *meter
	troubles *troubles
	guard    *poison.Guard // what waits for a sink ends no process
	spot     *spot
	// abort ends every wait of a terminal.
	abort context.Context
}

// errSinkDeadline marks that a sink has failed for longer than it may.
var errSinkDeadline = errors.New("deadline passed")

func newWriter(p *plan.Sink, g *Graph) *writer {
	rt := g.config.Runtime
	rt.Name, rt.MaxBatch = p.Name, g.plan.Batch
	if g.config.Trace != nil {
		rt.Propagator = g.config.Trace
	}
	row := g.config.Ledger.Row("sink", p.Name)
	row.Plays(telemetry.Sink)
	return &writer{
		name: p.Name, sink: p.Spec.New(rt), lazy: p.Spec.Lazy, deadline: p.Deadline, clock: clock.For(g.config.Clock, "sink "+p.Name), steady: g.config.Steady,
		log: rt.Log, row: row, troubles: &g.troubles, guard: g.config.Guard, spot: g.config.Taps.spot(SinkTap(p.Name)), abort: g.aborted,
	}
}

// patiently calls try until it succeeds. It returns an error that is
// permanent or says that the deadline has passed, or the last one when ctx is
// done.
func (w *writer) patiently(ctx context.Context, what string, try func() error) error {
	var pauses *clock.Pauses
	var start time.Time
	for n := 0; ; n++ {
		err := guarded(try)
		if err == nil {
			if n > 0 {
				w.troubles.set(w.name, nil)
				w.log.Info("sink works again", "sink", w.name, "after", w.clock.Now().Sub(start).Round(time.Millisecond))
			}
			return nil
		}
		if stage.IsPermanent(err) || ctx.Err() != nil {
			return err
		}
		w.row.Retries.Add(1)
		w.troubles.set(w.name, fmt.Errorf("%s: %w", what, err)) // first: whoever reads the log finds the flow so
		if n == 0 {
			start = w.clock.Now()
			pauses = clock.NewPauses(50*time.Millisecond, 10*time.Second, w.steady)
			w.log.Warn("sink fails; trying again", "sink", w.name, "doing", what, "error", err)
		}
		if err := w.guard.Withdraw(); err != nil {
			return err
		}
		pause := pauses.Next()
		if w.deadline > 0 {
			left := w.deadline - w.clock.Now().Sub(start)
			if left <= 0 {
				return fmt.Errorf("%w (%v, %d tries): %v", errSinkDeadline, w.deadline, n+1, err) //nolint:errorlint // %w would keep a transient mark, and the flow would start again
			}
			pause = min(pause, left)
		}
		w.meter.enter(telemetry.Blocked)
		timer := w.clock.NewTimer(pause)
		select {
		case <-timer.C():
		case <-ctx.Done():
			timer.Stop()
			return err
		}
		w.meter.enter(telemetry.Busy)
	}
}

func (w *writer) open() error {
	if w.opened {
		return nil
	}
	err := w.patiently(w.abort, "open", func() error { return w.sink.Open(w.abort) })
	w.opened = err == nil
	return err
}

// openOnce opens the sink without patience.
func (w *writer) openOnce() error {
	err := guarded(func() error { return w.sink.Open(w.abort) })
	w.opened = err == nil
	if err == nil || stage.IsPermanent(err) {
		return err
	}
	return stage.Transient(err)
}

// write writes records in order. ctx is for the sink, and made of abort. reject
// takes those that the sink will never take; it may be nil, and then such an
// error is write's.
func (w *writer) write(ctx context.Context, records []record.Record, reject func(*record.Record, error) error) error {
	if len(records) == 0 {
		return nil
	}
	if err := w.open(); err != nil {
		return fmt.Errorf("sink %s: open: %w", w.name, err)
	}
	w.spot.batch(records)
	for len(records) > 0 {
		err := w.patiently(w.abort, "write", func() error {
			n, err := w.sink.Write(ctx, records)
			w.weigh()
			w.row.Add(stage.Counts{In: uint64(n), Passed: uint64(n)})
			records = records[n:]
			if len(records) == 0 {
				return nil
			}
			if err == nil {
				err = errors.New("took only a part, without an error")
			}
			return err
		})
		if err == nil {
			continue
		}
		if !stage.IsPermanent(err) || reject == nil {
			return fmt.Errorf("sink %s: write: %w", w.name, err)
		}
		w.row.Add(stage.Counts{In: 1, Dead: 1})
		if err := reject(&records[0], err); err != nil {
			return err
		}
		records = records[1:]
	}
	return nil
}

// weigh counts the bytes that the sink was given since the last call.
func (w *writer) weigh() {
	if s, ok := w.sink.(stage.Weigher); ok {
		all := s.Written()
		w.row.Bytes.Add(int64(all - w.weighed))
		w.weighed = all
	}
}

// sync flushes and waits until that is durable, or ctx is done.
func (w *writer) sync(ctx context.Context) error {
	if !w.opened {
		return nil
	}
	err := w.patiently(ctx, "flush", func() error {
		done := make(chan error, 1)
		w.sink.Flush(func(err error) { done <- err })
		select {
		case err := <-done:
			return err
		case <-ctx.Done():
			return ctx.Err()
		}
	})
	if err != nil {
		return fmt.Errorf("sink %s: flush: %w", w.name, err)
	}
	return nil
}

func (w *writer) close() error {
	if !w.opened {
		return nil
	}
	w.opened = false
	if err := guarded(w.sink.Close); err != nil {
		return fmt.Errorf("sink %s: close: %v", w.name, err) //nolint:errorlint // as above
	}
	return nil
}
