package rabbitmq

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/telluride-stream/telluride/engine/record"
	"github.com/telluride-stream/telluride/engine/stage"
)

// testSink is a sink under test.
type testSink struct {
	*sink
	t         *testing.T
	log       *logged
	projector *record.Projector
	slots     int
}

func (b *broker) sink(keys string) *testSink {
	b.t.Helper()
	if !strings.Contains(keys, "url") {
		keys = fmt.Sprintf("url: %q, %s", b.url, keys)
	}
	_, spec, layout, problems := built(Sink(), "rabbitmq: {"+keys+"}")
	if problems != "" {
		b.t.Fatal(problems)
	}
	rt, log := runtimeOf("out")
	s := &testSink{sink: spec.New(rt).(*sink), t: b.t, log: log, projector: record.NewProjector(layout), slots: layout.Len()}
	b.t.Cleanup(func() { s.Close() })
	return s
}

func (s *testSink) open() *testSink {
	s.t.Helper()
	if err := s.Open(s.t.Context()); err != nil {
		s.t.Fatal(err)
	}
	return s
}

func (s *testSink) records(payloads ...string) (all []record.Record) {
	s.t.Helper()
	for i, p := range payloads {
		r := record.Record{Payload: []byte(p), Fields: make([]record.Value, s.slots), Origin: record.Origin{Seq: uint64(i + 1)}}
		if err := s.projector.Project(r.Payload, r.Fields); err != nil {
			s.t.Fatal(err)
		}
		all = append(all, r)
	}
	return all
}

// write writes without an error.
func (s *testSink) write(payloads ...string) {
	s.t.Helper()
	s.writeAll(s.records(payloads...))
}

func (s *testSink) writeAll(records []record.Record) {
	s.t.Helper()
	if n, err := s.Write(s.t.Context(), records); n != len(records) || err != nil {
		s.t.Fatalf("wrote %d of %d: %v", n, len(records), err)
	}
}

// flush flushes and waits for the answer.
func (s *testSink) flush() error {
	s.t.Helper()
	done := make(chan error, 1)
	s.Flush(func(err error) { done <- err })
	select {
	case err := <-done:
		return err
	case <-time.After(patience):
		s.t.Fatal("no answer to a flush")
		return nil
	}
}

func (s *testSink) mustFlush() {
	s.t.Helper()
	if err := s.flush(); err != nil {
		s.t.Fatal(err)
	}
}

func numbered(n int) (all []string) {
	for i := 1; i <= n; i++ {
		all = append(all, fmt.Sprintf(`{"n":%d}`, i))
	}
	return all
}

func TestAFlushIsDoneWhenEverythingIsConfirmed(t *testing.T) {
	b := realBroker(t)
	queue := b.queue(nil)
	s := b.sink("queue: " + queue).open()
	s.mustFlush() // nothing was written
	const n = 5000
	s.write(numbered(n)...)
	order := make(chan int, 3)
	for i := range 3 {
		s.Flush(func(err error) {
			if err != nil {
				t.Error(err)
			}
			order <- i
		})
	}
	s.mustFlush()
	for i := range 3 {
		if have := <-order; have != i {
			t.Errorf("flush %d is done before flush %d", have, i)
		}
	}
	all := b.drained(queue)
	if len(all) != n || bodies(all) != strings.Join(numbered(n), " ") {
		t.Errorf("%d messages", len(all))
	}
	if d := all[0]; d.DeliveryMode != amqp.Persistent || d.ContentType != "application/json" || d.MessageId != "" {
		t.Errorf("published %+v", d)
	}
}

func TestPropertiesAreTemplates(t *testing.T) {
	b := realBroker(t)
	queue, exchange := b.queue(nil), b.exchange("topic")
	b.bind(queue, "#", exchange)
	s := b.sink(fmt.Sprintf(`exchange: %s, routing_key: "s.{{ line }}.{{ n + 1 }}", persistent: false, message_id: "{{ id }}", correlation_id: "c-{{ n }}", reply_to: r,
  expiration: "{{ n * 1000 }}", priority: "{{ n }}", content_type: text/plain, content_encoding: none, type: reading, app_id: "{{ line }}", timestamp: "{{ at }}",
  headers: {n: "{{ n }}", half: "{{ n / 2 }}", yes: "{{ n > 1 }}", line: "{{ line }}", mixed: "n={{ n }}", fixed: "7", list: "{{ tags }}", none: "{{ missing }}"}`, exchange)).open()
	records := s.records(
		`{"line":"a","n":3,"id":"x1","at":"2023-11-14T22:13:21Z","tags":["a",{"b":1}]}`,
		`{"n":3}`,
		`{"line":"b","n":4,"at":1700000000}`,
		`{"line":"c","n":400,"at":1700000000}`,
		`{"line":"`+strings.Repeat("x", 256)+`","n":1,"at":1}`,
	)
	var dead []string
	for rest := records; len(rest) > 0; {
		n, err := s.Write(t.Context(), rest)
		if err == nil {
			break
		}
		if !stage.IsPermanent(err) {
			t.Fatal(err)
		}
		dead = append(dead, err.Error())
		rest = rest[n+1:]
	}
	want := []string{"message: routing_key: line is nil", "message: priority: 400 is not a whole number from 0 to 255", "message: routing_key has 260 bytes, more than 255"}
	if !reflect.DeepEqual(dead, want) {
		t.Errorf("dead letters %q", dead)
	}
	s.mustFlush()
	all := b.drained(queue)
	if len(all) != 2 {
		t.Fatalf("%d messages", len(all))
	}
	d := all[0]
	d.Acknowledger, d.Body, d.DeliveryTag = nil, nil, 0
	if want := (amqp.Delivery{
		Exchange: exchange, RoutingKey: "s.a.4", DeliveryMode: amqp.Transient, MessageId: "x1", CorrelationId: "c-3", ReplyTo: "r", Expiration: "3000", Priority: 3,
		ContentType: "text/plain", ContentEncoding: "none", Type: "reading", AppId: "a", Timestamp: time.Unix(1_700_000_001, 0),
		Headers: amqp.Table{
			"n": int64(3), "half": 1.5, "yes": true, "line": "a", "mixed": "n=3", "fixed": "7", "none": nil,
			"list": []any{"a", amqp.Table{"b": int64(1)}},
		},
		MessageCount: 1,
	}); !reflect.DeepEqual(d, want) {
		t.Errorf("got  %+v\nwant %+v", d, want)
	}
	if all[1].RoutingKey != "s.b.5" || all[1].MessageId != "" {
		t.Errorf("got %+v", all[1])
	}
}

func TestWhatCameGoesOn(t *testing.T) {
	b := realBroker(t)
	in, out := b.queue(nil), b.queue(nil)
	came := headers()
	came["x-death"] = []any{amqp.Table{"count": int64(1)}}
	err := b.ch.Publish("", in, true, false, amqp.Publishing{
		Headers: came, MessageId: "id", CorrelationId: "cor", ReplyTo: "rep", ContentType: "text/x", ContentEncoding: "utf-8",
		Timestamp: time.Unix(1_700_000_001, 0), Type: "kind", AppId: "app", Priority: 3, Expiration: "60000", Body: []byte("{}"),
	})
	if err != nil {
		t.Fatal(err)
	}
	source := b.source("queue: " + in).open(nil)
	batch, err := source.Read(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	all := b.sink("app_id: mine, headers: {more: x}, forward: [" + strings.Join(forwardable, ", ") + "], queue: " + out).open()
	all.writeAll(batch.Batch.Records)
	all.mustFlush()
	b.sink("queue: " + out).open().writeAll(batch.Batch.Records)
	eventually(t, "two messages", func() bool { return b.ready(out) == 2 })
	have := b.drained(out)
	d := have[0]
	want := headers()
	want["more"] = "x"
	if !reflect.DeepEqual(d.Headers, want) {
		t.Errorf("headers %v\nwant %v", d.Headers, want)
	}
	if d.MessageId != "id" || d.CorrelationId != "cor" || d.ReplyTo != "rep" || d.ContentType != "text/x" || d.ContentEncoding != "utf-8" ||
		d.Timestamp.Unix() != 1_700_000_001 || d.Type != "kind" || d.AppId != "mine" || d.Priority != 3 || d.Expiration != "60000" {
		t.Errorf("got %+v", d)
	}
	if d := have[1]; d.MessageId != "id" || d.Headers != nil || d.ContentType != "application/json" || d.CorrelationId != "" {
		t.Errorf("without forward: %+v", d)
	}
}

func TestAnUnroutableMessageIsSentAgainUntilAQueueIsBound(t *testing.T) {
	b := realBroker(t)
	exchange, queue := b.exchange("direct"), b.queue(nil)
	b.bind(queue, "known", exchange)
	s := b.sink(fmt.Sprintf(`routing_key: "{{ key }}", exchange: %s`, exchange)).open()
	s.write(`{"key":"known","n":1}`, `{"key":"new","n":2}`, `{"key":"known","n":3}`, `{"key":"new","n":2}`)
	for range 3 {
		if err := s.flush(); err == nil || stage.IsPermanent(err) || !strings.Contains(err.Error(), `no queue for routing key "new"`) {
			t.Fatalf("got %v", err)
		}
	}
	if _, err := s.Write(t.Context(), s.records(`{"key":"known","n":4}`)); err == nil || stage.IsPermanent(err) {
		t.Fatalf("behind a failure: %v", err)
	}
	b.bind(queue, "new", exchange)
	s.write(`{"key":"known","n":4}`)
	s.mustFlush()
	want := `{"key":"known","n":1} {"key":"known","n":3} {"key":"new","n":2} {"key":"new","n":2} {"key":"known","n":4}`
	if have := bodies(b.drained(queue)); have != want {
		t.Errorf("got %s", have)
	}
	if got := s.Undeliverable(); got != nil {
		t.Errorf("given up: %v", got)
	}
}

func TestAnUnroutableMessageMayBeADeadLetter(t *testing.T) {
	b := realBroker(t)
	exchange, queue := b.exchange("direct"), b.queue(nil)
	b.bind(queue, "known", exchange)
	s := b.sink(fmt.Sprintf(`unroutable: dead, routing_key: "{{ key }}", exchange: %s`, exchange)).open()
	var payloads []string
	for i := range 300 {
		key := "known"
		if i%3 == 0 {
			key = "unknown"
		}
		payloads = append(payloads, fmt.Sprintf(`{"key":%q,"n":%d}`, key, i/10)) // many are equal
	}
	s.write(payloads...)
	s.mustFlush()
	given := s.Undeliverable()
	if len(given) != 100 || b.ready(queue) != 200 {
		t.Fatalf("%d given up, %d delivered", len(given), b.ready(queue))
	}
	for i, u := range given {
		if n := uint64(3*i + 1); u.Record.Origin.Seq != n || string(u.Record.Payload) != payloads[n-1] || !strings.Contains(u.Reason, "NO_ROUTE") {
			t.Errorf("given up: %s, sequence number %d, %s", u.Record.Payload, u.Record.Origin.Seq, u.Reason)
		}
	}
	if s.Undeliverable() != nil {
		t.Error("given twice")
	}
}

func TestARefusedMessageIsSentAgain(t *testing.T) {
	b := realBroker(t)
	queue := b.queue(amqp.Table{"x-max-length": 2, "x-overflow": "reject-publish"})
	s := b.sink("queue: " + queue).open()
	s.write(numbered(4)...)
	if err := s.flush(); err == nil || !strings.Contains(err.Error(), "refused") {
		t.Fatalf("got %v", err)
	}
	first := bodies(b.drained(queue))
	s.mustFlush()
	if have := first + " " + bodies(b.drained(queue)); have != strings.Join(numbered(4), " ") {
		t.Errorf("got %s", have)
	}
}

func TestWhatWasOnItsWayWhenTheConnectionWasLostIsSentAgain(t *testing.T) {
	b := realBroker(t)
	queue := b.queue(nil)
	p, url := b.proxied()
	s := b.sink(fmt.Sprintf("url: %q, queue: %s", url, queue)).open()
	s.write(numbered(10)...)
	s.mustFlush()
	p.stall(true)
	answers := make(chan error, 2)
	s.write(numbered(500)...)
	for range cap(answers) {
		s.Flush(func(err error) { answers <- err })
	}
	p.stall(false)
	p.cut()
	for range cap(answers) {
		if err := <-answers; err != nil && stage.IsPermanent(err) {
			t.Error(err)
		}
	}
	for err := s.flush(); err != nil; err = s.flush() {
		if stage.IsPermanent(err) || stage.IsTransient(err) {
			t.Fatal(err)
		}
	}
	seen := map[string]bool{}
	for _, d := range b.drained(queue) {
		seen[string(d.Body)] = true
	}
	for _, body := range numbered(500) {
		if !seen[body] {
			t.Errorf("%s is lost", body)
		}
	}
	if n := s.log.count("connection lost"); n != 1 {
		t.Errorf("%d lines about it:\n%s", n, s.log)
	}
	// Nothing on its way: the next Write connects by itself.
	p.cut()
	eventually(t, "the loss is noticed", func() bool { return s.log.count("connection lost") == 2 })
	s.write(`{"n":501}`)
	s.mustFlush()
}

func TestADeletedExchangeIsWaitedFor(t *testing.T) {
	b := realBroker(t)
	exchange, queue := b.exchange("fanout"), b.queue(nil)
	b.bind(queue, "", exchange)
	s := b.sink("exchange: " + exchange).open()
	if err := b.ch.ExchangeDelete(exchange, false, false); err != nil {
		t.Fatal(err)
	}
	s.write(numbered(3)...)
	for range 3 {
		if err := s.flush(); err == nil || stage.IsPermanent(err) {
			t.Fatalf("got %v", err)
		}
	}
	if err := b.ch.ExchangeDeclare(exchange, "fanout", true, false, false, false, nil); err != nil {
		t.Fatal(err)
	}
	b.bind(queue, "", exchange)
	s.mustFlush()
	if have := bodies(b.drained(queue)); have != strings.Join(numbered(3), " ") {
		t.Errorf("got %s", have)
	}
}

func TestAFullSinkWaitsAndSaysSo(t *testing.T) {
	b := realBroker(t)
	queue := b.queue(nil)
	p, url := b.proxied()
	s := b.sink(fmt.Sprintf("url: %q, max_in_flight: 10, confirm_timeout: 1s, queue: %s", url, queue)).open()
	p.stall(true)
	records := s.records(numbered(20)...)
	n, err := s.Write(t.Context(), records)
	if n != 10 || err == nil || stage.IsPermanent(err) || !strings.Contains(err.Error(), "confirmed nothing for 1s") {
		t.Fatalf("wrote %d: %v", n, err)
	}
	if err := s.flush(); err == nil || !strings.Contains(err.Error(), "confirmed nothing for 1s") {
		t.Errorf("got %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(10*time.Millisecond, cancel)
	if n, err := s.Write(ctx, records[10:]); n != 0 || !errors.Is(err, context.Canceled) {
		t.Errorf("wrote %d: %v", n, err)
	}
	p.stall(false)
	for err := s.flush(); err != nil; err = s.flush() {
		if stage.IsPermanent(err) {
			t.Fatal(err)
		}
	}
	s.writeAll(records[10:])
	s.mustFlush()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for _, d := range b.drained(queue) {
		seen[string(d.Body)] = true
	}
	if len(seen) != 20 {
		t.Errorf("%d of 20 messages", len(seen))
	}
}

func TestASinkMovesOnOnceForALoss(t *testing.T) {
	b := realBroker(t)
	queue := b.queue(nil)
	one, first := b.proxied()
	_, second := b.proxied()
	s := b.sink(fmt.Sprintf(`urls: [%q, %q, "amqp://127.0.0.1:1"], queue: %s`, first, second, queue)).open()
	s.write(numbered(1)...)
	s.mustFlush()
	one.cut()
	eventually(t, "the loss", func() bool { return s.log.count("connection lost") == 1 })
	s.write(`{"n":2}`)
	s.mustFlush()
	if have := s.outlet.link.address; have != show(second) {
		t.Errorf("connected to %s, want %s", have, show(second))
	}
}

func TestABlockedConnectionIsWaitedForAndToldOnce(t *testing.T) {
	b := realBroker(t)
	queue := b.queue(nil)
	p, url := b.proxied()
	s := b.sink(fmt.Sprintf("url: %q, confirm_timeout: 1s, queue: %s", url, queue)).open()
	s.write(numbered(1)...)
	s.mustFlush()
	reason := "low on memory"
	p.inject(10, 60, append([]byte{byte(len(reason))}, reason...))
	eventually(t, "the warning", func() bool { return s.log.count("takes no messages") == 1 })
	n, err := s.Write(t.Context(), s.records(`{"n":2}`))
	if n != 0 || err == nil || stage.IsPermanent(err) || !strings.Contains(err.Error(), reason) {
		t.Fatalf("wrote %d: %v", n, err)
	}
	p.inject(10, 61, nil)
	eventually(t, "the end of it", func() bool { return s.log.count("takes messages again") == 1 })
	s.write(`{"n":2}`)
	s.mustFlush()
	if have := bodies(b.drained(queue)); have != `{"n":1} {"n":2}` {
		t.Errorf("got %s", have)
	}
	if s.log.count("takes no messages") != 1 {
		t.Errorf("logged %s", s.log)
	}
}

func TestOpeningASinkIsFinalWhereWaitingDoesNotHelp(t *testing.T) {
	b := realBroker(t)
	missing := b.name()
	for _, c := range []struct {
		keys  string
		final bool
		want  string
	}{
		{"exchange: " + missing, true, "no exchange"},
		{"queue: " + missing, true, "add declare"},
		{"exchange: amq.direct, exchange_type: topic", true, "in another form"},
		{`url: "amqp://guest:s3cret@127.0.0.1:5672/", exchange: any`, true, "check user and password"},
		{`url: "amqp://guest:s3cret@127.0.0.1:1/", exchange: any`, false, "refused"},
	} {
		err := b.sink(c.keys).Open(t.Context())
		if err == nil || stage.IsPermanent(err) != c.final || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "s3cret") {
			t.Errorf("%s: got %v", c.keys, err)
		}
	}
	made := b.name()
	s := b.sink(fmt.Sprintf("exchange: %s, exchange_type: topic, queue: %s, declare: {durable: true}, bind: [{exchange: %s, type: topic, routing_key: \"#\"}], routing_key: k", made, made, made)).open()
	s.write(`{"n":1}`)
	s.mustFlush()
	if b.ready(made) != 1 {
		t.Error("the queue that the sink makes gets nothing")
	}
}

func TestALargeMessageArrivesWhole(t *testing.T) {
	b := realBroker(t)
	queue := b.queue(nil)
	s := b.sink("queue: " + queue).open()
	body := `{"x":"` + strings.Repeat("0123456789", 100_000) + `"}`
	s.write(body, `{}`)
	s.mustFlush()
	if all := b.drained(queue); len(all) != 2 || string(all[0].Body) != body {
		t.Errorf("%d messages", len(all))
	}
}

func TestHeadersThatFitNoFrameAreTheRecordsFault(t *testing.T) {
	b := realBroker(t)
	s := b.sink(`headers: {x: "{{ x }}"}, queue: ` + b.queue(nil)).open()
	_, err := s.Write(t.Context(), s.records(`{"x":"`+strings.Repeat("x", 200_000)+`"}`))
	if !stage.IsPermanent(err) {
		t.Errorf("got %v", err)
	}
}

func TestAMessageThatTheBrokerNeverTakesIsGivenUp(t *testing.T) {
	b := realBroker(t)
	s := b.sink("queue: " + b.queue(nil)).open()
	s.largest = 100
	s.mu.Lock()
	for _, n := range []int{100, 101} {
		s.fail(flight{message: message{key: "k", publishing: amqp.Publishing{Body: make([]byte, n)}}}, errLost)
	}
	left := s.withoutTooLarge(s.failed)
	s.failed, s.failure = nil, nil
	s.mu.Unlock()
	if given := s.Undeliverable(); len(left) != 1 || len(given) != 1 || len(given[0].Record.Payload) != 101 {
		t.Errorf("left %d, given up %d", len(left), len(given))
	}
	e := &amqp.Error{Code: 406, Reason: "PRECONDITION_FAILED - message size 20000000 is larger than configured max size 16777216"}
	if limitOf(e) != 16777216 || limitOf(nil) != 0 || limitOf(&amqp.Error{Code: 406, Reason: "other"}) != 0 {
		t.Error("the limit is not read")
	}
}
