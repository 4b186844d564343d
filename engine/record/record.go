package record

import (
	"bytes"
	"strings"
	"unsafe"
)

// Record is one message on its way through a flow.
type Record struct {
	// Payload is a JSON object as it arrived, or nil for a record that a
	// stage made. It is never written to.
	Payload []byte
	// Fields holds the slots of the record's Layout. It may be shorter than
	// the layout: what is behind its end is Missing.
	Fields []Value
	// Shape says how the record reads as a document; nil: exactly Payload.
	Shape *Shape
	// Meta is what the source knows of the record besides its payload; may be nil.
	Meta Meta
	// Key is the canonical text of the partition key ([AppendKey]), "" before
	// a partition.
	Key string
	// Hash is the hash of Key; lanes are chosen by it.
	Hash uint64
	// Time is the event time, in nanoseconds since 1970.
	Time int64
	// Watermark is the watermark of the record's source when the record
	// arrived, this record included. Whether a record is late depends on
	// this alone, hence neither on lanes nor on batch sizes.
	Watermark int64
	// Origin is the delivery that the record came from.
	Origin Origin
}

// Origin names a delivery: the source, and its sequence number there.
// Sequence numbers of a source rise by one from 1 in each of its sessions.
type Origin struct {
	Source int
	Seq    uint64
}

// Meta is what is known of a record beside its payload: `meta.*` in
// expressions. Implementations are immutable and may be shared by records.
type Meta interface {
	// Lookup returns `meta.<path>`, Missing when there is none. seq is the
	// record's own sequence number, so that one Meta can serve a whole file.
	Lookup(path Path, seq uint64) Value
}

// Field is the value of a slot.
func (r *Record) Field(s Slot) Value {
	if int(s) < len(r.Fields) {
		return r.Fields[s]
	}
	return Value{}
}

// Set writes a slot. n is the length of the record's layout, to which Fields
// grows when it is shorter.
func (r *Record) Set(s Slot, v Value, n int) {
	if int(s) >= len(r.Fields) {
		grown := make([]Value, n)
		copy(grown, r.Fields)
		r.Fields = grown
	}
	r.Fields[s] = v
}

// Clone is the record with memory of its own.
func (r *Record) Clone() Record {
	c := *r
	c.Payload = bytes.Clone(r.Payload)
	c.Key = strings.Clone(r.Key)
	if r.Fields != nil {
		c.Fields = make([]Value, len(r.Fields))
		from, to := stringOf(r.Payload), stringOf(c.Payload)
		for i, v := range r.Fields {
			v.s = rebase(v.s, from, to)
			c.Fields[i] = v
		}
	}
	return c
}

// rebase is s in memory of its own: the same part of to when s is a part of
// from, which to equals, and else a copy.
func rebase(s, from, to string) string {
	if s == "" {
		return ""
	}
	start := uintptr(unsafe.Pointer(unsafe.StringData(from)))
	at := uintptr(unsafe.Pointer(unsafe.StringData(s)))
	if at < start || at+uintptr(len(s)) > start+uintptr(len(from)) {
		return strings.Clone(s)
	}
	return to[at-start:][:len(s)]
}
