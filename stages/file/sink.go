package file

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"github.com/telluride-stream/telluride/engine/record"
	"github.com/telluride-stream/telluride/engine/stage"
)

// bufferSize is what is collected before the file is written to.
const bufferSize = 256 << 10

// writer is the sink. The file always ends with a whole record, except
// between a write that failed half way and the cut that undoes it.
type writer struct {
	config SinkConfig
	rt     stage.Runtime
	openAs func(path string, flag int) (handle, error)

	file    handle
	buffer  []byte // whole records that are still to be written
	values  []record.Value
	opened  bool // there was an Open before
	regular bool
	written uint64
}

// handle is what the sink needs of an *os.File.
type handle interface {
	io.Writer
	io.ReaderAt
	io.Closer
	Truncate(size int64) error
	Stat() (fs.FileInfo, error)
	Sync() error
}

var (
	_ stage.Sink    = (*writer)(nil)
	_ stage.Weigher = (*writer)(nil)
)

func newWriter(c SinkConfig, rt stage.Runtime) *writer {
	return &writer{config: c, rt: rt, values: make([]record.Value, len(c.slots)),
		openAs: func(path string, flag int) (handle, error) { return os.OpenFile(path, flag, 0o644) }}
}

// Open opens or makes the file. Once in a run it is emptied, when the flow
// file says so.
func (w *writer) Open(context.Context) error {
	path := w.config.Path.Value
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return classify(openError(path, err))
	}
	goesOn := w.opened || w.rt.Resumed
	flag := os.O_RDWR | os.O_CREATE | os.O_APPEND
	switch {
	case goesOn:
	case w.config.Mode == modeTruncate:
		flag |= os.O_TRUNC
	case w.config.Mode == modeFail:
		flag |= os.O_EXCL
	}
	f, err := w.openAs(path, flag)
	switch {
	case errors.Is(err, fs.ErrExist):
		return stage.Permanent(fmt.Errorf("open %q: the file exists already; remove it, or set mode: truncate or append", path))
	case err != nil:
		return classify(openError(path, err))
	}
	w.file, w.buffer = f, w.buffer[:0]
	if err := w.begin(goesOn); err != nil {
		err = fmt.Errorf("open %q: %w", path, err)
		return errors.Join(err, w.Close())
	}
	w.opened = true
	return nil
}

// classify marks errors of Open that waiting does not cure.
func classify(err error) error {
	for _, final := range []error{fs.ErrPermission, syscall.EISDIR, syscall.ENOTDIR, syscall.EROFS, syscall.ENAMETOOLONG} {
		if errors.Is(err, final) {
			return stage.Permanent(err)
		}
	}
	return err
}

// begin looks at the end of the file: half a line, left by a crash, is cut
// off when its records come again, and else ended.
func (w *writer) begin(goesOn bool) error {
	info, err := w.file.Stat()
	if err != nil {
		return err
	}
	w.regular = info.Mode().IsRegular()
	size := info.Size()
	switch {
	case !w.regular:
	case size == 0:
		w.buffer = w.appendHeader(w.buffer)
	default:
		end, err := lastLineEnd(w.file, size)
		if err != nil || end == size {
			return err
		}
		if !goesOn {
			w.buffer = append(w.buffer, '\n')
			return nil
		}
		w.rt.Log.Warn("the file ended in half a line, which is cut off and written again", "file", w.config.Path.Value, "bytes", size-end)
		return w.file.Truncate(end)
	}
	return nil
}

// lastLineEnd is the offset behind the last newline, 0 when there is none.
func lastLineEnd(f io.ReaderAt, size int64) (int64, error) {
	block := make([]byte, 4<<10)
	for size > 0 {
		n := min(int64(len(block)), size)
		if _, err := f.ReadAt(block[:n], size-n); err != nil && err != io.EOF {
			return 0, err
		}
		if i := bytes.LastIndexByte(block[:n], '\n'); i >= 0 {
			return size - n + int64(i) + 1, nil
		}
		size -= n
	}
	return 0, nil
}

func (w *writer) appendHeader(dst []byte) []byte {
	if w.config.Format != formatCSV || !w.config.Header {
		return dst
	}
	names := make([]record.Value, len(w.config.Columns))
	for i, c := range w.config.Columns {
		names[i] = record.StringValue(c.Value)
	}
	return record.AppendCSVRow(dst, names, w.config.Delimiter)
}

// Write takes records into the buffer, and writes that when it is full.
func (w *writer) Write(_ context.Context, records []record.Record) (int, error) {
	for i := range records {
		if len(w.buffer) >= bufferSize {
			if err := w.drain(); err != nil {
				return i, err
			}
		}
		before := len(w.buffer)
		w.buffer = w.append(w.buffer, &records[i])
		w.written += uint64(len(w.buffer) - before)
	}
	return len(records), nil
}

// Written is how many bytes the records had.
func (w *writer) Written() uint64 { return w.written }

func (w *writer) append(dst []byte, r *record.Record) []byte {
	switch {
	case w.config.opaque:
		return record.AppendMessage(dst, r.Payload)
	case w.config.Format == formatCSV:
		for i, slot := range w.config.slots {
			w.values[i] = r.Field(slot)
		}
		return record.AppendCSVRow(dst, w.values, w.config.Delimiter)
	case w.config.Format == formatLines:
		from := len(dst)
		dst = r.Field(w.config.slots[0]).AppendText(dst)
		for i, c := range dst[from:] {
			if c == '\n' || c == '\r' {
				dst[from+i] = ' '
			}
		}
		return append(dst, '\n')
	}
	return record.AppendLine(dst, r)
}

// drain writes the buffer. When that fails half way, the file is cut back, or
// where it cannot be, the next drain goes on from there.
func (w *writer) drain() error {
	if len(w.buffer) == 0 {
		return nil
	}
	n, err := w.file.Write(w.buffer)
	if err == nil && n < len(w.buffer) {
		err = io.ErrShortWrite
	}
	if err == nil {
		w.buffer = w.buffer[:0]
		return nil
	}
	if n > 0 && !w.undo(int64(n)) {
		w.buffer = w.buffer[:copy(w.buffer, w.buffer[n:])]
	}
	return fmt.Errorf("write %q: %w", w.config.Path.Value, err)
}

// undo takes the last n bytes off the file.
func (w *writer) undo(n int64) bool {
	if !w.regular {
		return false
	}
	info, err := w.file.Stat()
	return err == nil && info.Size() >= n && w.file.Truncate(info.Size()-n) == nil
}

// Flush writes what is left in the buffer, to the disk if wanted.
func (w *writer) Flush(done func(error)) {
	err := w.drain()
	if err == nil && w.config.Sync && w.regular {
		if err = w.file.Sync(); err != nil {
			// The system may have dropped what it could not write, so that a
			// second fsync would succeed without it.
			err = stage.Permanent(fmt.Errorf("fsync %q: %w", w.config.Path.Value, err))
		}
	}
	done(err)
}

// Close drops what was not flushed.
func (w *writer) Close() error {
	if w.file == nil {
		return nil
	}
	err := w.file.Close()
	w.file, w.buffer = nil, w.buffer[:0]
	return err
}
