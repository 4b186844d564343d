package engine_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/telluride-stream/telluride/engine"
	"github.com/telluride-stream/telluride/engine/checkpoint"
	"github.com/telluride-stream/telluride/engine/record"
	"github.com/telluride-stream/telluride/engine/stage"
)

// oneMortal is a flow of one record over a queue.
func oneMortal() *mortals {
	f := &mortalFlow{name: "f", sources: []*script{{name: "s", events: records(1), ack: true, ids: true, idle: true}}, prefetch: 10, batch: 8, sink: &collector{}, dead: &collector{}}
	f.dead.letterOf = func(o record.Origin) string { return f.sources[0].idOf(o.Seq) }
	return &mortals{store: lasting{checkpoint.NewMemory()}, flows: []*mortalFlow{f}, alone: map[string]int{}}
}

// kill has so many lives end from outside, each after a while.
func (m *mortals) kill(lives int, after time.Duration) (problem string) {
	for range lives {
		m.kills = append(m.kills, after)
		if _, problem = m.live(); problem != "" {
			return problem
		}
	}
	return ""
}

// TestWhatWaitsForASinkIsNotCondemned: processes are ended while their sink is
// away, which says nothing of the record that waits for it.
func TestWhatWaitsForASinkIsNotCondemned(t *testing.T) {
	for name, c := range map[string]struct {
		sink  *collector
		hangs bool
		after time.Duration
	}{
		"it fails":         {sink: &collector{failWrites: always(errors.New("connection refused"))}, after: 3 * time.Second},
		"it fails to sync": {sink: &collector{failFlushes: always(errors.New("connection lost"))}, after: 3 * time.Second},
		"it hangs":         {sink: &collector{}, hangs: true, after: 15 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m := oneMortal()
				f := m.flows[0]
				f.sink.failWrites, f.sink.failFlushes = c.sink.failWrites, c.sink.failFlushes
				f.hangs = c.hangs
				if problem := m.kill(8, c.after); problem != "" {
					t.Fatal(problem)
				}
				f.sink.failWrites, f.sink.failFlushes, f.hangs = nil, nil, false
				if problem := m.run(); problem != "" {
					t.Fatal(problem)
				}
				if len(f.dead.got) > 0 {
					t.Errorf("dead letters: %v", f.dead.got)
				}
			})
		})
	}
}

// killedWhileItHangs is a flow whose sink hangs while its processes are killed
// as long after their start, and that has run to its end behind that.
func killedWhileItHangs(t *testing.T, lives int, after time.Duration) *mortals {
	m := oneMortal()
	m.flows[0].hangs = true
	if problem := m.kill(lives, after); problem != "" {
		t.Fatal(problem)
	}
	m.flows[0].hangs = false
	if problem := m.run(); problem != "" {
		t.Fatal(problem)
	}
	return m
}

// TestARecordThatIsInFlightAtThreeEndsIsCondemned is the counterpart: here the
// record itself keeps the process from getting on, and is found.
func TestARecordThatIsInFlightAtThreeEndsIsCondemned(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := killedWhileItHangs(t, 5, 1500*time.Millisecond)
		if dead := m.flows[0].dead.got; len(dead) != 1 || m.alone["s/0"] != 3 {
			t.Errorf("alone at %d ends; dead letters: %v", m.alone["s/0"], dead)
		}
	})
}

// TestAProcessThatIsKilledOftenCondemnsNothing: a record takes its time, and no
// process gets as far. After the first end it is not in flight any more when
// the next ones come.
func TestAProcessThatIsKilledOftenCondemnsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := killedWhileItHangs(t, 12, 900*time.Millisecond)
		if dead := m.flows[0].dead.got; len(dead) > 0 {
			t.Errorf("dead letters: %v", dead)
		}
	})
}

// hanging is a sink whose writes do not return before the flow stops.
type hanging struct{ stage.Sink }

func (hanging) Write(ctx context.Context, _ []record.Record) (int, error) {
	<-ctx.Done()
	return 0, ctx.Err()
}

// noting counts the writes of control data.
type noting struct {
	lasting
	notes *atomic.Int32
}

func (n noting) SetControl(flow string, c []checkpoint.Change) error {
	n.notes.Add(1)
	return n.lasting.SetControl(flow, c)
}

// TestAFlowThatIsWellNotesItsBeginningAndItsEnd, and nothing in between,
// whatever it reads.
func TestAFlowThatIsWellNotesItsBeginningAndItsEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, sink := &script{events: records(500), ack: true}, &collector{}
		store := noting{lasting{checkpoint.NewMemory()}, new(atomic.Int32)}
		f := engine.New(engine.Config{Store: store}).Start(newPlan([]*script{s}, []*collector{sink}, 10))
		if err := mustEnd(t, f); err != nil || len(sink.got) != 500 {
			t.Fatalf("%d records, %v", len(sink.got), err)
		}
		if n := store.notes.Load(); n != 2 {
			t.Errorf("%d notes were written, want 2", n)
		}
		if kept, _ := store.Flows(); len(kept) > 0 {
			t.Errorf("the end left something behind of %v", kept)
		}
	})
}

// TestNothingIsNotedThatWouldNotHelp: where the note would not outlive the
// process, of a flow that begins anew with each process, or when the flow says so.
func TestNothingIsNotedThatWouldNotHelp(t *testing.T) {
	for name, c := range map[string]struct {
		durable    bool
		durability string
		ack        bool
		attempts   int
		noted      bool
	}{
		"a queue":                       {durable: true, ack: true, attempts: 3, noted: true},
		"a file":                        {durable: true, attempts: 3, noted: true},
		"a queue, with state in memory": {durable: true, durability: "memory", ack: true, attempts: 3, noted: true},
		"a file, with state in memory":  {durable: true, durability: "memory", attempts: 3},
		"no state folder":               {ack: true, attempts: 3},
		"attempts: 0":                   {durable: true, ack: true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := &script{events: records(3), ack: c.ack, idle: true}
				prefetch := 0
				if c.ack {
					prefetch = 10
				}
				p := newPlan([]*script{s}, []*collector{{}}, prefetch)
				p.Durability, p.Attempts = c.durability, c.attempts
				memory := checkpoint.NewMemory()
				config := engine.Config{Store: memory}
				if c.durable {
					config.Store = lasting{memory}
				}
				f := engine.New(config).Start(p)
				time.Sleep(time.Second)
				control, _ := memory.Control("flow")
				if noted := control["poison"] != nil; noted != c.noted {
					t.Errorf("noted: %v, want %v", noted, c.noted)
				}
				f.Stop()
				_ = mustEnd(t, f)
				if control, _ := memory.Control("flow"); len(control) > 0 {
					t.Errorf("the end left %q behind", control)
				}
			})
		})
	}
}
