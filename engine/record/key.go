package record

import (
	"cmp"
	"math"
	"slices"
	"strconv"

	"github.com/cespare/xxhash/v2"
)

// AppendKey writes the canonical text of a key: its values as JSON with a
// comma between them, such as `"line_1",7`. Equal keys have equal texts and
// others have not: the number 1 and the string "1" differ, 1 and 1.0 do not,
// and null stands for a missing field too (and for NaN and infinity, which
// have no number in JSON). [KeyValues] reads it back.
//
// The text is part of what a state store keeps, so it stays as it is.
func AppendKey(dst []byte, values ...Value) []byte {
	for i, v := range values {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = appendCanonical(dst, v)
	}
	return dst
}

// KeyValues are the values that a key was made of.
func KeyValues(key string) []Value { return AppendKeyValues(nil, key) }

// AppendKeyValues appends the values that a key was made of. Their texts are
// part of the key.
func AppendKeyValues(values []Value, key string) []Value {
	if key == "" {
		return values
	}
	s := scanner{b: bytesOf(key)}
	for i := 0; ; i++ {
		v, end := s.value(i, nil, -maxDepth)
		if end < 0 {
			return values
		}
		values = append(values, v)
		if i = end; s.at(i) != ',' {
			return values
		}
	}
}

// Hash is the hash of a key, by which lanes are chosen. It is XXH64 with seed
// 0, the same in every process and version.
func Hash[T string | []byte](key T) uint64 {
	switch k := any(key).(type) {
	case string:
		return xxhash.Sum64String(k)
	case []byte:
		return xxhash.Sum64(k)
	}
	panic("unreachable")
}

// appendCanonical writes v so that equal values have equal texts.
func appendCanonical(dst []byte, v Value) []byte {
	switch v.kind {
	case Int:
		return strconv.AppendInt(dst, int64(v.n), 10)
	case Float:
		return appendCanonicalFloat(dst, v)
	case String:
		return appendQuoted(dst, v.Str())
	case List:
		dst = append(dst, '[')
		for w := walk(v.s, 0); w.next(); {
			if w.n > 1 {
				dst = append(dst, ',')
			}
			dst = appendCanonical(dst, w.any())
		}
		return append(dst, ']')
	case Map:
		dst = append(dst, '{')
		for i, m := range sortedMembers(v.s) {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = append(appendQuoted(dst, m.key), ':')
			dst = appendCanonical(dst, m.value)
		}
		return append(dst, '}')
	}
	return AppendValue(dst, v)
}

func appendCanonicalFloat(dst []byte, v Value) []byte {
	f := v.Float()
	switch {
	case beyond(v):
		return append(dst, v.s...)
	case f == math.Trunc(f) && f >= -1<<63 && f < 1<<63:
		return strconv.AppendInt(dst, int64(f), 10) // an Int of the same size may come along
	}
	return appendFloat(dst, f)
}

// beyond says that the literal of a Float tells more than its bits: it is an
// integer that no int64 can hold, such as a 20-digit id, or overflows.
func beyond(v Value) bool {
	if v.kind != Float || len(v.s) < 3 {
		return false // -0 is a plain zero
	}
	if math.IsInf(v.Float(), 0) {
		return true
	}
	return isInteger(v.s)
}

// isInteger says whether a number literal has neither fraction nor exponent.
func isInteger(literal string) bool {
	for i := range len(literal) {
		if c := literal[i]; c-'0' > 9 && (i > 0 || c != '-') {
			return false
		}
	}
	return literal != ""
}

type sortedMember struct {
	key   string
	value Value
}

// sortedMembers are the members of an object by key, of equal ones the last.
func sortedMembers(json string) []sortedMember {
	var all []sortedMember
	for w := walk(json, 0); w.next(); {
		all = append(all, sortedMember{w.key(), w.any()})
	}
	slices.SortStableFunc(all, func(a, b sortedMember) int { return cmp.Compare(a.key, b.key) })
	kept := all[:0]
	for i, m := range all {
		if i+1 == len(all) || all[i+1].key != m.key {
			kept = append(kept, m)
		}
	}
	return kept
}
