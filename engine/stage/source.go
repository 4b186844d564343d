package stage

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"os"
	"sync/atomic"
	"time"

	"github.com/telluride-stream/telluride/engine/clock"
	"github.com/telluride-stream/telluride/engine/expr"
	"github.com/telluride-stream/telluride/engine/record"
)

// Source reads records from the outside. The engine calls Open once, then
// Read from one goroutine until it returns an error, and Close at the end.
// Settle may be called while a Read is under way.
type Source interface {
	// Open connects and goes to a position that an earlier Read returned; nil
	// is the beginning. It may be called again after Close.
	Open(ctx context.Context, position []byte) error

	// Read blocks until there are records, and returns what there is rather
	// than wait for more. io.EOF says that the input has ended. An error that
	// [IsTransient] calls so ends the session: the engine starts again from
	// the last commit, after a back-off. Any other error ends the flow.
	Read(ctx context.Context) (Input, error)

	// Settle says that everything up to a sequence number is durable. It is
	// called in order, and once per sequence number at most.
	Settle(ctx context.Context, s Settlement) error

	Close() error
}

// Input is what one Read returns.
type Input struct {
	// Batch holds at least one record or side record; the reader owns it. The
	// source sets Payload (or Fields and Shape), Meta and Origin.Seq of each
	// record; the engine does the rest. What a source cannot make a record of
	// (a row with too many columns, say) is a dead letter in Side, with the
	// raw bytes as payload and a sequence number like any other.
	Batch *record.Batch
	// Position is where reading goes on behind this batch. nil for a source
	// that cannot be positioned, such as a queue.
	Position []byte
	// IDs are the ids that the sender gave the messages of Batch.Records,
	// parallel to them: "" for a message without one, nil when none has one.
	// A redelivered message has the id that it had before.
	IDs []string
	// Redelivered says which of Batch.Records may have been delivered before,
	// in this session or another; parallel to them, nil: none.
	Redelivered []bool
	// Seen and Size are how much input has been read and how much there is,
	// in bytes, for showing progress; Size 0: unknown.
	Seen, Size int64
}

// Stopper is a source that can end its session without giving back what it
// has taken: a queue counts every delivery that comes back.
type Stopper interface {
	// Stop has the source take nothing more. Read then returns what had been
	// delivered by then, and behind that [ErrStopped]. It may be called while
	// a Read is under way, and returns without waiting for what is left.
	Stop(ctx context.Context) error
}

// Prober is a source that can tell beforehand that it cannot be opened. A
// change then leaves alone the version that runs, instead of ending its session
// for nothing.
type Prober interface {
	// Probe connects, takes nothing, and leaves again. It may be called while
	// another source reads the same input. Its error is one that Open has.
	Probe(ctx context.Context) error
}

// ErrStopped is what Read returns behind the last record of a source that was
// stopped. It is not the end of the input.
var ErrStopped = errors.New("the source was stopped")

// Settlement is the fate of the deliveries up to one sequence number, that
// were not part of an earlier Settlement.
type Settlement struct {
	Upto     uint64
	Rejected []uint64 // ascending, all at most Upto; everything else is acknowledged
}

// Propagator says what goes into the headers of a message, so that the trace
// of its record goes on where it is read.
type Propagator interface {
	// Propagate is the message's traceparent and tracestate (W3C Trace Context),
	// "" for none. ctx is that of the Write.
	Propagate(ctx context.Context, r *record.Record) (parent, state string)
}

// SourceSpec is a checked source: what a plan knows of it.
type SourceSpec struct {
	// New makes the source. It opens nothing.
	New func(Runtime) Source
	// Raw says that records come as payload bytes in the flow's format, and
	// are to be decoded. Otherwise they come with Fields and Shape.
	Raw bool
	// Schema is what is known of the fields; nil is an open schema.
	Schema *expr.Schema
	// Prefetch bounds the deliveries that may be unsettled at a time; 0: no bound.
	Prefetch int
	// Patience is for how long a delivery may be unsettled, as far as that is
	// known: the session ends when one is for longer. 0: for ever.
	Patience time.Duration
	// Rejects says that a rejected delivery is kept by the broker, so that
	// no dead letter sink is needed for its records.
	Rejects bool
	// Drops is why a rejected delivery may be lost in spite of Rejects, ""
	// when it is kept for certain; for a warning where the flow has no dead
	// letter sink. DropsAdvice says what to do about it.
	Drops, DropsAdvice string
	// Rejected opens the place where the broker keeps what is rejected; nil
	// when it is not known.
	Rejected Letters
	// Replay opens the way back into the source; nil: there is none.
	Replay Replay
	// Unordered says that records do not come in the order of the input: it
	// is read in several places at a time.
	Unordered bool
	// Sample makes a source that returns copies of records, most of them at
	// most, and takes nothing away from whoever reads them in earnest. Settle
	// has no effect on it, and io.EOF says that there is no more to be had.
	// nil: what New makes takes nothing away either, unless Rejects is set.
	Sample func(rt Runtime, most int) Source
	// Text names what is read, for people: a path, a queue.
	Text string
	// Messaging is what messages are read from; nil: records are no messages.
	// Their meta.headers may then carry traces.
	Messaging *Messaging
}

// Messaging names a place of a messaging system, as traces do.
type Messaging struct {
	System      string // rabbitmq
	Destination string // a queue, an exchange
}

// Runtime is what the engine gives a source or sink when it makes it.
type Runtime struct {
	Flow  string
	Name  string
	Clock clock.Clock
	Log   *slog.Logger
	// MaxBatch is the largest number of records that one Read shall return,
	// or one Write will be given.
	MaxBatch int
	// Singly, while it is true, has one Read return one record at most; nil:
	// it never is. It goes from true to false, not back. See [Runtime.Most].
	Singly *atomic.Bool
	// Resumed says that the flow goes on from a commit, or after an abort: a
	// sink must then keep what it wrote before.
	Resumed bool
	// Reopened says that a source with this very configuration has been open
	// before: what is missing now was there, and may come back.
	Reopened bool
	// Stdin and Stdout are the program's; nil: those of the process.
	Stdin  io.Reader
	Stdout io.Writer
	// Propagator has traces go on in what a sink publishes; nil: there are none.
	Propagator Propagator
	// Lock locks a file against other processes, for [Letters]; nil: nothing does.
	Lock func(*os.File) error
	// Terminal says that Stdout is a terminal, Width its columns; 0: unknown.
	Terminal bool
	Width    int
}

// Most is the largest number of records that a Read shall return now.
func (rt *Runtime) Most() int {
	if rt.Singly != nil && rt.Singly.Load() {
		return 1
	}
	return rt.MaxBatch
}
