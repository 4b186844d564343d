package file

import (
	"encoding/binary"
	"errors"
	"github.com/telluride-stream/telluride/engine/record"
)

// position is a place in the input: how far the file is read, and which files
// are done.
type position struct {
	path   string
	offset int64 // in the decompressed file
	line   int64 // of offset, counted from 1
	// tail bytes before offset have the hash sum; see splitter.where.
	tail int
	sum  uint64
	done []string
}

// doneList is the encoded list of finished files. It grows by appending, so
// that a position costs a copy and not an encoding of every name.
type doneList struct {
	count   int
	encoded []byte
}

func (d *doneList) add(path string) {
	d.count++
	d.encoded = appendText(d.encoded, path)
}

const positionVersion = 1

var errPosition = errors.New("the saved position is damaged, or of a newer version")

func (p *position) append(dst []byte, done *doneList) []byte {
	dst = append(dst, positionVersion)
	dst = appendText(dst, p.path)
	dst = binary.AppendUvarint(dst, uint64(p.offset))
	dst = binary.AppendUvarint(dst, uint64(p.line))
	dst = binary.AppendUvarint(dst, uint64(p.tail))
	dst = binary.LittleEndian.AppendUint64(dst, p.sum)
	dst = binary.AppendUvarint(dst, uint64(done.count))
	return append(dst, done.encoded...)
}

func appendText(dst []byte, s string) []byte {
	return append(binary.AppendUvarint(dst, uint64(len(s))), s...)
}

// parsePosition reads what append wrote. Other bytes are errPosition.
func parsePosition(b []byte) (p position, err error) {
	d := decoder{b: b}
	if version := d.take(1); d.bad || version[0] != positionVersion {
		return p, errPosition
	}
	p.path = d.text()
	p.offset = int64(d.number())
	p.line = int64(d.number())
	p.tail = int(d.number())
	if sum := d.take(8); sum != nil {
		p.sum = binary.LittleEndian.Uint64(sum)
	}
	for n := d.number(); n > 0 && !d.bad; n-- {
		p.done = append(p.done, d.text())
	}
	if d.bad || len(d.b) > 0 || p.offset < 0 || p.line < 1 || p.tail < 0 || p.tail > tailSize || int64(p.tail) > p.offset {
		return position{}, errPosition
	}
	return p, nil
}

type decoder struct {
	b   []byte
	bad bool
}

func (d *decoder) take(n uint64) []byte {
	if d.bad || uint64(len(d.b)) < n {
		d.bad = true
		return nil
	}
	out := d.b[:n]
	d.b = d.b[n:]
	return out
}

func (d *decoder) number() uint64 {
	v, n := binary.Uvarint(d.b)
	if d.bad || n <= 0 {
		d.bad = true
		return 0
	}
	d.b = d.b[n:]
	return v
}

func (d *decoder) text() string { return string(d.take(d.number())) }

// hash is that of the bytes before a position.
func hash(b []byte) uint64 { return record.Hash(b) }
