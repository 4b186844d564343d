package rabbitmq

import (
	"context"
	"errors"
	"fmt"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/telluride-stream/telluride/engine/clock"
	"github.com/telluride-stream/telluride/engine/stage"
)

// configQueue reads messages that ask for changes. They stay on the queue
// until they are answered; one that is not answered when its session ends is
// delivered again.
type configQueue struct {
	config *configQueueConfig
	rt     stage.Runtime
	mouth  *mouth
	told   string // why the log says that there is no connection; "": it does not
}

var _ stage.Feed = (*configQueue)(nil)

func newConfigQueue(c *configQueueConfig, rt stage.Runtime) *configQueue {
	return &configQueue{config: c, rt: rt, mouth: &mouth{target: &c.target, rt: rt}}
}

// Run reads the queue, in one session after the other. Nothing ends it but
// ctx: a queue that is missing may be made, and a wrong password be changed.
func (q *configQueue) Run(ctx context.Context, deliver func(stage.Message)) error {
	defer q.mouth.close()
	pauses := clock.NewPauses(100*time.Millisecond, 5*time.Second, false) // the longest is also waited when the broker is back
	for {
		began := q.rt.Clock.Now()
		err := q.session(ctx, deliver)
		if ctx.Err() != nil {
			return nil
		}
		if q.rt.Clock.Now().Sub(began) > time.Minute {
			pauses.Reset()
		}
		q.lost(err)
		pause := q.rt.Clock.NewTimer(pauses.Next())
		select {
		case <-pause.C():
		case <-ctx.Done():
			pause.Stop()
			return nil
		}
	}
}

// lost says why there is no connection, once for every reason.
func (q *configQueue) lost(err error) {
	if q.told == err.Error() {
		return
	}
	q.told = err.Error()
	q.rt.Log.Warn("the config queue cannot be read; trying again", "queue", q.config.name.Value, "error", err)
}

// tongue is one session: a connection and a channel.
type tongue struct {
	link       *link
	channel    *amqp.Channel
	tag        string
	deliveries <-chan amqp.Delivery
	closed     chan *amqp.Error
	cancelled  chan string
}

// session reads until the connection is lost or ctx is done.
func (q *configQueue) session(ctx context.Context, deliver func(stage.Message)) error {
	l, err := q.config.dial(ctx, q.rt)
	if err != nil {
		return err
	}
	// A broker that does not answer must not keep the feed from ending.
	bound, cancel := context.WithTimeout(ctx, q.config.timeout)
	stop := context.AfterFunc(bound, l.sever)
	s, err := q.begin(l)
	stop()
	cancel()
	if err != nil {
		q.config.leave(l)
		q.farewell(&tongue{link: l})
		return err
	}
	defer q.farewell(s)
	q.told = ""
	q.rt.Log.Info("connected", "config queue", q.config.name.Value, "broker", l.address)
	for {
		select {
		case <-ctx.Done():
			return nil
		case d, ok := <-s.deliveries:
			if !ok {
				q.config.leave(l)
				return s.reason(q.config.name.Value)
			}
			deliver(q.message(s, &d))
		}
	}
}

func (q *configQueue) begin(l *link) (*tongue, error) {
	c := q.config
	if err := c.setup(l, q.rt.Log); err != nil {
		return nil, err
	}
	q.checkReceipts(l)
	what := fmt.Sprintf("consume queue %q", c.name.Value)
	ch, err := l.Channel()
	if err != nil {
		return nil, denied(what, err, "", "")
	}
	s := &tongue{
		link: l, channel: ch, tag: clip("telluride/"+q.rt.Flow+"/"+q.rt.Name, maxShort),
		closed: ch.NotifyClose(make(chan *amqp.Error, 1)), cancelled: ch.NotifyCancel(make(chan string, 1)),
	}
	if err := ch.Qos(c.prefetch, 0, false); err != nil {
		return nil, denied(what, err, "", "")
	}
	if s.deliveries, err = ch.Consume(c.name.Value, s.tag, false, false, false, false, nil); err != nil {
		return nil, denied(what, err, noQueue, "a stream cannot be a config queue")
	}
	return s, nil
}

// checkReceipts says when nobody would get the receipts. Changes are made all the same.
func (q *configQueue) checkReceipts(l *link) {
	r := &q.config.receipts
	if !r.given || r.exchange == "" {
		return
	}
	s, err := begin(l)
	if err != nil {
		return // the session says why
	}
	defer s.end()
	if err := s.exchange(r.exchange, "", true, false); err != nil {
		q.rt.Log.Warn("the exchange for receipts is not there: they are dropped until it is", "exchange", r.exchange, "error", err)
	}
}

// reason is why the deliveries have ended.
func (s *tongue) reason(queue string) error {
	// The client tells why before it ends the deliveries.
	select {
	case e := <-s.closed:
		if e != nil {
			return fmt.Errorf("the session has ended: %w", brokerError{e})
		}
	default:
	}
	select {
	case _, ok := <-s.cancelled:
		if ok {
			return fmt.Errorf("the broker has cancelled the consumer: queue %q was deleted or its node is gone", queue)
		}
	default:
	}
	return errors.New("the session has ended")
}

// farewell ends a session, for a bounded time. What was not answered is
// delivered again.
func (q *configQueue) farewell(s *tongue) {
	bound, cancel := context.WithTimeout(context.Background(), closeTimeout)
	defer cancel()
	defer context.AfterFunc(bound, s.link.sever)()
	if s.channel != nil && s.channel.Cancel(s.tag, false) == nil {
		_ = s.channel.Nack(0, true, true) // if this fails, the close does it
	}
	if err := s.link.close(); err != nil {
		q.rt.Log.Debug("closing", "error", err)
	}
	if s.deliveries != nil { // the client ends only when they are read
		for range s.deliveries {
		}
	}
}

// message is a delivery as the engine takes it.
func (q *configQueue) message(s *tongue, d *amqp.Delivery) stage.Message {
	body := d.Body
	if len(body) > stage.MaxMessage {
		body = append([]byte(nil), body[:stage.MaxMessage+1]...) // lets go of the rest
	}
	tag, to := d.DeliveryTag, q.addresses(d)
	say := func(receipt []byte) {
		for _, a := range to {
			q.mouth.say(a, receipt)
		}
	}
	return stage.Message{
		ID: d.MessageId, Body: body, ContentType: d.ContentType, Follow: say,
		Answer: func(receipt []byte, accepted bool) error {
			say(receipt)
			return s.settle(tag, accepted)
		},
	}
}

// settle takes a message away.
func (s *tongue) settle(tag uint64, accepted bool) error {
	// A broker that does not read keeps both from returning.
	bound, cancel := context.WithTimeout(context.Background(), closeTimeout)
	defer cancel()
	defer context.AfterFunc(bound, s.link.sever)()
	var err error
	if accepted {
		err = s.channel.Ack(tag, false)
	} else {
		err = s.channel.Reject(tag, false)
	}
	if err != nil {
		return fmt.Errorf("the connection is lost, and the message will come again: %w", readable(err))
	}
	return nil
}

// addresses is where the receipt of a delivery goes.
func (q *configQueue) addresses(d *amqp.Delivery) (to []address) {
	correlation := d.CorrelationId
	if correlation == "" {
		correlation = d.MessageId
	}
	if r := &q.config.receipts; r.given {
		key := r.key
		if key == "" {
			key = clip(q.rt.Flow, maxShort)
		}
		to = append(to, address{r.exchange, key, correlation, amqp.Persistent})
	}
	if d.ReplyTo != "" {
		to = append(to, address{"", d.ReplyTo, correlation, amqp.Transient})
	}
	return to
}
