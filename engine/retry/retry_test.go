package retry_test

import (
	"fmt"
	"maps"
	"math"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/telluride-stream/telluride/engine/record"
	"github.com/telluride-stream/telluride/engine/retry"
	"github.com/telluride-stream/telluride/engine/stage"
)

// until passes a record {"k": …, "n": …, "ok": t} from time t on.
type until struct{ ok record.Slot }

func (o until) Process(c *stage.Context, r *record.Record) stage.Verdict {
	switch ok := r.Field(o.ok); {
	case ok.Kind() == record.Missing:
		panic("no ok")
	case c.Now < ok.Int():
		return c.Fail(r, "not yet")
	case ok.Int() < 0:
		return stage.Filter
	}
	return stage.Pass
}

// arrival is a record at a time.
type arrival struct {
	at, ok int64
	key    string
	n      int
}

func (a arrival) payload() string { return fmt.Sprintf(`{"k":%q,"n":%d,"ok":%d}`, a.key, a.n, a.ok) }

// fate is what became of a record; those that died are listed by themselves.
type fate struct {
	payload  string
	attempts int // of a dead one
}

// oracle tries records again with a list for each key, and nothing else.
func oracle(c retry.Config, all []arrival, end int64) map[string][]fate {
	type item struct {
		arrival
		tries int
		due   int64
	}
	fates := map[string][]fate{}
	lists := map[string][]item{}
	try := func(key string, now int64, last bool) {
		var kept []item
		for _, it := range lists[key] {
			if !last && (it.due > now || !c.AnyOrder && len(kept) > 0) {
				kept = append(kept, it)
				continue
			}
			it.tries++
			switch {
			case now >= it.ok && it.ok < 0: // filtered
			case now >= it.ok:
				fates[key] = append(fates[key], fate{it.payload(), 0})
			case it.tries >= c.Attempts || last:
				fates[key+" dead"] = append(fates[key+" dead"], fate{it.payload(), it.tries})
			default:
				it.due = now + min(int64(c.Backoff)<<(it.tries-1), int64(c.MaxBackoff))
				kept = append(kept, it)
			}
		}
		lists[key] = kept
	}
	for now := int64(1); now <= end; now++ {
		for _, a := range all {
			if a.at == now {
				lists[a.key] = append(lists[a.key], item{arrival: a})
			}
		}
		for key := range lists {
			try(key, now, false)
			if now == end {
				try(key, now, true)
			}
		}
	}
	return fates
}

// world runs operators in lanes, with a store.
type world struct {
	t      *rapid.T
	config retry.Config
	layout *record.Layout
	ok     record.Slot
	key    record.Slot
	lanes  []*stage.Driver
	store  map[string][]byte
	fates  map[string][]fate // as of the last barrier, and since
	since  map[string][]fate
	counts stage.Counts
}

func newWorld(t *rapid.T, c retry.Config) *world {
	w := &world{t: t, config: c, layout: record.NewLayout(), store: map[string][]byte{}, fates: map[string][]fate{}, since: map[string][]fate{}}
	w.key, w.ok = w.layout.Slot(record.Path{{Key: "k"}}), w.layout.Slot(record.Path{{Key: "ok"}})
	return w
}

func (w *world) start(lanes int) {
	spec := retry.Wrap(stage.OperatorSpec{New: func() stage.Operator { return until{w.ok} }}, w.config, w.layout, []string{"src"}, "k")
	w.lanes = nil
	for range lanes {
		d := stage.NewDriver("retry", spec.New(), 4, false)
		w.lanes = append(w.lanes, d)
	}
	for key, value := range w.store {
		if err := w.lanes[record.Hash(key)%uint64(lanes)].Restore(key, value); err != nil {
			w.t.Fatal(err)
		}
	}
	w.since, w.counts = map[string][]fate{}, stage.Counts{}
}

// step gives records, a time and perhaps a barrier to every lane.
func (w *world) step(arrivals []arrival, now int64, kind record.BarrierKind) {
	projector := record.NewProjector(w.layout)
	changes := delta{}
	for i, lane := range w.lanes {
		b := record.NewBatch(0)
		b.Now, b.Watermark = now, now
		if kind != record.None {
			b.Barrier = record.Barrier{Kind: kind, Epoch: uint64(now), Held: uint64(now) + 1}
		}
		for _, a := range arrivals {
			r := record.Record{Payload: []byte(a.payload()), Fields: make([]record.Value, w.layout.Len()), Time: a.at, Watermark: a.at, Origin: record.Origin{Seq: uint64(a.n)}}
			if err := projector.Project(r.Payload, r.Fields); err != nil {
				w.t.Fatal(err)
			}
			r.Key = string(record.AppendKey(nil, r.Field(w.key)))
			r.Hash = record.Hash(r.Key)
			if r.Hash%uint64(len(w.lanes)) == uint64(i) {
				b.Append(r)
			}
		}
		for _, out := range lane.Step(b, changes) {
			w.collect(out)
			if out.Barrier.Kind != record.None && out.Barrier.Held != uint64(now)+1 {
				w.t.Fatal("a barrier waits for what is held, though that is in the state")
			}
		}
		w.counts.Add(lane.Context.TakeCounts())
	}
	if kind == record.None {
		return
	}
	for key, value := range changes {
		if value == nil {
			delete(w.store, key)
		} else {
			w.store[key] = value
		}
	}
	for key, all := range w.since {
		w.fates[key] = append(w.fates[key], all...)
	}
	w.since = map[string][]fate{}
}

func (w *world) collect(b *record.Batch) {
	note := func(r *record.Record, attempts int) {
		key := record.ProjectValue(string(r.Payload), record.Path{{Key: "k"}}).Text()
		if attempts > 0 {
			key += " dead" // they keep no order with those that pass
		}
		w.since[key] = append(w.since[key], fate{strings.Clone(string(record.AppendJSON(nil, r))), attempts})
	}
	for i := range b.Records {
		note(&b.Records[i], 0)
	}
	for i := range b.Side {
		note(&b.Side[i].Record, max(b.Side[i].Attempts, 1))
	}
}

type delta map[string][]byte

func (d delta) Put(key string, value []byte) { d[key] = slices.Clone(value) }
func (d delta) Delete(key string)            { d[key] = nil }

func TestRetriesAreThoseOfANaiveOracle(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := retry.Config{
			Attempts: rapid.IntRange(2, 4).Draw(t, "attempts"), Backoff: time.Duration(rapid.IntRange(1, 6).Draw(t, "backoff")),
			MaxBackoff: 10, AnyOrder: rapid.Bool().Draw(t, "any"), Max: 1 << 20,
		}
		const end = 60
		var all []arrival
		for now := int64(1); now < end-5; now++ {
			for range rapid.IntRange(0, 3).Draw(t, "n") {
				a := arrival{at: now, key: rapid.SampledFrom([]string{"a", "b", "c"}).Draw(t, "key"), n: len(all) + 1}
				a.ok = rapid.SampledFrom([]int64{0, 0, 0, -1, now + 3, now + 12, math.MaxInt64}).Draw(t, "ok")
				all = append(all, a)
			}
		}
		want := oracle(c, all, end)

		w := newWorld(t, c)
		w.start(rapid.IntRange(1, 4).Draw(t, "lanes"))
		committed := int64(0) // everything up to here is in the store
		for now := int64(1); now <= end; {
			if now < end && rapid.IntRange(0, 9).Draw(t, "crash") == 0 {
				w.start(rapid.IntRange(1, 4).Draw(t, "lanes"))
				now = committed + 1
			}
			var here []arrival
			for _, a := range all {
				if a.at == now {
					here = append(here, a)
				}
			}
			for len(here) > 0 { // batches of any size
				n := rapid.IntRange(1, len(here)).Draw(t, "batch")
				w.step(here[:n], now, record.None)
				here = here[n:]
			}
			kind := rapid.SampledFrom([]record.BarrierKind{record.None, record.Checkpoint, record.Flush, record.Drain}).Draw(t, "barrier")
			if now == end {
				kind = record.End
			}
			w.step(nil, now, kind)
			if kind != record.None {
				committed = now
			}
			now++
		}
		if c.AnyOrder {
			for _, fates := range []map[string][]fate{want, w.fates} {
				for _, list := range fates {
					slices.SortFunc(list, func(a, b fate) int { return strings.Compare(a.payload, b.payload) })
				}
			}
		}
		if !maps.EqualFunc(w.fates, want, func(a, b []fate) bool { return reflect.DeepEqual(a, b) }) {
			for key, list := range want {
				for i, f := range list {
					if i >= len(w.fates[key]) || w.fates[key][i] != f {
						t.Fatalf("config %+v\nrecords %v\n%s: number %d became %v\nnot %v", c, all, key, i, w.fates[key][min(i, len(w.fates[key])):], list[i:])
					}
				}
			}
			t.Fatalf("config %+v\nrecords %v\nbecame too much: %v", c, all, w.fates)
		}
		if len(w.store) > 0 || !w.counts.Balanced() || w.counts.Held != 0 {
			t.Fatalf("left %v, counts %+v", w.store, w.counts)
		}
	})
}

// run gives records to one lane at their times, and returns what became of them.
func run(t *testing.T, c retry.Config, end int64, all ...arrival) (w *world, passed []string, dead []fate) {
	t.Helper()
	rapid.Check(t, func(rt *rapid.T) { // only for its T
		w = newWorld(rt, c)
		w.start(1)
		for now := int64(1); now <= end; now++ {
			for _, a := range all {
				if a.at == now {
					w.step([]arrival{a}, now, record.None)
				}
			}
			w.step(nil, now, record.None)
		}
		passed = nil
		for _, f := range w.since["a"] {
			passed = append(passed, f.payload)
		}
		dead = w.since["a dead"]
	})
	return w, passed, dead
}

func TestAtItsBoundNothingMoreIsHeld(t *testing.T) {
	c := retry.Config{Attempts: 3, Backoff: 50, MaxBackoff: 50, Max: 2}
	never := int64(math.MaxInt64)
	// 1 is held and 2 waits behind it. For 3 there is no room: 1 is given up,
	// 2 and 3 pass, in their order.
	_, passed, dead := run(t, c, 5, arrival{1, never, "a", 1}, arrival{2, 0, "a", 2}, arrival{3, 0, "a", 3})
	if len(passed) != 2 || !strings.Contains(passed[0], `"n":2`) || !strings.Contains(passed[1], `"n":3`) || len(dead) != 1 || dead[0].attempts != 2 {
		t.Errorf("passed %v, dead %v", passed, dead)
	}
	// A record that fails is a dead letter at once.
	_, passed, dead = run(t, c, 5, arrival{1, never, "b", 1}, arrival{1, never, "c", 2}, arrival{2, never, "a", 3}, arrival{3, 0, "a", 4})
	if len(passed) != 1 || len(dead) != 1 || dead[0].attempts != 1 {
		t.Errorf("passed %v, dead %v", passed, dead)
	}
}

func TestWhatFailsToTheLastIsDeadWithItsAttempts(t *testing.T) {
	w, passed, dead := run(t, retry.Config{Attempts: 3, Backoff: 2, MaxBackoff: 2, Max: 9}, 20, arrival{1, 100, "a", 1}, arrival{2, 0, "a", 2})
	if len(dead) != 1 || dead[0].attempts != 3 || len(passed) != 1 || !w.counts.Balanced() {
		t.Errorf("passed %v, dead %v, counts %+v", passed, dead, w.counts)
	}
}

func TestTheWatermarkWaitsForWhatIsHeld(t *testing.T) {
	layout := record.NewLayout()
	ok := layout.Slot(record.Path{{Key: "ok"}})
	spec := retry.Wrap(stage.OperatorSpec{New: func() stage.Operator { return until{ok} }},
		retry.Config{Attempts: 3, Backoff: 10, MaxBackoff: 10, Max: 9}, layout, nil, "")
	d := stage.NewDriver("retry", spec.New(), 4, false)
	step := func(now int64, r ...record.Record) int64 {
		out := d.Step(&record.Batch{Records: r, Now: now, Watermark: now}, nil)
		return out[len(out)-1].Watermark
	}
	r := record.Record{Payload: []byte(`{"ok":15}`), Watermark: 5}
	r.Set(ok, record.IntValue(15), layout.Len())
	for _, c := range []struct{ now, want int64 }{{4, 4}, {5, 5}, {9, 5}, {15, 15}, {16, 16}} {
		var in []record.Record
		if c.now == 5 {
			in = []record.Record{r}
		}
		if got := step(c.now, in...); got != c.want {
			t.Errorf("at %d the watermark is %d, want %d", c.now, got, c.want)
		}
	}
}

func FuzzRestore(f *testing.F) {
	f.Add([]byte{1, 1, 2, '{', '}', 0, 0, 0, 2, 2, 2, 1})
	f.Fuzz(func(t *testing.T, value []byte) {
		spec := retry.Wrap(stage.OperatorSpec{New: func() stage.Operator { return until{} }}, retry.Config{Attempts: 2, Max: 9}, record.NewLayout(), nil, "")
		d := stage.NewDriver("retry", spec.New(), 4, false)
		if d.Restore("k", value) != nil {
			return
		}
		d.Step(&record.Batch{Now: math.MaxInt64, Watermark: record.MaxTime, Barrier: record.Barrier{Kind: record.End, Epoch: 1, Held: 2}}, delta{})
	})
}
