package file

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"time"

	"github.com/telluride-stream/telluride/engine/clock"
)

// opened is a file that is being read: an input, and what is known of it.
type opened interface {
	input
	// seen is how much of the file is read, and size how much there is; 0: unknown.
	seen() int64
	size() int64
	io.Closer
}

// plain is a regular file.
type plain struct {
	file *os.File
	at   int64
}

func (p *plain) read(_ context.Context, b []byte) (int, error) {
	n, err := p.file.Read(b)
	p.at += int64(n)
	return n, err
}

func (p *plain) seen() int64 { return p.at }

func (p *plain) size() int64 {
	if info, err := p.file.Stat(); err == nil {
		return info.Size()
	}
	return 0
}

func (p *plain) Close() error { return p.file.Close() }

// skip goes to so many bytes before an offset of the file. It is false when
// the file ends before the offset.
func (p *plain) skip(offset int64, before int) (bool, error) {
	info, err := p.file.Stat()
	if err != nil || info.Size() < offset {
		return false, err
	}
	p.at, err = p.file.Seek(offset-int64(before), io.SeekStart)
	return err == nil, err
}

// zipped is a file that is decompressed while it is read. Offsets are those
// of the decompressed bytes, progress is that in the file itself.
type zipped struct {
	plain
	gzip *gzip.Reader
}

func newZipped(p plain) (*zipped, error) {
	z := &zipped{plain: p}
	var err error
	z.gzip, err = gzip.NewReader(counted{&z.plain})
	if errors.Is(err, io.EOF) {
		return nil, errors.New("it is empty, not even a gzip header")
	}
	return z, err
}

// counted is a plain file as an io.Reader.
type counted struct{ *plain }

func (c counted) Read(b []byte) (int, error) { return c.read(context.Background(), b) }

func (z *zipped) read(_ context.Context, b []byte) (int, error) { return z.gzip.Read(b) }

func (z *zipped) skip(offset int64, before int) (bool, error) {
	_, err := io.CopyN(io.Discard, z.gzip, offset-int64(before))
	if errors.Is(err, io.EOF) {
		return false, nil
	}
	return err == nil, err
}

// poll is how often a file that is followed is looked at.
const poll = 200 * time.Millisecond

// followed is a file that is read as it grows. It ends when it is truncated,
// or when its name has gone to another file; what is new is then the caller's
// to open. A truncated file that has grown beyond the old end between two
// looks is known by the bytes before that end, which are others now.
type followed struct {
	plain
	path    string
	clock   clock.Clock
	log     *slog.Logger
	renamed bool
	tail    []byte // the last bytes that were read, up to tailSize
	ended   bool   // the last read found no more
}

func (f *followed) read(ctx context.Context, b []byte) (int, error) {
	for {
		n, err := f.plain.read(ctx, b)
		if n > 0 && f.ended && !f.grew(f.at-int64(n)) {
			f.log.Warn("the file was truncated and written to again; reading it from its beginning", "file", f.path, "offset", f.at-int64(n))
			return 0, io.EOF
		}
		if n > 0 || err != nil && !errors.Is(err, io.EOF) {
			f.note(b[:n])
			return n, err
		}
		f.ended = true
		if f.renamed {
			return 0, io.EOF
		}
		switch ended, err := f.look(); {
		case err != nil:
			return 0, err
		case ended:
			return 0, io.EOF
		case f.renamed:
			continue // what was written before it was renamed
		}
		if err := sleep(ctx, f.clock, poll); err != nil {
			return 0, err
		}
	}
}

// note remembers the last bytes that were read.
func (f *followed) note(b []byte) {
	f.ended = false
	if len(b) >= tailSize {
		f.tail = f.tail[:0]
	}
	f.tail = append(f.tail, b[max(0, len(b)-tailSize):]...)
	f.tail = f.tail[max(0, len(f.tail)-tailSize):]
}

// grew says whether the bytes before an offset are still those that were read.
func (f *followed) grew(offset int64) bool {
	there := make([]byte, len(f.tail))
	n, _ := f.file.ReadAt(there, offset-int64(len(there))) // too few are other bytes
	return n == len(there) && bytes.Equal(there, f.tail)
}

// look says whether the file was truncated, and notices when it was renamed.
func (f *followed) look() (truncated bool, err error) {
	mine, err := f.file.Stat()
	if err != nil {
		return false, err
	}
	if mine.Size() < f.at {
		f.log.Warn("the file was truncated; reading it from its beginning", "file", f.path, "offset", f.at, "size", mine.Size())
		return true, nil
	}
	there, err := os.Stat(f.path)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil // renamed, and the new one is yet to come
	}
	if err != nil {
		return false, err
	}
	if !os.SameFile(mine, there) {
		f.log.Info("another file has taken the name; reading on there", "file", f.path)
		f.renamed = true
	}
	return false, nil
}

// sleep waits, or returns the context's error when that ends first.
func sleep(ctx context.Context, c clock.Clock, d time.Duration) error {
	timer := c.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C():
		return nil
	}
}

// openError is the error for a file that cannot be opened, with the advice that
// most often helps.
func openError(path string, err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		where := ""
		if dir, err := os.Getwd(); err == nil && !os.IsPathSeparator(path[0]) {
			where = "; paths are relative to the working directory " + dir
		}
		return fmt.Errorf("open %q: %w%s", path, fs.ErrNotExist, where)
	}
	var at *fs.PathError
	if errors.As(err, &at) {
		err = at.Err // it names the path once more
	}
	return fmt.Errorf("open %q: %w", path, err)
}
