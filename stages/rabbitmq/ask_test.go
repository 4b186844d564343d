package rabbitmq

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

func TestAskingReturnsTheReceiptOfThisRequest(t *testing.T) {
	b := realBroker(t)
	queue := b.queue(nil)
	requests, err := b.ch.Consume(queue, "", true, false, false, false, nil)
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		d := <-requests
		for _, id := range []string{"another", d.CorrelationId} {
			_ = b.ch.Publish("", d.ReplyTo, true, false, amqp.Publishing{CorrelationId: id, Body: []byte("receipt of " + id + " for " + string(d.Body) + " as " + d.ContentType)})
		}
	}()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	got, err := Ask(ctx, Request{URL: b.url, Queue: queue, ID: "r1", ContentType: "application/json", Body: []byte("{}")})
	if err != nil || string(got) != "receipt of r1 for {} as application/json" {
		t.Errorf("got %q, %v", got, err)
	}
}

func TestAskingWaitsForTheLastReceipt(t *testing.T) {
	b := realBroker(t)
	queue := b.queue(nil)
	requests, err := b.ch.Consume(queue, "", true, false, false, false, nil)
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		for d := range requests {
			for receipt := range strings.FieldsSeq(string(d.Body)) {
				_ = b.ch.Publish("", d.ReplyTo, true, false, amqp.Publishing{CorrelationId: d.CorrelationId, Body: []byte(receipt)})
			}
		}
	}()
	last := func(receipt []byte) bool { return string(receipt) != "pending" }
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	got, err := Ask(ctx, Request{URL: b.url, Queue: queue, ID: "r1", Body: []byte("pending applied other"), Last: last})
	if err != nil || string(got) != "applied" {
		t.Errorf("got %q, %v", got, err)
	}
	ctx, cancel = context.WithCancel(t.Context())
	defer cancel()
	last = func([]byte) bool {
		cancel() // whoever asks has enough
		return false
	}
	got, err = Ask(ctx, Request{URL: b.url, Queue: queue, ID: "r2", Body: []byte("pending"), Last: last})
	if !errors.Is(err, ErrNoReceipt) || string(got) != "pending" {
		t.Errorf("got %q, %v", got, err)
	}
}

func TestAQueueThatNobodyReadsKeepsTheRequest(t *testing.T) {
	b := realBroker(t)
	var queue string
	var err error
	// Too little for a slow broker: then it is asked again, for longer.
	for limit := 300 * time.Millisecond; limit < patience && !errors.Is(err, ErrUnread); limit *= 3 {
		queue = b.queue(nil)
		ctx, cancel := context.WithTimeout(t.Context(), limit)
		_, err = Ask(ctx, Request{URL: b.url, Queue: queue, ID: "r1", Body: []byte("{}")})
		cancel()
	}
	if !errors.Is(err, ErrUnread) || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v", err)
	}
	if kept := b.drained(queue); len(kept) != 1 || kept[0].MessageId != "r1" || kept[0].DeliveryMode != amqp.Persistent {
		t.Errorf("the queue keeps %v", kept)
	}
}

func TestASilentBrokerIsNotAskedForLong(t *testing.T) {
	b := realBroker(t)
	p, url := b.proxied()
	p.stall(true)
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	_, err := Ask(ctx, Request{URL: url, Queue: b.name(), ID: "r1"})
	if !errors.Is(err, context.DeadlineExceeded) || strings.Contains(err.Error(), "guest") {
		t.Errorf("got %v", err)
	}
}
