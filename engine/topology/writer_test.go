package topology

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/telluride-stream/telluride/engine/clock"
	"github.com/telluride-stream/telluride/engine/record"
	"github.com/telluride-stream/telluride/engine/stage"
	"github.com/telluride-stream/telluride/engine/telemetry"
)

// sinkFuncs is a sink made of functions.
type sinkFuncs struct {
	opens, closes int
	open          func() error
	write         func(records []record.Record) (int, error)
	flush         func(done func(error))
}

func (s *sinkFuncs) Open(context.Context) error {
	s.opens++
	if s.open != nil {
		return s.open()
	}
	return nil
}

func (s *sinkFuncs) Write(_ context.Context, r []record.Record) (int, error) { return s.write(r) }
func (s *sinkFuncs) Flush(done func(error))                                  { s.flush(done) }
func (s *sinkFuncs) Close() error                                            { s.closes++; return nil }

func writing(s stage.Sink, deadline time.Duration) (*writer, context.CancelFunc) {
	abort, cancel := context.WithCancel(context.Background())
	return &writer{
		name: "out", sink: s, deadline: deadline, clock: clock.System{}, log: slog.New(slog.DiscardHandler),
		troubles: &troubles{}, row: &telemetry.Row{}, abort: abort,
	}, cancel
}

func TestAWriterGoesOnFromWhereASinkFailed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var got string
		fails := 2
		w, cancel := writing(&sinkFuncs{write: func(records []record.Record) (int, error) {
			for i, r := range records {
				if r.Key == "c" && fails > 0 {
					fails--
					return i, errors.New("busy")
				}
				got += r.Key
			}
			return len(records), nil
		}}, 0)
		defer cancel()
		if err := w.write(w.abort, keyRecords("a", "b", "c", "d"), nil); err != nil {
			t.Fatal(err)
		}
		if got != "abcd" {
			t.Errorf("the sink got %q", got)
		}
		if c := w.row.Counts(); c.In != 4 || c.Passed != 4 || w.row.Retries.Load() != 2 {
			t.Errorf("counts %+v, %d retries", c, w.row.Retries.Load())
		}
	})
}

func keyRecords(keys ...string) (all []record.Record) {
	for _, k := range keys {
		all = append(all, record.Record{Key: k})
	}
	return all
}

func TestADeadlineEndsTheTriesAndTheFlow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, cancel := writing(&sinkFuncs{write: func([]record.Record) (int, error) {
			return 0, stage.Transient(errors.New("connection refused"))
		}}, 3*time.Second)
		defer cancel()
		begin := time.Now()
		err := w.write(w.abort, keyRecords("a"), func(*record.Record, error) error {
			t.Error("an outage made a dead letter")
			return nil
		})
		if !errors.Is(err, errSinkDeadline) || !strings.Contains(err.Error(), "connection refused") {
			t.Errorf("ended with %v", err)
		}
		if stage.IsTransient(err) {
			t.Error("the error has the flow start again, for ever")
		}
		if took := time.Since(begin); took != 3*time.Second {
			t.Errorf("tried for %v, want 3s", took)
		}
	})
}

func TestAPermanentErrorCostsOneRecord(t *testing.T) {
	var got, rejected string
	w, cancel := writing(&sinkFuncs{write: func(records []record.Record) (int, error) {
		for i, r := range records {
			if r.Key == "b" {
				return i, stage.Permanent(errors.New("too large"))
			}
			got += r.Key
		}
		return len(records), nil
	}}, 0)
	defer cancel()
	err := w.write(w.abort, keyRecords("a", "b", "c"), func(r *record.Record, cause error) error {
		rejected += r.Key + ": " + cause.Error()
		return nil
	})
	if err != nil || got != "ac" || rejected != "b: too large" {
		t.Errorf("got %q, rejected %q, error %v", got, rejected, err)
	}
	if err := w.write(w.abort, keyRecords("b"), nil); !stage.IsPermanent(err) {
		t.Errorf("a sink of dead letters ends with %v", err)
	}
	if c := w.row.Counts(); c.Dead != 1 || !c.Balanced() {
		t.Errorf("counts %+v", c)
	}
}

func TestALazySinkIsOpenedByItsFirstRecord(t *testing.T) {
	s := &sinkFuncs{write: func(r []record.Record) (int, error) { return len(r), nil }}
	w, cancel := writing(s, 0)
	defer cancel()
	if err := w.write(w.abort, nil, nil); err != nil || s.opens != 0 {
		t.Fatalf("opened %d times for no record (%v)", s.opens, err)
	}
	if err := w.close(); err != nil || s.closes != 0 {
		t.Fatal("closed what was never open")
	}
	for range 2 {
		if err := w.write(w.abort, keyRecords("a"), nil); err != nil {
			t.Fatal(err)
		}
	}
	if s.opens != 1 {
		t.Errorf("opened %d times", s.opens)
	}
}

func TestAnAbortEndsEveryWait(t *testing.T) {
	never := errors.New("never")
	for name, play := range map[string]func(w *writer, s *sinkFuncs) error{
		"open": func(w *writer, s *sinkFuncs) error {
			s.open = func() error { return never }
			return w.open()
		},
		"write": func(w *writer, s *sinkFuncs) error {
			s.write = func([]record.Record) (int, error) { return 0, never }
			return w.write(w.abort, keyRecords("a"), nil)
		},
		"a write that panics": func(w *writer, s *sinkFuncs) error {
			s.write = func([]record.Record) (int, error) { panic("no") }
			return w.write(w.abort, keyRecords("a"), nil)
		},
		"flush": func(w *writer, s *sinkFuncs) error {
			s.flush = func(func(error)) {}
			w.opened = true
			return w.sync(w.abort)
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := &sinkFuncs{}
				w, cancel := writing(s, 0)
				ended := make(chan error, 1)
				go func() { ended <- play(w, s) }()
				time.Sleep(time.Hour)
				cancel()
				synctest.Wait()
				select {
				case err := <-ended:
					if err == nil {
						t.Error("ended without an error")
					}
				default:
					t.Fatal("still waits")
				}
			})
		})
	}
}
