package rabbitmq

import (
	"errors"
	"strings"
	"testing"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/telluride-stream/telluride/engine/deadletter"
	"github.com/telluride-stream/telluride/engine/record"
	"github.com/telluride-stream/telluride/engine/stage"
)

// letters opens a queue as a store.
func (b *broker) letters(queue string) deadletter.Store {
	b.t.Helper()
	open, err := QueueLetters(b.url, queue)
	if err != nil {
		b.t.Fatal(err)
	}
	rt, _ := runtimeOf("dead")
	s, err := open(b.t.Context(), rt)
	if err != nil {
		b.t.Fatal(err)
	}
	return s
}

func (b *broker) replay(open stage.Replay, origin bool, s deadletter.Store, f deadletter.Filter) (deadletter.Result, error) {
	b.t.Helper()
	rt, _ := runtimeOf("dead")
	to, err := open(b.t.Context(), rt, origin)
	if err != nil {
		b.t.Fatal(err)
	}
	r, err := deadletter.Replay(b.t.Context(), s, to, f, 0)
	if closing := errors.Join(s.Close(), to.Close()); closing != nil {
		b.t.Fatal(closing)
	}
	return r, err
}

// dead puts n dead letters into a new queue, of messages m1, m2, … that were
// published to an exchange.
func (b *broker) dead(n int, exchange string) (queue string) {
	b.t.Helper()
	queue = b.queue(nil)
	s := b.sink("queue: " + queue).open()
	for i := range n {
		r := sealed("application/json", amqp.Table{"tenant": "acme", "n": int32(i)})
		sealedAs := r.Meta.(*deadletter.Sealed)
		e := sealedAs.Original.Meta.(*envelopes)
		e.list[0].exchange, e.list[0].key = exchange, "in"
		sealedAs.Letter.ID = strings.Repeat("0", 10) + string(rune('a'+i))
		sealedAs.Letter.Meta = e.AppendMeta(nil, 1)
		s.writeAll([]record.Record{r})
	}
	s.mustFlush()
	return queue
}

func TestLookingIntoAQueueLeavesItsLettersThere(t *testing.T) {
	b := realBroker(t)
	q := b.dead(5, "")
	for range 2 {
		s := b.letters(q)
		n := 0
		left, err := deadletter.Select(t.Context(), s, deadletter.Filter{Limit: 3}, func(l *deadletter.Letter) error {
			n++
			return nil
		})
		if err := errors.Join(err, s.Close()); err != nil || n != 3 || left.Unread {
			t.Fatalf("%d letters, %+v, %v", n, left, err)
		}
	}
	if all := b.drained(q); len(all) != 5 {
		t.Errorf("%d letters are left", len(all))
	}
}

func TestAReplayedLetterComesBackAsItWas(t *testing.T) {
	b := realBroker(t)
	x := b.exchange("direct")
	first, in := b.queue(nil), b.queue(nil)
	b.bind(first, "in", x)
	q := b.dead(3, x)
	toQueue, err := QueueReplay(b.url, in)
	if err != nil {
		t.Fatal(err)
	}
	r, err := b.replay(toQueue, false, b.letters(q), deadletter.Filter{Limit: 2})
	if err != nil || r.Done != 2 {
		t.Fatalf("%+v, %v", r, err)
	}
	all := b.drained(in)
	if len(all) != 2 || string(all[0].Body) != `{"n":1}` || all[0].MessageId != "0000000000a" || all[0].CorrelationId != "c" {
		t.Fatalf("messages %+v", all)
	}
	for name, want := range map[string]any{
		"tenant": "acme", "n": int32(0), deadletter.HeaderReplayed: "0000000000a", deadletter.HeaderAttempts: int64(2), deadletter.HeaderMessageID: "m1",
		deadletter.HeaderExchange: x, deadletter.HeaderRoutingKey: "in", deadletter.HeaderReason: nil,
	} {
		if got := all[0].Headers[name]; got != want {
			t.Errorf("header %s is %#v, want %#v", name, got, want)
		}
	}
	// The third goes where it was sent first; when it dies again, it knows.
	if r, err = b.replay(toQueue, true, b.letters(q), deadletter.Filter{}); err != nil || r.Done != 1 {
		t.Fatalf("%+v, %v", r, err)
	}
	if all = b.drained(first); len(all) != 1 || all[0].MessageId != "0000000000c" {
		t.Fatalf("messages %+v", all)
	}
	if again := firstCame(&envelope{id: all[0].MessageId, key: first, headers: all[0].Headers}); again.id != "m1" || again.exchange != x || again.key != "in" {
		t.Errorf("it first came as %+v", again)
	}
	if left := b.drained(q); len(left) != 0 {
		t.Errorf("%d letters are left", len(left))
	}
}

func TestALetterThatNobodyTakesStays(t *testing.T) {
	b := realBroker(t)
	x := b.exchange("direct") // nothing is bound
	q := b.dead(2, x)
	toQueue, err := QueueReplay(b.url, "")
	if err != nil {
		t.Fatal(err)
	}
	r, err := b.replay(toQueue, true, b.letters(q), deadletter.Filter{})
	if err == nil || !strings.Contains(err.Error(), `has no queue for routing key "in"`) || r.Done != 0 {
		t.Errorf("%+v, %v", r, err)
	}
	if left := b.drained(q); len(left) != 2 {
		t.Errorf("%d letters are left", len(left))
	}
}

func TestDroppedLettersAreGone(t *testing.T) {
	b := realBroker(t)
	q := b.dead(3, "")
	s := b.letters(q)
	r, err := deadletter.Drop(t.Context(), s, deadletter.Filter{IDs: []string{"0000000000b"}})
	if err := errors.Join(err, s.Close()); err != nil || r.Done != 1 {
		t.Fatalf("%+v, %v", r, err)
	}
	if left := b.drained(q); len(left) != 2 {
		t.Errorf("%d letters are left", len(left))
	}
}

func TestAQueueThatIsMissingIsNamed(t *testing.T) {
	b := realBroker(t)
	s := b.letters(b.name())
	_, err := s.Read(t.Context(), func(*deadletter.Letter) (bool, error) { return true, nil })
	if err == nil || !strings.Contains(err.Error(), "queue \"") {
		t.Errorf("error %v", err)
	}
	_ = s.Close() // the channel is gone with the error
}
