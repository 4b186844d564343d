package topology

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/telluride-stream/telluride/engine/expr"
	"github.com/telluride-stream/telluride/engine/plan"
	"github.com/telluride-stream/telluride/engine/record"
	"github.com/telluride-stream/telluride/engine/stage"
	"github.com/telluride-stream/telluride/engine/telemetry"
)

func keyLayout() *record.Layout {
	l := record.NewLayout()
	l.Slot(record.Path{{Key: "key"}})
	return l
}

func compiled(t *testing.T, l *record.Layout, source string) *expr.Program {
	t.Helper()
	p, err := expr.Compile(source, expr.Env{Layout: l, Schema: &expr.Schema{Open: true}})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// keyed is a batch of records, a key each, in its own memory.
func keyed(keys ...string) *record.Batch {
	b := record.NewBatch(len(keys))
	for _, k := range keys {
		text := b.Arena().Bytes(len(k))
		copy(text, k)
		r := record.Record{Fields: b.Arena().Values(1), Payload: text}
		r.Fields[0] = record.StringValue(k)
		b.Append(r)
	}
	return b
}

func splitting(t *testing.T, lanes, limit int) (*splitter, *telemetry.Row) {
	row := &telemetry.Row{}
	p := &plan.Partition{Name: "partition", Key: &stage.Key{Fields: []stage.KeyField{
		{Name: "key", Source: "key", Program: compiled(t, keyLayout(), "key")},
	}}}
	return newSplitter(p, lanes, limit, time.Second, row), row
}

// collect reads every lane of a splitter or router in the background.
func collect(wg *sync.WaitGroup, outs []chan any) [][]*record.Batch {
	got := make([][]*record.Batch, len(outs))
	for i, o := range outs {
		wg.Go(func() {
			for el := range o {
				got[i] = append(got[i], el.(*record.Batch))
			}
		})
	}
	return got
}

func TestASplitterSendsWhatItHasBeforeABarrierIntoEveryLane(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, row := splitting(t, 3, 100)
		in := make(chan any, 8)
		in <- keyed("a", "b", "c", "d")
		in <- keyed("d", "c", "b", "a")
		in <- &record.Batch{Now: 7, Watermark: 5, Barrier: record.Barrier{Kind: record.Checkpoint, Epoch: 1, Held: 2}}
		in <- keyed("e")
		close(in)
		var wg sync.WaitGroup
		lanes := collect(&wg, s.outs)
		s.run(in)
		wg.Wait()
		before := 0
		for l, batches := range lanes {
			seen := false
			for _, b := range batches {
				for _, r := range b.Records {
					if seen {
						t.Fatalf("lane %d: %q came behind the barrier", l, r.Payload)
					}
					before++
					if int(r.Hash%3) != l {
						t.Errorf("%s went into lane %d, its hash says %d", r.Payload, l, r.Hash%3)
					}
				}
				if b.Barrier.Kind != record.None {
					seen = true
					if b.Now != 7 || b.Watermark != 5 || b.Barrier.Held != 2 {
						t.Errorf("lane %d: the barrier came as %+v at %d, %d", l, b.Barrier, b.Now, b.Watermark)
					}
				}
			}
			if !seen {
				t.Errorf("lane %d got no barrier", l)
			}
		}
		if before != 8 {
			t.Errorf("%d records came before the barrier, want 8", before)
		}
		if c := row.Counts(); c.In != 9 || !c.Balanced() {
			t.Errorf("the ledger says %+v", c)
		}
	})
}

func TestALaneIsNeverToldAWatermarkAheadOfItsRecords(t *testing.T) {
	s, _ := splitting(t, 1, 2)
	var wg sync.WaitGroup
	lanes := collect(&wg, s.outs)
	b := keyed("a", "b", "c")
	b.Now, b.Watermark = 100, 50
	s.take(b)
	s.flush()
	close(s.outs[0])
	wg.Wait()
	if got := lanes[0]; len(got) != 2 || got[0].Watermark == 50 || got[1].Watermark != 50 {
		t.Errorf("the first of two batches of one was told %d, while c was still to come", lanes[0][0].Watermark)
	}
}

// The first batch of all would otherwise have no time, and what a stage holds of
// it would never be old enough.
func TestALaneThatIsFullGoesOutWithTheTimeAtHand(t *testing.T) {
	s, _ := splitting(t, 1, 1)
	var wg sync.WaitGroup
	lanes := collect(&wg, s.outs)
	b := keyed("a", "b")
	b.Now = 100
	s.take(b)
	s.flush()
	close(s.outs[0])
	wg.Wait()
	if got := lanes[0]; len(got) != 2 || got[0].Now != 100 || got[1].Now != 100 {
		t.Errorf("two batches read at 100 were told %d and %d", lanes[0][0].Now, lanes[0][1].Now)
	}
}

func TestNoBatchOfALaneIsLargerThanTheLimit(t *testing.T) {
	s, _ := splitting(t, 1, 3)
	s.lanes[0].batch = record.NewBatch(1000) // pooled memory may have room for more
	var wg sync.WaitGroup
	lanes := collect(&wg, s.outs)
	for range 4 {
		s.take(keyed("a", "b"))
	}
	s.flush()
	close(s.outs[0])
	wg.Wait()
	for _, b := range lanes[0] {
		if len(b.Records) > 3 {
			t.Errorf("a batch has %d records", len(b.Records))
		}
	}
}

// The lane that fills up takes side records along, whose batch it does not
// otherwise share.
func TestSideRecordsKeepTheirMemoryWithTheLaneThatTakesThem(t *testing.T) {
	s, _ := splitting(t, 2, 1)
	inLane := func(l uint64) string {
		for i := 0; ; i++ {
			if k := fmt.Sprint("k", i); record.Hash(string(record.AppendKey(nil, record.StringValue(k))))%2 == l {
				return k
			}
		}
	}
	first, second := make(chan any, 8), make(chan any, 8)
	s.outs = []chan any{first, second}
	s.take(keyed(inLane(0)))
	b := keyed(inLane(0), inLane(1))
	text := b.Arena().Bytes(6)
	copy(text, "broken")
	b.Side = append(b.Side, record.Side{Record: record.Record{Payload: text}})
	s.take(b)
	s.flush()
	close(first)
	close(second)
	for el := range second {
		el.(*record.Batch).Release()
	}
	var sides []record.Side
	var held []*record.Batch
	for el := range first {
		batch := el.(*record.Batch)
		if sides = append(sides, batch.Side...); len(batch.Side) > 0 {
			held = append(held, batch)
			continue
		}
		batch.Release()
	}
	if len(sides) != 1 || string(sides[0].Record.Payload) != "broken" {
		t.Errorf("the side records are %+v", sides)
	}
	for _, b := range held {
		b.Release()
	}
}

func TestARecordWhoseKeyPanicsIsADeadLetter(t *testing.T) {
	s, row := splitting(t, 1, 10)
	s.values = nil
	var wg sync.WaitGroup
	lanes := collect(&wg, s.outs)
	s.take(keyed("a", "b"))
	s.flush()
	close(s.outs[0])
	wg.Wait()
	if got := lanes[0][0].Side; len(got) != 2 || !strings.HasPrefix(got[1].Reason, "key: panic: ") {
		t.Errorf("the side records are %+v", got)
	}
	if c := row.Counts(); c.Dead != 2 || !c.Balanced() {
		t.Errorf("the ledger says %+v", c)
	}
}

func routing(t *testing.T, all bool, whens ...string) (*router, *telemetry.Row) {
	row := &telemetry.Row{}
	p := &plan.Route{Name: "route", All: all}
	for i, w := range whens {
		b := plan.Branch{Name: fmt.Sprint("branch", i)}
		if w != "" {
			b.When = compiled(t, keyLayout(), w)
		}
		p.Branches = append(p.Branches, b)
	}
	return newRouter(p, row), row
}

func TestARouteSendsEachRecordWhereItBelongsAndTimeEverywhere(t *testing.T) {
	for _, c := range []struct {
		name  string
		all   bool
		whens []string
		want  string
		count stage.Counts
	}{
		{"first", false, []string{`key < "b"`, `key < "c"`}, "a|b", stage.Counts{In: 3, Passed: 2, Filtered: 1}},
		{"otherwise", false, []string{`key < "b"`, ""}, "a|bc", stage.Counts{In: 3, Passed: 3}},
		{"all", true, []string{`key < "c"`, `key > "a"`}, "ab|bc", stage.Counts{In: 3, Passed: 3, Emitted: 1}},
		{"error", false, []string{`key + 1 > 2`, ""}, "|", stage.Counts{In: 3, Dead: 3}},
	} {
		t.Run(c.name, func(t *testing.T) {
			r, row := routing(t, c.all, c.whens...)
			in := keyed("a", "b", "c")
			in.Now, in.Watermark, in.Ordered = 3, 2, true
			in.Barrier = record.Barrier{Kind: record.Flush, Epoch: 9, Held: 4}
			var got []string
			for i, part := range r.split(in) {
				text := ""
				for _, rec := range part.Records {
					text += rec.Field(0).Str()
				}
				got = append(got, text)
				if part.Now != 3 || part.Watermark != 2 || !part.Ordered || part.Barrier.Epoch != 9 || part.Barrier.Held != 4 {
					t.Errorf("branch %d got %+v", i, part)
				}
			}
			if strings.Join(got, "|") != c.want {
				t.Errorf("branches got %v, want %s", got, c.want)
			}
			if n := row.Counts(); n != c.count {
				t.Errorf("the ledger says %+v, want %+v", n, c.count)
			}
		})
	}
}

func TestBranchesOfOneRecordDoNotSeeEachOthersChanges(t *testing.T) {
	r, _ := routing(t, true, `key == "a"`, `key == "a"`)
	parts := r.split(keyed("a"))
	parts[0].Records[0].Fields[0] = record.StringValue("changed")
	if got := parts[1].Records[0].Field(0).Str(); got != "a" {
		t.Errorf("the second branch sees %q", got)
	}
	parts[0].Release()
	if got := parts[1].Records[0].Field(0).Str(); got != "a" {
		t.Errorf("the second branch sees %q once the first is done", got)
	}
}
