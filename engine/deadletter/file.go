package deadletter

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"time"
)

// File is a [Store] of a file of envelopes, one a line, to which a flow may be
// writing meanwhile: nothing is ever moved in it. What was settled stands in a
// file of its own beside it, the marks; what was dropped is overwritten with
// spaces as well.
type File struct {
	path  string
	now   func() time.Time
	file  *os.File
	marks *marks // nil before the first Settle
	// settled has, by id, up to when letters of that id are settled.
	settled map[string]time.Time
}

var _ Store = (*File)(nil)

// MarksSuffix is what the name of the marks has behind that of the file.
const MarksSuffix = ".settled"

// maxLine bounds a letter: it is far beyond what a flow takes as a record.
const maxLine = 256 << 20

// OpenFile opens a file of letters. lock keeps others from settling letters of
// it meanwhile, and fails when one does; nil: for reading only.
func OpenFile(path string, lock func(*os.File) error) (*File, error) {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return &File{path: path}, nil // no letter was ever written
	}
	if err != nil {
		return nil, err
	}
	if lock != nil {
		if err := lock(f); err != nil {
			return nil, errors.Join(fmt.Errorf("%s: somebody else settles letters of this file: %w", path, err), f.Close())
		}
	}
	settled, err := readMarks(path + MarksSuffix)
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return &File{path: path, now: time.Now, file: f, settled: settled}, nil
}

// lineAt is where a letter stands in its file.
type lineAt struct {
	offset int64
	length int // without the line end
}

// Read reads the file up to the end that it has when Read begins: what is
// replayed meanwhile may die again, and be written behind it. A last line
// without end is still being written.
func (f *File) Read(ctx context.Context, each func(*Letter) (bool, error)) (Left, error) {
	var left Left
	if f.file == nil {
		return left, nil
	}
	if _, err := f.file.Seek(0, io.SeekStart); err != nil {
		return left, err
	}
	info, err := f.file.Stat()
	if err != nil {
		return left, err
	}
	in := bufio.NewReaderSize(io.LimitReader(f.file, info.Size()), 1<<20)
	for offset := int64(0); ; {
		line, err := readLine(in)
		if errors.Is(err, io.EOF) {
			return left, nil
		}
		if err == nil {
			err = ctx.Err()
		}
		if err != nil {
			return left, fmt.Errorf("%s: %w", f.path, err)
		}
		at := lineAt{offset, len(line)}
		offset += int64(len(line)) + 1
		if len(bytes.TrimSpace(line)) == 0 {
			continue
		}
		l, err := Parse(line)
		if err != nil {
			left.Foreign++
			continue
		}
		if until, ok := f.settled[l.ID]; ok && !l.Time.After(until) {
			continue
		}
		l.At = at
		if more, err := each(l); err != nil || !more {
			return left, err
		}
	}
}

// readLine reads a line, without its end. A line without end is none.
func readLine(in *bufio.Reader) ([]byte, error) {
	var line []byte
	for {
		part, err := in.ReadSlice('\n')
		if line = append(line, part...); err == nil {
			return line[:len(line)-1], nil
		}
		if !errors.Is(err, bufio.ErrBufferFull) {
			return nil, err
		}
		if len(line) > maxLine {
			return nil, fmt.Errorf("a line is longer than %d bytes", maxLine)
		}
	}
}

// Settle marks letters. A mark counts for all letters of its id up to now:
// one that dies later is another.
func (f *File) Settle(_ context.Context, letters []*Letter, how Fate) error {
	if f.marks == nil {
		m, err := openMarks(f.path + MarksSuffix)
		if err != nil {
			return err
		}
		f.marks = m
	}
	now := f.now()
	for _, l := range letters {
		until := now
		if l.Time.After(until) {
			until = l.Time // the clock was set back
		}
		f.settled[l.ID] = until
		f.marks.add(l.ID, until, how)
	}
	if err := f.marks.flush(); err != nil {
		return err
	}
	if how != Dropped {
		return nil
	}
	return f.blank(letters)
}

// blank overwrites lines, each only if it is still the letter's: a flow that
// began anew may have emptied the file.
func (f *File) blank(letters []*Letter) error {
	w, err := os.OpenFile(f.path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	for _, l := range letters {
		at, ok := l.At.(lineAt)
		if !ok {
			continue
		}
		line := make([]byte, at.length)
		if _, err := w.ReadAt(line, at.offset); err != nil || !bytes.Contains(line[:min(len(line), 64)], []byte(`"id":"`+l.ID+`"`)) {
			continue
		}
		if _, err := w.WriteAt(bytes.Repeat([]byte{' '}, at.length), at.offset); err != nil {
			return errors.Join(err, w.Close())
		}
	}
	return errors.Join(w.Sync(), w.Close())
}

// Close closes the file and its marks.
func (f *File) Close() error {
	var err error
	if f.file != nil {
		err = f.file.Close()
	}
	if f.marks != nil {
		err = errors.Join(err, f.marks.close())
	}
	return err
}
