package file

import "github.com/telluride-stream/telluride/engine/record"

// place is the Meta of the records of one batch: the file they came from, and
// for each its line and byte offset.
type place struct {
	file    string
	seq     uint64 // of the first record
	line    int64  // of the first record
	offset  int64  // of the first record
	offsets []uint32
	// lines are the lines from line on, where not each record is one line
	// further than the one before; else nil.
	lines []uint32
}

var _ record.Describer = (*place)(nil)

// Lookup knows meta.file, meta.line (from 1) and meta.offset (from 0).
func (p *place) Lookup(path record.Path, seq uint64) record.Value {
	if len(path) != 1 || seq < p.seq || seq-p.seq >= uint64(len(p.offsets)) {
		return record.Value{}
	}
	i := seq - p.seq
	switch path[0].Key {
	case "file":
		return record.StringValue(p.file)
	case "offset":
		return record.IntValue(p.offset + int64(p.offsets[i]))
	case "line":
		if p.lines != nil {
			i = uint64(p.lines[i])
		}
		return record.IntValue(p.line + int64(i))
	}
	return record.Value{}
}

// AppendMeta writes what Lookup knows.
func (p *place) AppendMeta(dst []byte, seq uint64) []byte {
	dst = append(dst, '{')
	for i, key := range []string{"file", "line", "offset"} {
		v := p.Lookup(record.Path{{Key: key}}, seq)
		if v.IsNil() {
			break
		}
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(record.AppendValue(dst, record.StringValue(key)), ':')
		dst = record.AppendValue(dst, v)
	}
	return append(dst, '}')
}

// add notes where the next record stands. All records of a place must begin
// within 4 GiB of the first.
func (p *place) add(x *piece) {
	n := len(p.offsets)
	if n == 0 {
		p.line, p.offset = x.line, x.offset
	}
	p.offsets = append(p.offsets, uint32(x.offset-p.offset))
	line := x.line - p.line
	if p.lines == nil && line != int64(n) {
		p.lines = make([]uint32, n, cap(p.offsets))
		for i := range p.lines {
			p.lines[i] = uint32(i)
		}
	}
	if p.lines != nil {
		p.lines = append(p.lines, uint32(line))
	}
}
