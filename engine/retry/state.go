package retry

import (
	"encoding/binary"
	"errors"
	"fmt"
	"strings"

	"github.com/telluride-stream/telluride/engine/record"
	"github.com/telluride-stream/telluride/engine/stage"
)

// The state of a key is its queue: a version byte, the number of records
// (uvarint), and of each record document, meta, source and reason (each a
// uvarint length and bytes), time, watermark and due time (varints), and how
// often it was tried (uvarint).
const stateVersion = 1

// Snapshot writes the queues that have changed.
func (o *operator) Snapshot(w stage.StateWriter) {
	for _, q := range o.changed {
		q.changed = false
		switch o.queues[q.key] {
		case nil:
			w.Delete(q.key)
		case q:
			value := q.encode(nil)
			w.Put(q.key, value)
			o.save(q, len(value))
		}
	}
	clear(o.changed)
	o.changed = o.changed[:0]
}

// save notes that a snapshot has a queue, in a value of so many bytes.
func (o *operator) save(q *queue, value int) {
	o.size -= int64(q.saved)
	q.saved = len(q.key) + value
	o.size += int64(q.saved)
}

// Size is that of the state: see [stage.Sized].
func (o *operator) Size() (keys int, bytes int64) { return len(o.queues), o.size }

func (q *queue) encode(b []byte) []byte {
	b = binary.AppendUvarint(append(b, stateVersion), uint64(len(q.list)))
	for i := range q.list {
		h := &q.list[i]
		for _, part := range []string{string(h.document), string(h.meta), h.source, h.reason} {
			b = append(binary.AppendUvarint(b, uint64(len(part))), part...)
		}
		for _, n := range []int64{h.time, h.watermark, h.due} {
			b = binary.AppendVarint(b, n)
		}
		b = binary.AppendUvarint(b, uint64(h.tries))
	}
	return b
}

var errState = errors.New("retry: what was held cannot be read")

// Restore gives back the queue of a key.
func (o *operator) Restore(key string, value []byte) error {
	if len(value) == 0 || value[0] != stateVersion {
		return fmt.Errorf("%w: it has another format", errState)
	}
	d := decoder{rest: value[1:]}
	q := &queue{key: strings.Clone(key), hash: record.Hash(key), at: -1}
	for n := d.uvarint(); n > 0 && !d.failed; n-- {
		h := held{document: d.bytes(), meta: d.bytes(), source: string(d.bytes()), reason: string(d.bytes())}
		h.time, h.watermark, h.due = d.varint(), d.varint(), d.varint()
		h.tries = int(d.uvarint())
		if len(h.meta) == 0 {
			h.meta = nil
		}
		q.list = append(q.list, h)
	}
	if d.failed || len(d.rest) > 0 || len(q.list) == 0 {
		return errState
	}
	if before := o.queues[q.key]; before != nil {
		return fmt.Errorf("%w: a key is there twice", errState)
	}
	o.queues[q.key] = q
	o.save(q, len(value))
	o.held += len(q.list)
	o.back += len(q.list)
	o.stale = true
	o.schedule(q)
	return nil
}

// decoder takes a value apart; failed stays.
type decoder struct {
	rest   []byte
	failed bool
}

func (d *decoder) uvarint() uint64 {
	v, n := binary.Uvarint(d.rest)
	if n <= 0 {
		d.rest, d.failed = nil, true
		return 0
	}
	d.rest = d.rest[n:]
	return v
}

func (d *decoder) varint() int64 {
	v, n := binary.Varint(d.rest)
	if n <= 0 {
		d.rest, d.failed = nil, true
		return 0
	}
	d.rest = d.rest[n:]
	return v
}

func (d *decoder) bytes() []byte {
	n := d.uvarint()
	if n > uint64(len(d.rest)) {
		d.rest, d.failed = nil, true
		return nil
	}
	b := append([]byte(nil), d.rest[:n]...)
	d.rest = d.rest[n:]
	return b
}
