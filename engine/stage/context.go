package stage

import (
	"github.com/telluride-stream/telluride/engine/expr"
	"github.com/telluride-stream/telluride/engine/record"
)

// Context is what an operator works with while it is called: the time, and
// the way out. It belongs to one instance of one operator and is not to be
// kept.
type Context struct {
	// Now is the processing time, nanoseconds since 1970.
	Now int64
	// Watermark is the stream's: in Process as of the batch before, in
	// Advance as of this batch.
	Watermark int64
	// Last is, in End, how far the watermark came before the input ended.
	Last int64
	// Ordered is the batch's: in Process, the record's own Watermark is the
	// stream's progress too (see record.Batch).
	Ordered bool
	// Epoch is the oldest epoch that the records of this call may belong to:
	// what the last barrier said was held upstream, or the epoch behind it.
	Epoch uint64
	// Scope is for evaluating expressions; Process finds its Record and Now set.
	Scope expr.Scope

	name   string
	in     *record.Batch
	out    []*record.Batch
	open   *record.Batch // the last of out, if it still takes records
	side   []record.Side
	counts Counts
	limit  int
	// handOn takes full batches before the operator is done; see Driver.HandOn.
	handOn func(*record.Batch)

	retries bool   // Fail asks for another try
	failure string // why the last Fail was
}

// Counts is the ledger of one operator: In = Passed + Absorbed + Filtered +
// Late + Dead + what is held. Emitted is what the operator made anew,
// Expired the keys whose state it dropped since they were idle.
type Counts struct {
	In, Passed, Absorbed, Filtered, Late, Dead, Emitted, Expired uint64
	Held                                                         int64
}

// Add adds other to c.
func (c *Counts) Add(other Counts) {
	c.In += other.In
	c.Passed += other.Passed
	c.Absorbed += other.Absorbed
	c.Filtered += other.Filtered
	c.Late += other.Late
	c.Dead += other.Dead
	c.Emitted += other.Emitted
	c.Expired += other.Expired
	c.Held += other.Held
}

// Balanced says whether every record that came in is accounted for.
func (c *Counts) Balanced() bool {
	return c.Held >= 0 && c.In == c.Passed+c.Absorbed+c.Filtered+c.Late+c.Dead+uint64(c.Held)
}

// NewContext makes the context of an operator. limit is the number of records
// at which an outgoing batch is full.
func NewContext(name string, limit int) *Context {
	return &Context{name: name, limit: limit, Watermark: record.MinTime, Now: record.MinTime}
}

// Emit sends a record that the operator made. Its Fields may lie in the
// memory of [Context.Values]; its texts must be the operator's own, or come
// from the record that is being processed.
func (c *Context) Emit(r record.Record) {
	c.counts.Emitted++
	c.append(r)
}

// Release sends on a record that was held. keep is the batch that owns its
// memory ([Context.Keep]), or nil when the record was cloned.
func (c *Context) Release(r record.Record, keep *record.Batch) {
	c.counts.Held--
	c.counts.Passed++
	c.append(r)
	if keep != nil {
		c.open.Share(keep)
	}
}

// Consume says that n held records went into records made anew.
func (c *Context) Consume(n int) {
	c.counts.Held -= int64(n)
	c.counts.Absorbed += uint64(n)
}

func (c *Context) append(r record.Record) {
	if c.open == nil || len(c.open.Records) >= c.limit {
		c.Cut()
		if c.handOn != nil && len(c.out) >= maxOut {
			for i, b := range c.out {
				c.handOn(b)
				c.out[i] = nil
			}
			c.out = c.out[:0]
		}
		c.open = record.NewBatch(min(c.limit, 64))
		if c.in != nil {
			c.open.Share(c.in)
		}
		c.out = append(c.out, c.open)
	}
	c.open.Records = append(c.open.Records, r)
}

// maxOut is how many batches are collected. More of them are on their way before
// the operator is done: what a timer emits may be more than fits the memory.
const maxOut = 16

// Expired says that the operator has dropped the state of n keys that were
// idle for as long as the flow file says.
func (c *Context) Expired(n int) { c.counts.Expired += uint64(n) }

// Cut ends the outgoing batch: the next record begins another.
func (c *Context) Cut() { c.open = nil }

// Values is memory for the Fields of the next record to emit: n Missing
// values that live as long as the outgoing batch.
func (c *Context) Values(n int) []record.Value {
	if c.open == nil || len(c.open.Records) >= c.limit {
		return make([]record.Value, n)
	}
	return c.open.Arena().Values(n)
}

// Keep returns an empty batch that keeps the memory of the batch being
// processed alive until it is released; for operators that hold records.
func (c *Context) Keep() *record.Batch {
	keep := &record.Batch{}
	if c.in != nil {
		keep.Share(c.in)
	}
	return keep
}

// Dead makes a dead letter of the record; Process then returns Gone.
func (c *Context) Dead(r *record.Record, reason string) Verdict {
	c.counts.Dead++
	c.side = append(c.side, record.Side{Record: *r, Kind: record.Dead, Stage: c.name, Reason: reason})
	return Gone
}

// Fail is Dead for a reason that may pass: where the flow says `retry`, the
// record is tried again later. The record must be as it came then.
func (c *Context) Fail(r *record.Record, reason string) Verdict {
	if !c.retries {
		return c.Dead(r, reason)
	}
	c.failure = reason
	return Again
}

// AllowRetry has Fail answer [Again]; for whoever runs an operator and knows
// what to do with that.
func (c *Context) AllowRetry() { c.retries = true }

// Failure is the reason of the last Fail that was answered with Again.
func (c *Context) Failure() string { return c.failure }

// Restored counts records that an earlier run of the flow has held, and that
// are held again.
func (c *Context) Restored(n int) {
	c.counts.In += uint64(n)
	c.counts.Held += int64(n)
}

// Leave counts what became of a record that was held, other than Release. Of
// one that is Gone, Dead has counted that.
func (c *Context) Leave(v Verdict) {
	c.counts.Held--
	switch v {
	case Filter:
		c.counts.Filtered++
	case Absorb:
		c.counts.Absorbed++
	}
}

// DeadAfter is Dead for a record that was tried several times.
func (c *Context) DeadAfter(r *record.Record, reason string, attempts int) Verdict {
	v := c.Dead(r, reason)
	c.side[len(c.side)-1].Attempts = attempts
	return v
}

// Late sends the record where late ones go; Process then returns Gone.
func (c *Context) Late(r *record.Record, reason string) Verdict {
	c.counts.Late++
	c.side = append(c.side, record.Side{Record: *r, Kind: record.Late, Stage: c.name, Reason: reason})
	return Gone
}
