package rabbitmq

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/telluride-stream/telluride/engine/stage"
)

// sample makes the sampler of a source of these keys, and opens it.
func (b *broker) sample(most int, keys string) (*testSource, error) {
	b.t.Helper()
	spec, _, _, problems := built(Source(), fmt.Sprintf("rabbitmq: {url: %q, %s}", b.url, keys))
	if problems != "" {
		b.t.Fatal(problems)
	}
	rt, log := runtimeOf("src")
	s := spec.Sample(rt, most)
	b.t.Cleanup(func() { s.Close() })
	return &testSource{t: b.t, log: log, source: &source{}, over: s}, s.Open(b.t.Context(), nil)
}

func (b *broker) sampled(most int, keys string) *testSource {
	b.t.Helper()
	s, err := b.sample(most, keys)
	if err != nil {
		b.t.Fatal(err)
	}
	return s
}

// route publishes messages to an exchange.
func (b *broker) route(exchange, key string, bodies ...string) {
	b.t.Helper()
	for i, body := range bodies {
		err := b.ch.PublishWithContext(b.t.Context(), exchange, key, false, false, amqp.Publishing{
			Body: []byte(body), MessageId: fmt.Sprintf("id%d", i), Headers: amqp.Table{"tenant": "acme"},
		})
		if err != nil {
			b.t.Fatal(err)
		}
	}
}

func TestASampleTakesCopiesWhereAnExchangeFeedsTheQueue(t *testing.T) {
	b := realBroker(t)
	for _, kind := range []string{"classic", "quorum"} {
		for _, exchange := range []string{"direct", "topic", "fanout"} {
			t.Run(kind+" "+exchange, func(t *testing.T) {
				b := &broker{t: t, url: b.url, conn: b.conn, ch: b.channel()}
				queue, x := b.queue(amqp.Table{"x-queue-type": kind}), b.exchange(exchange)
				b.bind(queue, "k", x)
				b.route(x, "k", "waits")
				eventually(t, "the message waits", func() bool { return b.ready(queue) == 1 })
				s := b.sampled(3, fmt.Sprintf("queue: %s, bind: [{exchange: %s, type: %s, routing_key: k}]", queue, x, exchange))
				b.route(x, "k", `{"n":1}`, `{"n":2}`, `{"n":3}`)
				all := s.read(3)
				if all[2].body != `{"n":3}` || all[2].lookup("message_id") != `"id2"` || all[2].lookup("routing_key") != `"k"` ||
					all[2].lookup("headers.tenant") != `"acme"` || all[2].lookup("queue") != `"`+queue+`"` {
					t.Errorf("the copy is %+v", all[2])
				}
				if err := s.over.Close(); err != nil {
					t.Fatal(err)
				}
				left := b.drained(queue)
				if have := bodies(left); have != `waits {"n":1} {"n":2} {"n":3}` {
					t.Errorf("the queue holds %s", have)
				}
				for _, d := range left {
					if count, _ := d.Headers[countHeader].(int64); d.Redelivered || count != 0 {
						t.Errorf("%s was delivered before: %v", d.Body, d.Headers)
					}
				}
				if strings.Contains(s.log.String(), "WARN") {
					t.Errorf("a warning: %s", s.log)
				}
			})
		}
	}
}

func TestASampleTakesOutAndPutsBackWhereNoExchangeFeedsTheQueue(t *testing.T) {
	b := realBroker(t)
	queue := b.queue(nil)
	s := b.sampled(3, "queue: "+queue)
	s.nothing() // an empty queue is waited for
	b.publish(queue, 5)
	all := s.read(3)
	if all[0].body != `{"n":1}` || all[2].body != `{"n":3}` || all[2].lookup("message_id") != `"m3"` {
		t.Errorf("read %+v", all)
	}
	if _, err := s.over.Read(t.Context()); !errors.Is(err, io.EOF) {
		t.Errorf("it goes on with %v", err)
	}
	// It is still open: they were put back at once, in their order.
	eventually(t, "they are back", func() bool { return b.ready(queue) == 5 })
	left := b.drained(queue)
	if have := bodies(left); have != `{"n":1} {"n":2} {"n":3} {"n":4} {"n":5}` {
		t.Errorf("the queue holds %s", have)
	}
	if !left[2].Redelivered || left[3].Redelivered {
		t.Error("more or less than the sample was taken out")
	}
	if s.log.count("taken out of the queue and put back") != 1 {
		t.Errorf("no warning: %s", s.log)
	}
}

// An exchange that shares messages out would give the sample what is meant for
// the queue.
func TestASampleIsNotBoundToAnExchangeThatSharesMessagesOut(t *testing.T) {
	b := realBroker(t)
	ch, x := b.channel(), b.name()
	if err := ch.ExchangeDeclare(x, "x-consistent-hash", true, false, false, false, nil); err != nil {
		t.Skipf("the broker has no consistent-hash exchange: %v", err)
	}
	queue := b.queue(nil)
	b.bind(queue, "1", x)
	for name, more := range map[string]string{"as the flow file says": "type: x-consistent-hash", "that the flow file does not know": "declare: false", "that the flow file is wrong about": "type: fanout"} {
		t.Run(name, func(t *testing.T) {
			b := &broker{t: t, url: b.url, conn: b.conn, ch: b.channel()}
			s := b.sampled(100, fmt.Sprintf(`queue: %s, bind: [{exchange: %s, routing_key: "1", %s}]`, queue, x, more))
			var sent []string
			for i := range 50 {
				sent = append(sent, fmt.Sprint(i))
				b.route(x, fmt.Sprint(i), sent[i])
			}
			eventually(t, "all messages in the queue", func() bool { return b.ready(queue) == 50 })
			if all := s.read(50); all[49].body != "49" {
				t.Errorf("the last copy is %s", all[49].body)
			}
			if have := bodies(b.drained(queue)); have != strings.Join(sent, " ") {
				t.Errorf("the queue holds %s", have)
			}
			if s.log.count("gives a message to one queue only") != 1 {
				t.Errorf("no reason: %s", s.log)
			}
		})
	}
}

func TestASampleKnowsTheTypeOfAnExchangeBetterThanTheFlowFile(t *testing.T) {
	b := realBroker(t)
	queue, x := b.queue(nil), b.exchange("topic")
	b.bind(queue, "k", x)
	s := b.sampled(10, fmt.Sprintf("queue: %s, bind: [{exchange: %s, routing_key: k, durable: false, declare: false}]", queue, x))
	b.route(x, "k", "one")
	s.read(1)
	if left := b.drained(queue); len(left) != 1 || left[0].Redelivered {
		t.Errorf("the queue holds %+v", left)
	}
}

func TestWhatASampleHoldsIsPutBackHoweverItEnds(t *testing.T) {
	b := realBroker(t)
	queue := b.queue(nil)
	b.publish(queue, 50)
	s := b.sampled(50, "queue: "+queue).over.(*sample)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.Read(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled, Read returns %v", err)
	}
	// The connection ends behind the first messages that were taken out.
	if _, ok, err := s.channel.Get(queue, false); !ok || err != nil {
		t.Fatal(ok, err)
	}
	s.link.sever()
	if _, err := s.Read(t.Context()); err == nil {
		t.Error("a lost connection is no error")
	}
	eventually(t, "all messages are back", func() bool { return b.ready(queue) == 50 })
	var want []string
	for i := range 50 {
		want = append(want, fmt.Sprintf(`{"n":%d}`, i+1))
	}
	if have := bodies(b.drained(queue)); have != strings.Join(want, " ") {
		t.Errorf("the queue holds %s", have)
	}
}

func TestASampleOfAStreamReadsIt(t *testing.T) {
	b := realBroker(t)
	queue := b.queue(amqp.Table{"x-queue-type": streams})
	b.publish(queue, 10)
	for range 2 {
		s := b.sampled(3, "queue: "+queue+", offset: first, prefetch: 2")
		var have []string
		for len(have) < 10 {
			in, err := s.over.Read(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			for _, r := range in.Batch.Records {
				have = append(have, string(r.Payload))
			}
			last := in.Batch.Records[len(in.Batch.Records)-1].Origin.Seq
			if err := s.over.Settle(t.Context(), stage.Settlement{Upto: last}); err != nil {
				t.Fatal(err)
			}
		}
		if !slices.Contains(have, `{"n":10}`) {
			t.Errorf("read %v", have)
		}
		if err := s.over.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

func TestASampleMakesNothing(t *testing.T) {
	b := realBroker(t)
	queue, x := b.name(), b.name()
	keys := fmt.Sprintf("queue: %s, declare: {durable: true}, bind: [{exchange: %s}]", queue, x)
	if _, err := b.sample(1, keys); err == nil || !strings.Contains(err.Error(), fmt.Sprintf("queue %q", queue)) {
		t.Errorf("without a queue: %v", err)
	}
	if _, err := b.ch.QueueDeclare(queue, true, false, false, false, nil); err != nil {
		t.Fatal(err)
	}
	if _, err := b.sample(1, keys); err == nil || !strings.Contains(err.Error(), fmt.Sprintf("exchange %q", x)) {
		t.Errorf("without an exchange: %v", err)
	}
	ch := b.channel()
	if err := ch.ExchangeDeclarePassive(x, "direct", true, false, false, false, nil); err == nil {
		t.Error("the exchange was made")
	}
}

func TestASampleEndsWithItsContext(t *testing.T) {
	b := realBroker(t)
	queue, x := b.queue(nil), b.exchange("direct")
	s := b.sampled(1, fmt.Sprintf("queue: %s, bind: [{exchange: %s, routing_key: k}]", queue, x))
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if _, err := s.over.Read(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Read returns %v", err)
	}
}
