package record

import (
	"bytes"
	"cmp"
	"math"
	"strings"
)

// Equal says whether two values are the same: numbers by size (1 and 1.0 are,
// and an Int is compared exactly, not as a float64), strings by content,
// lists and maps by what is in them, whatever the order of a map's keys. Null
// and Missing are equal, NaN is equal to nothing.
func Equal(a, b Value) bool {
	switch {
	case a.IsNumber() && b.IsNumber():
		c, ok := Compare(a, b)
		return ok && c == 0
	case a.IsNil() || b.IsNil():
		return a.IsNil() && b.IsNil()
	case a.kind != b.kind:
		return false
	case a.kind == Bool:
		return a.n == b.n
	case a.s == b.s && a.escaped == b.escaped:
		return true
	case a.kind == String:
		return (a.escaped || b.escaped) && a.Str() == b.Str()
	}
	return bytes.Equal(appendCanonical(nil, a), appendCanonical(nil, b))
}

// Compare orders two numbers by size or two strings by their bytes: -1, 0 or
// +1. It is false for everything else, and for NaN.
func Compare(a, b Value) (int, bool) {
	switch {
	case a.kind == Int && b.kind == Int:
		return cmp.Compare(int64(a.n), int64(b.n)), true
	case a.kind == Int && b.kind == Float:
		return compareIntFloat(int64(a.n), b.Float())
	case a.kind == Float && b.kind == Int:
		c, ok := compareIntFloat(int64(b.n), a.Float())
		return -c, ok
	case a.kind == Float && b.kind == Float:
		return compareFloats(a, b)
	case a.kind == String && b.kind == String:
		return strings.Compare(a.Str(), b.Str()), true
	}
	return 0, false
}

func compareFloats(a, b Value) (int, bool) {
	f, g := a.Float(), b.Float()
	if math.IsNaN(f) || math.IsNaN(g) {
		return 0, false
	}
	if c := cmp.Compare(f, g); c != 0 {
		return c, true
	}
	if !beyond(a) || !beyond(b) || !isInteger(a.s) || !isInteger(b.s) {
		return 0, true
	}
	// Two integers that are too large for an int64 and nearly the same.
	c := cmp.Compare(len(a.s), len(b.s))
	if c == 0 {
		c = strings.Compare(a.s, b.s)
	}
	if f < 0 {
		c = -c
	}
	return c, true
}

// compareIntFloat compares without rounding i to a float64.
func compareIntFloat(i int64, f float64) (int, bool) {
	switch {
	case math.IsNaN(f):
		return 0, false
	case f >= 1<<63:
		return -1, true
	case f < -1<<63:
		return 1, true
	}
	whole := math.Trunc(f)
	if c := cmp.Compare(i, int64(whole)); c != 0 {
		return c, true
	}
	return cmp.Compare(whole, f), true
}
