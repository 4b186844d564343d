// Package telemetry counts and measures what happens in a flow: the ledger of
// every stage, what each lane does with its time, and commits, restarts and
// changes. Writers cost a few atomic stores a batch; [Ledger.Snapshot] is the
// side for readers. It knows no concrete stage.
package telemetry

import (
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/telluride-stream/telluride/engine/stage"
)

// Ledger holds the counters of one flow, a row per stage in the order of the
// flow. It outlives the graph, so that counts go on across a restart.
type Ledger struct {
	flow flowMeter

	mu   sync.Mutex
	rows []*Row
}

// Role is what a stage does, whatever its kind.
type Role uint8

const (
	Other     Role = iota
	Source         // reads
	Splitter       // sends records to lanes or branches: a partition or route
	Step           // works on records one by one
	Batcher        // holds records, to let them go together
	Aggregate      // makes records of what it keeps of others
	Sink           // writes
)

var roleNames = [...]string{"other", "source", "splitter", "step", "batcher", "aggregate", "sink"}

func (r Role) String() string { return roleNames[r] }

// Row is one stage's counters. Lanes add to it once a batch.
type Row struct {
	Name, Kind                                                   string
	in, passed, absorbed, filtered, late, dead, emitted, expired atomic.Uint64
	held                                                         atomic.Int64
	// Bytes is what a source has read or a sink written, and Seen and Size how far it is (Size
	// 0: unknown).
	Bytes, Seen, Size atomic.Int64
	// Retries is how often a sink had to try again.
	Retries atomic.Int64

	// state is the size of what is kept, by lane; nil: nothing is.
	state atomic.Pointer[[]StateSize]

	role                      atomic.Uint32
	watermark                 atomic.Int64 // of a source, Unix ns; 0: none yet
	durations, sizes, flushes Histogram

	mu    sync.Mutex
	nodes []*Node // by lane
}

// Plays says what the stage does.
func (r *Row) Plays(role Role) { r.role.Store(uint32(role)) }

// Node is the node of a lane, made when it is new.
func (r *Row) Node(lane int) *Node {
	r.mu.Lock()
	defer r.mu.Unlock()
	for len(r.nodes) <= lane {
		r.nodes = append(r.nodes, &Node{lane: len(r.nodes), row: r})
	}
	return r.nodes[lane]
}

// Nodes lists the nodes by lane.
func (r *Row) Nodes() []*Node {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.nodes)
}

// StateSize is the size of a state in one lane. One goroutine sets it.
type StateSize struct{ keys, bytes atomic.Int64 }

// Set says how large the state is.
func (s *StateSize) Set(keys int, bytes int64) {
	s.keys.Store(int64(keys))
	s.bytes.Store(bytes)
}

// States begins to tell the sizes of a state in so many lanes, instead of
// those that a graph before has told.
func (r *Row) States(lanes int) []StateSize {
	sizes := make([]StateSize, lanes)
	r.state.Store(&sizes)
	return sizes
}

// Reached says how far a source's watermark is, in Unix nanoseconds.
func (r *Row) Reached(watermark int64) { r.watermark.Store(watermark) }

// Flushed notes how long a sink needed to make durable what was written.
func (r *Row) Flushed(took time.Duration) { r.flushes.Observe(took.Seconds()) }

// Row is the row of a stage, made when it is new.
func (l *Ledger) Row(kind, name string) *Row {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, r := range l.rows {
		if r.Name == name && r.Kind == kind {
			return r
		}
	}
	r := &Row{Name: name, Kind: kind}
	l.rows = append(l.rows, r)
	return r
}

// Rows lists the rows in the order in which they were made.
func (l *Ledger) Rows() []*Row {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.rows)
}

// Add adds counts to the row.
func (r *Row) Add(c stage.Counts) {
	add := func(to *atomic.Uint64, n uint64) {
		if n != 0 {
			to.Add(n)
		}
	}
	add(&r.in, c.In)
	add(&r.passed, c.Passed)
	add(&r.absorbed, c.Absorbed)
	add(&r.filtered, c.Filtered)
	add(&r.late, c.Late)
	add(&r.dead, c.Dead)
	add(&r.emitted, c.Emitted)
	add(&r.expired, c.Expired)
	if c.Held != 0 {
		r.held.Add(c.Held)
	}
}

// Undelivered says that a record which passed turned out to be dead.
func (r *Row) Undelivered() {
	r.passed.Add(^uint64(0))
	r.dead.Add(1)
}

// Forget takes what is held out of the row: an abort has discarded it, and it
// will be read again. in is reduced likewise, so that the row balances.
func (r *Row) Forget() {
	held := r.held.Swap(0)
	r.in.Add(-uint64(held))
}

// Counts is what the row holds now. While the flow runs, the counts of a
// batch that is being added may be partly in it.
func (r *Row) Counts() stage.Counts {
	return stage.Counts{
		In: r.in.Load(), Passed: r.passed.Load(), Absorbed: r.absorbed.Load(), Filtered: r.filtered.Load(),
		Late: r.late.Load(), Dead: r.dead.Load(), Emitted: r.emitted.Load(), Expired: r.expired.Load(), Held: r.held.Load(),
	}
}
