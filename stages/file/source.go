package file

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"github.com/telluride-stream/telluride/engine/conf"
	"github.com/telluride-stream/telluride/engine/record"
	"github.com/telluride-stream/telluride/engine/stage"
)

// reader is the source. It reads one file after the other.
type reader struct {
	config Config
	rt     stage.Runtime
	stream *stream // of standard input or a pipe; it outlives Close

	todo []entry // behind the present file
	done doneList
	now  *current
	seq  uint64
	// read is the size of the files that are done, total that of all.
	read, total int64
	last        int // the number of records of the batch before
}

// current is the file that is being read.
type current struct {
	path     string
	in       opened
	cut      *splitter
	format   string
	header   bool // the next row is the header
	convert  func(dst, line []byte) ([]byte, error)
	overhead int // bytes that convert adds to a line, about
}

var _ stage.Source = (*reader)(nil)

func newReader(c Config, rt stage.Runtime) *reader {
	if rt.MaxBatch <= 0 {
		rt.MaxBatch = 1024
	}
	return &reader{config: c, rt: rt}
}

// Open finds the files, opens the first one and goes to the position.
func (r *reader) Open(ctx context.Context, saved []byte) error {
	if err := r.Close(); err != nil {
		return err
	}
	r.todo, r.done, r.seq, r.read, r.total = nil, doneList{}, 0, 0, 0
	var at *position
	if saved != nil {
		p, err := parsePosition(saved)
		if err != nil {
			return fmt.Errorf("%s: %w", r.rt.Name, err)
		}
		at = &p
	}
	files, err := r.config.files()
	if err != nil {
		if at != nil && r.config.Follow && errors.Is(err, fs.ErrNotExist) {
			return stage.Transient(err) // renamed, and the new one is yet to come
		}
		return err
	}
	at = r.order(files, at)
	return r.next(at)
}

// order decides what is still to be read, and is the position in the first of
// it; nil when that is to be read from its beginning.
func (r *reader) order(files []entry, at *position) *position {
	for _, f := range files {
		r.total += f.size
	}
	if at == nil {
		r.todo = files
		return nil
	}
	done := map[string]bool{}
	for _, path := range at.done {
		done[path] = true
		r.done.add(path)
	}
	found := false
	for _, f := range files {
		switch {
		case f.path == at.path:
			found = true
			r.todo = append([]entry{f}, r.todo...)
		case done[f.path]:
			r.read += f.size
		default:
			r.todo = append(r.todo, f)
		}
	}
	if !found {
		r.rt.Log.Warn("the file that was being read is not there any more; going on without its rest", "file", at.path, "offset", at.offset)
		return nil
	}
	return at
}

// next opens the next file, if there is one.
func (r *reader) next(at *position) error {
	if len(r.todo) == 0 {
		return nil
	}
	now, err := r.begin(r.todo[0].path, at)
	if err != nil {
		return err
	}
	r.now, r.todo = now, r.todo[1:]
	return nil
}

// finish is called at the end of the present file.
func (r *reader) finish(ctx context.Context) error {
	now := r.now
	if r.config.Follow {
		return r.again(ctx)
	}
	r.read += now.in.seen()
	r.done.add(now.path)
	if err := r.Close(); err != nil {
		return err
	}
	return r.next(nil)
}

// again opens the file that has taken the name of the one that was followed.
func (r *reader) again(ctx context.Context) error {
	path := r.now.path
	if err := r.Close(); err != nil {
		return err
	}
	for {
		now, err := r.begin(path, nil)
		if err == nil {
			r.now = now
			return nil
		}
		if !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		if err := sleep(ctx, r.rt.Clock, poll); err != nil {
			return err
		}
	}
}

// Read returns the records that lie in memory, or else those that one more
// block brings.
func (r *reader) Read(ctx context.Context) (stage.Input, error) {
	for {
		if err := ctx.Err(); err != nil {
			return stage.Input{}, err
		}
		if r.now == nil {
			return stage.Input{}, io.EOF
		}
		batch, err := r.take()
		if err != nil {
			return stage.Input{}, err
		}
		if batch != nil {
			return r.input(batch), nil
		}
		switch err := r.now.cut.fill(ctx); {
		case errors.Is(err, io.EOF):
			if err := r.finish(ctx); err != nil {
				return stage.Input{}, err
			}
		case err != nil && ctx.Err() != nil:
			return stage.Input{}, ctx.Err()
		case err != nil:
			return stage.Input{}, fmt.Errorf("read %q: %w", r.now.path, err)
		}
	}
}

func (r *reader) input(batch *record.Batch) stage.Input {
	in := stage.Input{Batch: batch, Seen: r.read + r.now.in.seen()}
	if size := r.now.in.size(); size > 0 {
		in.Size = max(r.total, in.Seen, r.read+size)
	}
	if r.stream == nil {
		p := r.now.cut.where()
		p.path = r.now.path
		in.Position = p.append(nil, &r.done)
	}
	return in
}

// take makes a batch of the pieces that lie in memory; nil when there are none.
func (r *reader) take() (*record.Batch, error) {
	c := r.now
	p, ok := c.cut.next()
	if ok && c.header {
		if err := r.setColumns(c, &p); err != nil {
			return nil, err
		}
		p, ok = c.cut.next()
	}
	if !ok {
		return nil, nil
	}
	most := r.rt.Most()
	room := min(most, max(r.last+r.last/8, 16))
	f := filler{batch: record.NewBatch(room), current: c, reader: r}
	f.place = &place{file: c.path, seq: r.seq + 1, offsets: make([]uint32, 0, room)}
	c.cut.share(f.batch)
	n := 0
	for ok {
		r.seq++
		f.add(&p)
		// What follows a long piece is too far away for the same place.
		if n++; n == most || p.long > 0 {
			break
		}
		p, ok = c.cut.next()
	}
	r.last = n
	return f.batch, nil
}

// setColumns takes the header of a CSV file.
func (r *reader) setColumns(c *current, p *piece) error {
	c.header = false
	if c.convert != nil {
		return nil // the flow file names the columns
	}
	err := errors.New("the header is longer than max_record, or a quote in it is not closed")
	var columns []string
	if p.long == 0 && !p.open {
		columns, err = record.CSVColumns(p.data, r.config.Delimiter)
	}
	if err == nil && len(p.data) == 0 {
		err = errors.New("the header is empty")
	}
	if err == nil {
		err = r.useColumns(c, columns)
	}
	if err != nil {
		return fmt.Errorf("%s: line %d: %w", c.path, p.line, err)
	}
	return nil
}

func (r *reader) useColumns(c *current, columns []string) error {
	csv, err := record.NewCSV(columns, r.config.Delimiter, r.config.Types)
	if err != nil {
		return err
	}
	c.convert = csv.Row
	for _, name := range columns {
		c.overhead += len(name) + 8 // quotes, colon and comma, and those of a text
	}
	return nil
}

// filler adds pieces to a batch.
type filler struct {
	*current
	reader *reader
	batch  *record.Batch
	place  *place
	memory []byte // for what convert writes
}

func (f *filler) add(p *piece) {
	f.place.add(p)
	payload := p.data
	switch {
	case p.long > 0:
		f.dead(p, fmt.Sprintf("%d bytes is above max_record %s", p.long, conf.FormatSize(f.reader.config.MaxRecord)))
		return
	case p.open:
		f.dead(p, "a quoted field begins here and is not closed within max_record "+conf.FormatSize(f.reader.config.MaxRecord))
		return
	case len(payload) == 0 && f.format != formatLines:
		f.dead(p, "empty line")
		return
	case f.convert != nil:
		var err error
		if payload, err = f.converted(payload); err != nil {
			f.dead(p, err.Error())
			return
		}
	}
	f.batch.Records = append(f.batch.Records, record.Record{
		Payload: payload, Meta: f.place, Origin: record.Origin{Seq: f.reader.seq},
	})
}

// converted is a row or line as a JSON object.
func (f *filler) converted(line []byte) ([]byte, error) {
	if need := 2*len(line) + f.overhead; cap(f.memory)-len(f.memory) < need {
		f.memory = f.batch.Arena().Bytes(max(need, 64<<10))[:0]
	}
	from := len(f.memory)
	out, err := f.convert(f.memory, line)
	if err != nil {
		return nil, err
	}
	f.memory = out
	return out[from:len(out):len(out)], nil
}

func (f *filler) dead(p *piece, why string) {
	f.batch.Side = append(f.batch.Side, record.Side{
		Record: record.Record{Payload: p.data, Meta: f.place, Origin: record.Origin{Seq: f.reader.seq}},
		Kind:   record.Dead, Stage: f.reader.rt.Name,
		Reason: fmt.Sprintf("line %d: %s", p.line, why),
	})
}

// Settle has nothing to do: positions are kept by the engine.
func (r *reader) Settle(context.Context, stage.Settlement) error { return nil }

// Close closes the present file. A read of standard input that is under way
// goes on; see stream.
func (r *reader) Close() error {
	if r.now == nil {
		return nil
	}
	r.now.cut.close()
	err := r.now.in.Close()
	r.now = nil
	if err != nil && !errors.Is(err, os.ErrClosed) {
		return fmt.Errorf("close: %w", err)
	}
	return nil
}
