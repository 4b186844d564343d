package topology

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/telluride-stream/telluride/engine/stage"
)

// Intake reads a source in a goroutine of its own, one batch ahead. It
// belongs to the engine rather than to a graph: a source that a change leaves
// alone keeps its session and what it has read.
type Intake struct {
	Name   string
	source stage.Source

	inputs chan stage.Input
	cancel context.CancelFunc
	wg     sync.WaitGroup
	ended  chan struct{} // closed when reading has ended and a graph has sent all of it
	// Valid once inputs is closed: why, and whether it was [Intake.Quiesce].
	err     error
	stopped bool

	// What the last graph left: an input that it had read and not sent, and
	// the last sequence number that it had sent.
	left stage.Input
	sent uint64
}

// sentAll notes that a graph has sent all that was read, and that reading has
// ended.
func (i *Intake) sentAll() {
	select {
	case <-i.ended:
	default:
		close(i.ended)
	}
}

// leave notes how far a graph came that has ended, for the next one.
func (i *Intake) leave(pending stage.Input, sent uint64) { i.left, i.sent = pending, sent }

func (i *Intake) take() stage.Input {
	in := i.left
	i.left = stage.Input{}
	return in
}

// NewIntake makes the intake of a source. Open starts it.
func NewIntake(name string, source stage.Source) *Intake {
	return &Intake{Name: name, source: source}
}

// Open opens the source at a position and begins to read.
func (i *Intake) Open(ctx context.Context, position []byte) error {
	err := guarded(func() error { return i.source.Open(ctx, position) })
	if err != nil {
		return fmt.Errorf("source %s: %w", i.Name, err)
	}
	i.left, i.sent, i.err = stage.Input{}, 0, nil
	reading, cancel := context.WithCancel(context.WithoutCancel(ctx))
	i.cancel = cancel
	i.inputs, i.ended = make(chan stage.Input), make(chan struct{})
	i.stopped = false
	i.wg.Go(func() { i.read(reading) })
	return nil
}

// Probe says why the source could not be opened now, as far as that can be
// told without taking anything.
func (i *Intake) Probe(ctx context.Context) error {
	p, ok := i.source.(stage.Prober)
	if !ok {
		return nil
	}
	if err := guarded(func() error { return p.Probe(ctx) }); err != nil {
		return fmt.Errorf("source %s: %w", i.Name, err)
	}
	return nil
}

func (i *Intake) read(ctx context.Context) {
	defer close(i.inputs)
	for {
		in, err := i.next(ctx)
		if err != nil {
			i.stopped = errors.Is(err, stage.ErrStopped)
			if !i.stopped && !errors.Is(err, io.EOF) && ctx.Err() == nil {
				i.err = fmt.Errorf("source %s: %w", i.Name, err)
			}
			return
		}
		select {
		case i.inputs <- in:
		case <-ctx.Done():
			return
		}
	}
}

func (i *Intake) next(ctx context.Context) (in stage.Input, err error) {
	err = guarded(func() (err error) {
		in, err = i.source.Read(ctx)
		return err
	})
	if err == nil && in.Batch == nil {
		err = errors.New("read nothing, without an error")
	}
	return in, err
}

// guarded keeps a panic of a source or sink from ending the program: it is an
// error of theirs.
func guarded(f func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = errors.New(stage.Panicked(p))
		}
	}()
	return f()
}

// Settle settles deliveries of the source.
func (i *Intake) Settle(ctx context.Context, s stage.Settlement) error {
	return guarded(func() error { return i.source.Settle(ctx, s) })
}

// Quiesce has the source take nothing more, and returns when what it had taken
// has been read by the graph: so a drain behind it leaves nothing to give
// back. Sources that cannot stop go on.
func (i *Intake) Quiesce(ctx context.Context) error {
	s, ok := i.source.(stage.Stopper)
	if !ok {
		return nil
	}
	if err := guarded(func() error { return s.Stop(ctx) }); err != nil {
		return fmt.Errorf("source %s: stop: %w", i.Name, err)
	}
	select {
	case <-i.ended:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Close ends reading and closes the source. What was read ahead is dropped:
// it was never sent, so its position is not committed.
func (i *Intake) Close() error {
	if i.cancel == nil {
		return nil
	}
	i.cancel()
	i.wg.Wait()
	i.cancel = nil
	return guarded(i.source.Close)
}
