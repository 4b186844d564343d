package rabbitmq

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/telluride-stream/telluride/engine/record"
	"github.com/telluride-stream/telluride/engine/stage"
)

// sink publishes. Write sends and does not wait for confirmations; what is
// not confirmed is kept, and sent again when it failed.
//
// A message that failed (refused, returned, or on its way when the connection
// was lost) holds everything up: the next Write or Flush returns the reason,
// and the one behind it, for which the engine takes its time, sends again
// what failed before anything new. So a failure is never retried faster than
// the engine's pauses, and order holds but for the messages that were on
// their way behind the one that failed.
type sink struct {
	config *sinkConfig
	rt     stage.Runtime
	maker  maker

	written uint64 // bytes of bodies; of who calls Write

	life   context.Context // until Close
	cancel context.CancelFunc
	wg     sync.WaitGroup
	mend   chan struct{} // a mutex: held by who sends again or connects

	// order is held while waiters are told, so that they are told in order.
	// It is taken before mu, which nobody is told under.
	order    sync.Mutex
	mu       sync.Mutex
	outlet   *outlet // nil: the connection is lost
	sent     ring    // on their way, in the order of publishing
	pushed   uint64  // messages that ever went into sent
	popped   uint64  // and came out of it
	failed   []flight
	failure  error // why; nil when nothing has failed
	reported bool  // the engine knows of failure
	largest  int   // what the broker takes, in bytes; 0: not known
	waiters  []waiter
	mending  bool          // a Flush sends again
	late     []func(error) // Flushes that wait for that
	given    []stage.Undelivered
	moved    chan struct{} // capacity 1: something came out of sent
}

// waiter is a Flush that is done when everything up to a message is confirmed.
type waiter struct {
	upto uint64
	done func(error)
}

var (
	_ stage.Sink        = (*sink)(nil)
	_ stage.Undeliverer = (*sink)(nil)
	_ stage.Weigher     = (*sink)(nil)
)

func newSink(c *sinkConfig, rt stage.Runtime) *sink {
	return &sink{
		config: c, rt: rt, maker: maker{config: c, clock: rt.Clock},
		mend: make(chan struct{}, 1), moved: make(chan struct{}, 1),
	}
}

// Open connects, and makes or checks the exchange and the queue.
func (s *sink) Open(ctx context.Context) error {
	if err := s.Close(); err != nil {
		s.rt.Log.Debug("closing", "sink", s.rt.Name, "error", err)
	}
	s.life, s.cancel = context.WithCancel(context.WithoutCancel(ctx))
	if err := s.connect(ctx); err != nil {
		s.cancel()
		return s.fault(err)
	}
	s.config.opened.Store(true)
	return nil
}

// fault is an error of Open in the words of sinks. An exchange that is
// missing is something to wait for once it has been there.
func (s *sink) fault(err error) error {
	if isFatal(err) && !(isMissing(err) && s.config.opened.Load()) {
		return stage.Permanent(err)
	}
	return err
}

// connect begins a session.
func (s *sink) connect(ctx context.Context) error {
	o, err := s.config.newOutlet(ctx, s.rt)
	if err != nil {
		return err
	}
	s.mu.Lock()
	s.outlet = o
	s.mu.Unlock()
	s.rt.Log.Info("connected", "sink", s.rt.Name, "broker", o.link.address)
	s.wg.Go(func() { s.confirm(o) })
	return nil
}

// Write publishes records. The error of a record that makes no message is
// permanent; no other is.
func (s *sink) Write(ctx context.Context, records []record.Record) (int, error) {
	o, err := s.ready(ctx)
	if err != nil {
		return 0, err
	}
	// A broker that does not read keeps Publish from returning.
	defer context.AfterFunc(ctx, o.link.sever)()
	defer o.uncork()
	room := 0
	for i := range records {
		m, err := s.maker.message(&records[i])
		if err != nil {
			return i, stage.Permanent(err)
		}
		if s.rt.Propagator != nil {
			s.config.message.trace(ctx, s.rt.Propagator, &m, &records[i])
		}
		if room--; room < 0 {
			if room, err = s.room(ctx, o); err != nil {
				return i, err
			}
			room--
			o.cork()
		}
		s.written += uint64(len(m.publishing.Body))
		// A message that failed is kept and sent again.
		if err := s.publish(o, flight{message: m}); err != nil && i+1 < len(records) {
			return i + 1, err
		}
	}
	return len(records), nil
}

// Written is how many bytes the bodies of messages had.
func (s *sink) Written() uint64 { return s.written }

// ready is the session to publish to. With an error in hand that the engine
// does not know it returns that, and else sends again what failed.
func (s *sink) ready(ctx context.Context) (*outlet, error) {
	s.mu.Lock()
	o, failure, mending := s.outlet, s.failure, s.mending
	if failure != nil && !s.reported && !mending {
		s.reported = true
		s.mu.Unlock()
		return nil, failure
	}
	s.mu.Unlock()
	if o != nil && failure == nil && !mending {
		return o, nil
	}
	if err := s.again(ctx); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.outlet == nil {
		return nil, errLost
	}
	return s.outlet, nil
}

var errLost = errors.New("the connection is lost")

// room waits until something may be published, and says how much.
func (s *sink) room(ctx context.Context, o *outlet) (int, error) {
	var stalled <-chan time.Time
	for {
		s.mu.Lock()
		free, failure := s.config.inFlight-s.sent.n, s.failure
		if failure != nil {
			s.reported = true
		}
		s.mu.Unlock()
		switch blocked := o.blocked(); {
		case failure != nil:
			return 0, failure
		case free > 0 && blocked == "":
			// In between, failures and blocks are noticed soon enough.
			return min(free, 64), nil
		}
		if stalled == nil {
			timer := s.rt.Clock.NewTimer(s.config.confirmTimeout)
			defer timer.Stop()
			stalled = timer.C()
			o.uncork() // what is to be confirmed must be on its way
		}
		select {
		case <-s.moved:
		case <-o.changed:
		case <-stalled:
			return 0, s.stalled(o)
		case <-ctx.Done():
			return 0, ctx.Err()
		}
	}
}

// stalled is what it means that nothing is confirmed for too long.
func (s *sink) stalled(o *outlet) error {
	if reason := o.blocked(); reason != "" {
		return fmt.Errorf("the broker takes no messages: %s", reason)
	}
	return fmt.Errorf("the broker has confirmed nothing for %v", s.config.confirmTimeout)
}

// publish sends a message and keeps it until it is confirmed, also after an error.
func (s *sink) publish(o *outlet, f flight) error {
	c, err := o.channel.PublishWithDeferredConfirm(s.config.exchange.Value, f.message.key, s.config.mandatory, false, f.message.publishing)
	s.mu.Lock()
	f.confirm = c // nil after an error: then it has failed
	s.sent.push(f)
	s.pushed++
	if s.sent.n == 1 {
		o.wake()
	}
	s.mu.Unlock()
	if err != nil {
		o.link.sever() // the channel is of no use any more
		return fmt.Errorf("publish: %w", readable(err))
	}
	return nil
}

// fail keeps a message to be sent again. The caller holds mu.
func (s *sink) fail(f flight, why error) {
	s.failed = append(s.failed, f.again())
	if s.failure == nil {
		s.failure, s.reported = why, false
	}
}

// Flush calls done when everything that was published is confirmed.
func (s *sink) Flush(done func(error)) {
	s.order.Lock()
	defer s.order.Unlock()
	s.mu.Lock()
	switch {
	case s.mending:
		s.late = append(s.late, done)
	case s.failure != nil && s.reported:
		s.mending = true
		s.late = append(s.late, done)
		s.wg.Go(s.mendFor)
	case s.failure != nil:
		s.reported = true
		err := s.failure
		s.mu.Unlock()
		done(err)
		return
	case s.sent.n == 0:
		s.mu.Unlock()
		done(nil)
		return
	default:
		s.waiters = append(s.waiters, waiter{s.pushed, done})
	}
	s.mu.Unlock()
}

// mendFor sends again for the Flushes that wait for it.
func (s *sink) mendFor() {
	err := s.again(s.life)
	s.order.Lock()
	defer s.order.Unlock()
	s.mu.Lock()
	late := s.late
	s.late, s.mending = nil, false
	s.mu.Unlock()
	for _, done := range late {
		done(err)
	}
}

// Undeliverable hands over the messages that no queue wanted.
func (s *sink) Undeliverable() []stage.Undelivered {
	s.mu.Lock()
	defer s.mu.Unlock()
	given := s.given
	s.given = nil
	return given
}

// Close ends the session. What is not confirmed is dropped.
func (s *sink) Close() error {
	if s.cancel == nil {
		return nil
	}
	s.cancel()
	s.mend <- struct{}{} // whoever has it ends, since life has
	s.mu.Lock()
	o := s.outlet
	s.mu.Unlock()
	var err error
	if o != nil {
		err = o.link.close()
	}
	s.wg.Wait()
	<-s.mend
	s.cancel = nil
	s.mu.Lock()
	defer s.mu.Unlock()
	s.outlet, s.failed, s.failure, s.reported, s.given = nil, nil, nil, false, nil
	s.sent = ring{}
	s.pushed, s.popped = 0, 0
	return err
}
