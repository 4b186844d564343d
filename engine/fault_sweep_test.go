package engine_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"github.com/telluride-stream/telluride/engine"
	"github.com/telluride-stream/telluride/engine/checkpoint"
	"github.com/telluride-stream/telluride/engine/clock"
	"github.com/telluride-stream/telluride/engine/plan"
	"github.com/telluride-stream/telluride/engine/record"
	"github.com/telluride-stream/telluride/engine/stage"
)

// TestAFaultAnywhereLosesNothing lets operation i of the disk or of the sink
// fail, for i = 0, 1, 2, … until a run is clean, under a whole flow: creating,
// writing, syncing, renaming; writing to the sink, confirming. Then the
// process dies, with what was not synced, and another run goes on. Nothing is
// acknowledged that is not saved, and totals are exact at the end.
func TestAFaultAnywhereLosesNothing(t *testing.T) {
	for name, c := range map[string]struct{ queue, lasting bool }{
		"queue with ids, one fault":   {true, false},
		"queue with ids, a full disk": {true, true},
		"positions, one fault":        {false, false},
		"positions, a full disk":      {false, true},
	} {
		t.Run(name, func(t *testing.T) {
			step := 1
			if testing.Short() {
				step = 9
			}
			for i := 0; ; i += step {
				w := &faulty{t: t, at: i, lasting: c.lasting, disk: vfs.NewCrashableMem()}
				w.script = &script{name: "s", ack: c.queue, ids: c.queue, idle: true, events: []event{
					{keys: []int{1, 1, 2}}, {wait: 3 * time.Millisecond, keys: []int{2, 3, 1}}, {wait: 3 * time.Millisecond, keys: []int{1, 2}},
				}}
				if !w.lives() {
					t.Logf("%d operations", i)
					return
				}
			}
		})
	}
}

// faulty is a flow of which one operation fails.
type faulty struct {
	t       *testing.T
	at      int
	lasting bool // the disk fails from then on
	disk    *vfs.MemFS
	script  *script

	ops, faults atomic.Int64
	mended      atomic.Bool
	mu          sync.Mutex
	durable     map[string]bool // by id: confirmed by the sink
}

// fails counts an operation and says whether it is to fail.
func (w *faulty) fails(disk bool) bool {
	n := int(w.ops.Add(1)) - 1
	if w.mended.Load() || n != w.at && !(w.lasting && disk && n > w.at && w.faults.Load() > 0) {
		return false
	}
	w.faults.Add(1)
	return true
}

// lives runs the flow with the fault, and again after a crash. It says whether
// there was a fault.
func (w *faulty) lives() bool {
	w.t.Helper()
	w.durable = map[string]bool{}
	faults := errorfs.Wrap(w.disk, errorfs.InjectorFunc(func(op errorfs.Op) error {
		if op.Kind.ReadOrWrite() == errorfs.OpIsWrite && w.fails(true) {
			return fmt.Errorf("operation %d: %w", w.at, syscall.ENOSPC)
		}
		return nil
	}))
	w.script.onSettle = w.settled
	first := w.run(faults)
	crashed := w.disk.CrashClone(vfs.CrashCloneCfg{})
	there := w.faults.Load() > 0
	w.mended.Store(true)
	w.disk = crashed
	w.script.redelivered = w.script.total() // whatever was not acknowledged may have come before
	if err := w.run(crashed); err != nil {
		w.t.Fatalf("operation %d failed (%v); then the next run did: %v", w.at, first, err)
	}
	w.check(crashed)
	return there
}

// run runs the flow until everything is acknowledged, or it has failed.
func (w *faulty) run(fs vfs.FS) error {
	store, err := checkpoint.Open("state", checkpoint.Options{FS: fs})
	if err != nil {
		return err
	}
	p := newPlan([]*script{w.script}, nil, 20)
	p.Checkpoint, p.Stateful = 2*time.Millisecond, true
	p.Sinks = []plan.Sink{{Name: "sink", Spec: stage.SinkSpec{New: func(stage.Runtime) stage.Sink { return &faultySink{faulty: w} }}}}
	p.Nodes = []plan.Node{partition(p.Layout, 2), &plan.Operator{Name: "tally", Kind: "tally", Spec: tallySpec()}}
	f := engine.New(engine.Config{Store: onDisk{store}, Workers: 1}).Start(p)
	done := func() bool {
		w.script.mu.Lock()
		defer w.script.mu.Unlock()
		return w.script.settled == w.script.total()
	}
	for began := time.Now(); f.Running() && !done(); time.Sleep(time.Millisecond) {
		if time.Since(began) > time.Minute {
			w.t.Fatalf("operation %d: the flow neither ends nor goes on", w.at)
		}
	}
	f.Stop()
	<-f.Done()
	err = f.Wait()
	if done() {
		err = nil
	}
	closing := store.Close()
	if err != nil {
		return err // what closing says follows from it
	}
	return closing
}

// onDisk is a store on a disk that is in memory for the test.
type onDisk struct{ *checkpoint.Pebble }

func (onDisk) Durable() bool { return true }

// settled is told what is acknowledged. If the process died now, all of it
// would have to be on the disk, and with the sink.
func (w *faulty) settled(ids []int) {
	store, err := checkpoint.Open("state", checkpoint.Options{FS: w.disk.CrashClone(vfs.CrashCloneCfg{})})
	if err != nil {
		w.t.Errorf("operation %d: acknowledged with a store that does not open: %v", w.at, err)
		return
	}
	defer store.Close()
	last, _, err := store.Last("flow")
	if err != nil {
		w.t.Error(err)
	}
	for _, id := range ids {
		name := "s/" + strconv.Itoa(id)
		saved := false
		if w.script.ack {
			_, saved, err = store.Verdict("flow", "s", name)
		} else if at := last.Positions["s"].Bytes; len(at) == 8 {
			saved = int(at[7]) > id
		}
		w.mu.Lock()
		confirmed := w.durable[name]
		w.mu.Unlock()
		if err != nil || !saved || !confirmed {
			w.t.Errorf("operation %d: %s is acknowledged; saved: %v, confirmed: %v, %v", w.at, name, saved, confirmed, err)
		}
	}
}

func (w *faulty) check(fs vfs.FS) {
	store, err := checkpoint.Open("state", checkpoint.Options{FS: fs})
	if err != nil {
		w.t.Fatal(err)
	}
	defer store.Close()
	want := map[string]int64{}
	for id := range w.script.total() {
		want[w.script.keyOf(id)]++
		if !w.durable["s/"+strconv.Itoa(id)] {
			w.t.Errorf("operation %d: record %d was never confirmed", w.at, id)
		}
	}
	if got := totalsOf(w.t, store, "flow", "tally"); fmt.Sprint(got) != fmt.Sprint(want) {
		w.t.Errorf("operation %d: the totals are %v, want %v", w.at, got, want)
	}
}

// faultySink confirms what it was given, unless that operation fails.
type faultySink struct {
	*faulty
	pending []string
}

func (s *faultySink) Open(context.Context) error { return nil }
func (s *faultySink) Close() error               { return nil }

func (s *faultySink) Write(_ context.Context, records []record.Record) (int, error) {
	if s.fails(false) {
		return 0, stage.Transient(errors.New("connection lost"))
	}
	for i := range records {
		s.pending = append(s.pending, string([]byte(records[i].Field(slotID).Str())))
	}
	return len(records), nil
}

// Flush confirms. What is not confirmed is written again.
func (s *faultySink) Flush(done func(error)) {
	if s.fails(false) {
		done(stage.Transient(errors.New("not confirmed")))
		return
	}
	s.mu.Lock()
	for _, id := range slices.Clone(s.pending) {
		s.durable[id] = true
	}
	s.mu.Unlock()
	done(nil)
}

// TestASlowDiskSlowsAFlowAndLosesNothing has every sync take long.
func TestASlowDiskSlowsAFlowAndLosesNothing(t *testing.T) {
	w := &faulty{t: t, at: -1, disk: vfs.NewCrashableMem(), durable: map[string]bool{}}
	w.script = &script{name: "s", ack: true, ids: true, idle: true, events: []event{
		{keys: []int{1, 1, 2}}, {wait: 3 * time.Millisecond, keys: []int{2, 3, 1}}, {wait: 3 * time.Millisecond, keys: []int{1, 2}},
	}}
	w.script.onSettle = w.settled
	var slow atomic.Int64
	disk := errorfs.Wrap(w.disk, errorfs.InjectorFunc(func(op errorfs.Op) error {
		switch op.Kind {
		case errorfs.OpFileSync, errorfs.OpFileSyncData, errorfs.OpFileSyncTo:
			slow.Add(1)
			<-time.After(50 * time.Millisecond)
		}
		return nil
	}))
	if err := w.run(disk); err != nil || slow.Load() == 0 {
		t.Fatalf("%v after %d syncs", err, slow.Load())
	}
	w.check(w.disk.CrashClone(vfs.CrashCloneCfg{}))
}

// shifted is a clock that is set to another time.
type shifted struct {
	clock.Clock
	by time.Duration
}

func (s shifted) Now() time.Time { return s.Clock.Now().Add(s.by) }

// TestAClockThatIsSetBackTakesNoTimeBack restarts a flow under a clock that is
// an hour behind: time in it stands still, goes on when the clock is where it
// was, and no record is lost.
func TestAClockThatIsSetBackTakesNoTimeBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := lasting{checkpoint.NewMemory()}
		w := &watcher{}
		var told []int64
		s := &script{name: "s", idle: true, events: []event{{keys: []int{1}}, {wait: time.Minute, keys: []int{2}}}}
		sink := &collector{}
		for round, back := range []time.Duration{0, -time.Hour} {
			p := newPlan([]*script{s}, []*collector{sink}, 0)
			p.Tick = time.Second
			p.Nodes = []plan.Node{&plan.Operator{Name: "watcher", Spec: stage.OperatorSpec{New: func() stage.Operator { return w }}}}
			f := engine.New(engine.Config{Store: store, Clock: shifted{clock.System{}, back}}).Start(p)
			time.Sleep(time.Duration(1+3*round) * 31 * time.Minute)
			if err := f.Drain(t.Context()); err != nil {
				t.Fatal(err)
			}
			<-f.Done()
			told = append(told, w.take()...)
		}
		if !slices.IsSorted(told) {
			t.Error("time went back")
		}
		if last, now := told[len(told)-1], time.Now().Add(-time.Hour).UnixNano(); now-last > int64(2*time.Second) {
			t.Errorf("time is %v behind its clock at the end", time.Duration(now-last))
		}
		if len(sink.got) != 2 {
			t.Errorf("%d records came out, want 2", len(sink.got))
		}
	})
}
