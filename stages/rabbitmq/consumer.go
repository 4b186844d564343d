package rabbitmq

import (
	"errors"
	"fmt"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/telluride-stream/telluride/engine/record"
	"github.com/telluride-stream/telluride/engine/stage"
)

// consumer is one consumer and its channel.
type consumer struct {
	channel    *amqp.Channel
	queue, tag string
	stream     bool
	unknown    bool // nothing is known of the queue's type
	enough     int  // as many records do not wait for more
	id         *identifier

	deliveries <-chan amqp.Delivery
	closed     chan *amqp.Error
	cancelled  chan string
	ended      chan struct{}
}

// spacing is the least time between two batches of a consumer that hold little.
// A record that comes behind a silence does not wait; in a steady flow, batches
// of a few records would cost more than what is in them.
const spacing = 2 * time.Millisecond

// collect makes batches of what is delivered: a batch is there to be read as
// soon as it has a record and spacing allows, and grows until it is read. It
// returns when the consumer has ended, for whatever reason, or nobody reads
// any more.
func (c *consumer) collect(s *session, rt stage.Runtime) {
	defer close(c.ended)
	pause := rt.Clock.NewTimer(0)
	defer pause.Stop()
	due := false
	var now *taken
	n, room := 0, 16 // what is in now, and what is expected of the next one
	for {
		deliveries, batches := c.deliveries, chan<- *taken(nil)
		most := rt.Most()
		if n >= most {
			deliveries = nil
		}
		if n >= c.enough || n > 0 && due {
			batches = s.batches
		}
		select {
		case d, ok := <-deliveries:
			if !ok {
				c.end(s, now)
				return
			}
			if now == nil {
				now = c.start(d.DeliveryTag, min(room, most))
			}
			if err := c.add(now, &d, s.from); err != nil {
				s.lose(err)
				c.drop()
				return
			}
			if n = len(now.batch.Records); n == 0 {
				now = nil
			}
		case batches <- now:
			room = 16 + n + n/8
			now, n, due = nil, 0, false
			pause.Reset(spacing)
		case <-pause.C():
			due = true
		case <-s.done:
			c.drop()
			return
		}
	}
}

func (c *consumer) start(tag uint64, room int) *taken {
	return &taken{
		batch: record.NewBatch(room), tag: tag,
		meta: &envelopes{consumer: c, list: make([]envelope, 0, room)},
	}
}

// add appends a delivery. The client gives every message a body of its own,
// so that it need not be copied.
func (c *consumer) add(t *taken, d *amqp.Delivery, from int64) error {
	n := len(t.batch.Records)
	if d.DeliveryTag != t.tag+uint64(n) {
		return stage.Transient(fmt.Errorf("delivery tag %d follows tag %d", d.DeliveryTag, t.tag+uint64(n)-1))
	}
	offset, isStream := d.Headers[offsetHeader].(int64)
	switch {
	case c.stream && !isStream:
		return fmt.Errorf("queue %q is not a stream: remove offset", c.queue)
	case c.unknown && isStream && d.DeliveryTag == 1:
		// Without a position, what comes while the flow is away would be lost.
		return fmt.Errorf("queue %q seems to be a stream, as its messages have an %s: add offset: first, so that the flow keeps its position", c.queue, offsetHeader)
	case c.stream && offset < from:
		// The broker sends from the beginning of a chunk.
		return c.skip(t, d)
	}
	t.offset = offset
	t.batch.Records = append(t.batch.Records, record.Record{Payload: d.Body, Meta: t.meta})
	t.meta.add(d)
	if id := c.id.of(d, t.meta, n); id != "" || t.ids != nil {
		if t.ids == nil {
			t.ids = make([]string, n, cap(t.meta.list))
		}
		t.ids = append(t.ids, id)
	}
	if d.Redelivered || t.redelivered != nil {
		if t.redelivered == nil {
			t.redelivered = make([]bool, n, cap(t.meta.list))
		}
		t.redelivered = append(t.redelivered, d.Redelivered)
	}
	return nil
}

// skip acknowledges a record of a stream that was read before the position;
// such come only before all others.
func (c *consumer) skip(t *taken, d *amqp.Delivery) error {
	if len(t.batch.Records) > 0 {
		return stage.Transient(errors.New("the offsets of the stream went back"))
	}
	if err := c.channel.Ack(d.DeliveryTag, false); err != nil {
		return stage.Transient(fmt.Errorf("acknowledge: %w", readable(err)))
	}
	return nil
}

// end is called when the deliveries have ended: after a cancel that was asked
// for, what is left is read; otherwise the session is over.
func (c *consumer) end(s *session, left *taken) {
	// The client tells why before it ends the deliveries.
	select {
	case e := <-c.closed:
		if e == nil {
			break
		}
		s.lose(stage.Transient(fmt.Errorf("the session has ended: %w%s", brokerError{e}, hint(e))))
		return
	default:
	}
	select {
	case tag, ok := <-c.cancelled:
		if ok {
			s.lose(stage.Transient(fmt.Errorf("the broker has cancelled consumer %q: queue %q was deleted or its node is gone", tag, c.queue)))
			return
		}
	default:
	}
	if left == nil {
		return
	}
	select {
	case s.batches <- left:
	case <-s.done:
	}
}

// hint explains a reason that says little by itself.
func hint(e *amqp.Error) string {
	if e.Code == amqp.PreconditionFailed && e.Server {
		return "; a message was held longer than the broker's consumer_timeout: shorten windows and batches, lower prefetch, or raise consumer_timeout"
	}
	return ""
}

// drop lets the client go on until the deliveries end.
func (c *consumer) drop() {
	for range c.deliveries {
	}
}

// leave cancels the consumer and gives back what it holds. The broker then
// counts a return and not a failure, where it knows the difference.
func (c *consumer) leave() {
	if err := c.channel.Cancel(c.tag, false); err != nil {
		return // the session is over, and everything is given back
	}
	if !c.stream {
		_ = c.channel.Nack(0, true, true) // if this fails, the close does it
	}
	_ = c.channel.Close()
}
