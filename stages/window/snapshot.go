package window

import (
	"fmt"

	"github.com/telluride-stream/telluride/engine/record"
	"github.com/telluride-stream/telluride/engine/stage"
)

// snapshot writes the entries that changed since the last call; put writes
// what is special to the operator.
func (b *base[S]) snapshot(w stage.StateWriter, put func(*encoder, *entry[S])) {
	for _, key := range b.gone {
		// A key that has come back since is among the dirty ones.
		if b.keys.find(b.hashOf(key), key) == nil {
			w.Delete(key)
		}
	}
	clear(b.gone)
	b.gone = b.gone[:0]
	for _, e := range b.dirty {
		e.dirty = false
		if !e.live {
			continue
		}
		b.putHead(e.seq, e.touched)
		put(&b.enc, e)
		w.Put(e.key, b.enc.b)
		b.save(e, len(b.enc.b))
	}
	clear(b.dirty)
	b.dirty = b.dirty[:0]
}

// restore reads one entry back. get reads what is special to the operator,
// and is given the progress at which the entry was written. Nothing is kept
// of an entry that is damaged.
func (b *base[S]) restore(key string, value []byte, get func(d *decoder, e *entry[S], progress int64)) (*entry[S], error) {
	d := &decoder{b: value}
	progress, seq, touched := b.getHead(d, key)
	e := &entry[S]{key: key, hash: b.hashOf(key), seq: seq}
	if d.err == nil {
		get(d, e, progress)
	}
	if err := b.got(d, key, b.keys.find(e.hash, key) != nil); err != nil {
		return nil, err
	}
	b.keys.insert(e)
	b.save(e, len(value))
	b.progress = max(b.progress, progress)
	if touched {
		b.touch(e)
	}
	return e, nil
}

// save notes that a snapshot has an entry, in a value of so many bytes.
func (b *base[S]) save(e *entry[S], value int) {
	b.size -= int64(e.saved)
	e.saved = int32(len(e.key) + value)
	b.size += int64(e.saved)
}

// lose has the next snapshot delete an entry that is gone.
func (b *base[S]) lose(e *entry[S]) {
	if e.saved > 0 {
		b.gone = append(b.gone, e.key)
		b.size -= int64(e.saved)
	}
}

// Size is that of the state: see [stage.Sized].
func (b *base[S]) Size() (keys int, bytes int64) { return b.keys.n, b.size }

// putHead begins a state in enc. Each begins alike.
func (b *common) putHead(seq uint64, touched bool) {
	b.enc.b = append(b.enc.b[:0], stateVersion)
	b.enc.varint(b.progress)
	b.enc.uvarint(seq)
	b.enc.bool(touched)
}

func (b *common) getHead(d *decoder, key string) (progress int64, seq uint64, touched bool) {
	d.version()
	progress, seq, touched = d.varint(), d.uvarint(), d.bool()
	if n := len(b.key.Fields); n > 0 && len(b.keyOf(key)) != n {
		d.fail("its key has another number of fields")
	}
	return progress, seq, touched
}

// got ends the reading of a state: what is wrong with it. twice says that its
// key is there already.
func (b *common) got(d *decoder, key string, twice bool) error {
	if d.err == nil && len(d.b) > 0 {
		d.fail("there is more than expected")
	}
	if d.err == nil && twice {
		d.fail("the key is there twice")
	}
	if d.err != nil {
		return fmt.Errorf("%s: key %q: %w", b.results.stage, key, d.err)
	}
	return nil
}

// hashOf is the hash that records of a key bring along.
func (b *common) hashOf(key string) uint64 {
	if len(b.key.Fields) == 0 {
		return 0
	}
	return record.Hash(key)
}

// forgetAll drops every key, so that the next snapshot deletes all of them.
func (b *base[S]) forgetAll() {
	b.keys.all(func(e *entry[S]) {
		e.live = false
		b.lose(e)
	})
	b.keys, b.touched, b.dirty = table[S]{}, nil, nil
	b.idle.queue = queue[*entry[S]]{}
}

func (b *common) putCells(e *encoder, cells []cell) {
	for i := range cells {
		e.cell(b.set.cells[i].op, &cells[i])
	}
}

func (b *common) getCells(d *decoder) []cell {
	cells := b.cells()
	b.readCells(d, cells)
	return cells
}

// readCells reads into empty cells.
func (b *common) readCells(d *decoder, cells []cell) {
	for i := range cells {
		d.cell(b.set, &b.set.cells[i], &cells[i])
	}
}

func (e *encoder) cell(o op, c *cell) {
	e.varint(c.n)
	if c.n == 0 {
		return
	}
	switch o {
	case opCount:
	case opSum:
		e.byte(byte(c.form))
		e.bool(c.scaled)
		e.varint(c.hi)
		e.uvarint(c.lo)
		if c.form == formReal {
			e.float(c.f)
			e.float(c.c)
		}
	case opMin, opMax:
		e.extreme(c)
	case opSpread:
		e.float(c.f)
		e.float(c.c)
	default:
		c.store.encode(e)
	}
}

// extreme writes the value of a minimum or maximum. Its numbers have no other
// form than ours, which value would have to find out.
func (e *encoder) extreme(c *cell) {
	switch c.form {
	case formInt:
		e.byte(tagInt)
		e.varint(int64(c.lo))
	case formReal:
		e.byte(tagFloat)
		e.float(c.f)
	default:
		e.value(c.extremeValue())
	}
}

func (d *decoder) cell(set *aggregates, spec *cellSpec, c *cell) {
	if c.n = d.varint(); c.n < 0 {
		d.fail("count")
	}
	if c.n == 0 || d.err != nil {
		return
	}
	switch spec.op {
	case opCount:
	case opSum:
		c.form, c.scaled = form(d.byte()), d.bool()
		c.hi, c.lo = d.varint(), d.uvarint()
		if c.form == formReal {
			c.f, c.c = d.anyFloat(), d.anyFloat()
		}
	case opMin, opMax:
		v := d.value()
		if d.err == nil && !finite(v) && v.Kind() != record.String {
			d.fail("minimum or maximum")
			return
		}
		c.setExtreme(v)
	case opSpread:
		c.f, c.c = d.anyFloat(), d.anyFloat()
	default:
		c.store = set.newStore(spec)
		c.store.decode(d)
		if o, ok := c.store.(*ordered); ok && o.newest {
			for i := range o.items {
				if !finite(o.items[i].value) {
					d.fail("number")
				}
			}
		}
	}
}
