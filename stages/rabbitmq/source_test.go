package rabbitmq

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/telluride-stream/telluride/engine/stage"
)

// deadLettered is a queue with a dead-letter queue.
func (b *broker) deadLettered(more amqp.Table) (queue, dead string) {
	b.t.Helper()
	dead = b.queue(nil)
	args := amqp.Table{"x-dead-letter-exchange": "", "x-dead-letter-routing-key": dead}
	for k, v := range more {
		args[k] = v
	}
	return b.queue(args), dead
}

func TestRejectsAreDeadLetteredAndTheRestAcknowledged(t *testing.T) {
	b := realBroker(t)
	queue, dead := b.deadLettered(nil)
	b.publish(queue, 12)
	s := b.source("queue: " + queue).open(nil)
	all := s.read(12)
	if all[0].body != `{"n":1}` || all[11].id != "m12" || all[3].redelivered {
		t.Errorf("read %+v", all)
	}
	s.settle(6, 2, 5, 6) // the last one is rejected: 4 is the highest to acknowledge
	s.settle(7, 7)       // nothing to acknowledge
	s.settle(10)
	eventually(t, "four dead letters", func() bool { return b.ready(dead) == 4 })
	// What is not settled comes again, and nothing else.
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "two messages given back", func() bool { return b.ready(queue) == 2 })
	if have := bodies(b.drained(dead)); have != `{"n":2} {"n":5} {"n":6} {"n":7}` {
		t.Errorf("dead letters %s", have)
	}
	s.open(nil)
	again := s.read(2)
	if again[0].body != `{"n":11}` || !again[0].redelivered || !again[1].redelivered || again[1].id != "m12" {
		t.Errorf("read again %+v", again)
	}
	s.settle(2)
	s.nothing()
}

func TestPrefetchBoundsWhatIsUnsettled(t *testing.T) {
	b := realBroker(t)
	queue := b.queue(nil)
	b.publish(queue, 60)
	s := b.source("consumers: 2, prefetch: 5, queue: " + queue).open(nil)
	s.read(10)
	s.nothing()
	s.settle(4)
	s.read(4)
	s.nothing()
}

func TestSeveralConsumersSettleEachTheirOwn(t *testing.T) {
	b := realBroker(t)
	queue, dead := b.deadLettered(nil)
	const n = 600
	b.publish(queue, n)
	s := b.source("consumers: 3, prefetch: 50, queue: " + queue).open(nil)
	var rejected []string
	seen := map[string]bool{}
	tags := map[string]bool{}
	for len(seen) < n {
		in, err := s.Read(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		var reject []uint64
		for _, g := range s.unpack(in) {
			if seen[g.body] || g.redelivered {
				t.Fatalf("%s was delivered twice", g.body)
			}
			seen[g.body] = true
			tags[g.lookup("consumer_tag")] = true
			if g.seq%7 == 0 {
				reject = append(reject, g.seq)
				rejected = append(rejected, g.body)
			}
		}
		s.settle(s.last, reject...)
	}
	if len(tags) != 3 {
		t.Errorf("consumers %v", tags)
	}
	eventually(t, "the dead letters", func() bool { return b.ready(dead) == len(rejected) })
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if left := b.ready(queue); left != 0 {
		t.Errorf("%d messages are left", left)
	}
	var have []string
	for _, d := range b.drained(dead) {
		have = append(have, string(d.Body))
	}
	slices.Sort(have)
	slices.Sort(rejected)
	if !slices.Equal(have, rejected) {
		t.Errorf("dead letters %v, want %v", have, rejected)
	}
}

// headers has every type that a header can have.
func headers() amqp.Table {
	return amqp.Table{
		"text": "größe", "int": int32(7), "long": int64(1) << 60, "short": int16(-3), "byte": int8(-1), "float": 1.5, "yes": true, "none": nil,
		"time": time.Unix(1_700_000_000, 0), "bytes": []byte("raw"), "decimal": amqp.Decimal{Scale: 2, Value: 12345},
		"table": amqp.Table{"inner": int64(1), "list": []any{"a", int64(2)}}, "list": []any{int32(1), amqp.Table{"x": false}},
	}
}

func TestMetaKnowsWhatCameWithAMessage(t *testing.T) {
	b := realBroker(t)
	queue, exchange := b.queue(nil), b.exchange("topic")
	b.bind(queue, "a.#", exchange)
	err := b.ch.Publish(exchange, "a.b", true, false, amqp.Publishing{
		Headers: headers(), MessageId: "id", CorrelationId: "cor", ReplyTo: "rep", ContentType: "application/json", ContentEncoding: "utf-8",
		Timestamp: time.Unix(1_700_000_001, 0), Type: "kind", AppId: "app", UserId: "guest", Priority: 3, Expiration: "60000", Body: []byte("{}"),
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := b.ch.Publish("", queue, true, false, amqp.Publishing{Body: []byte(`{}`)}); err != nil {
		t.Fatal(err)
	}
	s := b.source("tag: me, queue: " + queue).open(nil)
	all := s.read(2)
	full, bare := all[0], all[1]
	for path, want := range map[string]string{
		"routing_key": `"a.b"`, "exchange": `"` + exchange + `"`, "queue": `"` + queue + `"`, "consumer_tag": `"me"`, "redelivered": `false`,
		"message_id": `"id"`, "correlation_id": `"cor"`, "reply_to": `"rep"`, "content_type": `"application/json"`, "content_encoding": `"utf-8"`,
		"timestamp": `"2023-11-14T22:13:21Z"`, "type": `"kind"`, "app_id": `"app"`, "user_id": `"guest"`, "priority": `3`, "expiration": `60000`,
		"headers.text": `"größe"`, "headers.int": `7`, "headers.long": `1152921504606846976`, "headers.short": `-3`, "headers.byte": `-1`,
		"headers.float": `1.5`, "headers.yes": `true`, "headers.none": `null`, "headers.time": `"2023-11-14T22:13:20Z"`, "headers.bytes": `"raw"`,
		"headers.decimal": `123.45`, "headers.table.list[1]": `2`, "headers.list[1].x": `false`, "headers.table": `{"inner":1,"list":["a",2]}`,
		"headers.missing": `null`, "delivery_count": `null`, "unknown": `null`, "priority.x": `null`,
	} {
		if have := full.lookup(path); have != want {
			t.Errorf("meta.%s is %s, want %s", path, have, want)
		}
	}
	for path, want := range map[string]string{
		"message_id": `null`, "headers": `{}`, "headers.text": `null`, "timestamp": `null`, "priority": `null`, "exchange": `""`, "routing_key": `"` + queue + `"`,
	} {
		if have := bare.lookup(path); have != want {
			t.Errorf("without it, meta.%s is %s, want %s", path, have, want)
		}
	}
	if have := (&envelopes{}).Lookup(nil, 5); !have.IsNil() {
		t.Errorf("a record of another batch: %v", have)
	}
}

func TestALostConnectionEndsTheSessionAndNothingElse(t *testing.T) {
	b := realBroker(t)
	queue := b.queue(nil)
	b.publish(queue, 5)
	p, url := b.proxied()
	s := b.source(fmt.Sprintf("url: %q, queue: %s", url, queue)).open(nil)
	s.read(5)
	s.settle(2)
	p.cut()
	err := s.failure()
	if !stage.IsTransient(err) {
		t.Errorf("not transient: %v", err)
	}
	s.settle(5) // too late, and no error
	s.open(nil)
	for last := ""; last != `{"n":5}`; {
		in, err := s.Read(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, g := range s.unpack(in) {
			if !g.redelivered {
				t.Errorf("%s is not marked as redelivered", g.body)
			}
			last = g.body
		}
	}
	s.settle(s.last)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if left := b.ready(queue); left != 0 {
		t.Errorf("%d messages are left", left)
	}
	if n := s.log.count("msg=connected"); n != 2 {
		t.Errorf("%d lines about connecting:\n%s", n, s.log)
	}
}

func TestAClosedChannelEndsTheSession(t *testing.T) {
	b := realBroker(t)
	queue := b.queue(nil)
	b.publish(queue, 1)
	s := b.source("queue: " + queue).open(nil)
	s.read(1)
	if err := s.session.consumers[0].channel.Ack(99, false); err != nil {
		t.Fatal(err)
	}
	if err := s.failure(); !stage.IsTransient(err) || !strings.Contains(err.Error(), "PRECONDITION_FAILED") {
		t.Errorf("got %v", err)
	}
	s.open(nil)
	if again := s.read(1); !again[0].redelivered {
		t.Error("not marked as redelivered")
	}
}

func TestADeletedQueueIsWaitedForOrDeclaredAgain(t *testing.T) {
	b := realBroker(t)
	for _, declare := range []bool{false, true} {
		queue := b.queue(nil)
		keys := "queue: " + queue
		if declare {
			keys += ", declare: {durable: true}"
		}
		s := b.source(keys).open(nil)
		if _, err := b.ch.QueueDelete(queue, false, false, false); err != nil {
			t.Fatal(err)
		}
		if err := s.failure(); !stage.IsTransient(err) || !strings.Contains(err.Error(), "cancelled consumer") {
			t.Errorf("got %v", err)
		}
		err := s.Open(t.Context(), nil)
		switch {
		case declare && err != nil:
			t.Error(err)
		case !declare && (!stage.IsTransient(err) || !strings.Contains(err.Error(), "no queue")):
			t.Errorf("the queue is missing: got %v", err)
		}
	}
}

// A change that keeps a session gives the source another configuration, which
// has never been open itself.
func TestAMissingQueueIsWaitedForBehindAChange(t *testing.T) {
	b := realBroker(t)
	spec, _, _, problems := built(Source(), fmt.Sprintf("rabbitmq: {url: %q, queue: %s}", b.url, b.name()))
	if problems != "" {
		t.Fatal(problems)
	}
	rt, _ := runtimeOf("src")
	rt.Reopened = true
	if err := spec.New(rt).Open(t.Context(), nil); !stage.IsTransient(err) || !strings.Contains(err.Error(), "no queue") {
		t.Errorf("got %v", err)
	}
}

func TestWhatWaitingDoesNotCureIsFinal(t *testing.T) {
	b := realBroker(t)
	uri, err := amqp.ParseURI(b.url)
	if err != nil {
		t.Fatal(err)
	}
	with := func(change func(*amqp.URI)) string {
		u := uri
		change(&u)
		return fmt.Sprintf("url: %q, queue: any", u.String())
	}
	limited := b.queue(amqp.Table{"x-max-length": 5})
	missing := b.name()
	for _, c := range []struct{ keys, want string }{
		{with(func(u *amqp.URI) { u.Password = "s3cret" }), "check user and password"},
		{with(func(u *amqp.URI) { u.Vhost = "telluride-missing" }), "create the vhost"},
		{"queue: " + missing, "add declare"},
		{"declare: passive, queue: " + missing, "add declare"},
		{"declare: {max_length: 6}, queue: " + limited, "x-max-length"},
		{"bind: [{exchange: amq.direct, type: topic}], queue: " + limited, "in another form"},
		{fmt.Sprintf("bind: [{exchange: %s, declare: false}], queue: %s", missing, limited), "no exchange"},
		{"declare: {exclusive: true}, queue: amq.reserved", "ACCESS_REFUSED"},
		{"tls: {ca: missing.pem}, queue: any, url: \"amqps://localhost:5671\"", "missing.pem"},
	} {
		s := b.source(c.keys)
		err := s.Open(t.Context(), nil)
		switch {
		case err == nil || stage.IsTransient(err) || !strings.Contains(err.Error(), c.want):
			t.Errorf("%s: got %v, want %q", c.keys, err, c.want)
		case strings.Contains(err.Error()+s.log.String(), "s3cret"):
			t.Errorf("the password is told: %v", err)
		}
	}
}

func TestWhatWaitingMayCureIsTransient(t *testing.T) {
	b := realBroker(t)
	queue := b.queue(nil)
	first := b.source("exclusive: true, queue: " + queue).open(nil)
	second := b.source("exclusive: true, queue: " + queue)
	if err := second.Open(t.Context(), nil); !stage.IsTransient(err) {
		t.Errorf("got %v", err)
	}
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	second.open(nil)

	away := b.source(`url: "amqp://user:s3cret@127.0.0.1:1/", queue: any`)
	if err := away.Open(t.Context(), nil); !stage.IsTransient(err) || strings.Contains(err.Error(), "s3cret") || !strings.Contains(err.Error(), "amqp://127.0.0.1:1/") {
		t.Errorf("got %v", err)
	}
	p, url := b.proxied()
	p.stall(true)
	mute := b.source(fmt.Sprintf("url: %q, connect_timeout: 200ms, queue: %s", url, queue))
	if err := mute.Open(t.Context(), nil); !stage.IsTransient(err) || !strings.Contains(err.Error(), "no answer within 200ms") {
		t.Errorf("got %v", err)
	}
}

// What a change asks before it touches the version that runs.
func TestAProbeTellsWhatOpenWouldAndTouchesNothing(t *testing.T) {
	b := realBroker(t)
	queue, missing := b.queue(nil), b.name()
	b.publish(queue, 3)
	for _, c := range []struct {
		keys, want string
		waits      bool
	}{
		{"queue: " + queue, "", false},
		{"exclusive: true, queue: " + queue, "", false},
		{"declare: {durable: true}, queue: " + missing, "", false},
		{"queue: " + missing, "add declare", false},
		{`url: "amqp://127.0.0.1:1/", queue: any`, "refused", true},
	} {
		err := b.source(c.keys).Probe(t.Context())
		switch {
		case c.want == "" && err != nil, c.want != "" && err == nil:
			t.Errorf("%s: got %v, want %q", c.keys, err, c.want)
		case err != nil && (stage.IsTransient(err) != c.waits || !strings.Contains(err.Error(), c.want)):
			t.Errorf("%s: got %v, want %q", c.keys, err, c.want)
		}
	}
	for _, d := range b.drained(queue) {
		if d.Redelivered {
			t.Error("a message was taken")
		}
	}
	if _, err := b.channel().QueueDeclarePassive(missing, true, false, false, false, nil); err == nil {
		t.Error("a queue was made")
	}
}

func TestTheNextNodeIsTriedAfterALoss(t *testing.T) {
	b := realBroker(t)
	queue := b.queue(nil)
	one, first := b.proxied()
	two, second := b.proxied()
	s := b.source(fmt.Sprintf(`urls: ["amqp://127.0.0.1:1", %q, %q], queue: %s`, first, second, queue)).open(nil)
	at := func(url string) {
		t.Helper()
		if have := s.session.link.address; have != show(url) {
			t.Errorf("connected to %s, want %s", have, show(url))
		}
	}
	at(first)
	one.cut()
	s.failure()
	s.failure() // whoever asks again sees the same loss
	s.open(nil)
	at(second)
	two.cut()
	s.failure()
	s.open(nil) // past the node that is away
	at(first)
}

func TestBindMakesExchangesAndDeadLettersHaveAQueue(t *testing.T) {
	b := realBroker(t)
	queue, exchange, dead := b.name(), b.name(), b.name()
	s := b.source(fmt.Sprintf(`queue: %s, bind: [{exchange: %s, routing_key: in}], declare: {message_ttl: 1h, max_length: 9, arguments: {x-max-priority: 5}, dead_letter: {exchange: %s, routing_key: out, queue: %s}}`, queue, exchange, exchange, dead)).open(nil)
	if err := b.ch.Publish(exchange, "in", true, false, amqp.Publishing{Body: []byte("x")}); err != nil {
		t.Fatal(err)
	}
	s.read(1)
	s.settle(1, 1)
	eventually(t, "a dead letter", func() bool { return b.ready(dead) == 1 })
	// Exactly what was declared: the same again is no error.
	_, err := b.channel().QueueDeclare(queue, true, false, false, false, amqp.Table{
		"x-message-ttl": int64(3600000), "x-max-length": int64(9), "x-max-priority": int64(5), "x-dead-letter-exchange": exchange, "x-dead-letter-routing-key": "out",
	})
	if err != nil {
		t.Error(err)
	}
}

func TestAMissingDeadLetterExchangeIsWarnedOf(t *testing.T) {
	b := realBroker(t)
	s := b.source(fmt.Sprintf(`queue: %s, declare: {dead_letter: {exchange: %s}}`, b.name(), b.name())).open(nil)
	if s.log.count("dead-letter exchange of the queue is not there") != 1 {
		t.Errorf("logged %s", s.log)
	}
}

func TestAStreamGoesOnExactlyBehindItsPosition(t *testing.T) {
	b := realBroker(t)
	stream := b.queue(amqp.Table{"x-queue-type": "stream"})
	b.publish(stream, 200)
	s := b.source("prefetch: 20, offset: first, queue: " + stream).open(nil)
	var all []got
	for len(all) < 150 { // the broker sends in chunks, and no more without an ack
		in, err := s.Read(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, s.unpack(in)...)
		s.settle(s.last, s.last)
	}
	n := len(all)
	if have := all[n-1].lookup("offset"); have != fmt.Sprint(n-1) {
		t.Errorf("offset %s, want %d", have, n-1)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s.open(all[n-1].position)
	var rest []got
	for len(rest) < 200-n {
		in, err := s.Read(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		rest = append(rest, s.unpack(in)...)
		s.settle(s.last)
	}
	if n < 200 && (rest[0].body != fmt.Sprintf(`{"n":%d}`, n+1) || rest[len(rest)-1].body != `{"n":200}`) {
		t.Errorf("went on at %s, to %s", rest[0].body, rest[len(rest)-1].body)
	}
	s.Close()
	if got := b.source("offset: 195, queue: " + stream).open(nil).read(5); got[0].body != `{"n":196}` {
		t.Errorf("offset 195 is %s", got[0].body)
	}
	b.source("offset: next, queue: " + stream).open(nil).nothing()
	// Without an offset there is no position, and records would be lost.
	unknown := b.source("queue: " + stream).open(nil)
	b.publish(stream, 1)
	if err := unknown.failure(); stage.IsTransient(err) || !strings.Contains(err.Error(), "add offset: first") {
		t.Errorf("got %v", err)
	}
	plain := b.queue(nil)
	if err := b.source("offset: first, queue: "+plain).Open(t.Context(), nil); err == nil || stage.IsTransient(err) || !strings.Contains(err.Error(), "remove offset") {
		t.Errorf("got %v", err)
	}
}

func TestAStoppedSourceRaisesNoDeliveryCount(t *testing.T) {
	b := realBroker(t)
	queue := b.queue(amqp.Table{"x-queue-type": "quorum"})
	b.publish(queue, 30)
	s := b.source("prefetch: 20, queue: " + queue)
	s.rt.MaxBatch = 7
	s.open(nil)
	in, err := s.Read(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	s.unpack(in)
	if err := s.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	for {
		in, err := s.Read(t.Context())
		if errors.Is(err, stage.ErrStopped) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		s.unpack(in)
	}
	s.settle(s.last)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if s.last < 8 {
		t.Errorf("only %d messages were read", s.last)
	}
	rest := int(30 - s.last)
	again := b.source("queue: " + queue).open(nil)
	for _, g := range again.read(rest) {
		if g.redelivered || g.lookup("delivery_count") != "null" {
			t.Errorf("%s: delivery count %s", g.body, g.lookup("delivery_count"))
		}
	}
	again.nothing()
}

func TestReturnedMessagesAreCounted(t *testing.T) {
	b := realBroker(t)
	queue := b.queue(amqp.Table{"x-queue-type": "quorum"})
	b.publish(queue, 1)
	s := b.source("queue: " + queue)
	var counts []string
	for range 3 {
		counts = append(counts, s.open(nil).read(1)[0].lookup("delivery_count"))
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if !reflect.DeepEqual(counts, []string{"null", "1", "2"}) {
		t.Errorf("delivery counts %v", counts)
	}
}
