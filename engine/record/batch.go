package record

import "math"

// End of time: the watermark of an input that has ended.
const MaxTime = math.MaxInt64

// MinTime is the watermark before anything is known.
const MinTime = math.MinInt64

// Batch is the only element on a channel: some records, and then the time.
// Whoever receives a batch owns it; once it is sent on, it is not touched again.
//
// The order inside a batch: first the records and side records, then Now and
// Watermark take effect, then the barrier.
type Batch struct {
	Records []Record
	// Side are records that left the flow on their way: dead letters and late
	// ones. They travel with the batches, so that a barrier covers them as it
	// covers the others; only sinks look at them.
	Side []Side
	// Now is the time at which the batch was read, in nanoseconds since 1970.
	// It never goes back within a stream.
	Now int64
	// Watermark: no record with an older Time is expected behind this batch
	// (late ones excepted). It never goes back within a stream.
	Watermark int64
	// Ordered says that the watermarks of the records are the stream's own:
	// when a record passes, nothing on time before its Watermark is still on
	// its way. A merge of several streams cannot say that.
	Ordered bool
	// Barrier ends an epoch behind the records; its Kind is None for most batches.
	Barrier Barrier
	// Spans are those of traces that led to the batch, the nearest stage's; nil:
	// it is not traced. The list is shared with other batches.
	Spans []Span

	own    *Arena   // what this batch makes is made here
	arenas []*Arena // what this batch keeps alive: own, and those it shares
}

// Append adds a record, of which the memory must be the batch's own, shared
// ([Batch.Share]) or independent of any batch.
func (b *Batch) Append(r Record) { b.Records = append(b.Records, r) }

// Clone is a batch with the same content. Both may be changed and released
// independently: records and fields are copied, while payloads and texts,
// which are never written to, are shared and stay until the last release.
func (b *Batch) Clone() *Batch {
	a := NewArena()
	c := *b
	c.own, c.arenas = a, []*Arena{a}
	c.Share(b)
	c.Records = append(a.Records(len(b.Records)), b.Records...)
	c.Side = append([]Side(nil), b.Side...)
	for i := range c.Records {
		c.Records[i].Fields = a.copyValues(c.Records[i].Fields)
	}
	for i := range c.Side {
		c.Side[i].Record.Fields = a.copyValues(c.Side[i].Record.Fields)
	}
	return &c
}

// BarrierKind says what a barrier asks of the stages that it passes.
type BarrierKind uint8

const (
	None       BarrierKind = iota
	Checkpoint             // an epoch ends
	Flush                  // also: stages that hold records let them go
	Drain                  // flush, and nothing follows until told
	End                    // end of input: also close every window
)

var barrierNames = [...]string{"none", "checkpoint", "flush", "drain", "end"}

func (k BarrierKind) String() string { return barrierNames[k] }

// Barrier is the end of an epoch.
type Barrier struct {
	Kind  BarrierKind
	Epoch uint64
	// Held is the oldest epoch of which some record is still held upstream of
	// here; Epoch+1 when none is. Epochs before Held are complete once every
	// sink has made durable what came before this barrier.
	Held uint64
	// Last, of an End, is how far the watermark came with the records, before
	// the end moved it to MaxTime. A stage may not have seen it: batches that
	// are joined have the later watermark alone.
	Last int64
	// Partial names stages that are to emit what their state holds, and to
	// forget it; for a drain only.
	Partial []string
}

// Side is a record that left the flow before its end.
type Side struct {
	Record Record
	Kind   SideKind
	Stage  string // the stage that it left at
	Reason string
	// Attempts is how often the stage has tried it; 0 is once.
	Attempts int
}

// SideKind says why a record left.
type SideKind uint8

const (
	Dead SideKind = iota // it could not be processed
	Late                 // it came behind the watermark
)
