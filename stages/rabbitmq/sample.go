package rabbitmq

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/telluride-stream/telluride/engine/record"
	"github.com/telluride-stream/telluride/engine/stage"
)

const (
	// samplePoll is how often an empty queue is looked at again.
	samplePoll = 200 * time.Millisecond
	// maxTaken bounds the bytes of messages that are taken out together.
	maxTaken = 64 << 20
	// copiesKept is how many copies wait to be read; the broker drops the
	// oldest ones beyond it, so that a sample that is slow costs it nothing.
	copiesKept = 20_000
)

// newSample makes a source that leaves everything where it is.
func newSample(c *sourceConfig, rt stage.Runtime, most int) stage.Source {
	own := *c
	// What is not there is not made: nobody asked for more than to look.
	own.declared, own.binds = false, nil
	if c.stream {
		return newSource(&own, rt) // to read a stream takes nothing away
	}
	return &sample{config: &own, binds: c.binds, rt: rt, most: most}
}

// sample takes copies of the messages that come to a queue. Where exchanges
// feed the queue, a queue of its own is bound to them beside it, which goes
// with the connection. Elsewhere messages are taken out of the queue and put
// back at once.
type sample struct {
	config *sourceConfig
	binds  []binding
	rt     stage.Runtime
	most   int

	link    *link
	channel *amqp.Channel
	copies  <-chan amqp.Delivery // nil: to be taken out and put back
	ended   bool
	seq     uint64
}

var _ stage.Source = (*sample)(nil)

func (s *sample) Open(ctx context.Context, _ []byte) error {
	if err := s.Close(); err != nil {
		return err
	}
	l, err := s.config.dial(ctx, s.rt)
	if err != nil {
		return err
	}
	s.link = l
	bound, cancel := context.WithTimeout(ctx, s.config.timeout)
	stop := context.AfterFunc(bound, l.sever)
	err = s.begin()
	stop()
	cancel()
	if err != nil {
		_ = s.Close() // the connection is of no use any more, whatever comes of it
	}
	return err
}

func (s *sample) begin() error {
	name := s.config.name.Value
	if err := s.exists(); err != nil {
		return err
	}
	why := "no exchange feeds it, as far as the flow file says"
	for _, b := range s.binds {
		var err error
		if why, err = copies(s.link, b); err != nil {
			return err
		} else if why != "" {
			break
		}
	}
	var err error
	if s.channel, err = s.link.Channel(); err != nil {
		return denied("open a channel", err, "", "")
	}
	if why == "" {
		return s.subscribe()
	}
	s.rt.Log.Warn("messages are taken out of the queue and put back, which raises the delivery count of a quorum queue and may change the order", "queue", name, "since", why)
	return nil
}

// exists checks that the queue is there. Without it, what is routed to the
// sample would count as delivered to its publisher, and be lost.
func (s *sample) exists() error {
	ch, err := begin(s.link)
	if err != nil {
		return err
	}
	defer ch.end()
	err = ch.queue(&s.config.queue)
	var e *amqp.Error
	if errors.As(err, &e) && e.Code == amqp.ResourceLocked {
		return nil // it is exclusive to whoever made it
	}
	return err
}

// copying are the types of exchange that give every queue a copy. One that
// shares messages out, as x-consistent-hash does, would give the sample what
// is meant for another queue.
var copying = []string{"direct", "topic", "fanout", "headers"}

// copies says why another queue that is bound likewise would not get a copy of
// every message; "": it would.
func copies(l *link, b binding) (why string, err error) {
	name := b.exchange.Value
	if name == "" {
		return "the default exchange feeds it", nil
	}
	ch, err := begin(l)
	if err != nil {
		return "", err
	}
	defer ch.end()
	if err := ch.exchange(name, b.kind, b.durable, false); err != nil {
		return "", err
	}
	for _, kind := range copying {
		is, err := isOf(l, b, kind)
		if is || err != nil {
			return "", err
		}
	}
	return fmt.Sprintf("exchange %q gives a message to one queue only", name), nil
}

// isOf says whether an exchange, which is there, is of a type. The broker
// tells by refusing a declaration that differs, the type first.
func isOf(l *link, b binding, kind string) (bool, error) {
	ch, err := begin(l)
	if err != nil {
		return false, err
	}
	defer ch.end()
	err = ch.ExchangeDeclare(b.exchange.Value, kind, b.durable, false, false, false, nil)
	var e *amqp.Error
	switch {
	case err == nil:
		return true, nil
	case errors.As(err, &e) && e.Code == amqp.PreconditionFailed:
		return !strings.Contains(e.Reason, "inequivalent arg 'type'"), nil
	case errors.As(err, &e) && e.Code == amqp.AccessRefused:
		// The user may not declare: what the flow file says has to do, where
		// that is what the flow itself goes by.
		return b.declare && kind == b.kind, nil
	}
	return false, ch.told(fmt.Sprintf("exchange %q", b.exchange.Value), err, noExchange)
}

// subscribe binds a queue of the sample's own beside the other.
func (s *sample) subscribe() error {
	q, err := s.channel.QueueDeclare("", false, true, true, false, amqp.Table{"x-max-length": int64(max(s.most, copiesKept))})
	if err != nil {
		return denied("declare a queue for the copies", err, noQueue, differs)
	}
	own := &declarer{s.channel}
	for _, b := range s.binds {
		if err := own.bind(q.Name, b); err != nil {
			return err
		}
	}
	if err := s.channel.Qos(min(s.most, 1000), 0, false); err != nil {
		return denied("set the prefetch", err, "", "")
	}
	s.copies, err = s.channel.Consume(q.Name, "", false, true, false, false, nil)
	if err != nil {
		return denied("consume the copies", err, noQueue, differs)
	}
	s.rt.Log.Info("copies are made of what comes to the queue from now on; what waits in it stays untouched", "queue", s.config.name.Value, "broker", s.link.address)
	return nil
}

// Read returns what there is.
func (s *sample) Read(ctx context.Context) (stage.Input, error) {
	switch {
	case s.channel == nil:
		return stage.Input{}, errors.New("read: the source is not open")
	case s.ended:
		return stage.Input{}, io.EOF
	case s.copies == nil:
		return s.takeOut(ctx)
	}
	var first amqp.Delivery
	var ok bool
	select {
	case first, ok = <-s.copies:
	case <-ctx.Done():
		return stage.Input{}, ctx.Err()
	}
	if !ok {
		return stage.Input{}, stage.Transient(errors.New("the session has ended"))
	}
	t := s.start()
	t.add(&first)
	last := first.DeliveryTag
	for t.n() < s.room() && ok {
		var d amqp.Delivery
		select {
		case d, ok = <-s.copies:
			if ok {
				t.add(&d)
				last = d.DeliveryTag
			}
		default:
			ok = false
		}
	}
	// This only asks for more. When it fails, the next Read says so.
	_ = s.channel.Ack(last, true)
	return s.input(t), nil
}

// takeOut gets messages and puts them back. It does so once: the next ones
// would be the same.
func (s *sample) takeOut(ctx context.Context) (stage.Input, error) {
	poll := s.rt.Clock.NewTimer(samplePoll)
	defer poll.Stop()
	for {
		t, err := s.get(ctx)
		// Not later than here, and whatever came in between. If this fails the
		// connection is lost, and with it goes the broker's hold on them.
		_ = s.channel.Nack(0, true, true)
		if t.n() > 0 {
			s.ended = true
			return s.input(t), nil
		}
		if err != nil {
			return stage.Input{}, err
		}
		select {
		case <-poll.C():
			poll.Reset(samplePoll)
		case <-ctx.Done():
			return stage.Input{}, ctx.Err()
		}
	}
}

// get takes out what is ready, within bounds. With an error there may be
// messages too.
func (s *sample) get(ctx context.Context) (copied, error) {
	t := s.start()
	for bytes := 0; t.n() < s.most && bytes < maxTaken; {
		if ctx.Err() != nil {
			return t, ctx.Err()
		}
		d, ok, err := s.channel.Get(s.config.name.Value, false)
		if err != nil {
			return t, denied(fmt.Sprintf("read queue %q", s.config.name.Value), err, noQueue, "it cannot be read message by message")
		}
		if !ok {
			return t, nil
		}
		t.add(&d)
		bytes += len(d.Body)
	}
	return t, nil
}

// copied are messages on their way into a batch.
type copied struct {
	batch *record.Batch
	meta  *envelopes
}

func (s *sample) start() copied {
	return copied{record.NewBatch(16), &envelopes{seq: s.seq + 1, consumer: &consumer{queue: s.config.name.Value}}}
}

func (t copied) n() int { return len(t.meta.list) }

func (t copied) add(d *amqp.Delivery) {
	t.batch.Records = append(t.batch.Records, record.Record{Payload: d.Body, Meta: t.meta, Origin: record.Origin{Seq: t.meta.seq + uint64(t.n())}})
	t.meta.add(d)
}

func (s *sample) input(t copied) stage.Input {
	s.seq += uint64(t.n())
	return stage.Input{Batch: t.batch}
}

func (s *sample) room() int {
	if s.rt.MaxBatch > 0 {
		return s.rt.MaxBatch
	}
	return 512
}

// Settle has nothing to do: nothing was taken away.
func (s *sample) Settle(context.Context, stage.Settlement) error { return nil }

// Close ends the connection. Its queue, and the broker's hold on anything,
// end with it.
func (s *sample) Close() error {
	l, left := s.link, s.copies
	s.link, s.channel, s.copies, s.ended, s.seq = nil, nil, nil, false, 0
	if l == nil {
		return nil
	}
	err := l.close()
	if left != nil {
		for range left { // the client waits for it
		}
	}
	return err
}
