package window

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"time"

	"github.com/telluride-stream/telluride/engine/record"
)

// results makes the records that a stage emits. It is immutable.
type results struct {
	flow, stage string
	// signature is a hash of what the state depends on. A change of it may
	// have begun the state anew, and with it the numbering of results.
	signature uint64
	set       *aggregates
	shape     *record.Shape
	// slots are those of the key's fields, of window_start and window_end
	// when bounded, of the aggregates, and of the mark of partial results.
	slots    []record.Slot
	names    []string // of the fields
	width    int      // slots that a record needs
	bounded  bool
	location *time.Location
	layout   *record.Layout
}

// nested are the slots that lie inside of a list or object of the result.
type nested struct {
	name  string
	slots []record.Slot
}

// result is what is known of one emission besides its aggregates.
type result struct {
	start, end int64 // of the window
	time       int64 // of the record
	watermark  int64
	id         identity
}

// identity tells emissions of one key apart.
type identity struct {
	// window is when it starts. Windows that do not lie in time have the time
	// at which their key was first seen: once a key is forgotten, the count of
	// its results begins anew.
	window   int64
	end      int64 // of a session: another with the same start may follow one that is closed
	revision uint64
	// content is a hash of the record's fields. It is used where results are
	// emitted on a timer: those of a replay need not be those of the first run.
	content bool
	partial bool
}

// meta is `meta.message_id` of a result: the same again whenever the same
// result is emitted again.
type meta struct {
	results *results
	key     string
	id      identity
	hash    uint64
}

func (m *meta) Lookup(path record.Path, _ uint64) record.Value {
	if len(path) == 1 && path[0].Key == "message_id" {
		return record.StringValue(m.messageID())
	}
	return record.Value{}
}

func (m *meta) messageID() string {
	var b []byte
	for _, s := range []string{m.results.flow, m.results.stage, m.key} {
		b = binary.AppendUvarint(b, uint64(len(s)))
		b = append(b, s...)
	}
	b = binary.LittleEndian.AppendUint64(b, m.results.signature)
	b = binary.AppendVarint(b, m.id.window)
	b = binary.AppendVarint(b, m.id.end)
	b = binary.AppendUvarint(b, m.id.revision)
	if m.id.content {
		b = binary.LittleEndian.AppendUint64(b, m.hash)
	}
	if m.id.partial {
		b = append(b, partialField...)
	}
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:16])
}

// formatter writes window bounds. Windows that fire one after the other
// mostly have the same ones.
type formatter struct {
	location   *time.Location
	start, end int64
	from, to   record.Value
	scratch    []byte
}

func (f *formatter) bounds(start, end int64) (from, to record.Value) {
	if start != f.start || end != f.end || f.from.Kind() == record.Missing {
		f.start, f.end = start, end
		f.from, f.to = f.format(start), f.format(end)
	}
	return f.from, f.to
}

func (f *formatter) format(t int64) record.Value {
	if f.location == nil {
		return record.StringValue(record.FormatTime(t))
	}
	return record.StringValue(time.Unix(0, t).In(f.location).Format(time.RFC3339Nano))
}
