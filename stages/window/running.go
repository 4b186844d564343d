package window

import (
	"bytes"
	"math"
	"slices"

	"github.com/telluride-stream/telluride/engine/record"
	"github.com/telluride-stream/telluride/engine/stage"
)

// running is the operator of global windows: one for each key, that never
// closes. It emits on a timer, and what changed since at the end of input, or
// when the key expires. Its keys are packed, since there may be millions.
type running struct {
	common
	keys    rows
	idle    int64        // expire_after; 0: never
	queue   queue[rowID] // a key once, by the time at which to look whether it has expired
	touched marks        // since the timer last emitted
	dirty   marks        // differs from what the last snapshot has
	// behind are those that are not touched any more, and otherwise as the last
	// snapshot has them: see Snapshot.
	behind marks
	gone   []string
	size   int64 // bytes of what snapshots hold
}

var (
	_ stage.Operator = (*running)(nil)
	_ stage.Timed    = (*running)(nil)
	_ stage.Ender    = (*running)(nil)
	_ stage.Stateful = (*running)(nil)
	_ stage.Growing  = (*running)(nil)
	_ stage.Sized    = (*running)(nil)
)

func newRunning(s *spec) *running {
	return &running{common: newCommon(s), keys: newRows(s.set, s.config.ExpireAfter > 0), idle: int64(s.config.ExpireAfter)}
}

func (o *running) Process(c *stage.Context, r *record.Record) stage.Verdict {
	if reason := o.in.read(&c.Scope, r); reason != "" {
		return c.Dead(r, reason)
	}
	id := o.current(c, r)
	row := o.keys.row(id)
	seq, latest := row.get(rowSeq)+1, r.Time
	if seq == 1 {
		row.set(rowBorn, o.born(r))
	} else {
		latest = max(latest, row.get(rowLatest))
	}
	row.set(rowSeq, seq)
	row.set(rowLatest, latest)
	cells := o.keys.cells(id)
	o.in.apply(cells, moment{r.Time, uint64(seq)})
	o.keys.keep(id, cells)
	o.dirty.add(id)
	if o.every > 0 {
		o.touched.add(id)
	}
	if o.idle > 0 {
		row.set(rowSeen, max(row.get(rowSeen), r.Time, r.Watermark))
		o.watch(id)
	}
	return stage.Absorb
}

// current is the row of the record's key, made anew if it is new or has
// expired.
func (o *running) current(c *stage.Context, r *record.Record) rowID {
	key, hash := r.Key, r.Hash
	if len(o.key.Fields) == 0 {
		key, hash = "", 0
	}
	id, known := o.keys.find(hash, key)
	if known && o.idle > 0 && o.expires(id) <= r.Watermark {
		o.expire(c, id)
		known = false
	}
	if !known {
		id = o.keys.add(hash, key)
	}
	return id
}

func (o *running) Advance(c *stage.Context) {
	if o.timer(c) {
		o.emitAll(c)
	}
	o.expireIdle(c, c.Watermark)
}

func (o *running) End(c *stage.Context) {
	o.expireIdle(c, c.Last)
	o.emitAll(c)
}

// emitAll emits what was touched, or everything.
func (o *running) emitAll(c *stage.Context) {
	if !o.config.Emit.ChangedOnly {
		o.keys.all(func(id rowID) { o.emit(c, id) })
	}
	o.touched.take(math.MaxInt, func(id rowID) {
		if o.config.Emit.ChangedOnly {
			o.emit(c, id)
		}
		if !o.dirty.has(id) {
			o.behind.add(id)
		}
	})
}

func (o *running) emit(c *stage.Context, id rowID) {
	row := o.keys.row(id)
	// The result is as of now: its time is never behind the watermark.
	latest := row.get(rowLatest)
	res := result{time: max(latest, c.Watermark), watermark: c.Watermark, id: row.identity()}
	if c.Watermark == record.MaxTime {
		res.time, res.watermark = latest, latest
	}
	o.result(c, id, res)
}

// identity is that of the next result of a row.
func (b row) identity() identity {
	return identity{window: b.get(rowBorn), revision: uint64(b.get(rowSeq)), content: true}
}

func (o *running) result(c *stage.Context, id rowID, res result) {
	key := string(o.keys.key(id))
	o.send(c, key, o.hashOf(key), o.keys.cells(id), res)
}

// EmitPartial is [stage.Partial].
func (o *running) EmitPartial(c *stage.Context) {
	for _, id := range o.byKey() {
		row := o.keys.row(id)
		at := row.get(rowLatest)
		if c.Watermark != record.MaxTime {
			at = max(at, c.Watermark)
		}
		o.result(c, id, o.partial(c, uint64(row.get(rowSeq)), result{start: row.get(rowBorn), time: at}))
	}
	o.forgetAll()
}

// byKey lists the rows in the order of their keys.
func (o *running) byKey() []rowID {
	list := make([]rowID, 0, o.keys.n)
	o.keys.all(func(id rowID) { list = append(list, id) })
	slices.SortFunc(list, func(a, b rowID) int { return bytes.Compare(o.keys.key(a), o.keys.key(b)) })
	return list
}
