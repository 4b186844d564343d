package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"time"

	"github.com/telluride-stream/telluride/engine/clock"
	"github.com/telluride-stream/telluride/engine/fixture"
	"github.com/telluride-stream/telluride/engine/plan"
	"github.com/telluride-stream/telluride/engine/record"
	"github.com/telluride-stream/telluride/engine/stage"
	"github.com/telluride-stream/telluride/stages"
)

// recording reads a source and keeps what comes as lines of a fixture.
type recording struct {
	plan   *plan.Plan
	source *plan.Source
	flags  recordFlags
	mask   *fixture.Mask

	lines   []byte
	n       int
	hidden  int // records in which nothing could be masked
	started time.Time
}

// run reads until there is enough. What came before an error is kept.
func (r *recording) run(ctx context.Context, p *program) (err error) {
	con := p.console()
	rt := stage.Runtime{
		Flow: r.plan.Name, Name: r.source.Name, Clock: clock.System{}, MaxBatch: min(r.flags.count, 1000), Stdin: p.stdin,
		Log: logger(con, runFlags{logFormat: "text", logLevel: "info"}).With(slog.String("flow", r.plan.Name)),
	}
	src, err := open(r.source.Spec, rt, r.flags.count)
	if err != nil {
		return err
	}
	p.askForInput(con, []loaded{{plan: r.plan}})
	defer func() {
		if closing := src.Close(); closing != nil {
			err = errors.Join(err, fmt.Errorf("close source %s: %w", r.source.Name, closing))
		}
	}()
	if err := src.Open(ctx, nil); err != nil {
		if errors.Is(context.Cause(ctx), context.Canceled) {
			return nil // it was interrupted
		}
		return fmt.Errorf("open source %s: %w", r.source.Name, err)
	}
	meta := metaOf(r.source.Kind)
	for r.n < r.flags.count {
		in, err := src.Read(ctx)
		switch {
		case errors.Is(err, io.EOF), err != nil && ctx.Err() != nil:
			return nil
		case err != nil:
			return fmt.Errorf("read source %s: %w", r.source.Name, err)
		}
		upto := r.keep(in.Batch, meta)
		if err := src.Settle(ctx, stage.Settlement{Upto: upto}); err != nil && ctx.Err() == nil {
			return fmt.Errorf("source %s: %w", r.source.Name, err)
		}
		in.Batch.Release()
	}
	return nil
}

// open makes a source of which nothing is consumed.
func open(spec stage.SourceSpec, rt stage.Runtime, most int) (stage.Source, error) {
	switch {
	case spec.Sample != nil:
		return spec.Sample(rt, most), nil
	case spec.Rejects:
		return nil, fmt.Errorf("source %s gives its messages to one reader only, and cannot be looked at", rt.Name)
	}
	return spec.New(rt), nil
}

// metaKey is a part of the metadata that is kept.
type metaKey struct {
	name string
	path record.Path
}

// metaOf lists what records of a kind of source come with.
func metaOf(kind string) []metaKey {
	k, _ := stages.All().Find(stage.RoleSource, kind) // the plan was made of it
	var keys []metaKey
	for _, key := range k.Meta {
		if !key.Place {
			name := strings.TrimSuffix(key.Name, ".*")
			keys = append(keys, metaKey{name, record.Path{{Key: name}}})
		}
	}
	return keys
}

// keep takes the records of a batch, as long as there is room, and returns the
// last sequence number of all of it.
func (r *recording) keep(b *record.Batch, meta []metaKey) (upto uint64) {
	now := time.Now()
	if r.started.IsZero() {
		r.started = now
	}
	at := now.Sub(r.started).Truncate(time.Millisecond)
	one := func(rec *record.Record) {
		upto = max(upto, rec.Origin.Seq)
		if r.n >= r.flags.count {
			return
		}
		m := fixture.Message{Payload: record.AppendJSON(nil, rec), Meta: metaJSON(rec, meta), At: at, Timed: r.flags.times}
		if !r.mask.Hide(&m) {
			r.hidden++
			return
		}
		r.lines = fixture.Append(r.lines, m)
		r.n++
	}
	for i := range b.Records {
		one(&b.Records[i])
	}
	for i := range b.Side { // what the source could not make a record of
		one(&b.Side[i].Record)
	}
	return upto
}

// metaJSON is the metadata of a record; nil when it has none.
func metaJSON(rec *record.Record, keys []metaKey) []byte {
	if rec.Meta == nil {
		return nil
	}
	var text []byte
	for _, key := range keys {
		v := rec.Meta.Lookup(key.path, rec.Origin.Seq)
		if v.IsNil() || v.JSON() == "{}" {
			continue
		}
		text = append(text, ',')
		text = record.AppendValue(text, record.StringValue(key.name))
		text = append(text, ':')
		text = record.AppendValue(text, v)
	}
	if text == nil {
		return nil
	}
	text[0] = '{'
	return append(text, '}')
}

// save writes the fixture, unless there is nothing to write or a mask hid nothing.
func (r *recording) save(p *program) error {
	if r.hidden > 0 {
		fmt.Fprintf(p.stderr, "telluride: %s left out: nothing can be masked in what is no JSON object\n", plural(r.hidden, "record"))
	}
	if r.n == 0 {
		return fmt.Errorf("nothing came from %s, so nothing was saved", r.source.Spec.Text)
	}
	if missed := r.mask.Missed(); len(missed) > 0 {
		return fmt.Errorf("--mask %s: none of %s has such a field, so nothing was saved; check the spelling, or leave it out",
			strings.Join(missed, ", --mask "), plural(r.n, "record"))
	}
	where := "standard output"
	if r.flags.out == "" {
		if _, err := p.stdout.Write(r.lines); err != nil {
			return fmt.Errorf("write: %w", err)
		}
	} else {
		where = r.flags.out
		if err := writeNew(where, r.lines); err != nil {
			return err
		}
	}
	fmt.Fprintf(p.stderr, "telluride: recorded %s from %s to %s\n", plural(r.n, "record"), r.source.Spec.Text, where)
	return nil
}
