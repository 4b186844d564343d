package rabbitmq

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/telluride-stream/telluride/engine/conf"
	"github.com/telluride-stream/telluride/engine/diag"
	"github.com/telluride-stream/telluride/engine/record"
	"github.com/telluride-stream/telluride/engine/stage"
)

// testFeed is a config queue under test, which runs until the test ends.
type testFeed struct {
	t    *testing.T
	log  *logged
	stop func()

	mu  sync.Mutex
	all []stage.Message
}

// builtFeed decodes and builds a config queue, and returns what is wrong with it.
func builtFeed(yaml string) (spec stage.FeedSpec, problems string) {
	list := new(diag.List)
	node := conf.Parse("f.yaml", []byte(yaml), conf.Limits{}, list)
	f := conf.NewFields(&conf.Scope{File: "f.yaml", Source: []byte(yaml), Diags: list}, node, "")
	k := ConfigQueue()
	c := k.Decode(f)
	if f.Finish() {
		spec = k.Feed(c, &stage.Builder{Flow: "test", Name: "config_queue", Diags: list, Layout: record.NewLayout()})
	}
	for _, d := range *list {
		problems += d.String() + "\n"
	}
	return spec, problems
}

func (b *broker) feed(keys string) *testFeed {
	b.t.Helper()
	if !strings.Contains(keys, "url") {
		keys = fmt.Sprintf("url: %q, %s", b.url, keys)
	}
	spec, problems := builtFeed("rabbitmq: {" + keys + "}")
	if problems != "" {
		b.t.Fatal(problems)
	}
	rt, log := runtimeOf("config_queue")
	f := &testFeed{t: b.t, log: log}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	feed := spec.New(rt)
	go func() {
		defer close(ended)
		if err := feed.Run(ctx, f.take); err != nil {
			b.t.Error(err)
		}
	}()
	f.stop = func() {
		cancel()
		select {
		case <-ended:
		case <-time.After(patience):
			b.t.Error("the feed does not end")
		}
	}
	b.t.Cleanup(f.stop)
	return f
}

func (f *testFeed) take(m stage.Message) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.all = append(f.all, m)
}

// messages waits for n messages, and forgets them.
func (f *testFeed) messages(n int) []stage.Message {
	f.t.Helper()
	var all []stage.Message
	eventually(f.t, fmt.Sprintf("%d messages", n), func() bool {
		f.mu.Lock()
		defer f.mu.Unlock()
		if len(f.all) < n {
			return false
		}
		all, f.all = f.all, nil
		return true
	})
	if len(all) != n {
		f.t.Fatalf("%d messages, want %d", len(all), n)
	}
	return all
}

func (b *broker) post(queue string, p amqp.Publishing) {
	b.t.Helper()
	if err := b.ch.PublishWithContext(b.t.Context(), "", queue, true, false, p); err != nil {
		b.t.Fatal(err)
	}
}

// one waits for a message in a queue and takes it.
func (b *broker) one(queue string) (d amqp.Delivery) {
	b.t.Helper()
	eventually(b.t, "a message in "+queue, func() bool {
		got, ok, err := b.ch.Get(queue, true)
		if err != nil {
			b.t.Fatal(err)
		}
		d = got
		return ok
	})
	return d
}

func TestAConfigQueueAnswersAndSettles(t *testing.T) {
	b := realBroker(t)
	queue, dead, replies, receipts := b.name(), b.name(), b.queue(nil), b.queue(nil)
	exchange := b.exchange("topic")
	b.bind(receipts, "flows.test", exchange)
	f := b.feed(fmt.Sprintf(`queue: %s, declare: {dead_letter: {exchange: "", routing_key: %s, queue: %s}}, receipts: {exchange: %s, routing_key: flows.test}`, queue, dead, dead, exchange))
	eventually(t, "connected", func() bool { return f.log.count("msg=connected") == 1 })

	b.post(queue, amqp.Publishing{Body: []byte("one"), MessageId: "m1", ContentType: "application/json", ReplyTo: replies, CorrelationId: "c1"})
	b.post(queue, amqp.Publishing{Body: []byte("two"), MessageId: "m2", ReplyTo: replies})
	b.post(queue, amqp.Publishing{Body: []byte("three"), ReplyTo: "nobody"})
	all := f.messages(3)
	if m := all[0]; m.ID != "m1" || string(m.Body) != "one" || m.ContentType != "application/json" {
		t.Errorf("%+v", m)
	}
	if all[2].ID != "" {
		t.Errorf("a message without id has %q", all[2].ID)
	}
	for i, m := range all {
		if err := m.Answer(fmt.Appendf(nil, `{"n":%d}`, i), i != 1); err != nil {
			t.Fatal(err)
		}
	}
	for i, correlation := range []string{"c1", "m2"} {
		if d := b.one(replies); d.CorrelationId != correlation || string(d.Body) != fmt.Sprintf(`{"n":%d}`, i) || d.ContentType != "application/json" {
			t.Errorf("reply %+v", d)
		}
	}
	for i, correlation := range []string{"c1", "m2", ""} {
		d := b.one(receipts)
		if d.CorrelationId != correlation || string(d.Body) != fmt.Sprintf(`{"n":%d}`, i) || d.DeliveryMode != amqp.Persistent || d.Type != "telluride.receipt" {
			t.Errorf("receipt %+v", d)
		}
	}
	if d := b.one(dead); string(d.Body) != "two" || d.MessageId != "m2" {
		t.Errorf("dead letter %+v", d)
	}
	all[0].Follow([]byte(`{"n":"last"}`))
	for _, to := range []string{replies, receipts} {
		if d := b.one(to); d.CorrelationId != "c1" || string(d.Body) != `{"n":"last"}` {
			t.Errorf("in the end %s has %+v", to, d)
		}
	}
	f.stop()
	if n := b.ready(queue); n != 0 {
		t.Errorf("%d messages came back", n)
	}
	if n := f.log.count("level=WARN"); n != 0 {
		t.Errorf("%s", f.log)
	}
}

func TestAConfigQueueGivesBackWhatIsNotAnswered(t *testing.T) {
	b := realBroker(t)
	queue := b.queue(nil)
	f := b.feed("queue: " + queue + ", prefetch: 2")
	for i := range 5 {
		b.post(queue, amqp.Publishing{Body: fmt.Appendf(nil, "%d", i), MessageId: fmt.Sprintf("m%d", i)})
	}
	held := f.messages(2)
	if err := held[0].Answer(nil, true); err != nil {
		t.Fatal(err)
	}
	f.messages(1)
	f.stop()
	if got := bodies(b.drained(queue)); got != "1 2 3 4" {
		t.Errorf("the queue has %s", got)
	}
	if err := held[1].Answer([]byte("{}"), true); err == nil {
		t.Error("a message that came back was answered")
	}
}

func TestAConfigQueueComesBackWhenItsConnectionWasCut(t *testing.T) {
	b := realBroker(t)
	queue, replies := b.queue(nil), b.queue(nil)
	p, url := b.proxied()
	f := b.feed(fmt.Sprintf("url: %q, queue: %s", url, queue))
	for round := 1; round <= 3; round++ {
		b.post(queue, amqp.Publishing{Body: []byte("x"), MessageId: "m", ReplyTo: replies})
		lost := f.messages(1)[0]
		p.cut()
		again := f.messages(1)[0]
		if again.ID != "m" || string(again.Body) != "x" {
			t.Errorf("%+v came again", again)
		}
		if err := lost.Answer([]byte("{}"), true); err == nil {
			t.Error("a message of a lost connection was answered")
		}
		b.one(replies) // the receipt is sent all the same
		if err := again.Answer([]byte("{}"), true); err != nil {
			t.Fatal(err)
		}
		b.one(replies)
		if n := f.log.count("msg=connected"); n != round+1 {
			t.Errorf("%d times connected after %d cuts:\n%s", n, round, f.log)
		}
	}
	if n := f.log.count("level=WARN"); n != 3 {
		t.Errorf("%d warnings of 3 cuts:\n%s", n, f.log)
	}
	f.stop()
	if n := b.ready(queue); n != 0 {
		t.Errorf("%d messages came back", n)
	}
}

func TestAConfigQueueWaitsForItsQueue(t *testing.T) {
	b := realBroker(t)
	queue := b.name()
	f := b.feed("queue: " + queue)
	eventually(t, "a warning", func() bool { return f.log.count("level=WARN") == 1 })
	time.Sleep(500 * time.Millisecond) // a few attempts
	if n := f.log.count("\n"); n != 1 {
		t.Errorf("%d lines of one thing that is wrong:\n%s", n, f.log)
	}
	declare := func() {
		if _, err := b.ch.QueueDeclare(queue, true, false, false, false, nil); err != nil {
			t.Fatal(err)
		}
	}
	declare()
	b.post(queue, amqp.Publishing{Body: []byte("x")})
	f.messages(1)
	if _, err := b.ch.QueueDelete(queue, false, false, false); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the loss of the queue", func() bool { return strings.Contains(f.log.String(), "has cancelled the consumer") })
	declare()
	b.post(queue, amqp.Publishing{Body: []byte("y")})
	f.messages(1)
}

// A receipt that cannot be sent costs a warning, and nothing else.
func TestAMissingExchangeForReceiptsHoldsUpNothing(t *testing.T) {
	b := realBroker(t)
	queue, exchange, receipts := b.queue(nil), b.name(), b.queue(nil)
	f := b.feed(fmt.Sprintf("queue: %s, receipts: {exchange: %s}", queue, exchange))
	for range 3 {
		b.post(queue, amqp.Publishing{Body: []byte("x")})
		if err := f.messages(1)[0].Answer([]byte("{}"), true); err != nil {
			t.Fatal(err)
		}
	}
	if n := f.log.count("a receipt could not be sent"); n != 1 {
		t.Errorf("%d warnings of one thing that is wrong:\n%s", n, f.log)
	}
	if err := b.ch.ExchangeDeclare(exchange, "direct", true, false, false, false, nil); err != nil {
		t.Fatal(err)
	}
	b.bind(receipts, "test", exchange) // the flow's name
	b.post(queue, amqp.Publishing{Body: []byte("x")})
	if err := f.messages(1)[0].Answer([]byte("{}"), true); err != nil {
		t.Fatal(err)
	}
	b.one(receipts)
	if n := f.log.count("receipts are sent again"); n != 1 {
		t.Errorf("%s", f.log)
	}
}

func TestABodyThatIsTooBigIsCutOff(t *testing.T) {
	b := realBroker(t)
	queue := b.queue(nil)
	f := b.feed("queue: " + queue)
	b.post(queue, amqp.Publishing{Body: []byte(strings.Repeat("x", 10<<20))})
	if m := f.messages(1)[0]; len(m.Body) != stage.MaxMessage+1 || cap(m.Body) > 2*stage.MaxMessage {
		t.Errorf("%d bytes (of %d)", len(m.Body), cap(m.Body))
	}
}

// A broker that does not answer any more keeps nobody from going on.
func TestASilentBrokerHoldsUpNoAnswerForLong(t *testing.T) {
	b := realBroker(t)
	queue := b.queue(nil)
	p, url := b.proxied()
	f := b.feed(fmt.Sprintf("url: %q, queue: %s, receipts: {exchange: amq.direct}", url, queue))
	b.post(queue, amqp.Publishing{Body: []byte("x")})
	m := f.messages(1)[0]
	p.stall(true)
	began := time.Now()
	_ = m.Answer([]byte("{}"), true) // it may get as far as the socket's buffer
	f.stop()
	if took := time.Since(began); took > patience { // three times closeTimeout, and what a busy machine adds
		t.Errorf("it took %v", took)
	}
}

func TestAConfigQueueIsChecked(t *testing.T) {
	for keys, want := range map[string]string{
		"{}":                                  "queue is missing",
		"{queue: q, prefetch: 0}":             "prefetch 0 is below the minimum 1",
		"{queue: q, preftech: 1}":             `unknown key "preftech"; did you mean "prefetch"?`,
		"{queue: q, receipts: {}}":            "receipts: exchange is missing",
		"{queue: q, declare: {type: stream}}": "a stream cannot be a config queue",
		"{queue: q, declare: {}}":             "warning: config_queue: the queue has no dead_letter",
		"{queue: q, declare: {dead_letter: {exchange: e}}}":                                  "",
		"{queue: q, receipts: {exchange: e, routing_key: k}}":                                "",
		"{queue: q, url: amqp://secret:secret@h/, urls: [amqp://h/]}":                        "url and urls",
		"{queue: " + strings.Repeat("q", 300) + "}":                                          "more than 255 bytes",
		"{queue: q, receipts: {exchange: e, routing_key: " + strings.Repeat("q", 300) + "}}": "more than 255 bytes",
	} {
		_, problems := builtFeed("rabbitmq: " + keys)
		if !strings.Contains(problems, want) || want == "" && problems != "" {
			t.Errorf("%s: %s, want %s", keys, problems, want)
		}
		if strings.Contains(problems, "secret") {
			t.Errorf("the problem shows the password: %s", problems)
		}
	}
}
