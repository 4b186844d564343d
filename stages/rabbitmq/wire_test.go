package rabbitmq

import (
	"errors"
	"io"
	"net"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// socket notes what is done to it.
type socket struct {
	net.Conn // nil
	reader   io.Reader
	reads    int
	writes   []string
	fails    error
	moved    []time.Time // read deadlines
}

func (s *socket) Read(b []byte) (int, error) { s.reads++; return s.reader.Read(b) }

func (s *socket) Write(b []byte) (int, error) {
	s.writes = append(s.writes, string(b))
	return len(b), s.fails
}

func (s *socket) SetReadDeadline(t time.Time) error { s.moved = append(s.moved, t); return nil }
func (s *socket) SetDeadline(t time.Time) error     { return s.SetReadDeadline(t) }

func write(t *testing.T, w *wire, texts ...string) {
	t.Helper()
	for _, text := range texts {
		if n, err := w.Write([]byte(text)); n != len(text) || err != nil {
			t.Fatalf("Write(%q) = %d, %v", text, n, err)
		}
	}
}

func TestACorkedWireSendsInOneGo(t *testing.T) {
	s := &socket{}
	w := newWire(s)
	write(t, w, "a", "b")
	w.cork()
	write(t, w, "c", "d")
	if err := w.uncork(); err != nil {
		t.Fatal(err)
	}
	write(t, w, "e")
	if err := w.uncork(); err != nil { // nothing waits
		t.Fatal(err)
	}
	if want := []string{"a", "b", "cd", "e"}; !slices.Equal(s.writes, want) {
		t.Errorf("sent %q, want %q", s.writes, want)
	}
}

func TestACorkedWireKeepsLittle(t *testing.T) {
	s := &socket{}
	w := newWire(s)
	w.cork()
	const size = 1000
	for range 10 * wireOut / size {
		write(t, w, strings.Repeat("x", size))
		if len(w.out) >= wireOut {
			t.Fatalf("%d bytes wait", len(w.out))
		}
	}
	if len(s.writes) < 9 || len(s.writes) > 10 {
		t.Errorf("sent %d times", len(s.writes))
	}
}

func TestNothingIsSentBehindAGap(t *testing.T) {
	s := &socket{fails: errors.New("gone")}
	w := newWire(s)
	w.cork()
	write(t, w, "a")
	if err := w.uncork(); !errors.Is(err, s.fails) {
		t.Fatalf("uncork: %v", err)
	}
	for range 2 {
		_, err := w.Write([]byte("b"))
		if err == nil {
			err = w.uncork()
		}
		if !errors.Is(err, s.fails) {
			t.Errorf("a later write: %v", err)
		}
	}
	if want := []string{"a"}; !slices.Equal(s.writes, want) {
		t.Errorf("sent %q, want %q", s.writes, want)
	}
}

func TestAWireReadsAhead(t *testing.T) {
	s := &socket{reader: strings.NewReader(strings.Repeat("0123456789", 1000))}
	w := newWire(s)
	for i := range 1000 {
		var b [10]byte
		if _, err := io.ReadFull(w, b[:]); err != nil || string(b[:]) != "0123456789" {
			t.Fatalf("%d: %q, %v", i, b, err)
		}
	}
	if s.reads != 1 {
		t.Errorf("%d reads of the socket", s.reads)
	}
}

// pieces gives at most so many bytes at a time.
type pieces struct{ size int }

func (p pieces) Read(b []byte) (int, error) { return min(p.size, len(b)), nil }

func TestAWireWaitsForMoreOfWhatComesInSmallPieces(t *testing.T) {
	for _, c := range []struct {
		size  int
		waits bool
	}{{wirePiece - 1, false}, {wirePiece, true}, {wireIn/2 - 1, true}, {wireIn / 2, false}} {
		synctest.Test(t, func(t *testing.T) {
			w := newWire(&socket{reader: pieces{c.size}})
			var took []time.Duration
			for range 3 {
				start := time.Now()
				if n, err := io.ReadFull(w, make([]byte, c.size)); n != c.size || err != nil {
					t.Fatal(n, err)
				}
				took = append(took, time.Since(start))
			}
			want := []time.Duration{0, 0, 0}
			if c.waits {
				want = []time.Duration{0, gather, gather}
			}
			if !slices.Equal(took, want) {
				t.Errorf("%d bytes at a time took %v, want %v", c.size, took, want)
			}
		})
	}
}

func TestReadDeadlinesMoveWhenItMatters(t *testing.T) {
	at := func(ms int) time.Time { return time.UnixMilli(1_000_000).Add(time.Duration(ms) * time.Millisecond) }
	s := &socket{}
	w := newWire(s)
	slack := int(wireSlack / time.Millisecond)
	for _, d := range []time.Time{at(0), at(1), at(slack - 1), at(slack), at(slack + 1), at(5), at(6), {}, at(7)} {
		if err := w.SetReadDeadline(d); err != nil {
			t.Fatal(err)
		}
	}
	want := []time.Time{at(0), at(slack), at(5), {}, at(7)}
	if !slices.Equal(s.moved, want) {
		t.Errorf("moved to %v, want %v", s.moved, want)
	}
	// What SetDeadline says counts too.
	s.moved = nil
	if err := errors.Join(w.SetDeadline(time.Time{}), w.SetReadDeadline(at(8))); err != nil {
		t.Fatal(err)
	}
	if want := []time.Time{{}, at(8)}; !slices.Equal(s.moved, want) {
		t.Errorf("moved to %v, want %v", s.moved, want)
	}
}
