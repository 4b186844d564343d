package stagetest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
	"unsafe"

	"github.com/telluride-stream/telluride/engine/clock"
	"github.com/telluride-stream/telluride/engine/record"
	"github.com/telluride-stream/telluride/engine/stage"
)

func unsafeString(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

// enough is how many records are read of a source that has no end.
const enough = 60

// patience is how long, in scripted time, the suite waits for a source that
// may have nothing more.
const patience = 30 * time.Second

// sources checks a kind of source. Time is scripted.
func (c *checked) sources(t *testing.T) {
	if c.sample.Unopenable {
		c.scripted(t, "an Open that fails", c.sourceUnopenable)
		return
	}
	c.scripted(t, "Close without Open", c.sourceIdle)
	if c.sample.Outside {
		return
	}
	c.scripted(t, "Close without Read", c.sourceUnread)
	c.scripted(t, "numbers and sizes", c.sourceNumbers)
	c.scripted(t, "memory is the reader's", c.sourceMemory)
	c.scripted(t, "Settle beside Read", c.sourceSettles)
	c.scripted(t, "Read ends with its context", c.sourceCancelled)
	if c.sample.Stdin != nil {
		return // what was read cannot be read again
	}
	c.scripted(t, "any size of batches", c.sourceSizes)
	c.scripted(t, "every position leads to the rest", c.sourcePositions)
	c.scripted(t, "a damaged position", c.sourceDamaged)
}

// scripted runs a test with scripted time, and fails it when a goroutine is
// left at its end.
func (c *checked) scripted(t *testing.T, name string, test func(t *testing.T, s *session)) {
	t.Run(name, func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			s := &session{checked: c, built: c.sound(t)}
			defer s.done()
			test(t, s)
		})
	})
}

// session makes instances of a source.
type session struct {
	*checked
	built *built
	stdin func()
}

func (s *session) done() {
	if s.stdin != nil {
		s.stdin()
	}
	synctest.Wait()
}

// instance is a source one Read of which returns batch records at most. It is
// asked for one by one in the way that the engine does it.
func (s *session) instance(batch int) stage.Source {
	rt := stage.Runtime{Flow: "flow", Name: s.kind.Name, Clock: clock.System{}, Log: quiet(), MaxBatch: batch}
	if batch == 1 {
		rt.MaxBatch, rt.Singly = 10, new(atomic.Bool)
		rt.Singly.Store(true)
	}
	if s.sample.Stdin != nil {
		rt.Stdin, s.stdin = s.sample.Stdin()
	}
	return s.built.source.New(rt)
}

// taken is what one Read returned, as text.
type taken struct {
	texts    []string
	seqs     []uint64
	position []byte
	batch    *record.Batch
}

func (s *session) text(t *testing.T, in stage.Input) taken {
	t.Helper()
	got := taken{position: bytes.Clone(in.Position), batch: in.Batch}
	if len(in.Batch.Records)+len(in.Batch.Side) == 0 {
		t.Error("a Read without records")
	}
	one := func(r *record.Record, reason string) {
		got.seqs = append(got.seqs, r.Origin.Seq)
		got.texts = append(got.texts, s.document(t, r)+reason)
	}
	for i := range in.Batch.Records {
		one(&in.Batch.Records[i], "")
	}
	for i := range in.Batch.Side {
		one(&in.Batch.Side[i].Record, " "+in.Batch.Side[i].Reason)
	}
	// What could not be made a record of stands apart, and belongs between.
	order := make([]int, len(got.seqs))
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(a, b int) int { return int(got.seqs[a]) - int(got.seqs[b]) })
	sorted := taken{position: got.position, batch: got.batch}
	for _, i := range order {
		sorted.seqs, sorted.texts = append(sorted.seqs, got.seqs[i]), append(sorted.texts, got.texts[i])
	}
	return sorted
}

// document is a record as text, without what the clock says.
func (s *session) document(t *testing.T, r *record.Record) string {
	t.Helper()
	text := string(record.AppendJSON(nil, r))
	if len(s.sample.Clocked) == 0 {
		return text
	}
	var m map[string]any
	if err := json.Unmarshal([]byte(text), &m); err != nil {
		t.Errorf("%s: %v", text, err)
	}
	for _, name := range s.sample.Clocked {
		delete(m, name)
	}
	return fmt.Sprint(m)
}

// read opens a source at a position and reads it: to its end, or enough of it.
func (s *session) read(t *testing.T, source stage.Source, position []byte, most int) (all []taken) {
	t.Helper()
	if err := source.Open(t.Context(), position); err != nil {
		t.Fatalf("Open at %q: %v", position, err)
	}
	ctx := t.Context()
	if s.sample.Blocks {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, patience)
		defer cancel()
	}
	for n := 0; n < most; {
		in, err := source.Read(ctx)
		if errors.Is(err, io.EOF) || s.sample.Blocks && ctx.Err() != nil {
			break
		}
		if err != nil {
			t.Fatalf("Read: %v", err)
		}
		got := s.text(t, in)
		all = append(all, got)
		n += len(got.texts)
	}
	return all
}

func (s *session) close(t *testing.T, source stage.Source) {
	t.Helper()
	if err := source.Close(); err != nil {
		t.Errorf("Close: %v", err)
	}
}

func texts(all []taken) (flat []string) {
	for _, one := range all {
		flat = append(flat, one.texts...)
	}
	return flat
}

func release(all []taken) {
	for _, one := range all {
		one.batch.Release()
	}
}

func (c *checked) sourceUnopenable(t *testing.T, s *session) {
	source := s.instance(10)
	for range 2 {
		if err := source.Open(t.Context(), nil); err == nil {
			t.Error("Open succeeds")
		}
		s.close(t, source)
	}
}

// sourceIdle: an instance that is never opened touches nothing, and can be closed.
func (c *checked) sourceIdle(t *testing.T, s *session) { s.close(t, s.instance(10)) }

func (c *checked) sourceUnread(t *testing.T, s *session) {
	source := s.instance(10)
	for range 2 {
		if err := source.Open(t.Context(), nil); err != nil {
			t.Fatal(err)
		}
		s.close(t, source)
	}
}

// sourceNumbers: sequence numbers rise by one from 1 in each session, and no
// Read returns more than it may.
func (c *checked) sourceNumbers(t *testing.T, s *session) {
	for _, most := range []int{1, 7, 1000} {
		source := s.instance(most)
		next := uint64(1)
		for _, one := range s.read(t, source, nil, enough) {
			if len(one.texts) > most {
				t.Errorf("a Read of %d records, where %d are the most", len(one.texts), most)
			}
			for _, seq := range one.seqs {
				if seq != next {
					t.Fatalf("sequence number %d comes where %d is due", seq, next)
				}
				next++
			}
			one.batch.Release()
		}
		if next == 1 {
			t.Error("the sample has no records")
		}
		s.close(t, source)
		s.done()
	}
}

// sourceMemory: a batch stays as it is until it is released, whatever is read
// behind it, and also when the source is closed.
func (c *checked) sourceMemory(t *testing.T, s *session) {
	source := s.instance(5)
	all := s.read(t, source, nil, enough)
	s.close(t, source)
	for i, one := range all {
		if again := s.text(t, stage.Input{Batch: one.batch}); !slices.Equal(again.texts, one.texts) {
			t.Fatalf("Read %d has changed behind its back:\n%q\nwas\n%q", i+1, again.texts, one.texts)
		}
	}
	release(all)
}

// sourceSettles: Settle may be called while a Read is under way.
func (c *checked) sourceSettles(t *testing.T, s *session) {
	source := s.instance(4)
	settle := make(chan uint64)
	settled := make(chan error, 1)
	ctx := t.Context()
	go func() {
		var first error
		for upto := range settle {
			var rejected []uint64
			if upto%3 == 0 {
				rejected = []uint64{upto}
			}
			if err := source.Settle(ctx, stage.Settlement{Upto: upto, Rejected: rejected}); err != nil && first == nil {
				first = err
			}
		}
		settled <- first
	}()
	if err := source.Open(ctx, nil); err != nil {
		t.Fatal(err)
	}
	for range 5 {
		reading, cancel := context.WithTimeout(ctx, patience)
		in, err := source.Read(reading)
		cancel()
		if err != nil {
			break
		}
		got := s.text(t, in)
		settle <- got.seqs[len(got.seqs)-1]
		in.Batch.Release()
	}
	close(settle)
	if err := <-settled; err != nil {
		t.Errorf("Settle: %v", err)
	}
	s.close(t, source)
}

// sourceCancelled: Read returns within a second when its context ends, be it
// before or while it waits. The source can be opened again.
func (c *checked) sourceCancelled(t *testing.T, s *session) {
	source := s.instance(1)
	if err := source.Open(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for range 500 {
			in, err := source.Read(ctx)
			if err != nil {
				return
			}
			in.Batch.Release()
		}
	}()
	time.Sleep(50*time.Millisecond + time.Microsecond)
	cancel()
	select {
	case <-ended:
	case <-time.After(time.Second):
		t.Error("Read goes on for more than a second")
	}
	if _, err := source.Read(ctx); err == nil {
		t.Error("Read succeeds with a context that has ended")
	}
	s.close(t, source)
	<-ended
	if c.sample.Stdin != nil {
		return
	}
	release(s.read(t, source, nil, 1))
	s.close(t, source)
}

// sourceSizes: what comes does not depend on how much one Read may return.
func (c *checked) sourceSizes(t *testing.T, s *session) {
	var first []string
	for _, most := range []int{1000, 1, 3} {
		source := s.instance(most)
		all := s.read(t, source, nil, enough)
		got := texts(all)
		release(all)
		s.close(t, source)
		if first == nil {
			first = got
		}
		n := min(len(got), len(first), enough)
		if !slices.Equal(got[:n], first[:n]) || len(got) < enough && len(got) != len(first) {
			t.Errorf("at most %d at a time:\n%q\nwant\n%q", most, got, first)
		}
	}
}

// sourcePositions: from every position that a Read returned, a new source
// reads exactly what was read behind it, with numbers from 1.
func (c *checked) sourcePositions(t *testing.T, s *session) {
	source := s.instance(4)
	all := s.read(t, source, nil, enough)
	defer release(all)
	s.close(t, source)
	for i, one := range all {
		if one.position == nil {
			t.Fatal("a Read without a position")
		}
		rest := texts(all[i+1:])
		again := s.instance(7)
		got := s.read(t, again, one.position, max(len(rest), 1))
		s.close(t, again)
		flat := texts(got)
		if len(got) > 0 && got[0].seqs[0] != 1 {
			t.Errorf("the first sequence number of a session is %d", got[0].seqs[0])
		}
		if n := len(rest); len(flat) < n || !slices.Equal(flat[:n], rest) || n > 0 && len(texts(all)) < enough && len(flat) != n {
			t.Errorf("behind position %d, %q, come\n%q\nwant\n%q", i+1, one.position, flat, rest)
		}
		release(got)
	}
}

// sourceDamaged: a position that is not the source's own is an error, or one
// that it can read on from; and the source can still be opened.
func (c *checked) sourceDamaged(t *testing.T, s *session) {
	source := s.instance(4)
	all := s.read(t, source, nil, enough)
	s.close(t, source)
	good := all[0].position
	rnd := c.rnd(2)
	for _, bad := range [][]byte{{}, []byte("{"), []byte("null"), bytes.Repeat([]byte{0xff}, 40), damaged(rnd, good), damaged(rnd, good), damaged(rnd, good)} {
		if source.Open(t.Context(), bad) == nil {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			if in, err := source.Read(ctx); err == nil {
				in.Batch.Release()
			}
			cancel()
		}
		s.close(t, source)
	}
	again := s.read(t, source, nil, enough)
	s.close(t, source)
	if a, b := texts(all), texts(again); !slices.Equal(a, b) {
		t.Errorf("opened again, it reads\n%q\nwant\n%q", b, a)
	}
	release(all)
	release(again)
}
