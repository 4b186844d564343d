package window_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"math/big"
	"testing"

	"pgregory.net/rapid"

	"github.com/telluride-stream/telluride/engine/record"
	"github.com/telluride-stream/telluride/engine/stage"
)

// total is what a global window holds of one key, written down in the simplest
// way.
type total struct {
	n, lo, hi int64
	sum       big.Int
	seen      int64
	touched   bool
}

// totals are those of every key; an entry is never changed once it is there.
type totals map[string]total

func (m totals) add(key string, x, time, watermark int64) {
	t, known := m[key]
	if !known {
		t = total{lo: x, hi: x}
	}
	t.n, t.lo, t.hi, t.touched = t.n+1, min(t.lo, x), max(t.hi, x), true
	t.seen = max(t.seen, time, watermark)
	sum := new(big.Int).Add(&t.sum, big.NewInt(x))
	t.sum = *sum
	m[key] = t
}

// TestAGlobalWindowIsLikeAMap drives one with random records, time, snapshots
// and crashes, and compares what it keeps of every key, and how many results it
// emits, with a map.
func TestAGlobalWindowIsLikeAMap(t *testing.T) {
	const after = 20 * second
	for name, extra := range map[string]string{"packed": "", "not packed": ", last: last(x)"} {
		t.Run(name, func(t *testing.T) {
			f := build(t, "window: {by: k, global: true, expire_after: 20s, emit: {every: 1s}, aggregate: {n: count(), lo: min(x), hi: max(x), sum: sum(x)"+extra+"}}")
			rapid.Check(t, func(rt *rapid.T) {
				l, now, saved := newLane(t, f), totals{}, totals{}
				clock, expired, emitted := int64(0), uint64(0), 0
				expire := func(key string) {
					if now[key].touched {
						emitted++
					}
					delete(now, key)
					expired++
				}
				step := func(kind record.BarrierKind, events ...event) {
					l.batch(clock, kind, events...)
					for key, s := range now {
						if s.seen+after <= l.mark {
							expire(key)
						}
					}
					if kind != record.None {
						saved = maps.Clone(now)
						compareSize(rt, l)
					}
				}
				l.batch(clock, record.None)
				rt.Repeat(map[string]func(*rapid.T){
					"records": func(t *rapid.T) {
						var events []event
						mark := l.mark
						for range rapid.IntRange(1, 30).Draw(t, "records") {
							key := rapid.IntRange(0, 40).Draw(t, "key")
							x := rapid.OneOf(rapid.Int64Range(-9, 9), rapid.Int64()).Draw(t, "x")
							mark = max(mark, 0) + rapid.Int64Range(0, 2).Draw(t, "later")*second
							e := event{json: fmt.Sprintf(`{"k":%d,"x":%d}`, key, x), time: mark - rapid.Int64Range(0, 3).Draw(t, "behind")*second, watermark: mark}
							text := fmt.Sprint(key)
							if s, known := now[text]; known && s.seen+after <= mark {
								expire(text)
							}
							now.add(text, x, e.time, mark)
							events = append(events, e)
						}
						step(record.None, events...)
					},
					"checkpoint": func(*rapid.T) { step(record.Checkpoint) },
					"drain":      func(*rapid.T) { step(record.Drain) },
					"timer": func(*rapid.T) {
						clock += second
						for key, s := range now {
							if s.touched {
								emitted++
								s.touched = false
								now[key] = s
							}
						}
						step(record.None)
					},
					"crash": func(*rapid.T) {
						l.restart()
						now = maps.Clone(saved)
						l.batch(clock, record.None)
						for key, s := range now {
							if s.seen+after <= l.mark {
								expire(key)
							}
						}
					},
					"": func(t *rapid.T) { compareTotals(t, l, now, emitted, expired) },
				})
			})
		})
	}
}

func compareSize(t *rapid.T, l *lane) {
	var bytes int64
	for key, value := range l.state {
		bytes += int64(len(key) + len(value))
	}
	if keys, size := l.op.(stage.Sized).Size(); keys != len(l.state) || size != bytes {
		t.Fatalf("%d keys of %d bytes, want %d of %d", keys, size, len(l.state), bytes)
	}
}

func compareTotals(t *rapid.T, l *lane, want totals, emitted int, expired uint64) {
	if len(l.rows) != emitted || l.counts.Expired != expired {
		t.Fatalf("emitted %d and expired %d, want %d and %d", len(l.rows), l.counts.Expired, emitted, expired)
	}
	seen, view := 0, l.op.(stage.Viewer)
	view.Keys(func(key string) {
		var doc map[string]any
		var values []byte
		for o := range view.Open(key) {
			values = o.Values
		}
		d := json.NewDecoder(bytes.NewReader(values))
		d.UseNumber()
		if err := d.Decode(&doc); err != nil {
			t.Fatal(err)
		}
		seen++
		s, known := want[key]
		if !known {
			t.Fatalf("key %s is kept", key)
		}
		sum := fmt.Sprint(doc["sum"])
		if s.sum.IsInt64() && sum != s.sum.String() {
			t.Fatalf("key %s: sum %s, want %s", key, sum, &s.sum)
		}
		got, err := doc["sum"].(json.Number).Float64()
		want, _ := new(big.Float).SetInt(&s.sum).Float64()
		if err != nil || math.Abs(got-want) > math.Abs(want)*1e-15 {
			t.Fatalf("key %s: sum %v, want %v", key, got, want)
		}
		if got := fmt.Sprintf("%v %v %v", doc["n"], doc["lo"], doc["hi"]); got != fmt.Sprintf("%d %d %d", s.n, s.lo, s.hi) {
			t.Fatalf("key %s: %s, want %d %d %d", key, got, s.n, s.lo, s.hi)
		}
	})
	if seen != len(want) {
		t.Fatalf("%d keys are kept, want %d", seen, len(want))
	}
}

// TestALargeEmissionIsSavedInParts: that the timer has emitted many keys is
// saved over several snapshots, or by a drain at once. After a crash in between
// the others are emitted once more, with the same ids.
func TestALargeEmissionIsSavedInParts(t *testing.T) {
	const keys = 20_000
	f := build(t, "window: {by: k, global: true, emit: {every: 1s}, aggregate: {n: count()}}")
	emitted := func(snapshots int, kind record.BarrierKind) (again int) {
		l := newLane(t, f)
		var events []event
		for i := range keys {
			events = append(events, at(1, `{"k":%d}`, i))
		}
		l.batch(0, record.Checkpoint, events...)
		l.batch(second, record.None)
		first := map[string]bool{}
		for _, r := range l.rows {
			first[r.id] = true
		}
		if len(first) != keys {
			t.Fatalf("%d results", len(first))
		}
		for range snapshots {
			l.batch(second, kind)
		}
		if left := l.op.(stage.Growing).Changed(); kind == record.Drain && left != 0 {
			t.Errorf("a drain leaves %d", left)
		}
		l.restart()
		l.rows = nil
		l.batch(second, record.None)
		l.batch(2*second, record.None)
		for _, r := range l.rows {
			if !first[r.id] {
				t.Errorf("a result has another id the second time: %+v", r)
			}
		}
		return len(l.rows)
	}
	before := keys
	for snapshots := range 4 {
		again := emitted(snapshots, record.Checkpoint)
		if snapshots == 0 && again != keys || snapshots > 0 && again >= before || snapshots == 3 && again != 0 {
			t.Errorf("after %d snapshots %d keys are emitted again, and %d after one less", snapshots, again, before)
		}
		before = again
	}
	if again := emitted(1, record.Drain); again != 0 {
		t.Errorf("after a drain %d keys are emitted again", again)
	}
}
