package file

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"

	"github.com/telluride-stream/telluride/engine/record"
)

// entry is a file to read.
type entry struct {
	path string
	size int64
}

// files lists what there is to read, sorted by name.
func (c *Config) files() ([]entry, error) {
	path := c.Path.Value
	if path == stdin {
		return []entry{{path: path}}, nil
	}
	if !isGlob(path) {
		info, err := os.Stat(path)
		if err != nil {
			return nil, openError(path, err)
		}
		if info.IsDir() {
			return nil, fmt.Errorf("open %q: it is a folder; read the files in it with a glob such as %q", path, filepath.Join(path, "*.ndjson"))
		}
		return []entry{{path, info.Size()}}, nil
	}
	names, err := filepath.Glob(path)
	if err != nil {
		return nil, fmt.Errorf("glob %q: %w", path, err)
	}
	slices.Sort(names)
	var files []entry
	for _, name := range names {
		if info, err := os.Stat(name); err == nil && info.Mode().IsRegular() {
			files = append(files, entry{name, info.Size()})
		}
	}
	if len(files) == 0 {
		dir, _ := os.Getwd()
		return nil, fmt.Errorf("no file matches %q; paths are relative to the working directory %s", path, dir)
	}
	return files, nil
}

// open opens a file.
func (r *reader) open(path string) (opened, error) {
	if path == stdin {
		return r.piped(func() (io.Reader, error) {
			if r.rt.Stdin != nil {
				return r.rt.Stdin, nil
			}
			return os.Stdin, nil
		}), nil
	}
	info, err := os.Stat(path)
	if err != nil {
		return nil, openError(path, err)
	}
	if !info.Mode().IsRegular() {
		// Opening a named pipe waits for its writer, so that the stream does it.
		return r.piped(func() (io.Reader, error) { return os.Open(path) }), nil
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, openError(path, err)
	}
	switch p := (plain{file: f}); {
	case r.config.Follow:
		return &followed{plain: p, path: path, clock: r.rt.Clock, log: r.rt.Log}, nil
	case compressed(path):
		z, err := newZipped(p)
		if err != nil {
			return nil, errors.Join(fmt.Errorf("open %q: %w", path, err), f.Close())
		}
		return z, nil
	default:
		return &p, nil
	}
}

func (r *reader) piped(open func() (io.Reader, error)) opened {
	if r.stream == nil {
		r.stream = newStream(open)
	}
	return r.stream
}

// begin opens a file at a position; nil is its beginning. Where the file is
// not the one of the position any more, it is read from its beginning.
func (r *reader) begin(path string, at *position) (*current, error) {
	c, err := r.beginning(path)
	if err != nil || at == nil || at.offset == 0 || r.stream != nil {
		return c, err
	}
	ok, err := r.resume(c, at)
	if ok && err == nil {
		return c, nil
	}
	c.cut.close()
	if err = errors.Join(err, c.in.Close()); err != nil {
		return nil, fmt.Errorf("go to offset %d of %q: %w", at.offset, path, err)
	}
	r.rt.Log.Warn("the file is not the one that was read before: it was truncated, replaced or edited; reading it from its beginning", "file", path, "offset", at.offset)
	return r.beginning(path)
}

func (r *reader) beginning(path string) (*current, error) {
	in, err := r.open(path)
	if err != nil {
		return nil, err
	}
	c := &current{path: path, in: in, format: r.config.formatOf(path)}
	c.cut = newSplitter(in, int(r.config.MaxRecord), c.format == formatCSV, r.config.Delimiter)
	switch c.format {
	case formatLines:
		field := r.config.Field
		c.overhead = len(field) + 8
		c.convert = func(dst, line []byte) ([]byte, error) { return record.LineToJSON(dst, line, field) }
	case formatCSV:
		c.header = r.config.Header
		if len(r.config.Columns) > 0 {
			if err := r.useColumns(c, r.config.Columns); err != nil {
				return nil, errors.Join(err, in.Close())
			}
		}
	}
	return c, nil
}

// resume goes to a position of a file that was just opened. It is false when
// the file is another one.
func (r *reader) resume(c *current, at *position) (bool, error) {
	if c.header {
		// The header is read from a file opened for that alone.
		if ok, err := r.readHeader(c); !ok || err != nil {
			return false, err
		}
	}
	in, ok := c.in.(interface {
		skip(offset int64, before int) (bool, error)
	})
	if !ok {
		return false, nil
	}
	if ok, err := in.skip(at.offset, at.tail); !ok || err != nil {
		return false, err
	}
	c.cut.offset, c.cut.line = at.offset, at.line
	return sameTail(c.in, at)
}

// sameTail reads the bytes before a position and says whether they are those
// that were there. A position without such bytes cannot be checked.
func sameTail(in input, at *position) (bool, error) {
	if at.tail == 0 {
		return true, nil
	}
	tail := make([]byte, at.tail)
	for n := 0; n < len(tail); {
		m, err := in.read(context.Background(), tail[n:])
		n += m
		if errors.Is(err, io.EOF) && n < len(tail) {
			return false, nil
		}
		if err != nil && !errors.Is(err, io.EOF) {
			return false, err
		}
	}
	return hash(tail) == at.sum, nil
}

func (r *reader) readHeader(c *current) (bool, error) {
	f, err := os.Open(c.path)
	if err != nil {
		return false, err
	}
	defer f.Close()
	var in input = &plain{file: f}
	if compressed(c.path) {
		if in, err = newZipped(plain{file: f}); err != nil {
			return false, err
		}
	}
	cut := newSplitter(in, int(r.config.MaxRecord), true, r.config.Delimiter)
	defer cut.close()
	for {
		if p, ok := cut.next(); ok {
			p.data = bytes.Clone(p.data)
			return true, r.setColumns(c, &p)
		}
		if err := cut.fill(context.Background()); err != nil {
			if errors.Is(err, io.EOF) {
				err = nil
			}
			return false, err
		}
	}
}
