package stage

import (
	"errors"
	"fmt"
	"slices"

	"github.com/telluride-stream/telluride/engine/record"
)

// Begin makes the context ready for a batch: the processing time is the
// batch's, the watermark still that of the batch before.
func (c *Context) Begin(in *record.Batch) {
	c.in, c.open = in, nil
	c.Now = max(c.Now, in.Now)
	c.Ordered = in.Ordered
	c.Scope.Now = c.Now
}

// Settle counts a verdict. It says whether the record goes on.
func (c *Context) Settle(v Verdict) bool {
	c.counts.In++
	switch v {
	case Pass:
		c.counts.Passed++
		return true
	case Filter:
		c.counts.Filtered++
	case Absorb:
		c.counts.Absorbed++
	case Hold:
		c.counts.Held++
	}
	return false
}

// TakeSide hands over the records that left since the last call.
func (c *Context) TakeSide() []record.Side {
	s := c.side
	c.side = nil
	return s
}

// TakeCounts hands over what was counted since the last call.
func (c *Context) TakeCounts() Counts {
	n := c.counts
	c.counts = Counts{}
	return n
}

// Name is the stage's name.
func (c *Context) Name() string { return c.name }

// Driver runs one operator over a stream of batches: it gives it records,
// time and barriers in their order, and turns a panic into a dead letter. It
// is what the engine runs in each lane, and what tests of a stage use.
type Driver struct {
	Context *Context

	op     Operator
	timed  Timed
	holder Holder
	ender  Ender
	state  Stateful
	// growing is nil for an operator whose snapshots are small.
	growing Growing
	// flushAlways: see plan.Operator.
	flushAlways bool
	// sent is the watermark that was last sent on. It stays behind the
	// context's while records are held.
	sent  int64
	now   int64 // the processing time that was last sent on
	ended bool  // End was called
}

// NewDriver makes the driver of an operator. limit is the number of records
// at which an outgoing batch is full.
func NewDriver(name string, op Operator, limit int, flushAlways bool) *Driver {
	d := &Driver{Context: NewContext(name, limit), op: op, flushAlways: flushAlways, sent: record.MinTime, now: record.MinTime}
	d.Context.Epoch = 1
	d.timed, _ = op.(Timed)
	d.holder, _ = op.(Holder)
	d.ender, _ = op.(Ender)
	d.state, _ = op.(Stateful)
	d.growing, _ = op.(Growing)
	return d
}

// HandOn has send take batches that go on while the operator still works, each
// with the time so far; Step returns the others. It is to be called before Step.
func (d *Driver) HandOn(send func(*record.Batch)) {
	d.Context.handOn = func(b *record.Batch) {
		d.stamp(b)
		send(b)
	}
}

// stamp gives a batch the time that it goes on with, which is that of the batch
// before: what the operator makes is not behind that watermark, and a timer that
// is due now finds all of it.
func (d *Driver) stamp(b *record.Batch) {
	if d.now == record.MinTime {
		d.now = d.Context.Now
	}
	// What is held may be overtaken by a record with a later watermark.
	b.Now, b.Watermark, b.Ordered = d.now, d.sent, d.Context.Ordered && d.holder == nil
}

// Restore gives the operator one entry of its state back. A panic on a value
// that the operator cannot read is an error.
func (d *Driver) Restore(key string, value []byte) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = errors.New(Panicked(p))
		}
	}()
	return d.state.Restore(key, value)
}

// Step takes one batch and returns those to send on, at least one. The last
// of them has the time and the barrier of the batch that came in; in is used
// up. At a barrier the operator's changed state goes to snapshot, which may
// be nil when there is no barrier.
//
// A barrier is never withheld: its Held says what the operator keeps.
func (d *Driver) Step(in *record.Batch, snapshot StateWriter) []*record.Batch {
	c := d.Context
	barrier, sides := in.Barrier, in.Side
	c.Begin(in)
	for i := 0; i < len(in.Records); {
		i = d.records(in, i)
	}
	c.Watermark = max(c.Watermark, in.Watermark)
	if d.timed != nil {
		d.guard("passing of time", func() { d.timed.Advance(c) })
	}
	if barrier.Kind != record.None {
		d.barrier(&barrier, snapshot)
	}
	out := c.out
	if len(out) == 0 {
		out = append(out, &record.Batch{})
	}
	for _, b := range out {
		d.stamp(b)
	}
	last := out[len(out)-1]
	d.now = c.Now
	last.Now, last.Watermark, last.Barrier = d.now, d.progress(), barrier
	last.Side = append(sides, c.TakeSide()...)
	if len(last.Side) > 0 {
		last.Share(in)
	}
	c.out, c.open, c.in = nil, nil, nil
	in.Release()
	return out
}

// progress is the watermark to send on: that of the stream, as far as the
// held records allow, and those that the end will bring.
func (d *Driver) progress() int64 {
	w := d.Context.Watermark
	if d.ender != nil && !d.ended && w == record.MaxTime {
		w = d.sent
	}
	if d.holder != nil {
		if held := d.holder.Held(); held.Records > 0 {
			w = min(w, held.Watermark)
		}
	}
	d.sent = max(d.sent, w)
	return d.sent
}

// records processes records from i on and returns where to go on: behind the
// last, or behind the one that panicked.
func (d *Driver) records(in *record.Batch, i int) (next int) {
	c := d.Context
	defer func() {
		if p := recover(); p != nil {
			c.Settle(c.Dead(&in.Records[i], Panicked(p)))
			next = i + 1
		}
	}()
	for ; i < len(in.Records); i++ {
		r := &in.Records[i]
		c.Scope.Record = r
		if c.Settle(d.op.Process(c, r)) {
			c.append(*r)
		}
	}
	return i
}

// guard keeps a panic outside of Process from ending the program. There is no
// record to blame, so it is reported as a dead letter without payload.
func (d *Driver) guard(what string, f func()) {
	defer func() {
		if p := recover(); p != nil {
			d.Context.side = append(d.Context.side, record.Side{
				Kind: record.Dead, Stage: d.Context.name, Reason: what + ": " + Panicked(p),
			})
		}
	}()
	f()
}

func (d *Driver) barrier(b *record.Barrier, snapshot StateWriter) {
	c := d.Context
	// What comes next belongs to the next epoch, or is let go upstream.
	c.Epoch = b.Held
	if b.Kind == record.End && d.ender != nil {
		d.ended, c.Last = true, b.Last
		d.guard("end of input", func() { d.ender.End(c) })
	}
	if slices.Contains(b.Partial, c.name) {
		if p, ok := d.op.(Partial); ok {
			d.guard("emit what is open", func() { p.EmitPartial(c) })
		}
	}
	if d.holder != nil {
		if b.Kind >= record.Flush || d.flushAlways {
			d.guard("flush", func() { d.holder.Flush(c) })
		}
		if held := d.holder.Held(); held.Records > 0 {
			b.Held = min(b.Held, held.Epoch)
		}
	}
	if d.state != nil && snapshot != nil {
		d.state.Snapshot(snapshot)
		for b.Kind == record.Drain && d.growing != nil && d.growing.Changed() > 0 {
			d.state.Snapshot(snapshot)
		}
	}
}

// Panicked is the reason of a dead letter for a panic.
func Panicked(p any) string { return fmt.Sprintf("panic: %v", p) }
