package checkpoint

import "encoding/binary"

// Delta is what the state of one stage, in one lane, changed in one epoch.
// It is a stage.StateWriter. There may be many of them, of many keys each, so
// that it keeps bytes and no pointers.
type Delta struct {
	Stage string

	n      int
	bytes  int
	blocks [][]byte // of changes: see append
}

// Put records a new value. It copies key and value.
func (d *Delta) Put(key string, value []byte) { d.append(key, value, 1+uint64(len(value))) }

// Delete records that a key is gone.
func (d *Delta) Delete(key string) { d.append(key, nil, 0) }

// Len is the number of changes.
func (d *Delta) Len() int { return d.n }

const (
	minBlock = 1 << 10
	maxBlock = 256 << 10
)

// append writes a change: the length of the key (uvarint) and the key, 0 for
// a key that is gone, else 1 and the length of the value (uvarint), the value.
func (d *Delta) append(key string, value []byte, is uint64) {
	size := 2*binary.MaxVarintLen64 + len(key) + len(value)
	last := len(d.blocks) - 1
	if last < 0 || cap(d.blocks[last])-len(d.blocks[last]) < size {
		room := minBlock
		if last >= 0 {
			room = min(2*cap(d.blocks[last]), maxBlock)
		}
		d.blocks = append(d.blocks, make([]byte, 0, max(room, size)))
		last++
	}
	b := d.blocks[last]
	before := len(b)
	b = append(binary.AppendUvarint(b, uint64(len(key))), key...)
	b = append(binary.AppendUvarint(b, is), value...)
	d.blocks[last] = b
	d.n++
	d.bytes += len(b) - before
}

// each calls f for every change in their order; value is nil for a key that is
// gone. Both are part of the delta. An error of f ends it.
func (d *Delta) each(f func(key, value []byte) error) error {
	for _, b := range d.blocks {
		for len(b) > 0 {
			var key, value []byte
			n, used := binary.Uvarint(b)
			key, b = b[used:used+int(n)], b[used+int(n):]
			is, used := binary.Uvarint(b)
			if b = b[used:]; is > 0 {
				n := int(is - 1)
				value, b = b[:n:n], b[n:]
			}
			if err := f(key, value); err != nil {
				return err
			}
		}
	}
	return nil
}

// size is about what the delta takes in memory.
func (d *Delta) size() int { return d.bytes }
