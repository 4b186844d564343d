package window

import (
	"math"

	"github.com/telluride-stream/telluride/engine/record"
	"github.com/telluride-stream/telluride/engine/stage"
)

// expiry forgets keys that have had no record for the time of expire_after:
// those of windows that do not close with time, whose keys would otherwise be
// kept for good.
//
// A key's last record counts with its own time or, when that is behind, with
// the watermark at its arrival. A record finds its key expired when its own
// watermark says so, hence whatever the lanes and batches are. Advance drops
// what no record to come can find.
type expiry[S any] struct {
	after int64                                  // 0: never
	drop  func(*stage.Context, *entry[S], int64) // emits what is open of a key that expires at a time
	queue queue[*entry[S]]                       // a key once, by the time at which to look at it
}

// met notes a record of the entry's key.
func (b *base[S]) met(e *entry[S], r *record.Record) {
	if b.idle.after == 0 {
		return
	}
	e.seen = max(e.seen, r.Time, r.Watermark)
	b.watch(e)
}

// watch has the entry looked at when it would expire now.
func (b *base[S]) watch(e *entry[S]) {
	if b.idle.after > 0 && !e.watched {
		e.watched = true
		b.idle.queue.push(b.expires(e), e)
	}
}

func (b *base[S]) expires(e *entry[S]) int64 { return later(e.seen, b.idle.after) }

// current is the entry of the record's key, made anew if it is new or has
// expired.
func (b *base[S]) current(c *stage.Context, r *record.Record) *entry[S] {
	e := b.entry(r)
	if b.idle.after > 0 && e.seq > 0 && b.expires(e) <= r.Watermark {
		b.expire(c, e)
		e = b.entry(r)
	}
	return e
}

// born is what tells the life of a key that begins with r from those before
// it, of which it is later than every record.
func (b *common) born(r *record.Record) int64 {
	if b.config.ExpireAfter == 0 {
		return r.Time
	}
	return max(r.Time, r.Watermark)
}

func (b *base[S]) expire(c *stage.Context, e *entry[S]) {
	b.idle.drop(c, e, b.expires(e))
	b.remove(e)
	c.Expired(1)
}

// expireIdle drops the keys that have expired when the watermark comes to a
// time. What the end of input does to the watermark is nothing that a key was
// idle for: up to [stage.Context.Last], End has them expire.
func (b *base[S]) expireIdle(c *stage.Context, watermark int64) {
	if watermark == record.MaxTime {
		return
	}
	for b.idle.queue.due(watermark) {
		_, e := b.idle.queue.pop()
		switch at := b.expires(e); {
		case !e.live:
		case at <= watermark:
			b.expire(c, e)
		default: // it has had records since
			b.idle.queue.push(at, e)
		}
	}
}

// tagSeen stands before the time of a key's last record, at the end of a
// state that has one. Without it that is what restore is given.
const tagSeen = 1

func (b *base[S]) putSeen(enc *encoder, e *entry[S]) {
	if b.idle.after > 0 {
		enc.seen(e.seen)
	}
}

func (e *encoder) seen(at int64) {
	e.byte(tagSeen)
	e.varint(at)
}

func (b *base[S]) getSeen(d *decoder, e *entry[S], otherwise int64) {
	e.seen = otherwise
	if at, ok := d.seen(); ok {
		e.seen = at
	}
	if d.err == nil {
		b.watch(e)
	}
}

// seen reads what putSeen wrote, if there is any.
func (d *decoder) seen() (at int64, ok bool) {
	if d.err != nil || len(d.b) == 0 {
		return math.MinInt64, false
	}
	if d.byte() != tagSeen {
		d.fail("there is more than expected")
	}
	return d.varint(), d.err == nil
}
