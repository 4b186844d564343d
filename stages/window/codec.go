package window

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"math"

	"github.com/telluride-stream/telluride/engine/record"
)

// stateVersion is the first byte of every state. Another one is refused.
const stateVersion = 1

// encoder writes state: varints, and everything of a length with it in front.
type encoder struct {
	b       []byte
	scratch []byte
}

func (e *encoder) byte(b byte)      { e.b = append(e.b, b) }
func (e *encoder) uvarint(u uint64) { e.b = binary.AppendUvarint(e.b, u) }
func (e *encoder) varint(i int64)   { e.b = binary.AppendVarint(e.b, i) }
func (e *encoder) fixed(u uint64)   { e.b = binary.LittleEndian.AppendUint64(e.b, u) }
func (e *encoder) float(f float64)  { e.fixed(math.Float64bits(f)) }

func (e *encoder) bytes(b []byte) {
	e.uvarint(uint64(len(b)))
	e.b = append(e.b, b...)
}

func (e *encoder) bool(b bool) {
	if b {
		e.byte(1)
	} else {
		e.byte(0)
	}
}

func (e *encoder) moment(m moment) {
	e.varint(m.time)
	e.uvarint(m.seq)
}

// Tags of values. What a document wrote in another way than we would is kept
// as its JSON.
const (
	tagMissing = iota
	tagNull
	tagFalse
	tagTrue
	tagInt
	tagFloat
	tagText
	tagJSON
)

func (e *encoder) value(v record.Value) {
	switch v.Kind() {
	case record.Missing:
		e.byte(tagMissing)
		return
	case record.Null:
		e.byte(tagNull)
		return
	case record.Bool:
		if v.Bool() {
			e.byte(tagTrue)
		} else {
			e.byte(tagFalse)
		}
		return
	case record.Int:
		e.byte(tagInt)
		e.varint(v.Int())
		return
	}
	e.scratch = record.AppendValue(e.scratch[:0], v)
	switch {
	case v.Kind() == record.Float && bytes.Equal(e.scratch, record.AppendValue(nil, record.FloatValue(v.Float()))):
		e.byte(tagFloat)
		e.float(v.Float())
	case v.Kind() == record.String && len(e.scratch) == len(v.Str())+2:
		e.byte(tagText)
		e.bytes(e.scratch[1 : len(e.scratch)-1])
	default:
		e.byte(tagJSON)
		e.bytes(e.scratch)
	}
}

// decoder reads what encoder wrote. After the first error it returns zeros,
// whatever bytes it is given, so that readers check err once.
type decoder struct {
	b   []byte
	err error
}

var errState = errors.New("the saved state is damaged")

func (d *decoder) fail(what string) {
	if d.err == nil {
		d.err = fmt.Errorf("%w: %s", errState, what)
	}
	d.b = nil
}

// version reads the first byte of a state.
func (d *decoder) version() {
	if v := d.byte(); d.err == nil && v != stateVersion {
		d.err = fmt.Errorf("the state has version %d, which this program does not know", v)
		d.b = nil
	}
}

func (d *decoder) byte() byte {
	if len(d.b) == 0 {
		d.fail("it is too short")
		return 0
	}
	b := d.b[0]
	d.b = d.b[1:]
	return b
}

func (d *decoder) bool() bool { return d.byte() != 0 }

func (d *decoder) uvarint() uint64 {
	u, n := binary.Uvarint(d.b)
	if n <= 0 {
		d.fail("number")
		return 0
	}
	d.b = d.b[n:]
	return u
}

func (d *decoder) varint() int64 {
	i, n := binary.Varint(d.b)
	if n <= 0 {
		d.fail("number")
		return 0
	}
	d.b = d.b[n:]
	return i
}

func (d *decoder) fixed() uint64 {
	if len(d.b) < 8 {
		d.fail("it is too short")
		return 0
	}
	u := binary.LittleEndian.Uint64(d.b)
	d.b = d.b[8:]
	return u
}

// float reads a number. State never has NaN or an infinity where a number
// is to be.
func (d *decoder) float() float64 {
	f := math.Float64frombits(d.fixed())
	if math.IsNaN(f) || math.IsInf(f, 0) {
		d.fail("number")
		return 0
	}
	return f
}

// anyFloat reads a number that may have left the range of a float64.
func (d *decoder) anyFloat() float64 { return math.Float64frombits(d.fixed()) }

// bytes aliases the state.
func (d *decoder) bytes() []byte {
	n := d.uvarint()
	if n > uint64(len(d.b)) {
		d.fail("it is too short")
		return nil
	}
	b := d.b[:n]
	d.b = d.b[n:]
	return b
}

// length reads how many things follow, each of which takes at least size
// bytes: damaged state must not make us reserve memory.
func (d *decoder) length(size int) int {
	n := d.uvarint()
	if n > uint64(len(d.b)/size) {
		d.fail("it is too short")
		return 0
	}
	return int(n)
}

func (d *decoder) moment() moment { return moment{d.varint(), d.uvarint()} }

func (d *decoder) value() record.Value {
	switch d.byte() {
	case tagMissing:
		return record.Value{}
	case tagNull:
		return record.NullValue()
	case tagFalse:
		return record.BoolValue(false)
	case tagTrue:
		return record.BoolValue(true)
	case tagInt:
		return record.IntValue(d.varint())
	case tagFloat:
		return record.FloatValue(d.float())
	case tagText:
		return record.StringValue(string(d.bytes()))
	case tagJSON:
		if b := d.bytes(); json.Valid(b) {
			return record.ProjectValue(string(b), nil)
		}
	}
	d.fail("value")
	return record.Value{}
}
