package rabbitmq

import (
	"context"
	"crypto/rand"
	"fmt"
	"maps"
	"strings"
	"sync/atomic"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/telluride-stream/telluride/engine/deadletter"
	"github.com/telluride-stream/telluride/engine/stage"
)

// maxPeek is how many messages are taken out of a queue at a time to look at
// them. They go back in the end.
const maxPeek = 10_000

// queueLetters is a queue of dead letters. There is no way to look at a
// message and leave it alone: what is read is taken, and given back by Close.
// The broker counts that as a delivery.
type queueLetters struct {
	link  *link
	ch    *amqp.Channel
	queue string
}

var _ deadletter.Store = (*queueLetters)(nil)

// QueueLetters opens a queue of dead letters, for people.
func QueueLetters(url, queue string) (stage.Letters, error) {
	t, err := newTarget(url)
	if err != nil {
		return nil, err
	}
	return t.letters(queue), nil
}

// QueueReplay opens the way into a queue, for people.
func QueueReplay(url, queue string) (stage.Replay, error) {
	t, err := newTarget(url)
	if err != nil {
		return nil, err
	}
	return t.replay(queue), nil
}

// newTarget is a broker that no flow file describes.
func newTarget(url string) (*target, error) {
	t := &target{urls: []string{url}, heartbeat: 10 * time.Second, timeout: 10 * time.Second, last: new(atomic.Int32)}
	if message, advice := t.check(); message != "" {
		return nil, fmt.Errorf("%s; %s", message, advice)
	}
	return t, nil
}

func (t *target) letters(queue string) stage.Letters {
	return func(ctx context.Context, rt stage.Runtime) (deadletter.Store, error) {
		l, ch, err := t.channel(ctx, rt)
		if err != nil {
			return nil, err
		}
		return &queueLetters{link: l, ch: ch, queue: queue}, nil
	}
}

// channel opens a connection and a channel of it.
func (t *target) channel(ctx context.Context, rt stage.Runtime) (*link, *amqp.Channel, error) {
	l, err := t.dial(ctx, rt)
	if err != nil {
		return nil, nil, err
	}
	ch, err := l.Channel()
	if err != nil {
		_ = l.close() // it is lost already
		return nil, nil, denied("open a channel", err, "", "")
	}
	return l, ch, nil
}

// Read takes what is in the queue now, one message after the other.
func (q *queueLetters) Read(ctx context.Context, each func(*deadletter.Letter) (bool, error)) (deadletter.Left, error) {
	defer context.AfterFunc(ctx, q.link.sever)()
	var left deadletter.Left
	there, err := q.ch.QueueDeclarePassive(q.queue, true, false, false, false, nil)
	if err != nil {
		return left, denied(fmt.Sprintf("queue %q", q.queue), err, "name another", "")
	}
	for range there.Messages {
		d, ok, err := q.ch.Get(q.queue, false)
		if err != nil {
			return left, denied(fmt.Sprintf("read queue %q", q.queue), err, "", "")
		}
		if !ok {
			return left, nil // somebody else reads it
		}
		l := readLetter(q.queue, &d)
		l.At = d.DeliveryTag
		if more, err := each(l); err != nil || !more {
			return left, err
		}
		if d.DeliveryTag >= maxPeek && there.Messages > maxPeek {
			left.Unread = true
			return left, nil
		}
	}
	return left, nil
}

// Settle acknowledges letters: the broker forgets them.
func (q *queueLetters) Settle(_ context.Context, letters []*deadletter.Letter, _ deadletter.Fate) error {
	for _, l := range letters {
		tag, ok := l.At.(uint64)
		if !ok {
			continue
		}
		if err := q.ch.Ack(tag, false); err != nil {
			return fmt.Errorf("acknowledge: %w", readable(err))
		}
	}
	return nil
}

// Close gives back what was not settled. Waiting for an answer to a call
// behind it makes sure that the broker knows what was.
func (q *queueLetters) Close() error {
	_ = q.ch.Nack(0, true, true) // without a connection the broker does so itself
	_, err := q.ch.QueueDeclarePassive(q.queue, true, false, false, false, nil)
	if err != nil {
		err = fmt.Errorf("queue %q: it is not known whether it has all that was settled: %w", q.queue, readable(err))
	}
	if closing := q.link.close(); err == nil {
		err = closing
	}
	return err
}

// replayer publishes letters.
type replayer struct {
	link    *link
	ch      *amqp.Channel
	queue   string // "": to where each was sent at first
	returns chan amqp.Return
	// returned says, by message id, why messages came back.
	returned map[string]string
}

var _ deadletter.Target = (*replayer)(nil)

func (t *target) replay(queue string) stage.Replay {
	return func(ctx context.Context, rt stage.Runtime, origin bool) (deadletter.Target, error) {
		l, ch, err := t.channel(ctx, rt)
		if err != nil {
			return nil, err
		}
		r := &replayer{link: l, ch: ch, queue: queue, returns: ch.NotifyReturn(make(chan amqp.Return, 1024)), returned: map[string]string{}}
		if origin {
			r.queue = ""
		}
		if err := ch.Confirm(false); err != nil {
			_ = l.close() // it is lost already
			return nil, denied("ask for confirmations", err, "", "")
		}
		return r, nil
	}
}

// Send publishes letters and waits until the broker has confirmed them.
func (r *replayer) Send(ctx context.Context, letters []*deadletter.Letter) (n int, err error) {
	defer context.AfterFunc(ctx, r.link.sever)()
	var sent []*amqp.DeferredConfirmation
	var ids []string
	var failed error
	for _, l := range letters {
		exchange, key, p, err := r.message(l)
		if err != nil {
			failed = err
			break
		}
		c, err := r.ch.PublishWithDeferredConfirm(exchange, key, true, false, p)
		if err != nil {
			failed = fmt.Errorf("publish: %w", readable(err))
			break
		}
		sent, ids = append(sent, c), append(ids, p.MessageId)
	}
	for i, c := range sent {
		acked, err := c.WaitContext(ctx)
		if err != nil {
			return n, err
		}
		if why := r.back(ids[i]); why != "" {
			return n, fmt.Errorf("letter %s comes back: %s", letters[i].ID, why)
		}
		if !acked {
			return n, fmt.Errorf("the broker has refused letter %s: a queue is full, or the connection is lost", letters[i].ID)
		}
		n++
	}
	return n, failed
}

// back says why a message came back; "" when it did not. Messages come back
// before they are confirmed.
func (r *replayer) back(id string) string {
	for {
		select {
		case b, ok := <-r.returns:
			if ok {
				r.returned[b.MessageId] = fmt.Sprintf("exchange %q has no queue for routing key %q", b.Exchange, b.RoutingKey)
				continue
			}
		default:
		}
		return r.returned[id]
	}
}

// message is a letter as it is published: the record with the properties that
// it came with. Its message id is the letter's, since what became of the old
// one is remembered; the old one is in a header.
func (r *replayer) message(l *deadletter.Letter) (exchange, key string, p amqp.Publishing, err error) {
	came, v, err := readMeta(l.Meta)
	if err != nil {
		return "", "", p, fmt.Errorf("letter %s: %w", l.ID, err)
	}
	v.onto(&p)
	first := firstCame(v)
	key = r.queue
	if r.queue == "" {
		if came.Exchange == nil {
			return "", "", p, fmt.Errorf("letter %s does not say where it came from: it is not of a queue; replay it to the source or to a file", l.ID)
		}
		exchange, key = first.exchange, first.key
	}
	headers := make(amqp.Table, len(p.Headers)+3)
	maps.Copy(headers, ownHeaders(p.Headers))
	maps.DeleteFunc(headers, func(name string, _ any) bool { return strings.HasPrefix(name, deadletter.HeaderPrefix) })
	headers[deadletter.HeaderReplayed] = l.ID
	headers[deadletter.HeaderAttempts] = int64(l.Attempts)
	short(headers, deadletter.HeaderMessageID, first.id)
	if came.Exchange != nil {
		headers[deadletter.HeaderExchange], headers[deadletter.HeaderRoutingKey] = first.exchange, first.key
	}
	p.Headers, p.MessageId = headers, l.ID
	if l.Vague {
		p.MessageId += "-" + rand.Text()[:8]
	}
	if p.ContentType == "" {
		p.ContentType = "application/json"
	}
	p.DeliveryMode, p.Body = amqp.Persistent, l.Payload
	return exchange, key, p, nil
}

func (r *replayer) Close() error { return r.link.close() }
