package rabbitmq

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/telluride-stream/telluride/engine/clock"
	"github.com/telluride-stream/telluride/engine/stage"
)

// Request is a message for a config queue, see [ConfigQueue].
type Request struct {
	URL         string // of the broker; it is never shown with its password
	Queue       string
	ID          string // becomes message_id and correlation_id
	ContentType string
	Body        []byte
	// Last says whether a receipt is the last one, or another will follow; nil:
	// the first is the last.
	Last func(receipt []byte) bool
}

var (
	// ErrNoReceipt says that a request was taken by the queue, and that its
	// receipt did not come: the change may be made all the same.
	ErrNoReceipt = errors.New("no receipt")
	// ErrUnread is an ErrNoReceipt of a queue that nobody reads.
	ErrUnread = fmt.Errorf("%w, since nobody reads the queue", ErrNoReceipt)
)

// Ask sends a request, and waits until ctx is done for its last receipt, which
// comes to a queue that only this connection can read. With an error, the
// receipt is the one that came before, or nil.
func Ask(ctx context.Context, r Request) (receipt []byte, err error) {
	t := target{urls: []string{r.URL}, heartbeat: 10 * time.Second, timeout: 10 * time.Second, last: new(atomic.Int32)}
	if message, advice := t.check(); message != "" {
		return nil, fmt.Errorf("%s; %s", message, advice)
	}
	l, err := t.dial(ctx, stage.Runtime{Flow: "apply", Name: clip(r.Queue, 100), Clock: clock.System{}, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		return nil, err
	}
	defer func() { _ = l.close() }() // everything has been said
	// A broker that does not answer must not keep anybody waiting.
	defer context.AfterFunc(ctx, l.sever)()
	q := &question{Request: r, link: l}
	if err := q.prepare(); err != nil {
		return nil, q.told(ctx, err)
	}
	if err := q.send(ctx); err != nil {
		return nil, q.told(ctx, err)
	}
	return q.wait(ctx)
}

// question is a request on its way.
type question struct {
	Request
	link    *link
	channel *amqp.Channel
	replies <-chan amqp.Delivery
	reply   string
	readers int // consumers that the queue had
	closed  chan *amqp.Error
	returns chan amqp.Return
}

// told is an error of the broker, or what it means that the time is up.
func (q *question) told(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return fmt.Errorf("ask %s: no answer in time: %w", q.link.address, context.Cause(ctx))
	}
	return err
}

// prepare checks the queue, and makes the one for the receipt.
func (q *question) prepare() (err error) {
	what := fmt.Sprintf("config queue %q at %s", q.Queue, q.link.address)
	if q.channel, err = q.link.Channel(); err != nil {
		return denied(what, err, "", "")
	}
	have, err := q.channel.QueueDeclarePassive(q.Queue, true, false, false, false, nil)
	if err != nil {
		return denied(what, err, "name the queue that the flow reads: control: {config_queue: {rabbitmq: {queue: …}}}", "")
	}
	q.readers = have.Consumers
	own, err := q.channel.QueueDeclare("", false, true, true, false, nil)
	if err == nil {
		q.reply = own.Name
		q.replies, err = q.channel.Consume(own.Name, "", true, true, false, false, nil)
	}
	if err == nil {
		q.returns = q.channel.NotifyReturn(make(chan amqp.Return, 1))
		q.closed = q.channel.NotifyClose(make(chan *amqp.Error, 1))
		err = q.channel.Confirm(false)
	}
	if err != nil {
		return denied("make a queue for the receipt", err, "", "")
	}
	return nil
}

// send sends the request and waits until the queue has it.
func (q *question) send(ctx context.Context) error {
	confirmed, err := q.channel.PublishWithDeferredConfirm("", q.Queue, true, false, amqp.Publishing{
		MessageId: q.ID, CorrelationId: q.ID, ReplyTo: q.reply, ContentType: q.ContentType,
		DeliveryMode: amqp.Persistent, AppId: "telluride", Type: "telluride.change", Timestamp: time.Now(), Body: q.Body,
	})
	if err != nil {
		return fmt.Errorf("send the change: %w", readable(err))
	}
	ok, err := confirmed.WaitContext(ctx)
	switch {
	case err != nil:
		return fmt.Errorf("send the change: %w", err)
	case !ok:
		return fmt.Errorf("queue %q does not take the change: %w", q.Queue, q.ended())
	}
	select {
	case <-q.returns:
		return fmt.Errorf("queue %q was deleted", q.Queue)
	default:
		return nil
	}
}

func (q *question) wait(ctx context.Context) (receipt []byte, err error) {
	for {
		select {
		case d, ok := <-q.replies:
			if !ok {
				if ctx.Err() != nil {
					return receipt, q.silence(ctx)
				}
				return receipt, fmt.Errorf("%w: %w", ErrNoReceipt, q.ended())
			}
			if d.CorrelationId != q.ID {
				continue
			}
			if receipt = d.Body; q.Last == nil || q.Last(receipt) {
				return receipt, nil
			}
		case <-ctx.Done():
			return receipt, q.silence(ctx)
		}
	}
}

// silence says why there may be no receipt.
func (q *question) silence(ctx context.Context) error {
	if q.readers == 0 {
		return fmt.Errorf("%w: %w", ErrUnread, context.Cause(ctx))
	}
	return fmt.Errorf("%w: %w", ErrNoReceipt, context.Cause(ctx))
}

// ended is why the broker has ended the session.
func (q *question) ended() error {
	select {
	case e := <-q.closed:
		if e != nil {
			return brokerError{e}
		}
	default:
	}
	return errors.New("the connection is lost")
}
