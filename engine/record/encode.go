package record

import (
	"bytes"
	"math"
	"strconv"
)

// AppendValue writes a value as JSON. Strings and numbers that came from a
// document keep their exact bytes. Missing, and the NaN and infinities that a
// calculation can make, become null.
func AppendValue(dst []byte, v Value) []byte {
	switch v.kind {
	case Bool:
		return strconv.AppendBool(dst, v.n != 0)
	case Int:
		if v.s != "" {
			return append(dst, v.s...)
		}
		return strconv.AppendInt(dst, int64(v.n), 10)
	case Float:
		if v.s != "" {
			return append(dst, v.s...)
		}
		return appendFloat(dst, math.Float64frombits(v.n))
	case String:
		if v.escaped {
			dst = append(dst, '"')
			dst = append(dst, v.s...)
			return append(dst, '"')
		}
		return appendQuoted(dst, v.s)
	case List, Map:
		return append(dst, v.s...)
	}
	return append(dst, "null"...)
}

// AppendText writes what [Value.Text] returns.
func (v Value) AppendText(dst []byte) []byte {
	switch {
	case v.kind == String && v.escaped:
		return appendUnescaped(dst, v.s)
	case v.s != "":
		return append(dst, v.s...)
	case v.kind == Float && (math.IsNaN(v.Float()) || math.IsInf(v.Float(), 0)):
		return strconv.AppendFloat(dst, v.Float(), 'g', -1, 64)
	case v.kind == Bool || v.kind == Int || v.kind == Float:
		return AppendValue(dst, v)
	}
	return dst
}

// AppendJSON writes the record as one JSON object: without a shape the exact
// bytes of the payload, with one its fields, of which the untouched ones keep
// their bytes, key and space around the colon included.
func AppendJSON(dst []byte, r *Record) []byte {
	if r.Shape == nil {
		if r.Payload == nil {
			return append(dst, "{}"...)
		}
		return append(dst, r.Payload...)
	}
	e := encoder{dst: append(dst, '{'), r: r}
	if r.Shape.base && len(r.Payload) > 0 {
		e.payload(r.Shape)
	}
	for i := range r.Shape.fields {
		if !e.done(i) {
			e.field(i)
		}
	}
	return append(e.dst, '}')
}

// AppendMessage writes a whole message as it is, and ends its line. One that
// ends a line itself, as NDJSON does, gets no empty line behind it.
func AppendMessage(dst []byte, message []byte) []byte {
	dst = append(dst, message...)
	if n := len(message); n > 0 && message[n-1] == '\n' {
		return dst
	}
	return append(dst, '\n')
}

// AppendLine writes the record as one line, '\n' included. Newlines of the
// payload, which can only be space between its parts, are left out.
func AppendLine(dst []byte, r *Record) []byte {
	from := len(dst)
	dst = AppendJSON(dst, r)
	line := dst[from:]
	if bytes.IndexByte(line, '\n') >= 0 || bytes.IndexByte(line, '\r') >= 0 {
		to := 0
		for _, c := range line {
			if c != '\n' && c != '\r' {
				line[to] = c
				to++
			}
		}
		dst = dst[:from+to]
	}
	return append(dst, '\n')
}

type encoder struct {
	dst  []byte
	r    *Record
	any  bool // something was written
	few  [2]uint64
	many []uint64 // the fields that were written, when they are more than fit few
}

func (e *encoder) bit(i int) (*uint64, uint64) {
	if len(e.r.Shape.fields) <= len(e.few)*64 {
		return &e.few[i/64], 1 << (i % 64)
	}
	if e.many == nil {
		e.many = make([]uint64, len(e.r.Shape.fields)/64+1)
	}
	return &e.many[i/64], 1 << (i % 64)
}

func (e *encoder) done(i int) bool {
	word, bit := e.bit(i)
	return *word&bit != 0
}

func (e *encoder) comma() {
	if e.any {
		e.dst = append(e.dst, ',')
	}
	e.any = true
}

// field writes a field of the shape.
func (e *encoder) field(i int) {
	word, bit := e.bit(i)
	*word |= bit
	f := &e.r.Shape.fields[i]
	v := e.r.Field(f.Slot)
	if v.kind == Missing {
		return
	}
	e.comma()
	e.dst = append(e.dst, f.json...)
	e.dst = AppendValue(e.dst, v)
}

// payload writes the keys of the payload, and the fields that took their
// places. Members that stay, with nothing but a comma between them, are copied
// in one go.
func (e *encoder) payload(s *Shape) {
	from, end := 0, 0 // members to copy
	w := walk(stringOf(e.r.Payload), 0)
	for w.next() {
		i := s.edit(w.key())
		if i == untouched && w.from == end+1 && end > 0 {
			end = w.end
			continue
		}
		e.members(w.b[from:end])
		from, end = 0, 0
		switch {
		case i == untouched:
			from, end = w.from, w.end
		case i >= 0 && !e.done(i):
			e.field(i)
		}
	}
	e.members(w.b[from:end])
}

func (e *encoder) members(text []byte) {
	if len(text) > 0 {
		e.comma()
		e.dst = append(e.dst, text...)
	}
}
