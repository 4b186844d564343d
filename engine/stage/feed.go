package stage

import "context"

// Feed brings messages that ask for a change of the flow: a config queue, for
// instance.
type Feed interface {
	// Run brings messages, in their order, until ctx is done, and returns then.
	// A connection that is lost it makes again by itself, with back-off and
	// one line in the log for every change of its state; an error means that
	// nothing will ever come. deliver may block, and is called by one
	// goroutine at a time. A message that was not answered when Run returns
	// goes back to where it came from.
	Run(ctx context.Context, deliver func(Message)) error
}

// Message asks for a change.
type Message struct {
	// ID is the id that its sender gave it; a redelivered message has the one
	// that it had before. "" makes it a new change each time.
	ID string
	// Body may be cut off behind one byte more than [MaxMessage].
	Body        []byte
	ContentType string
	// Answer sends the receipt to where the sender asked for it, and then takes
	// the message away: for good when it was accepted, else to where rejected
	// messages go. It is called once at most, from any goroutine. An error
	// means that the message will come again.
	Answer func(receipt []byte, accepted bool) error
	// Follow sends what became in the end of a change that was answered as
	// pending to where the first receipt went. It is called behind Answer, once
	// at most; nil: there is no such place.
	Follow func(receipt []byte)
}

// MaxMessage is the size that a message may have, in bytes.
const MaxMessage = 1 << 20

// FeedSpec is a checked feed: what a plan knows of it.
type FeedSpec struct {
	// New makes the feed. It opens nothing.
	New func(Runtime) Feed
	// Text names where messages come from, for people: a queue.
	Text string
}
