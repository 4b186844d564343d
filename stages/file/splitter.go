package file

import (
	"bytes"
	"context"
	"errors"
	"io"

	"github.com/telluride-stream/telluride/engine/record"
)

const (
	blockSize = 256 << 10
	// smallRead is the least room in a block that is worth a read. Pipes give
	// a few bytes at a time, so that one block serves many reads.
	smallRead = 16 << 10
	headSize  = 1 << 10 // what is kept of a piece that is too long
	tailSize  = 256     // the bytes before a position that prove it
)

// input is where a splitter reads. Like an io.Reader it returns what there is.
type input interface {
	read(ctx context.Context, p []byte) (int, error)
}

// piece is one line or CSV row.
type piece struct {
	// data is the piece without its line end. It lies in the splitter's block
	// ([splitter.share]), or is the first KiB of a piece that is too long.
	data   []byte
	offset int64 // of its first byte in the input
	line   int64 // of its first line, counted from 1
	long   int64 // its size, when that is above the limit; else 0
	open   bool  // CSV: it begins a quoted field that is never closed
}

// splitter cuts an input into pieces. Each byte of the input is read into a
// block once and stays there, except for the piece that a block ends in: that
// one is moved to the next block. A piece above the limit is skipped with
// bounded memory.
type splitter struct {
	in        input
	limit     int
	csv       bool
	delimiter byte
	size      int // of a block
	least     int // room in a block that is worth a read

	// block owns the memory of data, which is a contiguous part of the input.
	block *record.Batch
	data  []byte
	start int // of the next piece in data
	// data[start:searched] has no line end, or, in a CSV row, none that was
	// not looked at; there the line at row is the one to look at next, and
	// quoted says that it begins inside a quoted field.
	searched int
	row      int
	quoted   bool

	offset int64 // of data[start] in the input
	line   int64 // of data[start]
	eof    bool

	skipping *skipped
}

// skipped is a piece that is too long, while its end is looked for.
type skipped struct {
	piece
	size int64
	cr   bool // it ended in a carriage return so far
}

func newSplitter(in input, limit int, csv bool, delimiter byte) *splitter {
	return &splitter{in: in, limit: limit, csv: csv, delimiter: delimiter, size: blockSize, least: smallRead, line: 1}
}

// fill reads more of the input, once. io.EOF says that there is no more.
func (s *splitter) fill(ctx context.Context) error {
	if s.eof {
		return io.EOF
	}
	if cap(s.data)-len(s.data) < s.least {
		s.move()
	}
	n, err := s.in.read(ctx, s.data[len(s.data):cap(s.data)])
	s.data = s.data[:len(s.data)+n]
	if errors.Is(err, io.EOF) {
		s.eof, err = true, nil
	}
	return err
}

// move takes what is not yet cut to a new block.
func (s *splitter) move() {
	rest := s.data[s.start:]
	block := record.NewBatch(0)
	memory := block.Arena().Bytes(max(s.size, 2*len(rest)+s.least))
	s.data = memory[:copy(memory, rest)]
	s.close()
	s.block = block
	s.searched -= s.start
	s.row -= s.start
	s.start = 0
}

// close gives the memory of the block back.
func (s *splitter) close() {
	if s.block != nil {
		s.block.Release()
		s.block = nil
	}
}

// share keeps the pieces cut from the present block alive as long as b is.
func (s *splitter) share(b *record.Batch) { b.Share(s.block) }

// bom skips a byte order mark at the start of the input. It is false while
// it is not known whether there is one.
func (s *splitter) bom() bool {
	const mark = "\ufeff"
	begin := s.data[:min(len(s.data), len(mark))]
	if string(begin) == mark {
		s.advance(len(mark), 0)
		return true
	}
	return s.eof || !bytes.HasPrefix([]byte(mark), begin)
}

// next cuts the next piece. It is false when there is none as yet.
func (s *splitter) next() (p piece, ok bool) {
	if s.offset == 0 && !s.bom() {
		return p, false
	}
	if s.skipping != nil {
		return s.skip()
	}
	if s.csv {
		return s.nextRow()
	}
	end := bytes.IndexByte(s.data[s.searched:], '\n')
	if end >= 0 {
		return s.cut(s.searched+end, s.searched+end+1, 1), true
	}
	s.searched = len(s.data)
	return s.rest()
}

// rest is what stands behind the last line end: a piece at the end of the
// input; before it, the beginning of one.
func (s *splitter) rest() (p piece, ok bool) {
	size := len(s.data) - s.start
	switch {
	case s.eof && size > 0:
		return s.cut(len(s.data), len(s.data), 1), true
	case size <= s.limit+1: // a carriage return may be behind the piece
		return p, false
	case s.csv && s.quoted && s.row > s.start:
		// The quote was opened lines ago: its line is wrong, the others may be right.
		return s.unclosed(), true
	}
	s.skipping = &skipped{piece: piece{offset: s.offset, line: s.line}}
	return s.skip()
}

// skip goes on to the end of a piece that is too long. That is the end of its
// line, also in a CSV row: where no line end comes within the limit, nothing
// can be said about quotes.
func (s *splitter) skip() (p piece, ok bool) {
	k := s.skipping
	part := s.data[s.start:]
	end := bytes.IndexByte(part, '\n')
	if end >= 0 {
		part = part[:end]
	}
	k.data = append(k.data, part[:min(len(part), headSize-len(k.data))]...)
	k.size += int64(len(part))
	if len(part) > 0 {
		k.cr = part[len(part)-1] == '\r'
	}
	if end >= 0 {
		s.advance(s.start+end+1, 1)
	} else if s.advance(len(s.data), 0); !s.eof {
		return p, false
	}
	if k.cr {
		k.size--
	}
	p = k.piece
	p.long, p.data = k.size, k.data[:min(int64(len(k.data)), k.size)]
	s.skipping = nil
	return p, true
}

// cut makes a piece of data[start:end]; the next one starts at next, lines
// further on.
func (s *splitter) cut(end, next, lines int) piece {
	data := s.data[s.start:end]
	if n := len(data); n > 0 && data[n-1] == '\r' {
		data = data[:n-1]
	}
	p := piece{data: data, offset: s.offset, line: s.line}
	if len(data) > s.limit {
		p.long, p.data = int64(len(data)), data[:min(len(data), headSize)]
	}
	s.advance(next, lines)
	return p
}

// advance moves the start of the next piece to an index of data.
func (s *splitter) advance(next, lines int) {
	s.offset += int64(next - s.start)
	s.line += int64(lines)
	s.start, s.searched, s.row, s.quoted = next, next, next, false
}

// where is the place of the next piece, with a hash of up to 256 bytes before
// it. Who comes back to the offset can tell by them whether the input is the
// same.
func (s *splitter) where() position {
	if s.skipping != nil { // its first byte is behind data
		return position{offset: s.skipping.offset, line: s.skipping.line}
	}
	n := min(s.start, tailSize)
	return position{offset: s.offset, line: s.line, tail: n, sum: hash(s.data[s.start-n : s.start])}
}
