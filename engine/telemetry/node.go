package telemetry

import (
	"math"
	"sync/atomic"
	"time"
)

// Phase is what a node is doing.
type Phase uint8

const (
	// Gone says that no graph runs the node.
	Gone Phase = iota
	// Idle is waiting for input. A source that its rate limit holds back is idle too.
	Idle
	// Busy is working: a stage on its records, a sink in a write.
	Busy
	// Blocked is waiting to hand on: the next stage does not take anything
	// (back-pressure), or a sink waits to try again.
	Blocked
)

var phaseNames = [...]string{"gone", "idle", "busy", "blocked"}

func (p Phase) String() string { return phaseNames[p] }

// Averaged is how many of the last calls the moving average is of.
const Averaged = 60

// Node measures one stage in one lane, or a run of stages that are fused: how
// often and for how long it works, and what it waits for. One goroutine at a
// time writes it, with atomic stores and without locks; any number may read.
//
// A call is a batch that brought records, or had some made. Batches that only
// bring the time are none, though the time they take is busy.
type Node struct {
	lane int
	row  *Row
	// stages are those that the node runs, the first its own.
	stages atomic.Pointer[[]string]

	since time.Time // when the phase began; the writer's own
	// phase is what the node is doing and since when: Unix ns << 2 | Phase.
	phase atomic.Uint64
	spent [Blocked + 1]atomic.Int64 // ns, without the phase that lasts

	calls, records  atomic.Uint64
	last, low, high atomic.Int64 // ns
	sum, recentSum  atomic.Int64 // ns
	firstAt, lastAt atomic.Int64 // Unix ns
	recent          [Averaged]int64
	recentAt        int
}

// Begin says that a graph runs the node from now on, and with it the stages
// that are fused with it. It is idle.
func (n *Node) Begin(now time.Time, stages []string) {
	n.stages.Store(&stages)
	n.since = now
	n.enter(Idle, now)
}

// Enter says what the node does from now on.
func (n *Node) Enter(p Phase, now time.Time) {
	was := Phase(n.phase.Load() & 3)
	if d := now.Sub(n.since); d > 0 {
		n.spent[was].Add(int64(d))
	}
	n.since = now
	n.enter(p, now)
}

func (n *Node) enter(p Phase, now time.Time) { n.phase.Store(uint64(now.UnixNano())<<2 | uint64(p)) }

// End says that the graph does not run the node any more.
func (n *Node) End(now time.Time) { n.Enter(Gone, now) }

// Call notes a call that took so long and has ended now.
func (n *Node) Call(records int, took time.Duration, now time.Time) {
	d, at := max(int64(took), 0), now.UnixNano()
	calls := n.calls.Load()
	if calls == 0 {
		n.low.Store(d)
		n.firstAt.Store(at)
	} else if d < n.low.Load() {
		n.low.Store(d)
	}
	if d > n.high.Load() {
		n.high.Store(d)
	}
	n.last.Store(d)
	n.lastAt.Store(at)
	n.sum.Add(d)
	n.recentSum.Add(d - n.recent[n.recentAt])
	n.recent[n.recentAt] = d
	n.recentAt = (n.recentAt + 1) % Averaged
	n.records.Add(uint64(records))
	n.calls.Store(calls + 1) // last: what is read then has its duration
	n.row.durations.Observe(time.Duration(d).Seconds())
	if records > 0 {
		n.row.sizes.Observe(float64(records))
	}
}

// stats is what the node knows at a moment.
func (n *Node) stats(now time.Time) NodeStats {
	s := NodeStats{
		Lane: n.lane, Calls: n.calls.Load(), Records: n.records.Load(),
		Last: time.Duration(n.last.Load()), Min: time.Duration(n.low.Load()), Max: time.Duration(n.high.Load()),
	}
	if stages := n.stages.Load(); stages != nil {
		s.Stages = *stages
	}
	if s.Calls > 0 {
		s.Mean = float64(n.sum.Load()) / float64(s.Calls)
		s.SMA = float64(n.recentSum.Load()) / math.Min(float64(s.Calls), Averaged)
		s.First, s.LastAt = time.Unix(0, n.firstAt.Load()), time.Unix(0, n.lastAt.Load())
	}
	n.phases(&s, now)
	return s
}

// phases reads what was spent in each phase, the one that lasts included. It
// reads again when the phase has changed meanwhile; what a last attempt mixes
// is off by one phase.
func (n *Node) phases(s *NodeStats, now time.Time) {
	for range 4 {
		word := n.phase.Load()
		s.Phase = Phase(word & 3)
		spent := [Blocked + 1]int64{}
		for p := range spent {
			spent[p] = n.spent[p].Load()
		}
		if lasts := now.UnixNano() - int64(word>>2); lasts > 0 {
			spent[s.Phase] += lasts
		}
		s.Idle, s.Busy, s.Blocked = time.Duration(spent[Idle]), time.Duration(spent[Busy]), time.Duration(spent[Blocked])
		if n.phase.Load() == word {
			return
		}
	}
}
