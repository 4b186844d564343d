package engine_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/telluride-stream/telluride/engine"
	"github.com/telluride-stream/telluride/engine/checkpoint"
	"github.com/telluride-stream/telluride/engine/plan"
	"github.com/telluride-stream/telluride/engine/record"
	"github.com/telluride-stream/telluride/engine/stage"
)

// TestARedeliveryThatWasCommittedCountsOnce plays the death of a process
// between a commit and its acknowledgement: everything committed comes again,
// marked as redelivered, together with what was not committed. With ids the
// totals are exact, rejects are repeated, and nothing is settled as anything
// else than before.
func TestARedeliveryThatWasCommittedCountsOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := checkpoint.NewMemory()
		run := func(s *script, bad map[string]bool) *collector {
			sink := &collector{}
			p := newPlan([]*script{s}, []*collector{sink}, 100)
			p.Sources[0].Spec.Rejects = true
			p.Nodes = []plan.Node{&plan.Operator{
				Name: "picky", Kind: "picky",
				Spec: stage.OperatorSpec{RecordWise: true, New: func() stage.Operator { return &picky{errs: bad} }},
			}, partition(p.Layout, 2), &plan.Operator{Name: "tally", Kind: "tally", Spec: tallySpec()}}
			p.Stateful = true
			f := engine.New(engine.Config{Store: store}).Start(p)
			time.Sleep(time.Second)
			f.Stop()
			<-f.Done()
			return sink
		}
		bad := map[string]bool{"s/2": true}
		first := &script{name: "s", ack: true, idle: true, ids: true, events: []event{{keys: []int{1, 1, 1, 2}}}}
		run(first, bad)
		if first.settled != 4 || len(first.rejects) != 1 {
			t.Fatalf("settled %d, rejected %v", first.settled, first.rejects)
		}
		// The broker never heard of it.
		again := &script{name: "s", ack: true, idle: true, ids: true, redelivered: 4, events: []event{{keys: []int{1, 1, 1, 2}}, {keys: []int{1}}}}
		sink := run(again, nil)
		if again.settled != 5 || len(again.rejects) != 1 || again.rejects[0] != 2 {
			t.Fatalf("settled %d, rejected %v, want 5 and [2]", again.settled, again.rejects)
		}
		if len(sink.got) != 1 {
			t.Fatalf("%d records passed, want the new one only: %v", len(sink.got), sink.got)
		}
		totals := map[string]int64{}
		store.State("flow", "tally", func(key string, value []byte) error {
			totals[record.KeyValues(key)[0].Str()] = int64(value[len(value)-1])
			return nil
		})
		if totals["k1"] != 3 || totals["k2"] != 1 {
			t.Fatalf("totals %v, want k1: 3, k2: 1", totals)
		}
	})
}

// TestARedeliveryWithoutAnIDCountsTwice plays the same with messages that have
// no ids: nothing tells that they were committed.
func TestARedeliveryWithoutAnIDCountsTwice(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := checkpoint.NewMemory()
		for _, redelivered := range []int{0, 4} {
			s := &script{name: "s", ack: true, idle: true, redelivered: redelivered, events: []event{{keys: []int{1, 1, 1, 2}}}}
			p := newPlan([]*script{s}, []*collector{{}}, 100)
			p.Nodes = []plan.Node{partition(p.Layout, 2), &plan.Operator{Name: "tally", Kind: "tally", Spec: tallySpec()}}
			p.Stateful = true
			f := engine.New(engine.Config{Store: store}).Start(p)
			time.Sleep(time.Second)
			f.Stop()
			<-f.Done()
			if s.settled != 4 {
				t.Fatalf("settled %d, want 4", s.settled)
			}
		}
		totals := map[string]int64{}
		err := store.State("flow", "tally", func(key string, value []byte) error {
			totals[record.KeyValues(key)[0].Str()] = int64(value[len(value)-1])
			return nil
		})
		if err != nil || totals["k1"] != 6 || totals["k2"] != 2 {
			t.Fatalf("totals %v (%v), want k1: 6, k2: 2", totals, err)
		}
	})
}
