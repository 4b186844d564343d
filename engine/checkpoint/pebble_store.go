package checkpoint

import (
	"bytes"
	"errors"
	"fmt"
	"slices"

	"github.com/cockroachdb/pebble/v2"
)

// get returns a copy of an entry, nil when there is none.
func (p *Pebble) get(key []byte) ([]byte, error) {
	v, done, err := p.db.Get(key)
	if errors.Is(err, pebble.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	v = append([]byte{}, v...)
	return v, done.Close()
}

// scan calls each for the entries from from up to, not including, to. key and
// value are valid until each returns. each says whether to go on.
func (p *Pebble) scan(from, to []byte, each func(key, value []byte) (bool, error)) (err error) {
	it, err := p.db.NewIter(&pebble.IterOptions{LowerBound: from, UpperBound: to})
	if err != nil {
		return err
	}
	// Close returns the iterator's own error, if it had one.
	defer func() { err = errors.Join(err, it.Close()) }()
	for ok := it.First(); ok; ok = it.Next() {
		value, err := it.ValueAndErr()
		if err != nil {
			return err
		}
		if more, err := each(it.Key(), value); err != nil || !more {
			return err
		}
	}
	return nil
}

// any says whether there is an entry in a range.
func (p *Pebble) any(from, to []byte) (found bool, err error) {
	err = p.scan(from, to, func(_, _ []byte) (bool, error) { found = true; return false, nil })
	return found, err
}

// read explains the errors of a call that only reads.
func (p *Pebble) read(f func() error) error {
	return p.use(func() error {
		err := f()
		var own callerError
		if err == nil || errors.As(err, &own) || pebble.IsCorruptionError(err) || errors.Is(err, errMalformed) {
			return err
		}
		return p.explain("read", err)
	})
}

// callerError is an error that a caller's function returned.
type callerError struct{ error }

func (e callerError) Unwrap() error { return e.error }

// maxBatch is the size up to which the memory of a batch is used again.
const maxBatch = 4 << 20

// write runs f on a batch and applies it as a whole. An empty batch costs
// nothing. size is about that of the batch.
func (p *Pebble) write(how *pebble.WriteOptions, size int, f func(b *pebble.Batch) error) error {
	return p.use(func() error {
		b := p.db.NewBatchWithSize(size, pebble.WithMaxRetainedSizeBytes(maxBatch))
		err := f(b)
		if err == nil && !b.Empty() {
			err = b.Commit(how)
		}
		if err = errors.Join(err, b.Close()); err != nil {
			return p.explain("write to", err)
		}
		return nil
	})
}

// Last returns the last commit of a flow.
func (p *Pebble) Last(flow string) (c Commit, ok bool, err error) {
	err = p.read(func() error {
		entry, err := p.get(flowKey(flow, kindLast))
		if err != nil || entry == nil {
			return err
		}
		c, err = readLast(flow, entry)
		ok = err == nil
		return err
	})
	return c, ok && err == nil, err
}

// State calls each for every key of a stage. It holds one key at a time.
func (p *Pebble) State(flow, stage string, each func(key string, value []byte) error) error {
	prefix := stageKey(flow, kindState, stage)
	err := p.read(func() error {
		return p.scan(prefix, after(prefix), func(key, value []byte) (bool, error) {
			if err := each(string(key[len(prefix):]), append([]byte{}, value...)); err != nil {
				return false, callerError{err}
			}
			return true, nil
		})
	})
	var own callerError
	if errors.As(err, &own) {
		return own.error
	}
	return err
}

// Commit makes a commit durable: one write and one sync.
func (p *Pebble) Commit(c Commit) error {
	return p.write(pebble.Sync, c.batchSize(), func(b *pebble.Batch) error {
		if err := setControl(b, c.Flow, c.Control); err != nil {
			return err
		}
		if c.Restart {
			return p.clear(b, c.Flow)
		}
		if c.empty() {
			return nil
		}
		for _, d := range c.Deltas {
			prefix := stageKey(c.Flow, kindState, d.Stage)
			err := d.each(func(key, value []byte) error { return change(b, prefix, key, value) })
			if err != nil {
				return err
			}
		}
		for i := range c.Verdicts {
			v := &c.Verdicts[i]
			if err := b.Set(verdictKey(c.Flow, v.Source, v.ID), verdictEntry(v), nil); err != nil {
				return err
			}
			if err := b.Set(verdictTimeKey(c.Flow, v.Source, v.At, v.ID), nil, nil); err != nil {
				return err
			}
		}
		return b.Set(flowKey(c.Flow, kindLast), appendLast(nil, &c), nil)
	})
}

// batchSize is about how large the batch of a commit will be, so that a large
// one is not copied while it grows.
func (c *Commit) batchSize() int {
	if c.Restart {
		return 0
	}
	const perChange = 4 // the kind, and the lengths of key and value
	n := 1 << 10
	for _, d := range c.Deltas {
		n += d.bytes + d.n*(perChange+len(stageKey(c.Flow, kindState, d.Stage)))
	}
	return n
}

// clear removes what a flow resumes from. For a flow that keeps nothing it
// writes nothing.
func (p *Pebble) clear(b *pebble.Batch, flow string) error {
	from, to := flowKey(flow, kindLast), flowKey(flow, kindEnd)
	found, err := p.any(from, to)
	if err != nil || !found {
		return err
	}
	return b.DeleteRange(from, to, nil)
}

// change applies a change to a key behind a prefix; a nil value drops it.
func change[T string | []byte](b *pebble.Batch, prefix []byte, key T, value []byte) error {
	if value == nil {
		op := b.DeleteDeferred(len(prefix) + len(key))
		copy(op.Key[copy(op.Key, prefix):], key)
		return op.Finish()
	}
	op := b.SetDeferred(len(prefix)+len(key), len(value))
	copy(op.Key[copy(op.Key, prefix):], key)
	copy(op.Value, value)
	return op.Finish()
}

func setControl(b *pebble.Batch, flow string, changes []Change) error {
	prefix := flowKey(flow, kindControl)
	for _, c := range changes {
		if err := change(b, prefix, c.Key, c.Value); err != nil {
			return err
		}
	}
	return nil
}

// Verdict returns what became of a delivery. It may see a verdict whose
// commit is about to return; no later commit is durable without it.
func (p *Pebble) Verdict(flow, source, id string) (v Verdict, ok bool, err error) {
	err = p.read(func() error {
		entry, err := p.get(verdictKey(flow, source, id))
		if err != nil || entry == nil {
			return err
		}
		v, err = readVerdict(source, id, entry)
		ok = err == nil
		return err
	})
	return v, ok && err == nil, err
}

// Forget drops old verdicts of a source. It does not wait for the disk: a
// verdict that is there again after a crash does no harm.
func (p *Pebble) Forget(flow, source string, before int64) error {
	prefix := stageKey(flow, kindVerdictTime, source)
	return p.write(pebble.NoSync, 0, func(b *pebble.Batch) error {
		var last []byte // the end of what is dropped from the order of time
		seen := 0
		err := p.scan(prefix, appendTime(slices.Clone(prefix), before), func(key, _ []byte) (bool, error) {
			if len(key) < len(prefix)+8 {
				return false, errMalformed
			}
			at, id := readTime(key[len(prefix):]), string(key[len(prefix)+8:])
			last = append(append(last[:0], key...), 0)
			seen++
			return seen < sweep, p.forget(b, flow, source, id, at)
		})
		if err != nil || seen == 0 {
			return err
		}
		return b.DeleteRange(prefix, last, nil)
	})
}

// forget drops a verdict, unless it was given again after at.
func (p *Pebble) forget(b *pebble.Batch, flow, source, id string, at int64) error {
	key := verdictKey(flow, source, id)
	entry, err := p.get(key)
	if err != nil || entry == nil {
		return err
	}
	v, err := readVerdict(source, id, entry)
	if err != nil || v.At != at {
		return err
	}
	return b.Delete(key, nil)
}

// Control returns the control data of a flow.
func (p *Pebble) Control(flow string) (map[string][]byte, error) {
	all := map[string][]byte{}
	prefix := flowKey(flow, kindControl)
	err := p.read(func() error {
		return p.scan(prefix, after(prefix), func(key, value []byte) (bool, error) {
			all[string(key[len(prefix):])] = append([]byte{}, value...)
			return true, nil
		})
	})
	if err != nil {
		return nil, err
	}
	return all, nil
}

// SetControl changes control data.
func (p *Pebble) SetControl(flow string, changes []Change) error {
	return p.write(pebble.Sync, 0, func(b *pebble.Batch) error { return setControl(b, flow, changes) })
}

// Flows returns the names of the flows of which something is kept. Its cost
// grows with the number of flows, not with what they keep.
func (p *Pebble) Flows() ([]string, error) {
	var names []string
	err := p.read(func() error {
		from := []byte{areaFlow}
		end := after(from)
		for !bytes.Equal(from, end) {
			next := end
			err := p.scan(from, end, func(key, _ []byte) (bool, error) {
				r := reader{rest: key[1:]}
				name := string(r.bytes())
				if r.err != nil {
					return false, r.err
				}
				names = append(names, name)
				next = after(appendName([]byte{areaFlow}, name))
				return false, nil
			})
			if err != nil {
				return err
			}
			from = next
		}
		return nil
	})
	slices.Sort(names)
	return names, err
}

// Drop removes the state of a stage, or all that a flow would resume from.
func (p *Pebble) Drop(flow, stage string) error {
	return p.write(pebble.Sync, 0, func(b *pebble.Batch) error {
		if stage == "" {
			return p.clear(b, flow)
		}
		prefix := stageKey(flow, kindState, stage)
		return b.DeleteRange(prefix, after(prefix), nil)
	})
}

// Move gives what is kept of a flow another name: the flow's name begins each
// of its keys.
func (p *Pebble) Move(from, to string) error {
	old, renamed := appendName([]byte{areaFlow}, from), appendName([]byte{areaFlow}, to)
	return p.write(pebble.Sync, 0, func(b *pebble.Batch) error {
		kept, err := p.any(renamed, after(renamed))
		if err == nil && kept {
			err = fmt.Errorf("%w of flow %q", ErrKept, to)
		}
		if err != nil {
			return err
		}
		key := slices.Clone(renamed)
		found := false
		err = p.scan(old, after(old), func(k, value []byte) (bool, error) {
			found = true
			key = append(key[:len(renamed)], k[len(old):]...)
			return true, b.Set(key, value, nil)
		})
		if err != nil || !found {
			return err
		}
		return b.DeleteRange(old, after(old), nil)
	})
}
