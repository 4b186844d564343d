package stage

import (
	"iter"
	"time"

	"github.com/telluride-stream/telluride/engine/record"
)

// Operator is one stage between source and sink: a plain state machine that
// is called by one goroutine at a time. It never reads a clock, never blocks
// and starts nothing; time is an argument ([Context]).
//
// The interfaces Timed, Holder, Stateful and Ender are optional.
type Operator interface {
	// Process takes the next record and says what became of it. A panic makes
	// a dead letter of the record. The record's memory is valid until Process
	// returns, and that of a record in [Context.Emit] as [Context] says.
	Process(c *Context, r *record.Record) Verdict
}

// Verdict is what became of a record. Every record has exactly one, and the
// ledger counts them.
type Verdict uint8

const (
	Pass   Verdict = iota // goes on, changed in place or not
	Filter                // dropped as the flow says
	Absorb                // went into a state, or into records made anew
	Hold                  // kept, to be passed later by Context.Release
	Gone                  // left by Context.Dead or Context.Late
	Again                 // failed by Context.Fail, and is to be tried again: only between an operator and what retries it
)

// Timed is an operator for which the passing of time matters.
type Timed interface {
	// Advance is called behind the records of every batch, also of empty
	// ones, with Context.Now and Context.Watermark moved on. Neither ever
	// goes back.
	Advance(c *Context)
}

// Holder is an operator that holds records back to pass them on later.
type Holder interface {
	// Held says what is held now. It is called behind every batch and must be cheap.
	Held() Held
	// Flush lets every held record go (Context.Release).
	Flush(c *Context)
}

// Held describes held records. The zero Held holds nothing.
type Held struct {
	Records int
	// Epoch is the oldest Context.Epoch at which a held record came.
	Epoch uint64
	// Watermark is the lowest Record.Watermark of the held records: what is
	// behind the operator must not take the time to be further than that.
	Watermark int64
}

// Ender is an operator that has something to say when its input ends.
type Ender interface {
	// End closes what is open (a global window, say). It follows the last
	// Advance, whose watermark is record.MaxTime.
	End(c *Context)
}

// Partial is an operator with state that can emit what it holds before its
// time, for a change of the flow that the state does not survive.
type Partial interface {
	// EmitPartial emits everything that is open, marked as partial, and
	// forgets it; the next Snapshot deletes all of it.
	EmitPartial(c *Context)
}

// Viewer is an operator with state that people may look at, between two
// batches. Neither method changes anything.
type Viewer interface {
	// Keys calls each for every key that has something open, in any order.
	Keys(each func(key string))
	// Open lists what is open of a key; what closes first comes first.
	Open(key string) iter.Seq[Opened]
}

// Opened is a window that has not closed yet, or a running aggregate.
type Opened struct {
	// Values is a JSON object of what would be emitted now.
	Values []byte
	// Records is how many records are in a window that is counted, and Of how
	// many there may be; else both are 0.
	Records, Of int
}

// Stateful is an operator whose state outlives it. State is kept per key,
// never per lane: a key is a record's Key, byte for byte.
type Stateful interface {
	// Snapshot writes what changed since the last Snapshot. The writer copies
	// what it is given.
	Snapshot(w StateWriter)
	// Restore gives back one entry of the last committed snapshot, before any
	// Process. It is called for the keys of this operator's lane only.
	Restore(key string, value []byte) error
}

// Growing is an operator with state whose next snapshot may become large.
type Growing interface {
	// Changed is about how many entries the next Snapshot will write, 0 when
	// there are none. It is called behind every batch and must be cheap. Snapshot
	// may leave to later ones what a crash may undo; at a drain it is called until
	// nothing is left.
	Changed() int
}

// Sized is an operator with state that knows how large it is.
type Sized interface {
	// Size is how many keys the state has, and how many bytes these and their
	// values are, as Snapshots have written them. It is called behind a Snapshot
	// and must be cheap.
	Size() (keys int, bytes int64)
}

// StateWriter takes the changes of one snapshot.
type StateWriter interface {
	Put(key string, value []byte)
	Delete(key string)
}

// OperatorSpec is a checked operator: what a plan knows of it.
type OperatorSpec struct {
	// New makes one instance; every lane has its own.
	New func() Operator
	// RecordWise says that the operator only passes, filters or dead-letters
	// each record by itself: no state, no time, no new records. Neighbouring
	// ones are fused.
	RecordWise bool
	// Stateful says that New's operators implement Stateful. State is found
	// again by the stage's name and Signature.
	Stateful  bool
	Signature string
	// Explain turns a value of the state into a JSON object that people can
	// read, as the results of the stage have it where there are any; nil: the
	// state is shown as bytes. It may be called while the operators work.
	Explain func(key string, value []byte) ([]byte, error)
	// Carry says whether state that was written under another signature can be
	// taken over, and how: the function turns each of its values into one of
	// this operator's, or into nil for one that has no place here. nil: never.
	Carry func(signature string) (func(key string, value []byte) ([]byte, error), bool)
	// Retries says that New's operators call Context.Fail.
	Retries bool
	// Records says that the state holds records, whose deliveries may be
	// settled: it is emptied, and never dropped without a word, when a stage
	// that could go on with it is not there any more. New's operators
	// implement Partial.
	Records bool
	// Holds says that New's operators implement Holder.
	Holds bool
	// Group is for how many records a holder waits, and Wait for how long; 0:
	// not at all.
	Group int
	Wait  time.Duration
	// Makes says that the records behind the operator are made by it, rather
	// than those that came in.
	Makes bool
	// Opaque says that what leaves the operator is no longer an object with
	// fields, but a text to be written as it is: only sinks may follow.
	Opaque bool
	// Ordered says that the operator's results depend on the order of records.
	Ordered bool
	// Timer is the finest time, in processing time, that the operator wants
	// to notice; 0: none. The engine's tick is at most this.
	Timer time.Duration
	// Text says in a few words what it does, for graphs: "tumbling 10s by sensor_id".
	Text string
}
