package checkpoint

import (
	"maps"
	"slices"
	"sync"

	"github.com/telluride-stream/telluride/engine/record"
)

// Position is where a source goes on after a restart.
type Position struct {
	// Bytes is the source's own; nil: it has no position.
	Bytes []byte
	// Watermark is the source's watermark there.
	Watermark int64
}

// Commit is what one or several epochs change, as a whole.
type Commit struct {
	Flow  string
	Epoch uint64 // the last epoch in it
	// Now is the processing time at the epoch's end. Time in a stream goes on
	// from here, also when the clock was set back meanwhile.
	Now       int64
	Positions map[string]Position // by source name
	Deltas    []*Delta            // in the order of their epochs
	// Restart says that nothing is to be resumed behind this commit: the
	// input has ended. State and positions are cleared.
	Restart bool
}

// Delta is what the state of one stage, in one lane, changed in one epoch.
// It is a stage.StateWriter.
type Delta struct {
	Stage   string
	Changes []Change
	bytes   int
}

// Change is a new value of a key, or its end when Value is nil.
type Change struct {
	Key   string
	Value []byte
}

// Put records a new value. It copies value.
func (d *Delta) Put(key string, value []byte) {
	d.Changes = append(d.Changes, Change{key, append(make([]byte, 0, len(value)), value...)})
	d.bytes += len(key) + len(value)
}

// Delete records that a key is gone.
func (d *Delta) Delete(key string) {
	d.Changes = append(d.Changes, Change{Key: key})
	d.bytes += len(key)
}

// Store keeps what is committed. It is safe for concurrent use.
type Store interface {
	// Durable says that commits outlive the process.
	Durable() bool
	// Last is the last commit of a flow, without its deltas. ok is false
	// when there is nothing to resume.
	Last(flow string) (c Commit, ok bool, err error)
	// State calls each for every key of a stage, in any order. key and value
	// are each's to keep.
	State(flow, stage string, each func(key string, value []byte) error) error
	// Commit makes a commit durable, all of it or nothing.
	Commit(c Commit) error
	Close() error
}

// Memory is a store that ends with the process.
type Memory struct {
	mu    sync.Mutex
	flows map[string]*memoryFlow
}

type memoryFlow struct {
	last   Commit
	stages map[string]map[string][]byte
}

var _ Store = (*Memory)(nil)

// NewMemory is an empty store in memory.
func NewMemory() *Memory { return &Memory{flows: map[string]*memoryFlow{}} }

func (m *Memory) Durable() bool { return false }

func (m *Memory) Last(flow string) (Commit, bool, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	f := m.flows[flow]
	if f == nil {
		return Commit{}, false, nil
	}
	last := f.last
	last.Positions = maps.Clone(last.Positions)
	return last, true, nil
}

func (m *Memory) State(flow, stage string, each func(string, []byte) error) error {
	m.mu.Lock()
	var keys map[string][]byte
	if f := m.flows[flow]; f != nil {
		keys = maps.Clone(f.stages[stage])
	}
	m.mu.Unlock()
	for k, v := range keys {
		if err := each(k, slices.Clone(v)); err != nil {
			return err
		}
	}
	return nil
}

func (m *Memory) Commit(c Commit) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if c.Restart {
		delete(m.flows, c.Flow)
		return nil
	}
	f := m.flows[c.Flow]
	if f == nil {
		f = &memoryFlow{stages: map[string]map[string][]byte{}}
		f.last.Now = record.MinTime
		m.flows[c.Flow] = f
	}
	for _, d := range c.Deltas {
		keys := f.stages[d.Stage]
		if keys == nil {
			keys = map[string][]byte{}
			f.stages[d.Stage] = keys
		}
		for _, ch := range d.Changes {
			if ch.Value == nil {
				delete(keys, ch.Key)
			} else {
				keys[ch.Key] = ch.Value
			}
		}
	}
	c.Deltas = nil
	f.last = c
	return nil
}

func (m *Memory) Close() error { return nil }
