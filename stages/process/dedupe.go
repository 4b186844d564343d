package process

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/telluride-stream/telluride/engine/conf"
	"github.com/telluride-stream/telluride/engine/record"
	"github.com/telluride-stream/telluride/engine/stage"
)

type dedupeConfig struct {
	by     []conf.Text
	within time.Duration
	max    int
}

func dedupeStep() stage.Kind {
	return stage.DefineStep("dedupe", "Drops records whose id came before.", (*dedupeConfig).bind, (*dedupeConfig).build).
		WithExample(`dedupe: {by: event_id, within: 10m}`)
}

const (
	idTime  = 10 * time.Minute
	idCount = 1_000_000
)

func (c *dedupeConfig) bind(f *conf.Fields) {
	c.within, c.max = idTime, idCount
	either(f, "dedupe", "Passes the first record of each id; the others are counted as filtered. The value is the field that holds the id, several of them, or a mapping. "+
		"Records whose id is null or missing all pass. What is remembered survives a restart.",
		func() *conf.Value { return f.Paths(&c.by, "dedupe", "").NotEmpty() },
		func(f *conf.Fields) {
			f.Paths(&c.by, "by", "The id: a field, an expression, or several of them.").Required().NotEmpty()
			f.Duration(&c.within, "within", idTime, "How long an id is remembered, from the time of its first record on. "+
				"With a `time` of the source it is event time, so that reading old records again gives the same result.").Min(time.Millisecond)
			f.Int(&c.max, "max", idCount, "The most ids that a lane remembers at a time. Beyond that the one that would be forgotten first is forgotten at once.").Min(1).Max(100_000_000)
		})
}

func (c *dedupeConfig) build(b *stage.Builder) stage.OperatorSpec {
	key := b.KeyBy(c.by)
	nothing := string(record.AppendKey(nil, make([]record.Value, key.Len())...))
	within, most := int64(c.within), c.max
	return stage.OperatorSpec{
		New: func() stage.Operator {
			return &deduper{within: within, max: most, nothing: nothing, entries: map[string]*id{}}
		},
		Stateful:  true,
		Signature: "dedupe by " + key.Text(),
		Explain:   explainID,
		Ordered:   true,
		Text:      "by " + key.Text() + " within " + conf.FormatDuration(c.within),
	}
}

// deduper remembers ids. The time of a record is its Time or, when it is
// behind the watermark, the watermark at its arrival; an id is remembered
// until the time of its first record is `within` ago. That depends on the
// records alone, hence neither on lanes nor on batches: what Advance forgets
// is what no record to come could meet.
type deduper struct {
	within  int64
	max     int
	nothing string // the key of a record without id

	entries map[string]*id
	oldest  ageHeap
	changed []*id    // since the last snapshot
	gone    []string // likewise, of ids that a snapshot has
	size    int64    // bytes of what snapshots have
}

// id is one id that came.
type id struct {
	key    string
	time   int64 // of the first record
	pos    int   // in the heap; -1: forgotten
	listed bool  // it is in changed
	saved  int32 // how many bytes a snapshot has of it; 0: none has it
}

func (o *deduper) Process(_ *stage.Context, r *record.Record) stage.Verdict {
	if r.Key == o.nothing {
		return stage.Pass
	}
	now := max(r.Time, r.Watermark)
	known, ok := o.entries[r.Key]
	switch {
	case ok && !o.past(known.time, now):
		return stage.Filter
	case ok:
		known.time = now
		o.oldest.fix(known)
	default:
		known = &id{key: strings.Clone(r.Key), time: now}
		o.insert(known)
	}
	o.note(known)
	return stage.Pass
}

// past says whether an id of time t is forgotten at now.
func (o *deduper) past(t, now int64) bool {
	return t <= math.MaxInt64-o.within && t+o.within <= now
}

// insert remembers an id; one too many goes, the oldest.
func (o *deduper) insert(known *id) {
	o.entries[known.key] = known
	o.oldest.push(known)
	if len(o.entries) > o.max {
		o.forget(o.oldest[0])
	}
}

func (o *deduper) forget(known *id) {
	o.oldest.remove(known)
	delete(o.entries, known.key)
	if known.saved > 0 {
		o.gone = append(o.gone, known.key)
		o.size -= int64(known.saved)
	}
}

// save notes that a snapshot has an id, in a value of so many bytes.
func (o *deduper) save(known *id, value int) {
	o.size -= int64(known.saved)
	known.saved = int32(len(known.key) + value)
	o.size += int64(known.saved)
}

// Size is that of the state: see [stage.Sized].
func (o *deduper) Size() (keys int, bytes int64) { return len(o.entries), o.size }

func (o *deduper) note(known *id) {
	if !known.listed {
		known.listed = true
		o.changed = append(o.changed, known)
	}
}

// Advance forgets the ids whose time is over.
func (o *deduper) Advance(c *stage.Context) {
	for len(o.oldest) > 0 && o.past(o.oldest[0].time, c.Watermark) {
		o.forget(o.oldest[0])
	}
	o.compact()
}

// compact keeps the list of changes from growing where ids come and go
// between two snapshots, or where no snapshot is ever taken.
func (o *deduper) compact() {
	if len(o.changed) <= 2*len(o.entries)+1024 {
		return
	}
	kept := o.changed[:0]
	for _, known := range o.changed {
		if known.pos >= 0 {
			kept = append(kept, known)
		}
	}
	clear(o.changed[len(kept):])
	o.changed = kept
}

// Snapshot writes the ids that are new or gone. The value of an id is the
// time of its first record, so that another `within` counts from there.
func (o *deduper) Snapshot(w stage.StateWriter) {
	for _, key := range o.gone {
		if _, again := o.entries[key]; !again {
			w.Delete(key)
		}
	}
	var value [1 + binary.MaxVarintLen64]byte
	value[0] = stateVersion
	for _, known := range o.changed {
		known.listed = false
		if known.pos < 0 {
			continue
		}
		n := 1 + binary.PutVarint(value[1:], known.time)
		w.Put(known.key, value[:n])
		o.save(known, n)
	}
	clear(o.gone)
	clear(o.changed)
	o.gone, o.changed = o.gone[:0], o.changed[:0]
}

const stateVersion = 1

var errState = errors.New("dedupe: the saved time of an id cannot be read")

func readID(value []byte) (time int64, err error) {
	if len(value) < 2 || value[0] != stateVersion {
		return 0, errState
	}
	t, n := binary.Varint(value[1:])
	if n != len(value)-1 {
		return 0, errState
	}
	return t, nil
}

// explainID is [stage.OperatorSpec.Explain].
func explainID(_ string, value []byte) ([]byte, error) {
	t, err := readID(value)
	if err != nil {
		return nil, err
	}
	return fmt.Appendf(nil, `{"first_seen":%q}`, record.FormatTime(t)), nil
}

func (o *deduper) Restore(key string, value []byte) error {
	t, err := readID(value)
	if err != nil {
		return err
	}
	if known, ok := o.entries[key]; ok {
		known.time = t
		o.save(known, len(value))
		o.oldest.fix(known)
		return nil
	}
	known := &id{key: strings.Clone(key), time: t}
	o.save(known, len(value))
	o.insert(known)
	return nil
}
