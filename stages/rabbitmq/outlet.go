package rabbitmq

import (
	"context"
	"fmt"
	"log/slog"
	"sync"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/telluride-stream/telluride/engine/stage"
)

// outlet is one life of a sink's connection: its channel, and what the broker
// tells about it.
type outlet struct {
	link    *link
	channel *amqp.Channel
	log     *slog.Logger
	name    string

	returns chan amqp.Return
	blocks  chan amqp.Blocking
	closed  chan *amqp.Error
	pending chan struct{} // capacity 1: a message is on its way
	changed chan struct{} // capacity 1: the broker blocks, or no longer

	mu     sync.Mutex
	reason string // why the broker takes no messages; "": it does

	returned []amqp.Return // not matched yet, in order; the confirmer's own
}

// newOutlet connects, makes or checks what is published to, and asks for
// confirmations.
func (c *sinkConfig) newOutlet(ctx context.Context, rt stage.Runtime) (*outlet, error) {
	l, err := c.dial(ctx, rt)
	if err != nil {
		return nil, err
	}
	// A broker that does not answer must not keep the sink from ending.
	bound, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	defer context.AfterFunc(bound, l.sever)()
	o, err := c.begin(l, rt)
	if err != nil {
		c.leave(l)
		if closing := l.close(); closing != nil {
			rt.Log.Debug("closing", "sink", rt.Name, "error", closing)
		}
		return nil, err
	}
	return o, nil
}

func (c *sinkConfig) begin(l *link, rt stage.Runtime) (*outlet, error) {
	if err := c.setupSink(l, rt.Log); err != nil {
		return nil, err
	}
	ch, err := l.Channel()
	if err != nil {
		return nil, denied("open a channel", err, "", "")
	}
	o := &outlet{
		link: l, channel: ch, log: rt.Log, name: rt.Name,
		pending: make(chan struct{}, 1), changed: make(chan struct{}, 1),
		// Every message on its way may come back, and a full channel would
		// hold up the whole connection.
		returns: ch.NotifyReturn(make(chan amqp.Return, c.inFlight)),
		closed:  ch.NotifyClose(make(chan *amqp.Error, 1)),
		blocks:  l.NotifyBlocked(make(chan amqp.Blocking, 16)),
	}
	if err := ch.Confirm(false); err != nil {
		return nil, denied("ask for confirmations", err, "", "")
	}
	return o, nil
}

// setupSink makes or checks the exchange, and the queue if there is one.
func (c *sinkConfig) setupSink(l *link, log *slog.Logger) error {
	s, err := begin(l)
	if err != nil {
		return err
	}
	defer s.end()
	if c.exchangeType != "" {
		if err := s.exchange(c.exchange.Value, c.exchangeType, c.exchangeSure, true); err != nil {
			return err
		}
	}
	if c.name.Value != "" {
		if err := c.setup(l, log); err != nil {
			return err
		}
	}
	if c.exchangeType == "" {
		return s.exchange(c.exchange.Value, "", true, false)
	}
	return nil
}

// cork has messages wait until there are many of them, or uncork.
func (o *outlet) cork() { o.link.wire.Load().cork() }

// uncork sends the messages that wait. When that fails the session is over,
// and they fail with it.
func (o *outlet) uncork() {
	if err := o.link.wire.Load().uncork(); err != nil {
		o.link.sever()
	}
}

func (o *outlet) wake() {
	select {
	case o.pending <- struct{}{}:
	default:
	}
}

// blocked is why the broker takes no messages, "" when it does.
func (o *outlet) blocked() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.reason
}

// block notes that the broker takes no messages, or takes them again.
func (o *outlet) block(b amqp.Blocking) {
	o.mu.Lock()
	before := o.reason
	o.reason = ""
	if b.Active {
		o.reason = b.Reason
		if o.reason == "" {
			o.reason = "it does not say why"
		}
	}
	now := o.reason
	o.mu.Unlock()
	switch {
	case before == "" && now != "":
		o.log.Warn("the broker takes no messages", "sink", o.name, "reason", now)
	case before != "" && now == "":
		o.log.Info("the broker takes messages again", "sink", o.name)
	}
	select {
	case o.changed <- struct{}{}:
	default:
	}
}

// matches takes the return of this message, if it has come back. Messages
// come back in the order in which they were published, each before it is
// confirmed: so a message that is confirmed has come back if and only if it
// is the first of those that came back. Of two equal messages either may
// count as the one that did.
func (o *outlet) matches(f *flight) (reason string, ok bool) {
	if len(o.returned) == 0 {
		return "", false
	}
	r, p := &o.returned[0], &f.message.publishing
	if r.RoutingKey != f.message.key || r.MessageId != p.MessageId || r.CorrelationId != p.CorrelationId || string(r.Body) != string(p.Body) {
		return "", false
	}
	o.returned = o.returned[1:]
	return fmt.Sprintf("exchange %q has no queue for routing key %q (%s)", r.Exchange, r.RoutingKey, r.ReplyText), true
}
