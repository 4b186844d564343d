package telemetry

import (
	"time"

	"github.com/telluride-stream/telluride/engine/stage"
)

// Snapshot is what a ledger knows at one moment. Counters only grow, also
// over restarts and changes of the flow, so that rates are made of two
// snapshots. It is a copy: it may be kept, and belongs to who asked for it.
type Snapshot struct {
	At     time.Time
	Flow   FlowStats
	Stages []StageStats // sources, stages and sinks in the order of the flow
}

// FlowStats is what is counted for a flow as a whole.
type FlowStats struct {
	// Unacknowledged counts records that were read and are not committed.
	Unacknowledged uint64
	// Messages counts what the sources have settled: messages of which every
	// effect is durable, rejected ones included. LastMessage is when the last
	// one was; the zero time: none.
	Messages    uint64
	LastMessage time.Time
	// Lettered counts records that became dead letters.
	Lettered uint64
	// Watermark is the lowest of the sources: no older record is expected.
	// The zero time: there is none yet.
	Watermark time.Time
	// Lag is how far the watermark is behind the time; 0 without one.
	Lag time.Duration
	// Commits counts commits, of one epoch or several, and Epoch is the
	// number of the last one that the current session has committed.
	Commits, Epoch uint64
	// CommitSeconds is how long commits took: dead letters made durable, the
	// write to the store, and the source settled.
	CommitSeconds HistogramStats
	// LastCommit is when the last one was done; the zero time: none was.
	LastCommit time.Time
	// SnapshotBytes is what the last commit changed of the state, and
	// SnapshotBytesTotal what all of them did.
	SnapshotBytes, SnapshotBytesTotal uint64
	// Restarts is how often the flow started again from its last commit:
	// because a session was lost, a reconnect.
	Restarts uint64
	// Retries is how often a sink had to try again.
	Retries uint64
	// Reloads counts changes by outcome: applied, unchanged, pending,
	// rejected, rolled_back.
	Reloads map[string]uint64
	// PauseSeconds is how long nothing was read during changes.
	PauseSeconds HistogramStats
}

// StageStats is a source, stage or sink.
type StageStats struct {
	// Kind is source, sink, partition, route, or a kind of stage: window, filter.
	Name, Kind string
	Role       Role
	// Counts balance: see [stage.Counts].
	Counts stage.Counts
	// Bytes is what a source has read or a sink written, in payloads, where it
	// is known.
	// Seen and Size are how far a source is, in bytes; Size 0: unknown.
	Bytes, Seen, Size int64
	// Keeps says that the stage has state, Keys of how many keys, and
	// StateBytes how large these and their values were at the last barrier.
	Keeps            bool
	Keys, StateBytes int64
	// Watermark is a source's; the zero time: none yet.
	Watermark time.Time
	// Retries is how often a sink had to try again.
	Retries uint64
	// CallSeconds is how long calls took, and BatchRecords how many records
	// came with them, over all lanes. Of stages that are fused, the first has
	// these: see [NodeStats.Stages].
	CallSeconds, BatchRecords HistogramStats
	// FlushSeconds is how long a sink needed to make durable what was written.
	FlushSeconds HistogramStats
	// Nodes are the lanes, by number. They outlive a change that has fewer.
	// Stages that are fused with one in front of them have none.
	Nodes []NodeStats
}

// NodeStats is a stage in one lane. Times are of all calls since the flow was
// started.
type NodeStats struct {
	Lane int
	// Stages are the names of all that runs in the node: record-wise stages
	// that follow each other are one, and measured as one. The first is that
	// of the [StageStats].
	Stages []string
	// Phase is what the node is doing. [Gone]: the flow has no such lane now.
	Phase Phase
	// Calls counts batches that brought records or had some made, Records the
	// records that came.
	Calls, Records uint64
	// Last, Min and Max are durations of calls; 0 without one.
	Last, Min, Max time.Duration
	// Mean is that of all calls and SMA that of the last 60, in nanoseconds.
	Mean, SMA float64
	// First and LastAt are when the first and the last call ended; the zero
	// time without one.
	First, LastAt time.Time
	// Idle, Busy and Blocked sum up the time in each phase, up to now.
	Idle, Busy, Blocked time.Duration
}

// Share is how a node spent its time, from 0 to 1. All are 0 for one that did
// not run.
type Share struct{ Idle, Busy, Blocked float64 }

// Since is how the node spent its time since an earlier snapshot of it; the
// zero NodeStats is its beginning.
func (n NodeStats) Since(before NodeStats) Share {
	idle, busy, blocked := n.Idle-before.Idle, n.Busy-before.Busy, n.Blocked-before.Blocked
	all := float64(idle + busy + blocked)
	if all <= 0 {
		return Share{}
	}
	return Share{Idle: float64(idle) / all, Busy: float64(busy) / all, Blocked: float64(blocked) / all}
}

// Snapshot reads the ledger. It costs the flow nothing.
func (l *Ledger) Snapshot(now time.Time) Snapshot {
	s := Snapshot{At: now, Flow: l.flow.stats()}
	for _, r := range l.Rows() {
		one := r.stats(now)
		s.Flow.Retries += one.Retries
		if w := one.Watermark; !w.IsZero() && (s.Flow.Watermark.IsZero() || w.Before(s.Flow.Watermark)) {
			s.Flow.Watermark = w
		}
		s.Stages = append(s.Stages, one)
	}
	if w := s.Flow.Watermark; !w.IsZero() {
		s.Flow.Lag = max(now.Sub(w), 0)
	}
	return s
}

func (r *Row) stats(now time.Time) StageStats {
	s := StageStats{
		Name: r.Name, Kind: r.Kind, Role: Role(r.role.Load()), Counts: r.Counts(), Bytes: r.Bytes.Load(), Seen: r.Seen.Load(), Size: r.Size.Load(),
		Retries: uint64(r.Retries.Load()), CallSeconds: r.durations.Stats(), BatchRecords: r.sizes.Stats(),
		FlushSeconds: r.flushes.Stats(),
	}
	if lanes := r.state.Load(); lanes != nil {
		s.Keeps = true
		for i := range *lanes {
			s.Keys += (*lanes)[i].keys.Load()
			s.StateBytes += (*lanes)[i].bytes.Load()
		}
	}
	if w := r.watermark.Load(); w != 0 {
		s.Watermark = time.Unix(0, w)
	}
	for _, n := range r.Nodes() {
		s.Nodes = append(s.Nodes, n.stats(now))
	}
	return s
}
