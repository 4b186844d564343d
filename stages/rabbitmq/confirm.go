package rabbitmq

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/telluride-stream/telluride/engine/clock"
	"github.com/telluride-stream/telluride/engine/record"
	"github.com/telluride-stream/telluride/engine/stage"
)

// confirm follows one session until it is lost: it takes messages that are
// confirmed out of sent, in order, and keeps those that failed.
func (s *sink) confirm(o *outlet) {
	w := watcher{sink: s, outlet: o, returns: o.returns, blocks: o.blocks}
	w.stall = s.rt.Clock.NewTimer(s.config.confirmTimeout)
	defer w.stall.Stop()
	var some [256]*amqp.DeferredConfirmation
	for {
		n := s.head(some[:])
		if n == 0 {
			if !w.idle() {
				return
			}
			continue
		}
		w.await(some[0])
		k := 1
		for k < n && isDone(some[k]) {
			k++
		}
		w.drain()
		s.resolve(o, some[:k])
	}
}

// head copies the confirmations of the oldest messages on their way.
func (s *sink) head(some []*amqp.DeferredConfirmation) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := min(len(some), s.sent.n)
	for i := range n {
		some[i] = s.sent.at(i).confirm
	}
	return n
}

func isDone(c *amqp.DeferredConfirmation) bool {
	if c == nil {
		return true
	}
	select {
	case <-c.Done():
		return true
	default:
		return false
	}
}

// watcher listens to what the broker says beside confirmations.
type watcher struct {
	sink    *sink
	outlet  *outlet
	returns <-chan amqp.Return
	blocks  <-chan amqp.Blocking
	stall   clock.Timer
	cause   *amqp.Error // why the session is lost
}

// await waits for a confirmation. When the session is lost, the client takes
// back all that are open.
func (w *watcher) await(c *amqp.DeferredConfirmation) {
	if isDone(c) {
		return
	}
	w.stall.Reset(w.sink.config.confirmTimeout)
	for {
		select {
		case <-c.Done():
			return
		case r, ok := <-w.returns:
			w.took(r, ok)
		case b, ok := <-w.blocks:
			w.block(b, ok)
		case <-w.stall.C():
			w.sink.tell(w.sink.stalled(w.outlet))
			w.stall.Reset(w.sink.config.confirmTimeout)
		}
	}
}

// idle waits while nothing is on its way. false: the session is over.
func (w *watcher) idle() bool {
	select {
	case <-w.outlet.pending:
	case r, ok := <-w.returns:
		w.took(r, ok)
	case b, ok := <-w.blocks:
		w.block(b, ok)
	case e := <-w.outlet.closed:
		if e != nil {
			w.cause = e
		}
		return !w.sink.lost(w.outlet, w.cause)
	}
	return true
}

func (w *watcher) took(r amqp.Return, ok bool) {
	if !ok {
		w.returns = nil
		return
	}
	w.outlet.returned = append(w.outlet.returned, r)
}

func (w *watcher) block(b amqp.Blocking, ok bool) {
	if !ok {
		w.blocks = nil
		return
	}
	w.outlet.block(b)
}

// drain takes the returns that have come. A message comes back before it is
// confirmed, so that behind this those of all confirmed ones are known.
func (w *watcher) drain() {
	for {
		select {
		case r, ok := <-w.returns:
			w.took(r, ok)
			if !ok {
				return
			}
		default:
			return
		}
	}
}

// resolve takes messages out of sent whose fate is known.
func (s *sink) resolve(o *outlet, fates []*amqp.DeferredConfirmation) {
	s.order.Lock()
	defer s.order.Unlock()
	var ready []func()
	s.mu.Lock()
	for _, c := range fates {
		f := s.sent.pop()
		s.popped++
		s.judge(o, &f, c != nil && c.Acked())
		if s.failure == nil {
			for len(s.waiters) > 0 && s.waiters[0].upto <= s.popped {
				done := s.waiters[0].done
				ready = append(ready, func() { done(nil) })
				s.waiters = s.waiters[1:]
			}
		}
	}
	if failure := s.failure; failure != nil {
		for _, w := range s.waiters {
			ready = append(ready, func() { w.done(failure) })
			s.reported = true
		}
		s.waiters = nil
	}
	s.mu.Unlock()
	select {
	case s.moved <- struct{}{}:
	default:
	}
	for _, tell := range ready {
		tell()
	}
}

// judge decides what becomes of a message. The caller holds mu.
func (s *sink) judge(o *outlet, f *flight, acked bool) {
	reason, returned := o.matches(f)
	switch {
	case returned && s.config.unroutable == unroutableDead:
		s.given = append(s.given, stage.Undelivered{Record: f.message.record(), Reason: reason})
	case returned:
		s.fail(*f, errors.New(reason))
	case acked:
	case o.channel.IsClosed():
		s.fail(*f, errLost)
	default:
		s.fail(*f, fmt.Errorf("the broker has refused a message for exchange %q, routing key %q: a queue is full, or cannot take it", s.config.exchange.Value, f.message.key))
	}
}

// tell fails the Flushes that wait, but no message: they may still be confirmed.
func (s *sink) tell(err error) {
	s.order.Lock()
	defer s.order.Unlock()
	s.mu.Lock()
	waiters := s.waiters
	s.waiters = nil
	s.mu.Unlock()
	for _, w := range waiters {
		w.done(err)
	}
}

// lost notes the end of a session, unless messages of it are still to be
// judged, and says whether it did.
func (s *sink) lost(o *outlet, e *amqp.Error) bool {
	s.mu.Lock()
	if s.sent.n > 0 {
		s.mu.Unlock()
		return false
	}
	s.outlet = nil
	if n := limitOf(e); n > 0 {
		s.largest = n
	}
	s.mu.Unlock()
	o.link.sever()
	if e != nil {
		s.rt.Log.Warn("connection lost", "sink", s.rt.Name, "broker", o.link.address, "error", brokerError{e})
		s.config.leave(o.link)
	}
	select {
	case s.moved <- struct{}{}:
	default:
	}
	return true
}

// limitOf is the size of the largest message that the broker takes, when that
// is why it has ended the session; else 0.
func limitOf(e *amqp.Error) int {
	if e == nil || e.Code != amqp.PreconditionFailed {
		return 0
	}
	_, text, _ := strings.Cut(e.Reason, "larger than configured max size ")
	n, err := strconv.Atoi(text)
	if err != nil {
		return 0
	}
	return n
}

// again connects when that is needed, sends again what failed, and waits
// until it is confirmed.
func (s *sink) again(ctx context.Context) error {
	select {
	case s.mend <- struct{}{}:
		defer func() { <-s.mend }()
	case <-ctx.Done():
		return ctx.Err()
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(s.life, cancel)()
	// What is on its way is judged first, so that order is kept.
	if err := s.landed(ctx); err != nil {
		return err
	}
	s.mu.Lock()
	o := s.outlet
	s.mu.Unlock()
	if o == nil {
		if err := s.connect(ctx); err != nil {
			return err
		}
		s.mu.Lock()
		o = s.outlet
		s.mu.Unlock()
		if o == nil {
			return errLost
		}
	}
	if err := s.resend(ctx, o); err != nil {
		return err
	}
	if err := s.landed(ctx); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.failure != nil {
		s.reported = true
	}
	return s.failure
}

// landed waits until nothing is on its way, and the loss of the session, if
// it is lost, is known.
func (s *sink) landed(ctx context.Context) error {
	stall := s.rt.Clock.NewTimer(s.config.confirmTimeout)
	defer stall.Stop()
	for {
		s.mu.Lock()
		o, n := s.outlet, s.sent.n
		s.mu.Unlock()
		if n == 0 && (o == nil || !o.channel.IsClosed()) {
			return nil
		}
		select {
		case <-s.moved:
		case <-stall.C():
			if o == nil {
				return errLost
			}
			return s.stalled(o)
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// resend publishes what failed, in its order.
func (s *sink) resend(ctx context.Context, o *outlet) error {
	s.mu.Lock()
	todo, failure := s.failed, s.failure
	s.failed, s.failure, s.reported = nil, nil, false
	todo = s.withoutTooLarge(todo)
	s.mu.Unlock()
	defer context.AfterFunc(ctx, o.link.sever)()
	for i := range todo {
		_, err := s.room(ctx, o)
		if err == nil {
			err = s.publish(o, todo[i])
			if err != nil {
				i++ // publish keeps it itself
			}
		}
		if err != nil {
			s.mu.Lock()
			s.failed = append(s.failed, todo[i:]...)
			if s.failure == nil {
				s.failure = failure
			}
			s.reported = true
			s.mu.Unlock()
			return err
		}
	}
	return nil
}

// withoutTooLarge gives up the messages that the broker will never take. The
// caller holds mu.
func (s *sink) withoutTooLarge(todo []flight) []flight {
	if s.largest == 0 {
		return todo
	}
	return slices.DeleteFunc(todo, func(f flight) bool {
		n := len(f.message.publishing.Body)
		if n <= s.largest {
			return false
		}
		reason := fmt.Sprintf("the message has %d bytes, and the broker takes at most %d (max_message_size)", n, s.largest)
		s.given = append(s.given, stage.Undelivered{Record: f.message.record(), Reason: reason})
		return true
	})
}

// record is the message as a record, for a dead letter.
func (m *message) record() record.Record {
	return record.Record{Payload: m.publishing.Body, Meta: m.meta, Time: m.time, Origin: m.origin}
}
