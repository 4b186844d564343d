// Package stdout holds the sink `stdout`: JSON lines for programs, and a table
// for people. It knows nothing of how a flow runs.
package stdout

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"syscall"

	"github.com/telluride-stream/telluride/engine/conf"
	"github.com/telluride-stream/telluride/engine/record"
	"github.com/telluride-stream/telluride/engine/stage"
)

// ErrClosed is what a write to standard output gives when nobody reads it any
// more, as behind `| head`. It is [stage.IsClosed].
var ErrClosed = stage.Closed(errors.New("standard output was closed by its reader"))

// Config is the sink as the flow file has it.
type Config struct {
	Format string

	opaque bool
}

// Sink is the kind `stdout`.
func Sink() stage.Kind {
	return stage.DefineSink("stdout", "Writes records to standard output.", (*Config).bind, build).WithExample("stdout: {}\n")
}

func (c *Config) bind(f *conf.Fields) {
	f.Enum(&c.Format, "format", "auto", []string{"auto", "json", "table"}, "json: the record on one line; table: columns for reading, with rounded numbers; auto: a table on a terminal, and json in a pipe or file.")
}

func build(c *Config, b *stage.Builder) stage.SinkSpec {
	c.opaque = b.Opaque
	return stage.SinkSpec{
		New:      func(rt stage.Runtime) stage.Sink { return newPrinter(c, rt) },
		Text:     "standard output",
		Terminal: true,
	}
}

// bufferSize is what is collected at most before it is written.
const bufferSize = 64 << 10

// printer is the sink. What a Write took is written out before it returns, so
// that readers see records as they come.
type printer struct {
	out    io.Writer
	opaque bool
	table  *table // nil: JSON
	buffer []byte

	written uint64
}

var (
	_ stage.Sink    = (*printer)(nil)
	_ stage.Weigher = (*printer)(nil)
)

func newPrinter(c *Config, rt stage.Runtime) *printer {
	p := &printer{out: rt.Stdout, opaque: c.opaque}
	if p.out == nil {
		p.out = os.Stdout
	}
	if !c.opaque && (c.Format == "table" || c.Format == "auto" && rt.Terminal) {
		p.table = newTable(rt.Width, rt.Terminal && os.Getenv("NO_COLOR") == "")
	}
	return p
}

func (p *printer) Open(context.Context) error { return nil }

func (p *printer) Write(_ context.Context, records []record.Record) (int, error) {
	if p.table != nil {
		return p.writeTable(records)
	}
	for i := range records {
		if len(p.buffer) >= bufferSize {
			if err := p.drain(); err != nil {
				return i, err
			}
		}
		if p.opaque {
			p.buffer = record.AppendMessage(p.buffer, records[i].Payload)
		} else {
			p.buffer = record.AppendLine(p.buffer, &records[i])
		}
	}
	return p.took(len(records))
}

// writeTable prints the records in one go: its columns are as wide as the
// widest of them.
func (p *printer) writeTable(records []record.Record) (int, error) {
	if len(p.buffer) >= bufferSize {
		if err := p.drain(); err != nil {
			return 0, err
		}
	}
	p.buffer = p.table.append(p.buffer, records)
	return p.took(len(records))
}

// took writes the buffer. Its n records are taken by now, so that only the
// end of everything is an error; any other comes up again in the next Write
// or in Flush.
func (p *printer) took(n int) (int, error) {
	if err := p.drain(); stage.IsClosed(err) {
		return 0, err
	}
	return n, nil
}

// drain writes the buffer. What was not written stays in it.
func (p *printer) drain() error {
	if len(p.buffer) == 0 {
		return nil
	}
	n, err := p.out.Write(p.buffer)
	p.written += uint64(n)
	p.buffer = p.buffer[:copy(p.buffer, p.buffer[n:])]
	switch {
	case err == nil && len(p.buffer) > 0:
		return fmt.Errorf("write to standard output: %w", io.ErrShortWrite)
	case err == nil:
		return nil
	case errors.Is(err, syscall.EPIPE), errors.Is(err, io.ErrClosedPipe), errors.Is(err, os.ErrClosed):
		return fmt.Errorf("%w: %w", ErrClosed, err)
	}
	return fmt.Errorf("write to standard output: %w", err)
}

// Written is how many bytes standard output took.
func (p *printer) Written() uint64 { return p.written }

func (p *printer) Flush(done func(error)) { done(p.drain()) }

// Close leaves standard output open: it is not the sink's.
func (p *printer) Close() error { return nil }
