package window

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/telluride-stream/telluride/engine/conf"
	"github.com/telluride-stream/telluride/engine/record"
	"github.com/telluride-stream/telluride/engine/stage"
)

// spec is what all lanes of a stage share. It is immutable.
type spec struct {
	config  *Config
	key     *stage.Key
	set     *aggregates
	results *results
}

// common is what all operators have in common: the timer, and the making of
// results.
type common struct {
	*spec
	in inputs
	// progress is the time up to which everything due has fired.
	progress int64
	free     [][]cell // to be used again

	every   int64 // of emit; 0: none
	ticks   int64 // of the timer, so far
	ticking bool

	// fields are those of the key at hand.
	fields []record.Value
	enc    encoder
	times  formatter
	// nested are the slots inside of the result's fields, and width the
	// length of a result's Fields.
	nested []nested
	width  int
}

// base is what the operators that keep entries have in common: the keys and
// their snapshots. S is what an operator keeps of a key.
type base[S any] struct {
	common
	keys    table[S]
	idle    expiry[S]
	touched []*entry[S] // since the timer last emitted
	dirty   []*entry[S]
	gone    []string
	size    int64 // bytes of what snapshots hold
}

func newBase[S any](s *spec) base[S] { return base[S]{common: newCommon(s)} }

func newCommon(s *spec) common {
	b := common{
		spec: s, in: newInputs(s.set), progress: record.MinTime, width: s.results.width,
		every: int64(s.config.Emit.Every), times: formatter{location: s.results.location},
	}
	// Stages behind this one have added to the layout since it was built.
	for _, name := range s.results.names {
		if slots := s.results.layout.Within(name); len(slots) > 0 {
			b.nested = append(b.nested, nested{name, slots})
			b.width = s.results.layout.Len()
		}
	}
	return b
}

// entry is the entry of the record's key, made if it is new. The fields of its
// results are taken from the key, not from the record: a step may have removed
// them since the records were partitioned, and 1 and 1.0 are one key.
func (b *base[S]) entry(r *record.Record) *entry[S] {
	key, hash := r.Key, r.Hash
	if len(b.key.Fields) == 0 {
		key, hash = "", 0
	}
	if e := b.keys.find(hash, key); e != nil {
		return e
	}
	e := &entry[S]{key: string(append([]byte(nil), key...)), hash: hash}
	b.keys.insert(e)
	return e
}

// change notes that the entry differs from what the last snapshot has.
func (b *base[S]) change(e *entry[S]) {
	if !e.dirty {
		e.dirty = true
		b.dirty = append(b.dirty, e)
	}
}

// Changed is what the next snapshot writes: see [stage.Growing].
func (b *base[S]) Changed() int { return len(b.dirty) + len(b.gone) }

// touch notes that the timer has something to emit for the entry.
func (b *base[S]) touch(e *entry[S]) {
	if b.every > 0 && !e.touched {
		e.touched = true
		b.touched = append(b.touched, e)
	}
}

// remove drops an entry that holds nothing.
func (b *base[S]) remove(e *entry[S]) {
	b.keys.remove(e)
	b.lose(e)
}

// cells are empty cells for a window.
func (b *common) cells() []cell {
	if n := len(b.free) - 1; n >= 0 {
		cells := b.free[n]
		b.free = b.free[:n]
		return cells
	}
	return make([]cell, len(b.set.cells))
}

func (b *common) recycle(cells []cell) {
	const enough = 1 << 16
	if len(b.free) < enough {
		clear(cells)
		b.free = append(b.free, cells)
	}
}

// timer says whether a multiple of emit.every has passed since the last call.
func (b *common) timer(c *stage.Context) bool {
	if b.every == 0 || c.Now == record.MinTime {
		return false
	}
	ticks := floorDiv(c.Now, b.every)
	due := b.ticking && ticks > b.ticks
	b.ticks, b.ticking = ticks, true
	return due
}

// takeTouched is what the timer is to emit: what was touched, or everything.
// An entry may meanwhile be gone, or touched again while it is emitted.
func (b *base[S]) takeTouched() []*entry[S] {
	list := b.touched
	b.touched = nil
	for _, e := range list {
		e.touched = false
	}
	if !b.config.Emit.ChangedOnly {
		list = list[:0]
		b.keys.all(func(e *entry[S]) { list = append(list, e) })
	}
	return list
}

// progressed is the time that the stream has reached when r comes.
func (b *common) progressed(c *stage.Context, r *record.Record) int64 {
	if c.Ordered {
		return max(c.Watermark, r.Watermark)
	}
	return c.Watermark
}

func (b *base[S]) emit(c *stage.Context, e *entry[S], cells []cell, res result) {
	b.send(c, e.key, e.hash, cells, res)
}

// send sends a result. key is kept.
func (b *common) send(c *stage.Context, key string, hash uint64, cells []cell, res result) {
	out := b.results
	fields := c.Values(b.width)
	at := copyTo(fields, out.slots, b.keyOf(key))
	if out.bounded {
		fields[out.slots[at]], fields[out.slots[at+1]] = b.times.bounds(res.start, res.end)
		at += 2
	}
	for i := range b.set.outputs {
		fields[out.slots[at+i]] = b.set.value(&b.set.outputs[i], cells)
	}
	if res.id.partial {
		fields[out.slots[at+len(b.set.outputs)]] = record.BoolValue(true)
	}
	m := &meta{results: out, key: key, id: res.id}
	if res.id.content {
		m.hash = b.content(fields)
	}
	r := record.Record{
		Fields: fields, Shape: out.shape, Meta: m,
		Key: key, Hash: hash, Time: res.time, Watermark: res.watermark,
	}
	for _, n := range b.nested {
		record.Refresh(&r, out.layout, n.name, n.slots)
	}
	c.Emit(r)
}

// emitPartial sends the content of a window that is open and about to be
// forgotten.
func (b *base[S]) emitPartial(c *stage.Context, e *entry[S], cells []cell, res result) {
	b.emit(c, e, cells, b.partial(c, e.seq, res))
}

// partial makes a result that of a window that is open. What is numbered begins
// anew then, so the id depends on the time that the stream has reached, which a
// replay of the same moment shares.
func (b *common) partial(c *stage.Context, seq uint64, res result) result {
	res.watermark = min(res.time, max(b.progress, c.Watermark))
	res.id = identity{
		window: res.start, end: max(b.progress, c.Watermark), revision: seq, content: true, partial: true,
	}
	return res
}

// byKey lists the entries in the order of their keys.
func (b *base[S]) byKey() []*entry[S] {
	list := make([]*entry[S], 0, b.keys.n)
	b.keys.all(func(e *entry[S]) { list = append(list, e) })
	slices.SortFunc(list, func(a, b *entry[S]) int { return cmp.Compare(a.key, b.key) })
	return list
}

// keyOf are the fields of a key, until the next call. They are not kept: with
// many keys that would be a good part of the memory.
func (b *common) keyOf(key string) []record.Value {
	b.fields = b.fields[:0]
	if len(b.key.Fields) > 0 {
		b.fields = record.AppendKeyValues(b.fields, key)
	}
	return b.fields
}

func copyTo(fields []record.Value, slots []record.Slot, values []record.Value) int {
	for i, v := range values {
		fields[slots[i]] = v
	}
	return len(values)
}

func (b *common) content(fields []record.Value) uint64 {
	b.times.scratch = b.times.scratch[:0]
	for _, s := range b.results.slots {
		b.times.scratch = append(record.AppendValue(b.times.scratch, fields[s]), 0)
	}
	return record.Hash(b.times.scratch)
}

// tooLate words why a record is late: what was closed when the watermark
// came to a time, and where the watermark is now.
func tooLate(r *record.Record, what string, closed, watermark int64) string {
	reason := fmt.Sprintf("late: its time is %s, but %s was closed when the watermark came to %s",
		record.FormatTime(r.Time), what, record.FormatTime(closed))
	if watermark > closed {
		reason += fmt.Sprintf("; it is now at %s, %s further", record.FormatTime(watermark), shortly(watermark, closed))
	}
	return reason
}

func shortly(to, from int64) string {
	d := to - from
	if d < 0 {
		d = math.MaxInt64
	}
	return conf.FormatDuration(time.Duration(d))
}
