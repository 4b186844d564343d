package rabbitmq

import (
	"strings"
	"testing"

	amqp "github.com/rabbitmq/amqp091-go"
)

// TestAnIDExpressionNamesWhatIsDeliveredAgain reads messages without a
// message_id twice: what the expression says of each is the same again, and
// the second time they are marked.
func TestAnIDExpressionNamesWhatIsDeliveredAgain(t *testing.T) {
	b := realBroker(t)
	queue := b.queue(nil)
	long := strings.Repeat("x", 300)
	for _, p := range []amqp.Publishing{
		{Body: []byte(`{"event":{"id":7},"n":1}`)},
		{Body: []byte(`{"event":{"id":"a"}}`), MessageId: "another"},
		{Body: []byte(`{}`), Headers: amqp.Table{"uuid": "h1"}},
		{Body: []byte(`{"event":{"id":null}}`)},
		{Body: []byte(`no JSON`)},
		{Body: []byte(`{"event":{"id":"` + long + `"}}`)},
	} {
		if err := b.ch.Publish("", queue, true, false, p); err != nil {
			t.Fatal(err)
		}
	}
	s := b.source(`queue: ` + queue + `, id: "event.id ?? meta.headers.uuid"`).open(nil)
	for round := range 2 {
		all := s.read(6)
		for i, want := range []string{"7", "a", "h1", "", ""} {
			if all[i].id != want {
				t.Errorf("the id of %s is %q, want %q", all[i].body, all[i].id, want)
			}
		}
		if id := all[5].id; len(id) != 64 || strings.Contains(id, "x") {
			t.Errorf("the id of a message with a long one is %q, want a hash", id)
		}
		for _, g := range all {
			if g.redelivered != (round == 1) {
				t.Errorf("round %d: %s is marked as redelivered: %v", round, g.body, g.redelivered)
			}
		}
		s.Close()
		s.open(nil)
	}
}

func TestAPositionOfAnotherStreamIsNotTaken(t *testing.T) {
	b := realBroker(t)
	stream := b.queue(amqp.Table{"x-queue-type": "stream"})
	b.publish(stream, 10)
	for name, c := range map[string]struct {
		position []byte
		first    string
	}{
		"its own":          {appendPosition(nil, 4, stream), `{"n":6}`},
		"without a name":   {appendPosition(nil, 4, ""), `{"n":6}`},
		"another stream's": {appendPosition(nil, 4, "elsewhere"), `{"n":1}`},
	} {
		s := b.source("offset: first, queue: " + stream).open(c.position)
		in, err := s.Read(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if have := s.unpack(in)[0].body; have != c.first {
			t.Errorf("behind a position that is %s, the first record is %s, want %s", name, have, c.first)
		}
		if told := strings.Contains(s.log.String(), "another stream"); told != (name == "another stream's") {
			t.Errorf("a position that is %s: logged %s", name, s.log)
		}
		s.Close()
	}
	s := b.source("offset: first, queue: " + stream)
	if err := s.Open(t.Context(), []byte("short")); err == nil || !strings.Contains(err.Error(), "not one of a stream") {
		t.Errorf("a position that is none: %v", err)
	}
}
