package checkpoint

import (
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"slices"
)

// The layout of a state store, format 1. A name is written as its length
// (uvarint) and its bytes, so that no name is the beginning of another; a key
// or id is the rest of the database key, as it is. Times are eight bytes, big
// endian, with the sign bit inverted, so that they sort.
//
//	00 "format"                          "telluride/1"
//	01 flow 01 key                       control data
//	01 flow 02                           last commit (see appendLast)
//	01 flow 03 stage key                 state
//	01 flow 04 source id                 verdict: 00 acknowledged or 01 rejected, time
//	01 flow 05 source time id            (nothing): the verdicts by time
//
// All that a flow resumes from lies between 01 flow 02 and 01 flow 06, and is
// dropped as one range. A verdict that is given again leaves its old entry in
// the order of time behind; Forget sees that the times differ.
const (
	areaMeta byte = iota
	areaFlow
)

const (
	kindControl byte = 1 + iota
	kindLast
	kindState
	kindVerdict
	kindVerdictTime
	kindEnd
)

const formatVersion = 1

var formatKey = []byte("\x00format")

func appendName(b []byte, name string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(name))), name...)
}

// flowKey begins every key of a flow.
func flowKey(flow string, kind byte) []byte {
	return append(appendName([]byte{areaFlow}, flow), kind)
}

// stageKey begins every key of a stage's state, or of a source's verdicts.
func stageKey(flow string, kind byte, name string) []byte {
	return appendName(flowKey(flow, kind), name)
}

func verdictKey(flow, source, id string) []byte {
	return append(stageKey(flow, kindVerdict, source), id...)
}

func verdictTimeKey(flow, source string, at int64, id string) []byte {
	return append(appendTime(stageKey(flow, kindVerdictTime, source), at), id...)
}

func appendTime(b []byte, t int64) []byte {
	return binary.BigEndian.AppendUint64(b, uint64(t)^1<<63)
}

func readTime(b []byte) int64 { return int64(binary.BigEndian.Uint64(b) ^ 1<<63) }

// after is the first key behind all keys that begin with prefix. The first
// byte of a prefix is an area, which is never 255.
func after(prefix []byte) []byte {
	end := slices.Clone(prefix)
	for end[len(end)-1] == 0xff {
		end = end[:len(end)-1]
	}
	end[len(end)-1]++
	return end
}

var errMalformed = errors.New("malformed entry")

// reader takes an entry apart. The first error stays, and later reads return
// nothing.
type reader struct {
	rest []byte
	err  error
}

func (r *reader) fail() { r.rest, r.err = nil, errMalformed }

func (r *reader) uvarint() uint64 {
	v, n := binary.Uvarint(r.rest)
	if n <= 0 {
		r.fail()
		return 0
	}
	r.rest = r.rest[n:]
	return v
}

func (r *reader) varint() int64 {
	v, n := binary.Varint(r.rest)
	if n <= 0 {
		r.fail()
		return 0
	}
	r.rest = r.rest[n:]
	return v
}

// bytes reads a length and as many bytes. They are part of the entry.
func (r *reader) bytes() []byte {
	n := r.uvarint()
	if n > uint64(len(r.rest)) {
		r.fail()
		return nil
	}
	b := r.rest[:n]
	r.rest = r.rest[n:]
	return b
}

// appendLast writes the entry of a last commit: epoch (uvarint), now
// (varint), number of sources (uvarint); by source: name, watermark (varint),
// 0 or 1 (uvarint) for a position, and the position like a name.
func appendLast(b []byte, c *Commit) []byte {
	b = binary.AppendUvarint(b, c.Epoch)
	b = binary.AppendVarint(b, c.Now)
	b = binary.AppendUvarint(b, uint64(len(c.Positions)))
	for _, name := range slices.Sorted(maps.Keys(c.Positions)) {
		p := c.Positions[name]
		b = binary.AppendVarint(appendName(b, name), p.Watermark)
		if p.Bytes == nil {
			b = binary.AppendUvarint(b, 0)
			continue
		}
		b = appendName(binary.AppendUvarint(b, 1), string(p.Bytes))
	}
	return b
}

func readLast(flow string, entry []byte) (Commit, error) {
	r := reader{rest: entry}
	c := Commit{Flow: flow, Epoch: r.uvarint(), Now: r.varint(), Positions: map[string]Position{}}
	for n := r.uvarint(); n > 0 && r.err == nil; n-- {
		name := string(r.bytes())
		p := Position{Watermark: r.varint()}
		if r.uvarint() == 1 {
			p.Bytes = append([]byte{}, r.bytes()...)
		}
		c.Positions[name] = p
	}
	if r.err != nil || len(r.rest) > 0 {
		return Commit{}, fmt.Errorf("last commit of flow %q: %w", flow, errMalformed)
	}
	return c, nil
}

func verdictEntry(v *Verdict) []byte {
	b := []byte{0}
	if v.Rejected {
		b[0] = 1
	}
	return appendTime(b, v.At)
}

func readVerdict(source, id string, entry []byte) (Verdict, error) {
	if len(entry) != 9 || entry[0] > 1 {
		return Verdict{}, fmt.Errorf("verdict on %q of source %q: %w", id, source, errMalformed)
	}
	return Verdict{Source: source, ID: id, Rejected: entry[0] == 1, At: readTime(entry[1:])}, nil
}
