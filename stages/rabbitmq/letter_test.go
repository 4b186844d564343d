package rabbitmq

import (
	"context"
	"reflect"
	"strings"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/telluride-stream/telluride/engine/deadletter"
	"github.com/telluride-stream/telluride/engine/record"
)

// everyType has a header of each type that the client reads.
func everyType() amqp.Table {
	return amqp.Table{
		"nothing": nil, "yes": true, "text": "ä", "torn": "\xff", "int8": int8(-1), "byte": byte(200), "int16": int16(-300), "uint16": uint16(60000),
		"int32": int32(-70000), "uint32": uint32(4e9), "int64": int64(1) << 60, "float32": float32(1.5), "float64": 0.1, "whole": 2.0,
		"bytes": []byte("abc"), "binary": []byte{0xff, 0}, "time": time.Unix(1_700_000_000, 0).UTC(), "decimal": amqp.Decimal{Scale: 2, Value: 1234},
		"a/b~c": amqp.Table{"deep": int32(7), "list": []any{int32(1), "x", amqp.Table{"y": byte(3)}}},
	}
}

func TestWhatCameWithAMessageReadsAsItWasWritten(t *testing.T) {
	d := amqp.Delivery{
		Exchange: "x", RoutingKey: "k", MessageId: "7", ContentType: "a/b", CorrelationId: "c", ReplyTo: "r", Expiration: "1000", Type: "t",
		AppId: "app", ContentEncoding: "gzip", UserId: "guest", Priority: 3, Timestamp: time.Unix(1_700_000_000, 0).UTC(), Headers: everyType(),
	}
	e := envelopes{seq: 5, consumer: &consumer{queue: "q", tag: "tag"}}
	e.add(&d)
	text := e.AppendMeta(nil, 5)
	s, got, err := readMeta(text)
	if err != nil {
		t.Fatal(err)
	}
	if want := e.list[0]; s.Queue != "q" || !reflect.DeepEqual(*got, want) {
		t.Errorf("%s\nwas written of %+v %+v\nand reads as %+v %+v", text, want, want.rest, got, got.rest)
	}
	// Expressions see no difference.
	saved := record.SavedMeta(text)
	for _, key := range metaKeys() {
		name, _ := strings.CutSuffix(key.Name, ".*")
		path := record.Path{{Key: name}}
		if name == "headers" {
			path = append(path, record.Step{Key: "int32"})
		}
		a, b := e.Lookup(path, 5), saved.Lookup(path, 0)
		if a.Kind() != b.Kind() || a.Text() != b.Text() {
			t.Errorf("meta.%s is %v of the message and %v of what was written", name, a.Text(), b.Text())
		}
	}
}

// sealed is a dead letter of a message that came from queue q.
func sealed(contentType string, headers amqp.Table) record.Record {
	e := &envelopes{seq: 1, consumer: &consumer{queue: "q"}}
	e.add(&amqp.Delivery{Exchange: "x", RoutingKey: "k", MessageId: "m1", ContentType: contentType, CorrelationId: "c", Expiration: "1", Headers: headers})
	r := record.Record{Payload: []byte(`{"n":1}`), Meta: e, Origin: record.Origin{Seq: 1}}
	l := deadletter.Letter{
		ID: "0123", Time: time.Unix(1_700_000_000, 5).UTC(), Flow: "f", Version: "v", Stage: "s", Reason: "too hot", Attempts: 2, Source: "rabbitmq",
		Line: -1, Offset: -1, Meta: e.AppendMeta(nil, 1), Payload: r.Payload,
	}
	return record.Record{Payload: l.AppendJSON(nil), Meta: &deadletter.Sealed{Letter: l, Original: r}}
}

func TestADeadLetterInAQueueIsTheMessageItself(t *testing.T) {
	b := realBroker(t)
	q := b.queue(nil)
	s := b.sink("queue: " + q).open()
	headers := everyType()
	headers["x-death"] = []any{}
	headers["telluride-attempts"] = int64(1)
	if _, err := s.Write(context.Background(), []record.Record{sealed("application/json", headers)}); err != nil {
		t.Fatal(err)
	}
	s.flush()
	all := b.drained(q)
	if len(all) != 1 {
		t.Fatalf("%d messages", len(all))
	}
	d := all[0]
	if string(d.Body) != `{"n":1}` || d.MessageId != "0123" || d.CorrelationId != "c" || d.Expiration != "" || d.ContentType != "application/json" {
		t.Errorf("message %+v", d)
	}
	l := readLetter(q, &d)
	want := sealed("application/json", nil).Meta.(*deadletter.Sealed).Letter
	_, came, err := readMeta(l.Meta)
	if err != nil || came.exchange != "x" || came.key != "k" || came.id != "m1" || came.headers["int32"] != int32(-70000) {
		t.Errorf("came with %+v (%v)", came, err)
	}
	if _, brokers := came.headers["x-death"]; brokers {
		t.Error("the broker's header went on")
	}
	l.Meta, want.Meta = nil, nil
	if !reflect.DeepEqual(*l, want) {
		t.Errorf("%+v became %+v", want, *l)
	}
}

func TestADeadLetterWithoutAContentTypeGetsNone(t *testing.T) {
	b := realBroker(t)
	q := b.queue(nil)
	s := b.sink("queue: " + q).open()
	if _, err := s.Write(context.Background(), []record.Record{sealed("", nil)}); err != nil {
		t.Fatal(err)
	}
	s.flush()
	if all := b.drained(q); len(all) != 1 || all[0].ContentType != "" {
		t.Errorf("%+v", all)
	}
}

func TestHeadersThatAreTooLargeAreLeftOutOfADeadLetter(t *testing.T) {
	b := realBroker(t)
	q := b.queue(nil)
	s := b.sink("queue: " + q).open()
	r := sealed("application/json", amqp.Table{"large": strings.Repeat("x", maxHeaders-100)})
	r.Meta.(*deadletter.Sealed).Letter.Reason = strings.Repeat("ä", maxReason)
	if _, err := s.Write(context.Background(), []record.Record{r}); err != nil {
		t.Fatal(err)
	}
	s.flush()
	all := b.drained(q)
	if len(all) != 1 || string(all[0].Body) != `{"n":1}` || len(all[0].Headers[deadletter.HeaderReason].(string)) > maxReason+3 {
		t.Errorf("messages %+v", all)
	}
}

func TestWhatTheBrokerPutAsideReadsAsALetter(t *testing.T) {
	b := realBroker(t)
	dead := b.queue(nil)
	q := b.queue(amqp.Table{"x-dead-letter-exchange": "", "x-dead-letter-routing-key": dead})
	b.publish(q, 1)
	d, _, err := b.ch.Get(q, false)
	if err != nil {
		t.Fatal(err)
	}
	if err := d.Reject(false); err != nil {
		t.Fatal(err)
	}
	var all []amqp.Delivery
	for all = b.drained(dead); len(all) == 0; all = b.drained(dead) {
	}
	l := readLetter(dead, &all[0])
	_, came, err := readMeta(l.Meta)
	if err != nil || came.key != q || came.id != "m1" {
		t.Errorf("came with %+v, %v", came, err)
	}
	if l.Attempts != 1 || string(l.Payload) != `{"n":1}` || !strings.HasPrefix(l.Reason, "rejected from queue "+q) || l.Time.IsZero() || l.ID == "" {
		t.Errorf("letter %+v", l)
	}
}
