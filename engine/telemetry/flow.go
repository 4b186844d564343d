package telemetry

import (
	"maps"
	"sync"
	"sync/atomic"
	"time"
)

// flowMeter counts what happens to a flow as a whole.
type flowMeter struct {
	commits, epoch       atomic.Uint64
	lastCommit           atomic.Int64 // Unix ns
	snapshot, allChanged atomic.Uint64
	restarts             atomic.Uint64
	messages             atomic.Uint64
	lastMessage          atomic.Int64 // Unix ns
	commit, pause        Histogram

	mu      sync.Mutex // changes are rare
	reloads map[string]uint64
}

// Committed notes a commit: its last epoch, how many messages it settled and
// bytes of state it changed, how long it took and when it was done.
func (l *Ledger) Committed(epoch, messages uint64, bytes int, took time.Duration, now time.Time) {
	f := &l.flow
	f.commits.Add(1)
	f.epoch.Store(epoch)
	f.lastCommit.Store(now.UnixNano())
	f.snapshot.Store(uint64(bytes))
	f.allChanged.Add(uint64(bytes))
	f.commit.Observe(took.Seconds())
	if messages > 0 {
		f.messages.Add(messages)
		f.lastMessage.Store(now.UnixNano())
	}
}

// Restarted notes that the flow starts again from its last commit.
func (l *Ledger) Restarted() { l.flow.restarts.Add(1) }

// Reloaded notes what became of a change.
func (l *Ledger) Reloaded(outcome string) {
	f := &l.flow
	f.mu.Lock()
	if f.reloads == nil {
		f.reloads = map[string]uint64{}
	}
	f.reloads[outcome]++
	f.mu.Unlock()
}

// Paused notes for how long nothing was read during a change.
func (l *Ledger) Paused(d time.Duration) { l.flow.pause.Observe(d.Seconds()) }

func (f *flowMeter) stats() FlowStats {
	s := FlowStats{
		Commits: f.commits.Load(), Epoch: f.epoch.Load(), CommitSeconds: f.commit.Stats(), PauseSeconds: f.pause.Stats(),
		SnapshotBytes: f.snapshot.Load(), SnapshotBytesTotal: f.allChanged.Load(), Restarts: f.restarts.Load(),
		Messages: f.messages.Load(),
	}
	if at := f.lastMessage.Load(); at != 0 {
		s.LastMessage = time.Unix(0, at)
	}
	if at := f.lastCommit.Load(); at != 0 {
		s.LastCommit = time.Unix(0, at)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	s.Reloads = maps.Clone(f.reloads)
	return s
}
