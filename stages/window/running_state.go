package window

import (
	"math"

	"github.com/telluride-stream/telluride/engine/record"
	"github.com/telluride-stream/telluride/engine/stage"
)

// A snapshot takes so many of the keys that an emission left behind that there
// are maxBehind with those that changed, and minBehind in any case.
const (
	maxBehind = 8192
	minBehind = 1024
)

// Changed is what the next snapshot writes: see [stage.Growing].
func (o *running) Changed() int {
	changed := o.dirty.n + len(o.gone)
	return changed + min(o.behind.n, max(minBehind, maxBehind-changed))
}

// Snapshot writes what changed. That the timer has emitted a key is written
// too, but of a large emission not at once: what is left behind would be
// emitted once more after a crash, with the same message id. A drain leaves
// nothing behind.
func (o *running) Snapshot(w stage.StateWriter) {
	for _, key := range o.gone {
		// A key that has come back since is among the dirty ones.
		if _, back := o.keys.find(o.hashOf(key), key); !back {
			w.Delete(key)
		}
	}
	behind := max(minBehind, maxBehind-o.dirty.n-len(o.gone))
	clear(o.gone)
	o.gone = o.gone[:0]
	o.dirty.take(math.MaxInt, func(id rowID) {
		o.behind.remove(id)
		o.put(w, id)
	})
	o.behind.take(behind, func(id rowID) { o.put(w, id) })
}

func (o *running) put(w stage.StateWriter, id rowID) {
	row := o.keys.row(id)
	o.putHead(uint64(row.get(rowSeq)), o.touched.has(id))
	o.enc.varint(row.get(rowBorn))
	o.enc.varint(row.get(rowLatest))
	o.putCells(&o.enc, o.keys.cells(id))
	if o.idle > 0 {
		o.enc.seen(row.get(rowSeen))
	}
	key := string(o.keys.key(id))
	w.Put(key, o.enc.b)
	o.saved(row, len(key)+len(o.enc.b))
}

// saved notes how many bytes a snapshot has of a row.
func (o *running) saved(row row, bytes int) {
	o.size += int64(bytes) - row.saved()
	row.save(int64(bytes))
}

// lose has the next snapshot delete a row that is gone.
func (o *running) lose(id rowID) {
	if row := o.keys.row(id); row.saved() > 0 {
		o.gone = append(o.gone, string(o.keys.key(id)))
		o.saved(row, 0)
	}
}

// Size is that of the state: see [stage.Sized].
func (o *running) Size() (keys int, bytes int64) { return o.keys.n, o.size }

// Restore reads one key back. Nothing is kept of one that is damaged.
func (o *running) Restore(key string, value []byte) error {
	d := &decoder{b: value}
	progress, seq, touched := o.getHead(d, key)
	born, latest := d.varint(), d.varint()
	cells := o.keys.empty()
	o.readCells(d, cells)
	seen := latest
	if at, ok := d.seen(); ok {
		seen = at
	}
	hash := o.hashOf(key)
	_, twice := o.keys.find(hash, key)
	if err := o.got(d, key, twice); err != nil {
		return err
	}
	id := o.keys.add(hash, key)
	row := o.keys.row(id)
	row.set(rowSeq, int64(seq))
	row.set(rowBorn, born)
	row.set(rowLatest, latest)
	o.saved(row, len(key)+len(value))
	o.keys.keep(id, cells)
	o.progress = max(o.progress, progress)
	if touched && o.every > 0 {
		o.touched.add(id)
	}
	if o.idle > 0 {
		row.set(rowSeen, seen)
		o.watch(id)
	}
	return nil
}

// forgetAll drops every key, so that the next snapshot deletes all of them.
func (o *running) forgetAll() {
	o.keys.all(o.lose)
	o.keys, o.queue = newRows(o.set, o.idle > 0), queue[rowID]{}
	o.touched, o.dirty, o.behind = marks{}, marks{}, marks{}
}

func (o *running) expires(id rowID) int64 { return later(o.keys.row(id).get(rowSeen), o.idle) }

// watch has the key looked at when it would expire now.
func (o *running) watch(id rowID) {
	if !o.keys.row(id).is(flagWatched) {
		o.keys.row(id).flag(flagWatched, true)
		o.queue.push(o.expires(id), id)
	}
}

// expire emits what is new of a key, and drops it.
func (o *running) expire(c *stage.Context, id rowID) {
	if o.touched.has(id) {
		at := o.expires(id)
		o.result(c, id, result{time: at, watermark: at, id: o.keys.row(id).identity()})
	}
	key := string(o.keys.key(id))
	o.lose(id)
	o.touched.remove(id)
	o.dirty.remove(id)
	o.behind.remove(id)
	o.keys.remove(id, o.hashOf(key))
	if !o.keys.row(id).is(flagWatched) {
		o.keys.drop(id)
	}
	c.Expired(1)
}

// expireIdle drops the keys that have expired when the watermark comes to a
// time. At the end of input nothing has: it ends what is open itself.
func (o *running) expireIdle(c *stage.Context, watermark int64) {
	if watermark == record.MaxTime {
		return
	}
	for o.queue.due(watermark) {
		_, id := o.queue.pop()
		if !o.keys.row(id).is(flagLive) { // a record has found it expired
			o.keys.drop(id)
			continue
		}
		o.keys.row(id).flag(flagWatched, false)
		if o.expires(id) <= watermark {
			o.expire(c, id)
		} else { // it has had records since
			o.watch(id)
		}
	}
}
