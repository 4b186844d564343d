package stagetest

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/telluride-stream/telluride/engine/clock"
	"github.com/telluride-stream/telluride/engine/record"
	"github.com/telluride-stream/telluride/engine/stage"
)

// sinks checks a kind of sink. Time is scripted.
func (c *checked) sinks(t *testing.T) {
	if c.sample.Unopenable {
		c.sinking(t, "an Open that fails", c.sinkUnopenable)
		return
	}
	c.sinking(t, "New opens nothing", c.sinkIdle)
	if c.sample.Outside {
		return
	}
	c.sinking(t, "Flush is done once, in order", c.sinkFlushes)
	for _, how := range []struct {
		name  string
		write func(s *sinkSession, t *testing.T)
	}{
		{"one by one", (*sinkSession).singly},
		{"and opened again by a new instance", (*sinkSession).resumed},
		{"and opened again", (*sinkSession).reopened},
		{"with empty writes and flushes between", (*sinkSession).emptily},
	} {
		t.Run("written "+how.name, func(t *testing.T) {
			want := c.written(t, (*sinkSession).atOnce)
			if got := c.written(t, how.write); got != want {
				t.Errorf("written is\n%s\nwant\n%s", got, want)
			}
			if c.sample.Written != nil && want == "" {
				t.Error("nothing is written")
			}
		})
	}
}

// sinkSession makes instances of a sink and gives them records.
type sinkSession struct {
	*checked
	built    *built
	payloads []string
	stdout   strings.Builder
}

func (c *checked) sinking(t *testing.T, name string, test func(t *testing.T, s *sinkSession)) {
	t.Run(name, func(t *testing.T) {
		c.in(t)
		synctest.Test(t, func(t *testing.T) { test(t, c.sinkSession(t)) })
	})
}

func (c *checked) sinkSession(t *testing.T) *sinkSession {
	s := &sinkSession{checked: c, built: c.sound(t)}
	rnd := c.rnd(3)
	for i := range 40 {
		s.payloads = append(s.payloads, c.sample.document(rnd, i))
	}
	return s
}

// written is what a way of writing leaves, in a folder of its own.
func (c *checked) written(t *testing.T, write func(*sinkSession, *testing.T)) (text string) {
	t.Helper()
	t.Run("run", func(t *testing.T) {
		c.in(t)
		synctest.Test(t, func(t *testing.T) {
			s := c.sinkSession(t)
			write(s, t)
			text = s.stdout.String()
		})
		if c.sample.Written != nil {
			var err error
			if text, err = c.sample.Written(); err != nil {
				t.Fatal(err)
			}
		}
	})
	return text
}

func (s *sinkSession) instance(resumed bool) stage.Sink {
	return s.built.sink.New(stage.Runtime{
		Flow: "flow", Name: s.kind.Name, Clock: clock.System{}, Log: quiet(), MaxBatch: 100, Resumed: resumed, Stdout: &s.stdout,
	})
}

func (s *sinkSession) open(t *testing.T, sink stage.Sink) {
	t.Helper()
	if err := sink.Open(t.Context()); err != nil {
		t.Fatalf("Open: %v", err)
	}
}

// write writes payloads from a batch that is released, and in race builds
// overwritten, as soon as Write returns.
func (s *sinkSession) write(t *testing.T, sink stage.Sink, payloads ...string) {
	t.Helper()
	b := record.NewBatch(len(payloads))
	defer b.Release()
	for i, p := range payloads {
		if _, err := s.built.fill(b, p, record.Record{Origin: record.Origin{Seq: uint64(i + 1)}}); err != nil {
			t.Fatal(err)
		}
	}
	if n, err := sink.Write(t.Context(), b.Records); n != len(payloads) || err != nil {
		t.Fatalf("Write of %d records: %d, %v", len(payloads), n, err)
	}
}

// flush flushes and waits until that is done.
func (s *sinkSession) flush(t *testing.T, sink stage.Sink) {
	t.Helper()
	done := make(chan error, 2)
	sink.Flush(func(err error) { done <- err })
	select {
	case err := <-done:
		if err != nil {
			t.Fatalf("Flush: %v", err)
		}
	case <-time.After(time.Hour):
		t.Fatal("Flush is never done")
	}
}

func (s *sinkSession) close(t *testing.T, sink stage.Sink) {
	t.Helper()
	if err := sink.Close(); err != nil {
		t.Errorf("Close: %v", err)
	}
}

func (s *sinkSession) atOnce(t *testing.T) {
	sink := s.instance(false)
	s.open(t, sink)
	s.write(t, sink, s.payloads...)
	s.flush(t, sink)
	s.close(t, sink)
}

func (s *sinkSession) singly(t *testing.T) {
	sink := s.instance(false)
	s.open(t, sink)
	for _, p := range s.payloads {
		s.write(t, sink, p)
	}
	s.flush(t, sink)
	s.close(t, sink)
}

// resumed is what the engine does after an abort: a new instance goes on.
func (s *sinkSession) resumed(t *testing.T) {
	sink := s.instance(false)
	s.open(t, sink)
	s.write(t, sink, s.payloads[:13]...)
	s.flush(t, sink)
	s.close(t, sink)
	sink = s.instance(true)
	s.open(t, sink)
	s.write(t, sink, s.payloads[13:]...)
	s.flush(t, sink)
	s.close(t, sink)
}

func (s *sinkSession) reopened(t *testing.T) {
	sink := s.instance(false)
	for from := 0; from < len(s.payloads); from += 10 {
		s.open(t, sink)
		s.write(t, sink, s.payloads[from:from+10]...)
		s.flush(t, sink)
		s.close(t, sink)
	}
}

func (s *sinkSession) emptily(t *testing.T) {
	sink := s.instance(false)
	s.open(t, sink)
	s.flush(t, sink)
	for i, p := range s.payloads {
		s.write(t, sink)
		s.write(t, sink, p)
		if i%3 == 0 {
			s.flush(t, sink)
			s.flush(t, sink)
		}
	}
	s.flush(t, sink)
	s.close(t, sink)
}

// sinkIdle: an instance that is never opened touches nothing, and can be closed.
func (c *checked) sinkIdle(t *testing.T, s *sinkSession) {
	before := listing(t)
	sink := s.instance(false)
	if after := listing(t); !slices.Equal(before, after) {
		t.Errorf("New has changed files:\n%v\nwere\n%v", after, before)
	}
	s.close(t, sink)
}

func (c *checked) sinkUnopenable(t *testing.T, s *sinkSession) {
	sink := s.instance(false)
	for range 2 {
		if err := sink.Open(t.Context()); err == nil {
			t.Error("Open succeeds")
		}
		s.close(t, sink)
	}
}

// sinkFlushes calls Flush again before it is done: every call is done once,
// and in their order. A Write with a context that has ended returns.
func (c *checked) sinkFlushes(t *testing.T, s *sinkSession) {
	sink := s.instance(false)
	s.open(t, sink)
	var mu sync.Mutex
	var done []string
	for i := range 4 {
		s.write(t, sink, s.payloads[i*10:i*10+10]...)
		for j := range 2 {
			sink.Flush(func(err error) {
				mu.Lock()
				defer mu.Unlock()
				done = append(done, fmt.Sprint(i*2+j, " ", err))
			})
		}
	}
	time.Sleep(time.Hour)
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if n, err := sink.Write(ended, nil); n != 0 {
		t.Errorf("Write of nothing: %d, %v", n, err)
	}
	s.close(t, sink)
	synctest.Wait()
	mu.Lock()
	defer mu.Unlock()
	if want := []string{"0 <nil>", "1 <nil>", "2 <nil>", "3 <nil>", "4 <nil>", "5 <nil>", "6 <nil>", "7 <nil>"}; !slices.Equal(done, want) {
		t.Errorf("done were %v, want %v", done, want)
	}
}
