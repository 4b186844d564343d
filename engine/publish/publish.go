// Package publish sends the telemetry of a flow to sinks. It stands beside the
// flow: nothing of the flow waits for it, it keeps no queue, and when a sink is
// away the numbers of that time are dropped, since newer ones follow.
package publish

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/telluride-stream/telluride/engine/clock"
	"github.com/telluride-stream/telluride/engine/plan"
	"github.com/telluride-stream/telluride/engine/record"
	"github.com/telluride-stream/telluride/engine/stage"
	"github.com/telluride-stream/telluride/engine/telemetry"
	"github.com/telluride-stream/telluride/engine/telemetry/wire"
)

const (
	// patience is how long one publication may take, and lastPatience how
	// long the one at the end of a flow.
	patience     = 5 * time.Second
	lastPatience = time.Second
	// maxPause is how long a sink that is away is left alone at most.
	maxPause = 30 * time.Second
)

// Messages makes the messages of a snapshot. The second result is called once
// they are published.
type Messages func(telemetry.Snapshot) (bodies [][]byte, published func())

// Nodes makes a message of each node that has changed since it was published.
func Nodes() Messages {
	var changes wire.Changes
	return func(s telemetry.Snapshot) ([][]byte, func()) {
		changed := changes.Of(s)
		var bodies [][]byte
		for i := range changed {
			bodies = append(bodies, changed[i].Append(nil))
		}
		return bodies, func() { changes.Published(changed) }
	}
}

// Throughput makes one message of how much the flow has done.
func Throughput(s telemetry.Snapshot) ([][]byte, func()) {
	body, ok := wire.AppendThroughput(nil, s)
	if !ok {
		return nil, func() {}
	}
	return [][]byte{body}, func() {}
}

// Publisher publishes to one sink.
type Publisher struct {
	Sink     *plan.TelemetrySink
	Interval time.Duration
	Messages Messages
	Snapshot func() telemetry.Snapshot
	// Runtime is for the sink; its Name is set.
	Runtime stage.Runtime
	// Steady has no jitter in the pauses.
	Steady bool

	clock     clock.Clock
	sink      stage.Sink
	open      bool
	projector *record.Projector
	pauses    *clock.Pauses
	away      bool
	retry     time.Time
	done      bool // nobody will ever read more
}

// Run publishes once an interval until ctx is done, and then, if the sink is
// there, a last time.
func (p *Publisher) Run(ctx context.Context) {
	p.Runtime.Name = p.Sink.Name
	p.clock = clock.For(p.Runtime.Clock, p.Sink.Name)
	p.Runtime.Clock = p.clock
	p.projector = record.NewProjector(p.Sink.Layout)
	p.pauses = clock.NewPauses(p.Interval, maxPause, p.Steady)
	defer p.close()
	timer := p.clock.NewTimer(p.Interval)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			if !p.away {
				p.publish(context.WithoutCancel(ctx), lastPatience)
			}
			return
		case <-timer.C():
		}
		began := p.clock.Now()
		if !p.away || !began.Before(p.retry) {
			p.publish(ctx, max(patience, p.Interval))
		}
		timer.Reset(max(p.Interval-p.clock.Now().Sub(began), time.Millisecond))
	}
}

func (p *Publisher) publish(ctx context.Context, within time.Duration) {
	bodies, published := p.Messages(p.Snapshot())
	if len(bodies) == 0 || p.done {
		return
	}
	limited, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	err := p.write(limited, bodies)
	switch {
	case stage.IsClosed(err):
		p.done = true
	case err == nil:
		published()
		if p.away {
			p.Runtime.Log.Info("telemetry is published again", "sink", p.Sink.Name)
		}
		p.away = false
		p.pauses.Reset()
	case ctx.Err() != nil: // the flow ends, and its sink may be as well as before
	default:
		p.close()
		if !p.away {
			p.away = true
			p.pauses.Reset()
			p.Runtime.Log.Warn("telemetry is not published until its sink works; the numbers of that time are dropped", "sink", p.Sink.Name, "error", err)
		}
		p.retry = p.clock.Now().Add(p.pauses.Next())
	}
}

// write writes messages and waits until they are durable.
func (p *Publisher) write(ctx context.Context, bodies [][]byte) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = errors.New(stage.Panicked(v))
		}
	}()
	if !p.open {
		if p.sink == nil {
			p.sink = p.Sink.Spec.New(p.Runtime)
		}
		if err := p.sink.Open(ctx); err != nil {
			return fmt.Errorf("open: %w", err)
		}
		p.open = true
	}
	records := make([]record.Record, len(bodies))
	for i, body := range bodies {
		records[i].Payload = body
		records[i].Fields = make([]record.Value, p.Sink.Layout.Len())
		if err := p.projector.Project(body, records[i].Fields); err != nil {
			return err
		}
	}
	var refused error
	for len(records) > 0 {
		n, err := p.sink.Write(ctx, records)
		records = records[n:]
		switch {
		case len(records) == 0:
		case err == nil:
			return errors.New("took only a part, without an error")
		case stage.IsPermanent(err) && !stage.IsClosed(err):
			refused, records = err, records[1:] // the others may fit
		default:
			return fmt.Errorf("write: %w", err)
		}
	}
	if err := p.flush(ctx); err != nil {
		return fmt.Errorf("flush: %w", err)
	}
	return refused
}

func (p *Publisher) flush(ctx context.Context) error {
	done := make(chan error, 1)
	p.sink.Flush(func(err error) { done <- err })
	select {
	case err := <-done:
		if u, ok := p.sink.(stage.Undeliverer); ok && err == nil {
			for _, gone := range u.Undeliverable() {
				err = errors.New(gone.Reason)
			}
		}
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// close closes the sink. What it kept to send again is dropped with it.
func (p *Publisher) close() {
	if p.sink == nil {
		return
	}
	defer func() { _ = recover() }() // a sink that panics is as good as closed
	sink := p.sink
	p.sink, p.open = nil, false
	p.Runtime.Resumed = true // what it wrote is kept
	if err := sink.Close(); err != nil && !p.away {
		p.Runtime.Log.Warn("a sink of telemetry could not be closed", "sink", p.Sink.Name, "error", err)
	}
}
