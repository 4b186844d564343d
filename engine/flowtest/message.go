package flowtest

import (
	"time"

	"github.com/telluride-stream/telluride/engine/record"
)

// Message is one message that a source is fed.
type Message struct {
	// Payload is the message as it comes, JSON or not.
	Payload []byte
	// Meta is a JSON object of what the source knows besides: meta.* in
	// expressions. nil: nothing. Of a queue, its message_id is the id by which
	// a message that is delivered again is known.
	Meta []byte
}

// message is a message in a source's hands.
type message struct {
	Message
	number int           // among all messages of the script
	at     time.Duration // when it was fed
	sent   int           // how often it was delivered

	settled  bool // acknowledged or rejected
	rejected bool
}

// id is the id that the sender gave it.
func (m *message) id() string {
	if m.Meta == nil {
		return ""
	}
	return record.ProjectValue(string(m.Meta), record.Path{{Key: "message_id"}}).Text()
}

// given is the Meta of a record: what the test says of it.
type given string

var _ record.Meta = given("")

func (g given) Lookup(path record.Path, _ uint64) record.Value {
	return record.ProjectValue(string(g), path)
}
