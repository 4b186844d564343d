package checkpoint

import (
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/telluride-stream/telluride/engine/record"
)

// TestEpochsCommitOnlyWhatIsComplete walks through random schedules of
// barriers, sinks and held records, and compares the books with the rule
// written out: an epoch is complete when every sink has seen a barrier that
// says that only later epochs are held.
func TestEpochsCommitOnlyWhatIsComplete(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		sinks := rapid.IntRange(1, 4).Draw(t, "sinks")
		e := NewEpochs([]string{"a", "b"}, sinks)
		var (
			began     uint64
			seq       [2]uint64
			marks     = map[uint64][2]uint64{}
			seen      = make([]uint64, sinks) // barriers by sink
			held      = make([]uint64, sinks) // what they said
			rejected  [2][]uint64
			settled   [2][]uint64
			committed uint64
			deltas    []uint64 // epochs of the committed deltas
		)
		for i := range held {
			held[i] = 1
		}
		for range rapid.IntRange(1, 80).Draw(t, "steps") {
			switch rapid.IntRange(0, 3).Draw(t, "step") {
			case 0: // an epoch ends
				b := e.Begin(record.Checkpoint)
				began++
				if b.Epoch != began || b.Held != began+1 {
					t.Fatalf("barrier %+v, want epoch %d", b, began)
				}
				for s := range seq {
					seq[s] += uint64(rapid.IntRange(0, 3).Draw(t, "records"))
					e.Mark(began, s, Mark{Seq: seq[s]})
				}
				marks[began] = seq
				d := &Delta{Stage: "s"}
				d.Put("k", []byte{byte(began)})
				e.Snapshot(began, d)
			case 1: // a barrier reaches a sink
				s := rapid.IntRange(0, sinks-1).Draw(t, "sink")
				if seen[s] == began {
					continue
				}
				seen[s]++
				held[s] = uint64(rapid.IntRange(int(held[s]), int(seen[s])+1).Draw(t, "held"))
				e.Durable(s, record.Barrier{Epoch: seen[s], Held: held[s]})
			case 2: // a delivery that is not committed is to be rejected
				s := rapid.IntRange(0, 1).Draw(t, "source")
				low := marks[committed][s]
				if seq[s] == low {
					continue
				}
				n := rapid.Uint64Range(low+1, seq[s]).Draw(t, "seq")
				e.Reject(s, n)
				rejected[s] = append(rejected[s], n)
			case 3:
				complete := slices.Min(held) - 1
				done, ok := e.Complete()
				if ok != (complete > committed) {
					t.Fatalf("Complete says %v at committed %d, complete %d", ok, committed, complete)
				}
				if !ok {
					continue
				}
				if done.Commit.Epoch != complete {
					t.Fatalf("committed up to %d, want %d", done.Commit.Epoch, complete)
				}
				for _, d := range done.Commit.Deltas {
					deltas = append(deltas, uint64(firstValue(d)[0]))
				}
				for s, set := range done.Settle {
					if set.Upto != marks[complete][s] {
						t.Fatalf("settles up to %d, want %d", set.Upto, marks[complete][s])
					}
					for _, r := range set.Rejected {
						if r > set.Upto || r <= marks[committed][s] {
							t.Fatalf("rejects %d with epochs (%d, %d]", r, committed, complete)
						}
					}
					settled[s] = append(settled[s], set.Rejected...)
				}
				committed = complete
			}
		}
		for i, d := range deltas {
			if d != uint64(i+1) {
				t.Fatalf("deltas were committed as %v", deltas)
			}
		}
		for s := range rejected {
			var want []uint64
			for _, n := range rejected[s] {
				if n <= marks[committed][s] {
					want = append(want, n)
				}
			}
			slices.Sort(want)
			if want = slices.Compact(want); !slices.Equal(settled[s], want) {
				t.Fatalf("source %d: rejected %v, want %v", s, settled[s], want)
			}
		}
		if want := int(began - committed); e.Open() != want {
			t.Fatalf("%d epochs open, want %d", e.Open(), want)
		}
		if want := 4 * int(began-committed); e.Bytes() != want {
			t.Fatalf("%d bytes of snapshots open, want %d", e.Bytes(), want)
		}
	})
}

func TestMemoryStoreKeepsWhatWasCommitted(t *testing.T) {
	m := NewMemory()
	if _, ok, _ := m.Last("f"); ok {
		t.Fatal("an empty store has a last commit")
	}
	first, second := &Delta{Stage: "w"}, &Delta{Stage: "w"}
	first.Put("a", []byte("1"))
	first.Put("b", []byte("2"))
	second.Delete("a")
	second.Put("b", []byte("3"))
	err := m.Commit(Commit{Flow: "f", Epoch: 2, Now: 7, Deltas: []*Delta{first, second},
		Positions: map[string]Position{"s": {Bytes: []byte("p"), Watermark: 5}}})
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	if err := m.State("f", "w", func(k string, v []byte) error { got[k] = string(v); return nil }); err != nil {
		t.Fatal(err)
	}
	if len(got) != 1 || got["b"] != "3" {
		t.Fatalf("state is %v", got)
	}
	last, ok, _ := m.Last("f")
	if !ok || last.Epoch != 2 || last.Now != 7 || string(last.Positions["s"].Bytes) != "p" || last.Positions["s"].Watermark != 5 {
		t.Fatalf("last commit is %+v", last)
	}
	if err := m.Commit(Commit{Flow: "f", Epoch: 3, Restart: true}); err != nil {
		t.Fatal(err)
	}
	if _, ok, _ := m.Last("f"); ok {
		t.Fatal("a flow that has ended has something to resume")
	}
}

// A record that is held for long must not make the books grow with every
// barrier; when it is let go, everything is committed as it would have been.
func TestHeldEpochsAreThinned(t *testing.T) {
	e := NewEpochs([]string{"s"}, 2)
	const n = 50 * maxOpen
	for k := uint64(1); k <= n; k++ {
		b := e.Begin(record.Checkpoint)
		e.Mark(k, 0, Mark{Seq: k, Now: int64(k)})
		d := &Delta{Stage: "s"}
		d.Put("k", []byte{byte(k)})
		e.Snapshot(k, d)
		e.Durable(0, b)
		b.Held = 1
		e.Durable(1, b)
		if _, ok := e.Complete(); ok {
			t.Fatalf("a held epoch was committed at %d", k)
		}
		if e.Open() > maxOpen {
			t.Fatalf("%d epochs are in the books", e.Open())
		}
	}
	b := e.Begin(record.Checkpoint)
	e.Mark(b.Epoch, 0, Mark{Seq: n + 1, Now: n + 1})
	e.Durable(0, b)
	b.Held = n // the last but one is still held
	e.Durable(1, b)
	done, ok := e.Complete()
	if !ok || done.Commit.Epoch > n-1 || done.Settle[0].Upto != done.Commit.Epoch {
		t.Fatalf("committed %+v", done)
	}
	rest := done.Commit.Deltas
	e.Durable(0, e.Begin(record.Checkpoint))
	e.Durable(1, record.Barrier{Epoch: n + 2, Held: n + 3})
	done, ok = e.Complete()
	if !ok || done.Commit.Epoch != n+2 || e.Open() != 0 || e.Bytes() != 0 {
		t.Fatalf("committed %+v; %d open with %d bytes", done, e.Open(), e.Bytes())
	}
	rest = append(rest, done.Commit.Deltas...)
	for i, d := range rest {
		if firstValue(d)[0] != byte(i+1) {
			t.Fatalf("change %d is out of order", i)
		}
	}
	if len(rest) != n {
		t.Errorf("%d changes were committed, want %d", len(rest), n)
	}
}

// A record that was made from deliveries which are settled already may die
// later. A broker closes the channel when it hears of a delivery twice.
func TestASettledDeliveryIsNotRejected(t *testing.T) {
	e := NewEpochs([]string{"s"}, 1)
	for k := uint64(1); k <= 2; k++ {
		b := e.Begin(record.Checkpoint)
		e.Mark(k, 0, Mark{Seq: 3 * k})
		e.Reject(0, 2)
		e.Reject(0, 3*k)
		e.Durable(0, b)
		done, _ := e.Complete()
		want := []uint64{3 * k}
		if k == 1 {
			want = []uint64{2, 3}
		}
		if got := done.Settle[0].Rejected; !slices.Equal(got, want) {
			t.Errorf("commit %d rejects %v, want %v", k, got, want)
		}
	}
}

func firstValue(d *Delta) (first []byte) {
	_ = d.each(func(_, value []byte) error {
		if first == nil {
			first = value
		}
		return nil
	})
	return first
}
