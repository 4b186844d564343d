package record

import (
	"encoding/binary"
	"fmt"
	"math/bits"
	"strings"
	"unicode/utf8"
	"unsafe"
)

// maxDepth is how deep objects and arrays may be nested.
const maxDepth = 512

// SyntaxError says why a payload is not a JSON object.
type SyntaxError struct {
	// Offset is the byte at which reading stopped, from 0; -1 for a document
	// that is well-formed JSON but no object.
	Offset int
	Msg    string
}

func (e *SyntaxError) Error() string {
	if e.Offset < 0 {
		return e.Msg
	}
	return fmt.Sprintf("malformed JSON at byte %d: %s", e.Offset, e.Msg)
}

// scanner checks JSON text by RFC 8259 and finds its parts. Its methods take
// the position to read at and return the position behind what they read, or
// -1 after an error, which is then in err.
type scanner struct {
	b      []byte
	fields []Value // what a projection fills
	num    number  // the last number read
	err    *SyntaxError
}

func (s *scanner) fail(at int, msg string) int {
	if s.err == nil {
		if at >= len(s.b) {
			at = len(s.b)
			if strings.HasPrefix(msg, "expected") {
				msg += ", got the end of the document"
			}
		}
		s.err = &SyntaxError{Offset: at, Msg: msg}
	}
	return -1
}

// at is the byte at i, and 0, which JSON has no use for, behind the end.
func (s *scanner) at(i int) byte {
	if uint(i) < uint(len(s.b)) {
		return s.b[i]
	}
	return 0
}

// text is a part of the document, without a copy.
func (s *scanner) text(from, to int) string {
	return unsafe.String(unsafe.SliceData(s.b[from:to]), to-from)
}

// bytesOf is the bytes of a string, which must not be written to.
func bytesOf(s string) []byte { return unsafe.Slice(unsafe.StringData(s), len(s)) }

// stringOf is b as a string; b must not change while the string lives.
func stringOf(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }

func (s *scanner) space(i int) int {
	for i < len(s.b) {
		switch s.b[i] {
		case ' ', '\t', '\n', '\r':
			i++
		default:
			return i
		}
	}
	return i
}

const (
	ones  = 0x0101010101010101
	highs = 0x8080808080808080
)

// special marks the bytes of a word that end the plain part of a string: a
// quote, a backslash, a control character or a byte that is not ASCII. The
// high bit of the lowest such byte is set; bits above it may be wrong, since
// a subtraction borrows from its left neighbour.
func special(w uint64) uint64 {
	return (w | (w - ones*0x20) | ((w ^ ones*'"') - ones) | ((w ^ ones*'\\') - ones)) & highs
}

// specialASCII is special without the bytes that are not ASCII.
func specialASCII(w uint64) uint64 {
	return ((w - ones*0x20) | ((w ^ ones*'"') - ones) | ((w ^ ones*'\\') - ones)) &^ w & highs
}

// load is the eight bytes from i on, the first one lowest. Behind the end of
// the document they are 0, which special marks. (It is inlined only as long
// as loadTail is not.)
func (s *scanner) load(i int) uint64 {
	if i+8 <= len(s.b) {
		return binary.LittleEndian.Uint64(s.b[i:])
	}
	return s.loadTail(i)
}

//go:noinline
func (s *scanner) loadTail(i int) uint64 {
	if n := len(s.b); n >= 8 {
		return binary.LittleEndian.Uint64(s.b[n-8:]) >> (8 * uint(i-(n-8)))
	}
	var w uint64
	for j := len(s.b) - 1; j >= i; j-- {
		w = w<<8 | uint64(s.b[j])
	}
	return w
}

// str reads the string behind the quote at i-1: the position of the closing
// quote, and whether there are escapes inside.
func (s *scanner) str(i int) (end int, escaped bool) {
	for b := s.b; i+8 <= len(b); i += 8 {
		if m := special(binary.LittleEndian.Uint64(b[i:])); m != 0 {
			i += bits.TrailingZeros64(m) >> 3
			if s.at(i) == '"' {
				return i, false
			}
			return s.oddStr(i)
		}
	}
	for {
		if m := special(s.load(i)); m != 0 {
			i += bits.TrailingZeros64(m) >> 3
			if s.at(i) == '"' {
				return i, false
			}
			return s.oddStr(i)
		}
		i += 8
	}
}

// oddStr goes on with a string at a byte that is not plain.
func (s *scanner) oddStr(i int) (end int, escaped bool) {
	for {
		from := i
		i = s.plainEnd(i)
		if run := s.b[from:i]; !utf8.Valid(run) {
			for {
				r, n := utf8.DecodeRune(run)
				if r == utf8.RuneError && n <= 1 {
					return s.fail(i-len(run), "invalid UTF-8"), false
				}
				run = run[n:]
			}
		}
		switch c := s.at(i); {
		case c == '"':
			return i, escaped
		case i >= len(s.b):
			return s.fail(i, "a string is not closed"), false
		case c == '\\':
			escaped = true
			if i = s.escape(i + 1); i < 0 {
				return -1, false
			}
		default:
			return s.fail(i, "a control character in a string must be escaped"), false
		}
	}
}

// plainEnd is the position of the next quote, backslash or control character.
func (s *scanner) plainEnd(i int) int {
	for {
		if m := specialASCII(s.load(i)); m != 0 {
			return i + bits.TrailingZeros64(m)>>3
		}
		i += 8
	}
}

// escape reads an escape behind its backslash.
func (s *scanner) escape(i int) int {
	switch s.at(i) {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		return i + 1
	case 'u':
		for j := i + 1; j <= i+4; j++ {
			if hex(s.at(j)) < 0 {
				return s.fail(j, `expected four hexadecimal digits behind \u`)
			}
		}
		return i + 5
	}
	return s.fail(i, "unknown escape in a string")
}

// literal reads true, false or null.
func (s *scanner) literal(i int, want string) int {
	if len(s.b)-i >= len(want) && string(s.b[i:i+len(want)]) == want {
		return i + len(want)
	}
	for j := range len(want) {
		if s.at(i+j) != want[j] {
			i += j
			break
		}
	}
	return s.fail(i, "expected "+want)
}

// skip reads any value.
func (s *scanner) skip(i, depth int) int {
	switch c := s.at(i); c {
	case '"':
		end, _ := s.str(i + 1)
		if end < 0 {
			return -1
		}
		return end + 1
	case '{':
		return s.object(i+1, nil, depth+1)
	case '[':
		return s.array(i+1, nil, depth+1)
	case 't':
		return s.literal(i, "true")
	case 'f':
		return s.literal(i, "false")
	case 'n':
		return s.literal(i, "null")
	default:
		if c == '-' || c >= '0' && c <= '9' {
			return s.number(i)
		}
		return s.fail(i, "expected a value")
	}
}
