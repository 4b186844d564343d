package process

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	"github.com/telluride-stream/telluride/engine/conf"
	"github.com/telluride-stream/telluride/engine/diag"
	"github.com/telluride-stream/telluride/engine/stage"
)

// tableFile is the table of a lookup, shared by its lanes, and the file that
// it comes from.
type tableFile struct {
	config tableConfig
	now    atomic.Pointer[table]
	// checked is when the file was looked at last, in the time of the stream.
	// Who sets it forward has the turn, and the version is theirs meanwhile.
	checked atomic.Int64
	turn    atomic.Bool
	version fs.FileInfo // of the last content that was read, good or bad
}

// open reads the table for the first time.
func (f *tableFile) open() error {
	t, version, err := f.config.load()
	if err != nil {
		return err
	}
	f.version = version
	f.now.Store(t)
	return nil
}

// refresh reads the table again if its file has changed. It looks once a
// second at most, and takes no version that has a mistake or is half written.
func (f *tableFile) refresh(now int64) {
	last := f.checked.Load()
	if now == math.MinInt64 || last != math.MinInt64 && now < last+int64(time.Second) || !f.turn.CompareAndSwap(false, true) {
		return
	}
	defer f.turn.Store(false)
	f.checked.Store(now)
	info, err := os.Stat(f.config.path.Value)
	if err != nil || same(info, f.version) {
		return
	}
	t, version, err := f.config.load()
	if f.version = version; err == nil {
		f.now.Store(t)
	}
}

func same(a, b fs.FileInfo) bool {
	return b != nil && a.Size() == b.Size() && a.ModTime().Equal(b.ModTime()) && os.SameFile(a, b)
}

// load reads the file. The version is that of the content, also of a bad one.
func (c *tableConfig) load() (*table, fs.FileInfo, error) {
	file, err := os.Open(c.path.Value)
	if err != nil {
		return nil, nil, err
	}
	defer file.Close()
	version, err := file.Stat()
	if err != nil {
		return nil, nil, err
	}
	if !version.Mode().IsRegular() {
		return nil, version, errors.New("it is no regular file")
	}
	data, err := io.ReadAll(io.LimitReader(file, c.maxBytes+1))
	if err != nil {
		return nil, nil, err
	}
	if int64(len(data)) > c.maxBytes {
		return nil, version, fmt.Errorf("the file is larger than max_bytes, which is %s", conf.FormatSize(c.maxBytes))
	}
	t, err := c.read(data)
	return t, version, err
}

// diagnose says what is wrong with the table, and where in the flow file.
func (c *tableConfig) diagnose(b *stage.Builder, err error) diag.Diagnostic {
	d := diag.Diagnostic{Span: c.path.Span}
	var column *columnError
	switch {
	case errors.As(err, &column):
		d.Span = column.column.Span
		d.Message = fmt.Sprintf("%s: table %q: %s", b.Name, c.path.Value, column.message)
		d.Advice = column.advice
	case errors.Is(err, fs.ErrNotExist):
		d.Message = fmt.Sprintf("%s: there is no file %q", b.Name, c.path.Value)
		d.Advice = c.whereToLook(b)
	default:
		d.Message = fmt.Sprintf("%s: table %q: %v", b.Name, c.path.Value, err)
	}
	return d
}

// whereToLook is advice for a file that is not there.
func (c *tableConfig) whereToLook(b *stage.Builder) string {
	if filepath.IsAbs(c.path.Value) {
		return ""
	}
	if beside := filepath.Join(b.Dir, c.path.Value); b.Dir != "" {
		if _, err := os.Stat(beside); err == nil {
			return fmt.Sprintf("paths start at the working directory: write %q", beside)
		}
	}
	if dir, err := os.Getwd(); err == nil {
		return "paths start at the working directory, " + dir
	}
	return ""
}
