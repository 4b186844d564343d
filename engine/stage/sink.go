package stage

import (
	"context"
	"errors"

	"github.com/telluride-stream/telluride/engine/record"
)

// Sink writes records to the outside. One goroutine calls it at a time.
type Sink interface {
	Open(ctx context.Context) error

	// Write takes records in order and returns how many it took. It keeps no
	// memory of theirs. With n < len(records) the error is about records[n]:
	// one that [IsPermanent] calls so makes a dead letter of that record, and
	// the engine goes on behind it; any other is retried from records[n] on,
	// with back-off, until the sink's deadline.
	Write(ctx context.Context, records []record.Record) (n int, err error)

	// Flush calls done, once and from any goroutine, when everything that
	// Write took is durable. Calls of Flush may overlap, and are done in
	// order. An error means that it is not known to be durable: the engine
	// flushes again, with back-off, unless the error is permanent. What a
	// sink needs to send again it keeps itself.
	Flush(done func(error))

	Close() error
}

// Undeliverer is a sink that may learn only behind Write that a record cannot
// be delivered: a broker takes a message first, and then finds no queue for it.
type Undeliverer interface {
	// Undeliverable hands over the records that were given up since the last
	// call. The engine calls it behind every Flush that is done, from the
	// goroutine of done or a later one, and makes dead letters of them before
	// it counts as durable what was flushed: to the sink they are done with.
	// The records are the caller's.
	Undeliverable() []Undelivered
}

// Weigher is a sink that knows how many bytes it was given.
type Weigher interface {
	// Written is how many bytes the records of all Writes had, as they are
	// written, since the sink was made. The goroutine of Write calls it.
	Written() uint64
}

// Undelivered is a record that a sink has given up, and why. It has memory of
// its own. Its Payload is the message as it was sent; Fields are empty.
type Undelivered struct {
	Record record.Record
	Reason string
}

// SinkSpec is a checked sink: what a plan knows of it.
type SinkSpec struct {
	// New makes the sink. It opens nothing.
	New func(Runtime) Sink
	// Text names where it writes, for people: a path, an exchange.
	Text string
	// Messaging is what is published to; nil: records do not become messages.
	Messaging *Messaging
	// Terminal says that it writes to standard output.
	Terminal bool
	// Letters opens what was written, when it is dead letters; nil: they cannot
	// be read back.
	Letters Letters
	// Lazy says that Open is called only before the first Write.
	Lazy bool
}

// transient, permanent and closed mark errors. An error without mark is
// transient for a sink and final for a source.
type (
	transient struct{ error }
	permanent struct{ error }
	closed    struct{ error }
)

func (e transient) Unwrap() error { return e.error }
func (e permanent) Unwrap() error { return e.error }
func (e closed) Unwrap() error    { return e.error }

// Transient marks an error that waiting may cure.
func Transient(err error) error { return transient{err} }

// Permanent marks an error that no retry will cure.
func Permanent(err error) error { return permanent{err} }

// Closed marks the error of a sink whose reader has gone, as `| head` does:
// nobody wants the rest, so the flow ends, quietly and without dead letters.
// Such an error is permanent as well.
func Closed(err error) error { return closed{permanent{err}} }

func IsClosed(err error) bool {
	var c closed
	return errors.As(err, &c)
}

func IsTransient(err error) bool {
	var t transient
	return errors.As(err, &t)
}

func IsPermanent(err error) bool {
	var p permanent
	return errors.As(err, &p)
}
