package stage_test

import (
	"fmt"
	"reflect"
	"strings"
	"testing"

	"github.com/telluride-stream/telluride/engine/record"
	"github.com/telluride-stream/telluride/engine/stage"
)

// holding is an operator that holds every record until it is told to let go,
// and has state: the number of records that it has seen.
type holding struct {
	held      []record.Record
	epochs    []uint64
	letGo     int64 // at this time; 0: never
	seen      int
	panicking string
	log       []string
}

func (h *holding) Process(c *stage.Context, r *record.Record) stage.Verdict {
	if r.Key == h.panicking {
		panic("cannot bear " + r.Key)
	}
	h.seen++
	h.held = append(h.held, r.Clone())
	h.epochs = append(h.epochs, c.Epoch)
	return stage.Hold
}

func (h *holding) Advance(c *stage.Context) {
	h.log = append(h.log, fmt.Sprint("advance ", c.Now))
	if h.panicking == "advance" {
		panic("no time")
	}
	if h.letGo > 0 && c.Now >= h.letGo {
		h.Flush(c)
	}
}

func (h *holding) Held() stage.Held {
	if len(h.held) == 0 {
		return stage.Held{}
	}
	held := stage.Held{Records: len(h.held), Epoch: h.epochs[0], Watermark: record.MaxTime}
	for _, r := range h.held {
		held.Watermark = min(held.Watermark, r.Watermark)
	}
	return held
}

func (h *holding) Flush(c *stage.Context) {
	h.log = append(h.log, "flush")
	for _, r := range h.held {
		c.Release(r, nil)
	}
	h.held, h.epochs = nil, nil
}

func (h *holding) End(c *stage.Context) {
	h.log = append(h.log, "end")
	c.Emit(record.Record{Key: "total"})
}

func (h *holding) Snapshot(w stage.StateWriter) {
	h.log = append(h.log, "snapshot")
	w.Put("seen", []byte{byte(h.seen)})
}

func (h *holding) Restore(_ string, value []byte) error {
	h.seen = int(value[0])
	return nil
}

type puts map[string][]byte

func (p puts) Put(key string, value []byte) { p[key] = append([]byte(nil), value...) }
func (p puts) Delete(key string)            { delete(p, key) }

// in is a batch of records with a watermark each, and then the time.
func in(now, watermark int64, b record.Barrier, keys ...string) *record.Batch {
	batch := record.NewBatch(len(keys))
	for i, k := range keys {
		batch.Append(record.Record{Key: k, Watermark: watermark - int64(len(keys)-i)})
	}
	batch.Now, batch.Watermark, batch.Barrier = now, watermark, b
	return batch
}

func at(kind record.BarrierKind, epoch, held uint64) record.Barrier {
	return record.Barrier{Kind: kind, Epoch: epoch, Held: held}
}

func text(batches []*record.Batch) string {
	var all []string
	for _, b := range batches {
		for _, r := range b.Records {
			all = append(all, r.Key)
		}
	}
	return strings.Join(all, " ")
}

func last(batches []*record.Batch) *record.Batch { return batches[len(batches)-1] }

func TestWhatABarrierAsksForDependsOnItsKind(t *testing.T) {
	for _, c := range []struct {
		kind   record.BarrierKind
		always bool
		out    string
		held   uint64
		log    string
	}{
		{record.Checkpoint, false, "", 1, "snapshot"},
		{record.Checkpoint, true, "a b", 2, "flush snapshot"},
		{record.Flush, false, "a b", 2, "flush snapshot"},
		{record.Drain, false, "a b", 2, "flush snapshot"},
		{record.End, false, "total a b", 2, "end flush snapshot"},
	} {
		t.Run(fmt.Sprint(c.kind, c.always), func(t *testing.T) {
			op := &holding{}
			d := stage.NewDriver("h", op, 10, c.always)
			d.Step(in(1, 5, record.Barrier{}, "a", "b"), nil)
			op.log = nil
			state := puts{}
			out := d.Step(in(2, 6, at(c.kind, 1, 2)), state)
			if got := text(out); got != c.out {
				t.Errorf("let go %q, want %q", got, c.out)
			}
			if b := last(out).Barrier; !reflect.DeepEqual(b, at(c.kind, 1, c.held)) {
				t.Errorf("the barrier goes on as %+v, want held %d", b, c.held)
			}
			for _, b := range out[:len(out)-1] {
				if b.Barrier.Kind != record.None {
					t.Error("a barrier went ahead of records")
				}
			}
			if got := strings.Join(op.log[1:], " "); got != c.log {
				t.Errorf("did %q, want %q", got, c.log)
			}
			if state["seen"][0] != 2 {
				t.Errorf("the snapshot says %v", state)
			}
		})
	}
}

// What comes behind a barrier may belong to an older epoch that was held
// upstream; what is held of it holds that epoch.
func TestHeldRecordsHoldTheEpochThatTheyMayBelongTo(t *testing.T) {
	d := stage.NewDriver("h", &holding{}, 10, false)
	out := d.Step(in(1, 5, at(record.Checkpoint, 4, 2)), puts{})
	if b := last(out).Barrier; b.Held != 2 {
		t.Fatalf("held %d without records, want upstream's 2", b.Held)
	}
	out = d.Step(in(1, 5, at(record.Checkpoint, 5, 6), "a"), puts{})
	if b := last(out).Barrier; b.Held != 2 {
		t.Errorf("held %d, want 2: a may have come from epoch 2", b.Held)
	}
	out = d.Step(in(1, 5, at(record.Flush, 6, 7), "b"), puts{})
	if b := last(out).Barrier; b.Held != 7 || text(out) != "a b" {
		t.Errorf("held %d, let go %q", b.Held, text(out))
	}
}

func TestTheWatermarkStaysBehindHeldRecordsAndNeverGoesBack(t *testing.T) {
	op := &holding{}
	d := stage.NewDriver("h", op, 1, false)
	out := d.Step(in(1, 5, record.Barrier{}), nil)
	if w := last(out).Watermark; w != 5 {
		t.Fatalf("watermark %d, want 5", w)
	}
	out = d.Step(in(2, 20, record.Barrier{}, "a", "b", "c"), nil) // at 17, 18, 19
	if w := last(out).Watermark; w != 17 {
		t.Errorf("watermark %d, want 17, of what is held", w)
	}
	out = d.Step(in(3, 30, record.Barrier{}), nil)
	if w := last(out).Watermark; w != 17 {
		t.Errorf("watermark %d, want 17 still", w)
	}
	op.letGo = 4
	out = d.Step(in(4, 40, record.Barrier{}), nil)
	before := int64(17)
	for i, b := range out {
		if b.Watermark < before || i < len(out)-1 && b.Watermark > 17 {
			t.Errorf("batch %d of %d says %d", i, len(out), b.Watermark)
		}
		before = b.Watermark
	}
	if text(out) != "a b c" || last(out).Watermark != 40 {
		t.Errorf("let go %q at %d", text(out), last(out).Watermark)
	}
	out = d.Step(in(1, 10, record.Barrier{}), nil) // no stream does so
	if b := last(out); b.Now != 4 || b.Watermark != 40 {
		t.Errorf("time went back to %d, %d", b.Now, b.Watermark)
	}
}

func TestAPanicCostsOneRecordAndIsInTheLedger(t *testing.T) {
	op := &holding{panicking: "b"}
	d := stage.NewDriver("h", op, 10, false)
	out := d.Step(in(1, 5, at(record.Flush, 1, 2), "a", "b", "c"), puts{})
	if text(out) != "a c" {
		t.Errorf("let go %q", text(out))
	}
	side := last(out).Side
	if len(side) != 1 || side[0].Record.Key != "b" || side[0].Stage != "h" || side[0].Reason != "panic: cannot bear b" {
		t.Errorf("side records %+v", side)
	}
	if c := d.Context.TakeCounts(); c != (stage.Counts{In: 3, Passed: 2, Dead: 1}) {
		t.Errorf("counts %+v", c)
	}
	op.panicking = "advance"
	out = d.Step(in(2, 6, at(record.Checkpoint, 2, 3)), puts{})
	if b := last(out); b.Barrier.Epoch != 2 || len(b.Side) != 1 || b.Side[0].Reason != "passing of time: panic: no time" {
		t.Errorf("after a panic in Advance: %+v", b)
	}
}

func TestSideRecordsOfUpstreamTravelOnAheadOfTheBarrier(t *testing.T) {
	d := stage.NewDriver("h", &holding{}, 1, false)
	b := in(1, 5, at(record.Flush, 1, 2), "a", "b")
	payload := b.Arena().Bytes(6)
	copy(payload, "broken")
	b.Side = []record.Side{{Record: record.Record{Payload: payload}}}
	out := d.Step(b, puts{})
	if side := last(out).Side; len(side) != 1 || string(side[0].Record.Payload) != "broken" {
		t.Errorf("the batch with the barrier has %+v", side)
	}
}

func TestRestoreTurnsAPanicIntoAnError(t *testing.T) {
	op := &holding{}
	d := stage.NewDriver("h", op, 1, false)
	if err := d.Restore("seen", []byte{7}); err != nil || op.seen != 7 {
		t.Fatalf("restored %d (%v)", op.seen, err)
	}
	if err := d.Restore("seen", nil); err == nil {
		t.Error("a value that cannot be read is no error")
	}
}

// pouring emits many records as time passes.
type pouring struct{ n int }

func (p *pouring) Process(*stage.Context, *record.Record) stage.Verdict { return stage.Absorb }

func (p *pouring) Advance(c *stage.Context) {
	for i := range p.n {
		fields := c.Values(1)
		fields[0] = record.IntValue(int64(i))
		c.Emit(record.Record{Fields: fields})
	}
}

// TestMuchThatIsEmittedGoesOnMeanwhile: however much an operator emits at once,
// few batches of it are kept until it is done.
func TestMuchThatIsEmittedGoesOnMeanwhile(t *testing.T) {
	const limit = 10
	for _, n := range []int{0, 1, limit, 15 * limit, 16 * limit, 16*limit + 1, 100*limit + 3} {
		d := stage.NewDriver("p", &pouring{n}, limit, false)
		d.Step(&record.Batch{Now: 4, Watermark: 5}, nil) // what follows is not behind 5
		var all []*record.Batch
		d.HandOn(func(b *record.Batch) { all = append(all, b) })
		before := len(all)
		rest := d.Step(&record.Batch{Now: 7, Watermark: 9, Ordered: true, Barrier: record.Barrier{Kind: record.Checkpoint, Epoch: 1, Held: 2}}, nil)
		if len(rest) > 17 || len(rest) == 0 || n > 20*limit && len(all) == before {
			t.Errorf("%d records: %d batches went on, and %d were kept", n, len(all), len(rest))
		}
		all = append(all, rest...)
		next := 0
		for i, b := range all {
			last := i == len(all)-1
			if (b.Barrier.Kind != record.None) != last || b.Now != map[bool]int64{false: 4, true: 7}[last] || !b.Ordered || b.Watermark != map[bool]int64{false: 5, true: 9}[last] {
				t.Errorf("batch %d of %d: %+v", i, len(all), b)
			}
			for _, r := range b.Records {
				if r.Fields[0].Int() != int64(next) {
					t.Fatalf("record %d is %d", next, r.Fields[0].Int())
				}
				next++
			}
		}
		if next != n || d.Context.TakeCounts().Emitted != uint64(2*n) {
			t.Errorf("%d of %d records came", next, n)
		}
	}
}
