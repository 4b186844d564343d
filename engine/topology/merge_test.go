package topology

import (
	"reflect"
	"sync"
	"testing"
	"testing/synctest"

	"go.uber.org/goleak"

	"github.com/telluride-stream/telluride/engine/record"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// merging is a merge whose streams the test plays, and what has come out.
type merging struct {
	ins []chan any
	wg  sync.WaitGroup
	mu  sync.Mutex
	got []*record.Batch
}

func newMerging(n int) *merging { return newMergingSteady(n, false) }

func newMergingSteady(n int, steady bool) *merging {
	m := &merging{}
	var ins []<-chan any
	for range n {
		in := make(chan any, 8)
		m.ins = append(m.ins, in)
		ins = append(ins, in)
	}
	out := merged(&m.wg, ins, steady)
	m.wg.Go(func() {
		for el := range out {
			m.mu.Lock()
			m.got = append(m.got, el.(*record.Batch))
			m.mu.Unlock()
		}
	})
	return m
}

// send sends a record with a key on a stream.
func (m *merging) send(i int, key string, watermark int64) {
	m.ins[i] <- &record.Batch{Records: []record.Record{{Key: key}}, Watermark: watermark}
}

func (m *merging) barrier(i int, kind record.BarrierKind, epoch, held uint64) {
	m.ins[i] <- &record.Batch{Watermark: record.MinTime, Barrier: record.Barrier{Kind: kind, Epoch: epoch, Held: held, Last: 100 - int64(held)}}
}

// take returns what has come out since the last call.
func (m *merging) take() []*record.Batch {
	synctest.Wait()
	m.mu.Lock()
	defer m.mu.Unlock()
	got := m.got
	m.got = nil
	return got
}

func (m *merging) close() {
	for _, in := range m.ins {
		close(in)
	}
	m.wg.Wait()
}

func barriers(batches []*record.Batch) (all []record.Barrier) {
	for _, b := range batches {
		if b.Barrier.Kind != record.None {
			all = append(all, b.Barrier)
		}
	}
	return all
}

func keys(batches []*record.Batch) (all string) {
	for _, b := range batches {
		for _, r := range b.Records {
			all += r.Key
		}
	}
	return all
}

func TestABarrierWaitsForEveryStreamAndCarriesTheLowestHeldAndTheHighestLast(t *testing.T) {
	for _, kind := range []record.BarrierKind{record.Checkpoint, record.Flush, record.Drain, record.End} {
		t.Run(kind.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m := newMerging(3)
				m.barrier(0, kind, 4, 5)
				m.barrier(2, kind, 4, 2)
				if got := barriers(m.take()); len(got) != 0 {
					t.Fatalf("%v went on before the second stream had delivered it", got)
				}
				m.barrier(1, kind, 4, 3)
				got := barriers(m.take())
				if want := (record.Barrier{Kind: kind, Epoch: 4, Held: 2, Last: 98}); len(got) != 1 || !reflect.DeepEqual(got[0], want) {
					t.Fatalf("barriers %v, want %v once", got, want)
				}
				m.close()
			})
		})
	}
}

func TestRecordsBehindABarrierWaitUntilItHasGoneOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMerging(2)
		m.barrier(0, record.Checkpoint, 1, 2)
		m.send(0, "late", 0)
		m.send(1, "early", 0)
		if got := keys(m.take()); got != "early" {
			t.Fatalf("%q came before the barrier, want early alone", got)
		}
		m.barrier(1, record.Checkpoint, 1, 2)
		got := m.take()
		if len(got) != 2 || got[0].Barrier.Epoch != 1 || keys(got[1:]) != "late" {
			t.Fatalf("behind the last barrier came %v", got)
		}
		m.close()
	})
}

func TestAMergeKeepsToTheSlowestWatermark(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMerging(2)
		m.send(0, "a", 10)
		m.send(1, "b", 7)
		m.send(1, "c", 5) // a stream never says so, and nothing goes back for it
		m.send(1, "d", 12)
		var marks []int64
		for _, b := range m.take() {
			marks = append(marks, b.Watermark)
		}
		for i, w := range marks {
			if i > 0 && w < marks[i-1] {
				t.Fatalf("the watermark goes back: %v", marks)
			}
		}
		if last := marks[len(marks)-1]; last != 10 {
			t.Fatalf("the watermark is %d, want 10, of the first stream", last)
		}
		m.close()
	})
}

// A graph that is stopping closes its streams at any moment. A barrier that
// one of them had not delivered must not reach a sink: its epoch would be
// committed without that stream's records.
func TestAStreamThatIsCutOffLetsNoBarrierThrough(t *testing.T) {
	for name, play := range map[string]func(*merging){
		"while another waits": func(m *merging) {
			m.barrier(0, record.Checkpoint, 1, 2)
			synctest.Wait()
			close(m.ins[1])
		},
		"before another delivers": func(m *merging) {
			close(m.ins[1])
			synctest.Wait()
			m.barrier(0, record.Checkpoint, 1, 2)
			m.barrier(0, record.Checkpoint, 2, 3)
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m := newMerging(2)
				play(m)
				m.send(0, "after", 0)
				got := m.take()
				if b := barriers(got); len(b) != 0 {
					t.Errorf("%v went on, though one stream had not delivered it", b)
				}
				if keys(got) != "after" {
					t.Error("the other stream does not go on, so the graph cannot end")
				}
				close(m.ins[0])
				m.wg.Wait()
			})
		})
	}
}

func TestAStreamThatIsCutOffHoldsTheWatermark(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMerging(2)
		m.send(0, "a", 3)
		m.send(1, "b", 9)
		m.take()
		close(m.ins[0])
		synctest.Wait()
		m.send(1, "c", 20)
		if got := m.take(); got[0].Watermark != 3 {
			t.Errorf("the watermark went on to %d without the first stream: windows would close on a part of their records", got[0].Watermark)
		}
		close(m.ins[1])
		m.wg.Wait()
	})
}

func TestFanOutGivesEverySinkTheRecordsAndOneTheSideRecords(t *testing.T) {
	var wg sync.WaitGroup
	in := make(chan any, 1)
	outs := fanOut(&wg, in, 3)
	b := record.NewBatch(1)
	text := b.Arena().Bytes(4)
	copy(text, "text")
	b.Append(record.Record{Payload: text})
	b.Side = []record.Side{{Stage: "s"}}
	b.Barrier = record.Barrier{Kind: record.Checkpoint, Epoch: 1}
	in <- b
	close(in)
	for i, o := range outs {
		got := (<-o).(*record.Batch)
		if sides := len(got.Side); (i == 0) != (sides == 1) {
			t.Errorf("sink %d got %d side records", i, sides)
		}
		if string(got.Records[0].Payload) != "text" || got.Barrier.Epoch != 1 {
			t.Errorf("sink %d got %q and barrier %v", i, got.Records[0].Payload, got.Barrier)
		}
		got.Release() // the others go on reading
	}
	wg.Wait()
}

// TestASteadyMergeTellsTheEarliestTime: a timer behind it goes off once every
// stream has sent what timers of that moment let out.
func TestASteadyMergeTellsTheEarliestTime(t *testing.T) {
	for _, c := range []struct {
		steady bool
		want   []int64
	}{{false, []int64{10, 10, 20, 20, 20, 30}}, {true, []int64{10, 10, 10, 10, 20, 30}}} {
		synctest.Test(t, func(t *testing.T) {
			m := newMergingSteady(2, c.steady)
			var got []int64
			for _, b := range []struct {
				i   int
				now int64
			}{{0, 10}, {1, 5}, {0, 20}, {1, 10}, {1, 20}} {
				m.ins[b.i] <- &record.Batch{Records: []record.Record{{Key: "k"}}, Now: b.now}
				for _, b := range m.take() {
					got = append(got, b.Now)
				}
			}
			close(m.ins[1]) // nobody waits for it any more
			synctest.Wait()
			m.ins[0] <- &record.Batch{Now: 30}
			for _, b := range m.take() {
				got = append(got, b.Now)
			}
			close(m.ins[0])
			m.wg.Wait()
			if !reflect.DeepEqual(got, c.want) {
				t.Errorf("steady %v: got %v, want %v", c.steady, got, c.want)
			}
		})
	}
}
