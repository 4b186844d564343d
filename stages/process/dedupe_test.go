package process

import (
	"fmt"
	"maps"
	"testing"

	"pgregory.net/rapid"

	"github.com/telluride-stream/telluride/engine/record"
	"github.com/telluride-stream/telluride/engine/stage"
)

// store is a state store with one committed snapshot.
type store map[string]string

func (s store) Put(key string, value []byte) { s[key] = string(value) }

func (s store) Delete(key string) {
	if _, ok := s[key]; !ok {
		panic("deleted what is not there: " + key)
	}
	delete(s, key)
}

// snapshot is one snapshot into a store: it must not name a key twice.
type snapshot struct {
	store
	seen map[string]bool
}

func (s *snapshot) Put(key string, value []byte) {
	s.once(key)
	s.store.Put(key, value)
}

func (s *snapshot) Delete(key string) {
	s.once(key)
	s.store.Delete(key)
}

func (s *snapshot) once(key string) {
	if s.seen[key] {
		panic("named twice: " + key)
	}
	s.seen[key] = true
}

type event struct {
	id              int // 0: none
	time, watermark int64
}

// remembered is the oracle: the ids that came, and when.
type remembered struct {
	within int64
	max    int
	times  map[int]int64
}

func (o *remembered) passes(e event) bool {
	if e.id == 0 {
		return true
	}
	now := max(e.time, e.watermark)
	if t, ok := o.times[e.id]; ok && now < t+o.within {
		return false
	}
	o.times[e.id] = now
	if len(o.times) > o.max {
		first := 0
		for id, t := range o.times {
			if first == 0 || t < o.times[first] || t == o.times[first] && fmt.Sprint(id) < fmt.Sprint(first) {
				first = id
			}
		}
		delete(o.times, first)
	}
	return true
}

func TestDedupePassesTheFirstOfEachIDWhateverTheBatches(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		const most = 8
		within := rapid.Int64Range(1, 30).Draw(t, "within")
		limit := rapid.IntRange(1, most).Draw(t, "max")
		bench := newBench().mustAdd(t, fmt.Sprintf("dedupe: {by: id, within: %dms, max: %d}", within, limit))
		var op *deduper
		newDriver := func() *stage.Driver {
			op = bench.specs[0].New().(*deduper)
			return stage.NewDriver("dedupe", op, 100, false)
		}

		oracle := &remembered{within: within * 1e6, max: limit, times: map[int]int64{}}
		committed, saved := store{}, maps.Clone(oracle.times)
		driver, watermark := newDriver(), int64(0)
		for range rapid.IntRange(1, 20).Draw(t, "batches") {
			in := record.NewBatch(10)
			var want []uint64
			for i := range rapid.IntRange(0, 10).Draw(t, "records") {
				e := event{id: rapid.IntRange(0, most).Draw(t, "id")}
				e.time = max(0, watermark+1e6*rapid.Int64Range(-10, 20).Draw(t, "time"))
				watermark = max(watermark, e.time-5e6)
				e.watermark = watermark
				r := record.Record{Time: e.time, Watermark: e.watermark, Origin: record.Origin{Seq: uint64(i)}, Key: "null"}
				if e.id != 0 {
					r.Key = fmt.Sprint(e.id)
				}
				in.Append(r)
				if oracle.passes(e) {
					want = append(want, uint64(i))
				}
			}
			in.Watermark, in.Ordered = watermark, true
			switch rapid.IntRange(0, 3).Draw(t, "then") {
			case 0: // the epoch commits
				in.Barrier.Kind = record.Checkpoint
				next := &snapshot{store: maps.Clone(committed), seen: map[string]bool{}}
				check(t, driver.Step(in, next), want)
				committed, saved = next.store, maps.Clone(oracle.times)
				for key := range committed {
					if _, ok := op.entries[key]; !ok || len(committed) != len(op.entries) {
						t.Fatalf("the store has %v, the operator %v", committed, op.entries)
					}
				}
			case 1: // a crash, and the last commit is restored
				check(t, driver.Step(in, nil), want)
				driver, oracle.times = newDriver(), maps.Clone(saved)
				for key, value := range committed {
					if err := driver.Restore(key, []byte(value)); err != nil {
						t.Fatal(err)
					}
				}
			default:
				check(t, driver.Step(in, nil), want)
			}
			if c := driver.Context.TakeCounts(); !c.Balanced() {
				t.Fatalf("does not balance: %+v", c)
			}
		}
	})
}

func check(t *rapid.T, batches []*record.Batch, want []uint64) {
	t.Helper()
	var got []uint64
	for _, b := range batches {
		for _, r := range b.Records {
			got = append(got, r.Origin.Seq)
		}
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Fatalf("passed %v, want %v", got, want)
	}
}

func TestDedupeForgets(t *testing.T) {
	b := newBench().mustAdd(t, `dedupe: {by: id, within: 10ms}`)
	o := b.specs[0].New().(*deduper)
	d := stage.NewDriver("dedupe", o, 100, false)
	for i := range 1000 {
		in := record.NewBatch(1)
		at := int64(i) * 1e6
		in.Append(record.Record{Key: fmt.Sprint(i), Time: at, Watermark: at})
		in.Watermark = at
		d.Step(in, nil)
	}
	if len(o.entries) != 10 || len(o.oldest) != 10 || len(o.gone) != 0 {
		t.Errorf("%d ids, %d in the heap, %d to delete; want 10, 10 and 0", len(o.entries), len(o.oldest), len(o.gone))
	}
}

func TestDedupeByFieldsInWholeFlow(t *testing.T) {
	steps := []string{`dedupe: [a, b.c]`}
	out, _ := through(t, steps, `{"a":1,"b":{"c":"x"}}`, `{"a":1.0,"b":{"c":"x"},"z":1}`, `{"a":"1","b":{"c":"x"}}`, `{}`, `{"a":null}`, `{"a":1}`, `{"a":1}`)
	equal(t, "records", out, []string{`{"a":1,"b":{"c":"x"}}`, `{"a":"1","b":{"c":"x"}}`, `{}`, `{"a":null}`, `{"a":1}`})
}

func FuzzDedupeRestore(f *testing.F) {
	f.Add("a", []byte{1, 2})
	f.Add("a", []byte{2, 2})
	f.Add("", []byte{1, 0x80})
	f.Fuzz(func(t *testing.T, key string, value []byte) {
		o := &deduper{within: 1, max: 10, entries: map[string]*id{}}
		if err := o.Restore(key, value); err != nil {
			return
		}
		again := store{}
		for _, known := range o.entries {
			o.note(known)
		}
		o.Snapshot(again)
		p := &deduper{within: 1, max: 10, entries: map[string]*id{}}
		if err := p.Restore(key, []byte(again[key])); err != nil || p.entries[key].time != o.entries[key].time {
			t.Errorf("%q, %x: read back as %x, %v", key, value, again[key], err)
		}
	})
}

func BenchmarkDedupe(b *testing.B) {
	o := newBench().mustAdd(b, `dedupe: {by: id, within: 1s}`).specs[0].New().(*deduper)
	keys := make([]string, 100_000)
	for i := range keys {
		keys[i] = fmt.Sprintf(`"id_%d"`, i)
	}
	c := stage.NewContext("dedupe", 512)
	r := record.Record{}
	b.ReportAllocs()
	for i := range b.N {
		r.Key, r.Time, r.Watermark = keys[i%len(keys)], int64(i)*1000, int64(i)*1000
		o.Process(c, &r)
		if i%512 == 0 {
			c.Watermark = r.Watermark
			o.Advance(c)
		}
	}
}
