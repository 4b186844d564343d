package deadletter_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/telluride-stream/telluride/engine/deadletter"
)

// inbox is a target that fails behind some letters.
type inbox struct {
	got       []string // payloads
	failAfter int      // letters; negative: never
}

var errFull = errors.New("full")

func (t *inbox) Send(_ context.Context, letters []*deadletter.Letter) (int, error) {
	for i, l := range letters {
		if t.failAfter == 0 {
			return i, errFull
		}
		t.failAfter--
		t.got = append(t.got, string(l.Payload))
	}
	return len(letters), nil
}

func (t *inbox) Close() error { return nil }

// box is a file of letters.
type box struct {
	t    *testing.T
	path string
}

func newBox(t *testing.T) *box { return &box{t, filepath.Join(t.TempDir(), "dead.ndjson")} }

func (b *box) write(text string) {
	f, err := os.OpenFile(b.path, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o600)
	if err == nil {
		_, err = f.WriteString(text)
	}
	if err = errors.Join(err, f.Close()); err != nil {
		b.t.Fatal(err)
	}
}

// dies has a record die; equal records are one that dies again.
func (b *box) dies(record string, at time.Time) {
	l := deadletter.Letter{
		ID: deadletter.NewID("f", "s", record, "stage", 1, nil), Time: at, Stage: "stage", Reason: "broken " + record, Line: -1, Offset: -1, Payload: []byte(record),
	}
	b.write(string(l.AppendJSON(nil)) + "\n")
}

func (b *box) with(work func(s deadletter.Store) error) error {
	b.t.Helper()
	f, err := deadletter.OpenFile(b.path, func(*os.File) error { return nil })
	if err != nil {
		b.t.Fatal(err)
	}
	err = work(f)
	if closing := f.Close(); closing != nil {
		b.t.Error(closing)
	}
	return err
}

func (b *box) waiting() (all []string) {
	_ = b.with(func(s deadletter.Store) error {
		_, err := s.Read(context.Background(), func(l *deadletter.Letter) (bool, error) {
			all = append(all, string(l.Payload))
			return true, nil
		})
		return err
	})
	return all
}

// Whatever dies, is replayed in vain or not, and is dropped: every record that
// died comes to the target exactly once or was dropped, in its order.
func TestEveryLetterIsReplayedOnceOrStays(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		b := newBox(t)
		defer os.RemoveAll(filepath.Dir(b.path))
		to := &inbox{}
		var waits, want []string // an oracle: a list
		n := 0
		clock := time.Now().Add(-time.Hour)
		actions := map[string]func(*rapid.T){
			"dies": func(rt *rapid.T) {
				n++
				clock = clock.Add(time.Millisecond)
				record := fmt.Sprintf("r%d", n)
				b.dies(record, clock)
				waits = append(waits, record)
			},
			"dies twice": func(rt *rapid.T) { // in a crash
				if len(waits) == 0 {
					return
				}
				clock = clock.Add(time.Millisecond)
				b.dies(waits[len(waits)-1], clock)
			},
			"foreign": func(*rapid.T) { b.write("no letter\n\n") },
			"replay": func(rt *rapid.T) {
				limit := rapid.IntRange(1, 5).Draw(rt, "limit")
				to.failAfter = rapid.IntRange(-1, 4).Draw(rt, "fails")
				before := len(to.got)
				err := b.with(func(s deadletter.Store) error {
					_, err := deadletter.Replay(context.Background(), s, to, deadletter.Filter{Limit: limit}, 0)
					return err
				})
				if err != nil && !errors.Is(err, errFull) {
					rt.Fatal(err)
				}
				took := len(to.got) - before
				if took > limit || took > len(waits) {
					rt.Fatalf("%d letters came of %d, limit %d", took, len(waits), limit)
				}
				want = append(want, waits[:took]...)
				waits = waits[took:]
			},
			"drop": func(rt *rapid.T) {
				if len(waits) == 0 {
					return
				}
				gone := rapid.SampledFrom(waits).Draw(rt, "record")
				err := b.with(func(s deadletter.Store) error {
					_, err := deadletter.Drop(context.Background(), s, deadletter.Filter{IDs: []string{deadletter.NewID("f", "s", gone, "stage", 1, nil)}})
					return err
				})
				if err != nil {
					rt.Fatal(err)
				}
				waits = slices.DeleteFunc(waits, func(r string) bool { return r == gone })
				text, err := os.ReadFile(b.path)
				if err != nil || strings.Contains(string(text), `"payload":"`+gone+`"`) {
					rt.Fatalf("%s is still in the file (%v)", gone, err)
				}
			},
		}
		names := slices.Sorted(maps.Keys(actions))
		for range rapid.IntRange(1, 15).Draw(rt, "actions") {
			actions[rapid.SampledFrom(names).Draw(rt, "action")](rt)
			if !slices.Equal(to.got, want) {
				rt.Fatalf("replayed %v, want %v", to.got, want)
			}
		}
		if got := slices.Compact(b.waiting()); !slices.Equal(got, waits) && len(got)+len(waits) > 0 {
			rt.Fatalf("waiting %v, want %v", got, waits)
		}
	})
}

// vain is a target for which every letter dies again.
type vain struct {
	*box
	sent int
}

func (v *vain) Send(_ context.Context, letters []*deadletter.Letter) (int, error) {
	for _, l := range letters {
		if v.sent++; v.sent > 1000 {
			return 0, errFull
		}
		v.dies(fmt.Sprintf("%s again", l.Payload), time.Now())
	}
	return len(letters), nil
}

func (v *vain) Close() error { return nil }

func TestWhatDiesOfAReplayIsForTheNextOne(t *testing.T) {
	b := newBox(t)
	for _, r := range []string{"a", "b", "c"} {
		b.dies(r, time.Now())
	}
	to := &vain{box: b}
	err := b.with(func(s deadletter.Store) error {
		_, err := deadletter.Replay(t.Context(), s, to, deadletter.Filter{}, 19) // one at a time
		return err
	})
	if err != nil || to.sent != 3 {
		t.Errorf("%d letters were replayed, want the 3 that were there: %v", to.sent, err)
	}
	if got := b.waiting(); !slices.Equal(got, []string{"a again", "b again", "c again"}) {
		t.Errorf("waiting %v", got)
	}
}

func TestALineThatIsBeingWrittenIsNoLetterYet(t *testing.T) {
	b := newBox(t)
	b.dies("a", time.Now())
	b.write(`{"letter":1,"id":"0","payl`)
	if got := b.waiting(); !slices.Equal(got, []string{"a"}) {
		t.Errorf("waiting %v", got)
	}
}

func TestAFileThatBeganAnewIsNotOverwritten(t *testing.T) {
	b := newBox(t)
	b.dies("a", time.Now())
	err := b.with(func(s deadletter.Store) error {
		var all []*deadletter.Letter
		if _, err := s.Read(t.Context(), func(l *deadletter.Letter) (bool, error) {
			all = append(all, l)
			return true, nil
		}); err != nil {
			return err
		}
		if err := os.Truncate(b.path, 0); err != nil {
			return err
		}
		b.dies("b", time.Now().Add(time.Hour))
		return s.Settle(t.Context(), all, deadletter.Dropped)
	})
	if got := b.waiting(); err != nil || !slices.Equal(got, []string{"b"}) {
		t.Errorf("waiting %v, %v", got, err)
	}
}

func TestOnlyOneSettlesTheLettersOfAFile(t *testing.T) {
	b := newBox(t)
	b.dies("a", time.Now())
	busy := errors.New("busy")
	if _, err := deadletter.OpenFile(b.path, func(*os.File) error { return busy }); !errors.Is(err, busy) {
		t.Errorf("error %v", err)
	}
}

func TestTornMarksAreNoMarks(t *testing.T) {
	b := newBox(t)
	b.dies("a", time.Now())
	if err := os.WriteFile(b.path+deadletter.MarksSuffix, []byte(`{"id":"tor`), 0o600); err != nil {
		t.Fatal(err)
	}
	to := &inbox{failAfter: -1}
	for range 2 {
		err := b.with(func(s deadletter.Store) error {
			_, err := deadletter.Replay(t.Context(), s, to, deadletter.Filter{}, 0)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if !slices.Equal(to.got, []string{"a"}) {
		t.Errorf("replayed %v", to.got)
	}
}

func TestReplayingKeepsToItsRate(t *testing.T) {
	b := newBox(t)
	for i := range 35 {
		b.dies(fmt.Sprint(i), time.Unix(int64(i), 0))
	}
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		to := &inbox{failAfter: -1}
		f, err := deadletter.OpenFile(b.path, nil)
		if err != nil {
			t.Fatal(err)
		}
		r, err := deadletter.Replay(t.Context(), f, to, deadletter.Filter{}, 10)
		if err := errors.Join(err, f.Close()); err != nil || r.Done != 35 {
			t.Fatalf("%+v, %v", r, err)
		}
		if took := time.Since(start); took < 3*time.Second || took > 4*time.Second {
			t.Errorf("35 letters at 10 a second took %v", took)
		}
	})
}
