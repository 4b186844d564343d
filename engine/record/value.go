package record

import (
	"math"
	"strings"
)

// Kind is the type of a [Value].
type Kind uint8

const (
	Missing Kind = iota // the field is not there
	Null
	Bool
	Int    // fits an int64
	Float  // any other number
	String // text
	List   // a JSON array, kept as its text
	Map    // a JSON object, kept as its text
)

var kindNames = [...]string{"missing", "null", "bool", "int", "float", "string", "list", "map"}

func (k Kind) String() string { return kindNames[k] }

// Value is one field of a record: a small union, passed by value. The zero
// Value is Missing.
//
// The text of a value that was read from a payload aliases the payload.
type Value struct {
	// s is the text: of a String its content (or its escaped content, see
	// escaped), of a number that came from a document its literal, of a List
	// or Map its JSON.
	s string
	// n holds a Bool (0 or 1), an Int, or the bits of a Float.
	n    uint64
	kind Kind
	// escaped says that s is the inside of a JSON string literal with
	// escapes in it. Keeping it so preserves the exact bytes; Text unescapes.
	escaped bool
}

func NullValue() Value { return Value{kind: Null} }

func BoolValue(b bool) Value {
	if b {
		return Value{kind: Bool, n: 1}
	}
	return Value{kind: Bool}
}

func IntValue(i int64) Value     { return Value{kind: Int, n: uint64(i)} }
func FloatValue(f float64) Value { return Value{kind: Float, n: math.Float64bits(f)} }
func StringValue(s string) Value { return Value{kind: String, s: s} }

// ListValue and MapValue take valid JSON text of an array or object.
func ListValue(json string) Value { return Value{kind: List, s: json} }
func MapValue(json string) Value  { return Value{kind: Map, s: json} }

func (v Value) Kind() Kind { return v.kind }

// IsNil says whether the value is null or not there: `x == nil` in expressions.
func (v Value) IsNil() bool    { return v.kind <= Null }
func (v Value) IsNumber() bool { return v.kind == Int || v.kind == Float }

// Bool is the value of a Bool, and false for every other kind.
func (v Value) Bool() bool { return v.kind == Bool && v.n != 0 }

// Int is the value of an Int, and 0 for every other kind.
func (v Value) Int() int64 {
	if v.kind == Int {
		return int64(v.n)
	}
	return 0
}

// Float is the value of an Int or Float, and 0 for every other kind.
func (v Value) Float() float64 {
	switch v.kind {
	case Float:
		return math.Float64frombits(v.n)
	case Int:
		return float64(int64(v.n))
	}
	return 0
}

// Str is the content of a String, unescaped, and "" for every other kind.
func (v Value) Str() string {
	if v.kind != String {
		return ""
	}
	if v.escaped {
		return unescape(v.s)
	}
	return v.s
}

// JSON is the text of a List or Map, and "" for every other kind.
func (v Value) JSON() string {
	if v.kind == List || v.kind == Map {
		return v.s
	}
	return ""
}

// Text is the value as people write it, for keys and templates: a string
// without quotes, a number as its literal, "" for null and missing.
func (v Value) Text() string {
	switch {
	case v.kind == String:
		return v.Str()
	case v.s != "":
		return v.s
	}
	return string(v.AppendText(nil))
}

// Clone is the value with memory of its own.
func (v Value) Clone() Value {
	v.s = strings.Clone(v.s)
	return v
}
