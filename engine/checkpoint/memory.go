package checkpoint

import (
	"bytes"
	"cmp"
	"fmt"
	"maps"
	"slices"
	"sync"
)

// Memory is the contract of [Store] written down in the simplest way: what
// Pebble is compared with, and a store for tests whose time is scripted. Flows
// with durability: memory have [OpenMemory].
type Memory struct {
	mu    sync.Mutex
	flows map[string]*memoryFlow
}

type memoryFlow struct {
	last     *Commit // nil: nothing to resume
	stages   map[string]map[string][]byte
	verdicts map[[2]string]Verdict // by source and id
	control  map[string][]byte
}

var _ Store = (*Memory)(nil)

// NewMemory is an empty store in memory.
func NewMemory() *Memory { return &Memory{flows: map[string]*memoryFlow{}} }

// clear forgets what the flow would resume from.
func (f *memoryFlow) clear() {
	f.last = nil
	f.stages = map[string]map[string][]byte{}
	f.verdicts = map[[2]string]Verdict{}
}

// Durable is false: what is in memory ends with the process.
func (m *Memory) Durable() bool { return false }

// edit changes a flow under the lock, and forgets it when nothing is left.
func (m *Memory) edit(flow string, change func(f *memoryFlow)) {
	m.mu.Lock()
	defer m.mu.Unlock()
	f := m.flows[flow]
	if f == nil {
		f = &memoryFlow{control: map[string][]byte{}}
		f.clear()
		m.flows[flow] = f
	}
	change(f)
	if f.last == nil && len(f.stages)+len(f.verdicts)+len(f.control) == 0 {
		delete(m.flows, flow)
	}
}

// Last returns the last commit of a flow.
func (m *Memory) Last(flow string) (Commit, bool, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	f := m.flows[flow]
	if f == nil || f.last == nil {
		return Commit{}, false, nil
	}
	last := *f.last
	last.Positions = maps.Clone(last.Positions)
	return last, true, nil
}

// State calls each for every key of a stage.
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

// Commit keeps a commit.
func (m *Memory) Commit(c Commit) error {
	m.edit(c.Flow, func(f *memoryFlow) {
		set(f.control, c.Control)
		if c.Restart {
			f.clear()
			return
		}
		if c.empty() {
			return
		}
		for _, d := range c.Deltas {
			f.stage(d)
		}
		for _, v := range c.Verdicts {
			f.verdicts[[2]string{v.Source, v.ID}] = v
		}
		f.last = &Commit{Flow: c.Flow, Epoch: c.Epoch, Now: c.Now, Positions: maps.Clone(c.Positions)}
	})
	return nil
}

func (f *memoryFlow) stage(d *Delta) {
	keys := f.stages[d.Stage]
	if keys == nil {
		keys = map[string][]byte{}
		f.stages[d.Stage] = keys
	}
	_ = d.each(func(key, value []byte) error { // it returns what this does
		set(keys, []Change{{string(key), bytes.Clone(value)}})
		return nil
	})
	if len(keys) == 0 {
		delete(f.stages, d.Stage)
	}
}

func set(keys map[string][]byte, changes []Change) {
	for _, c := range changes {
		if c.Value == nil {
			delete(keys, c.Key)
		} else {
			keys[c.Key] = c.Value
		}
	}
}

// Verdict returns what became of a delivery.
func (m *Memory) Verdict(flow, source, id string) (Verdict, bool, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	f := m.flows[flow]
	if f == nil {
		return Verdict{}, false, nil
	}
	v, ok := f.verdicts[[2]string{source, id}]
	return v, ok, nil
}

// Forget drops old verdicts of a source.
func (m *Memory) Forget(flow, source string, before int64) error {
	m.edit(flow, func(f *memoryFlow) {
		var old []Verdict
		for _, v := range f.verdicts {
			if v.Source == source && v.At < before {
				old = append(old, v)
			}
		}
		slices.SortFunc(old, func(a, b Verdict) int {
			return cmp.Or(cmp.Compare(a.At, b.At), cmp.Compare(a.ID, b.ID))
		})
		for _, v := range old[:min(sweep, len(old))] {
			delete(f.verdicts, [2]string{v.Source, v.ID})
		}
	})
	return nil
}

// Control returns the control data of a flow.
func (m *Memory) Control(flow string) (map[string][]byte, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	all := map[string][]byte{}
	if f := m.flows[flow]; f != nil {
		maps.Copy(all, f.control)
	}
	return all, nil
}

// SetControl changes control data.
func (m *Memory) SetControl(flow string, changes []Change) error {
	m.edit(flow, func(f *memoryFlow) { set(f.control, changes) })
	return nil
}

// Flows returns the names of the flows of which something is kept.
func (m *Memory) Flows() ([]string, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Sorted(maps.Keys(m.flows)), nil
}

// Drop removes the state of a stage, or all that a flow would resume from.
func (m *Memory) Drop(flow, stage string) error {
	m.edit(flow, func(f *memoryFlow) {
		if stage == "" {
			f.clear()
		} else {
			delete(f.stages, stage)
		}
	})
	return nil
}

// Move gives what is kept of a flow another name.
func (m *Memory) Move(from, to string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.flows[to] != nil {
		return fmt.Errorf("%w of flow %q", ErrKept, to)
	}
	if f := m.flows[from]; f != nil {
		m.flows[to] = f
		delete(m.flows, from)
		if f.last != nil {
			f.last.Flow = to
		}
	}
	return nil
}

// Close does nothing.
func (m *Memory) Close() error { return nil }
