package engine_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"testing"
	"testing/synctest"
	"time"

	"github.com/telluride-stream/telluride/engine"
	"github.com/telluride-stream/telluride/engine/change"
	"github.com/telluride-stream/telluride/engine/checkpoint"
	"github.com/telluride-stream/telluride/engine/plan"
	"github.com/telluride-stream/telluride/engine/record"
	"github.com/telluride-stream/telluride/engine/stage"
	"github.com/telluride-stream/telluride/engine/telemetry"
)

// slowly is a sink whose writes take time.
type slowly struct {
	stage.Sink
	takes time.Duration
}

func (s slowly) Write(ctx context.Context, records []record.Record) (int, error) {
	time.Sleep(s.takes)
	return s.Sink.Write(ctx, records)
}

// lazily is an operator that takes time, as real ones do not.
type lazily struct{ takes time.Duration }

func (o lazily) Process(*stage.Context, *record.Record) stage.Verdict {
	time.Sleep(o.takes)
	return stage.Pass
}

func nodeOf(s telemetry.Snapshot, stage string) telemetry.NodeStats {
	for _, one := range s.Stages {
		if one.Name == stage {
			return one.Nodes[0]
		}
	}
	panic("no stage " + stage)
}

// One record a second comes in, or the operator needs a second for each, or
// the sink does: who is busy, who waits for it, and who waits in front of it
// is to be seen at each node.
func TestANodeTellsWaitingForInputFromWaitingToHandOn(t *testing.T) {
	for _, c := range []struct {
		name                  string
		wait, operator, write time.Duration
		source, stage, sink   telemetry.Share
	}{
		{"slow source", time.Second, 0, 0, telemetry.Share{Idle: 1}, telemetry.Share{Idle: 1}, telemetry.Share{Idle: 1}},
		{"slow stage", 0, time.Second, 0, telemetry.Share{Blocked: 1}, telemetry.Share{Busy: 1}, telemetry.Share{Idle: 1}},
		{"slow sink", 0, 0, time.Second, telemetry.Share{Blocked: 1}, telemetry.Share{Blocked: 1}, telemetry.Share{Busy: 1}},
		{
			"slow stage and slower sink", 0, time.Second, 4 * time.Second,
			telemetry.Share{Blocked: 1}, telemetry.Share{Busy: 0.25, Blocked: 0.75}, telemetry.Share{Busy: 1},
		},
	} {
		for _, fused := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, fused %v", c.name, fused), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					s := &script{idle: true}
					for range 1000 {
						s.events = append(s.events, event{wait: c.wait, keys: []int{1}})
					}
					sink := &collector{}
					p := newPlan([]*script{s}, nil, 0)
					p.Sinks = []plan.Sink{{Name: "sink", Spec: stage.SinkSpec{
						New: func(rt stage.Runtime) stage.Sink { return slowly{sink.spec().New(rt), c.write} },
					}}}
					p.Nodes = []plan.Node{&plan.Operator{Name: "stage", Kind: "lazily", Spec: stage.OperatorSpec{
						New: func() stage.Operator { return lazily{c.operator} }, RecordWise: fused,
					}}}
					f := engine.New(engine.Config{Workers: 2}).Start(p)
					time.Sleep(50 * time.Second)
					synctest.Wait()
					before := f.Snapshot()
					time.Sleep(400*time.Second + 500*time.Millisecond)
					after := f.Snapshot()
					f.Stop()
					<-f.Done()
					for name, want := range map[string]telemetry.Share{"s0": c.source, "stage": c.stage, "sink": c.sink} {
						got := nodeOf(after, name).Since(nodeOf(before, name))
						if math.Abs(got.Idle-want.Idle)+math.Abs(got.Busy-want.Busy)+math.Abs(got.Blocked-want.Blocked) > 0.2 {
							t.Errorf("%s: %+v, want about %+v", name, got, want)
						}
					}
					stage := nodeOf(after, "stage")
					if c.operator > 0 && (stage.Last != c.operator || stage.Min != c.operator || stage.Max != c.operator || stage.Mean != float64(c.operator) || stage.SMA != float64(c.operator)) {
						t.Errorf("calls took %v, %v to %v, in the mean %v and %v", stage.Last, stage.Min, stage.Max, stage.Mean, stage.SMA)
					}
					if done := nodeOf(after, "sink"); stage.Records < done.Records || done.Records < 90 || stage.Calls > stage.Records {
						t.Errorf("the stage had %d records in %d calls, the sink %d", stage.Records, stage.Calls, done.Records)
					}
				})
			})
		}
	}
}

func TestASinkThatIsAwayIsBlockedAndItsTriesAreCounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sink := &collector{failWrites: always(errors.New("away"))}
		f := engine.New(engine.Config{}).Start(newPlan([]*script{{events: records(10), idle: true}}, []*collector{sink}, 0))
		time.Sleep(time.Minute)
		s := f.Snapshot()
		if share := nodeOf(s, "sink0").Since(telemetry.NodeStats{}); share.Blocked < 0.99 || nodeOf(s, "sink0").Phase != telemetry.Blocked {
			t.Errorf("%+v", share)
		}
		if s.Flow.Retries < 8 || s.Flow.Retries > 100 || s.Flow.Unacknowledged == 0 || s.Flow.Commits != 0 {
			t.Errorf("%+v", s.Flow)
		}
		f.Stop()
		<-f.Done()
		if n := nodeOf(f.Snapshot(), "sink0"); n.Phase != telemetry.Gone {
			t.Errorf("behind the end the sink is %v", n.Phase)
		}
	})
}

// The numbers of a node go on over changes of its flow, lanes that are gone
// keep theirs, and each record is counted once.
func TestMeasuresOutliveChanges(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &script{idle: true}
		for i := range 400 {
			s.events = append(s.events, event{wait: 100 * time.Millisecond, keys: []int{i, i + 1, i + 2}})
		}
		st := newStand(s, lasting{checkpoint.NewMemory()})
		f, list := st.Start("flow", variant{Name: "flow", Lanes: 4, Tally: "a"}.text(), nil)
		if list.HasErrors() {
			t.Fatal(list)
		}
		time.Sleep(10 * time.Second)
		middle := f.Snapshot()
		for _, lanes := range []int{2, 8, 1} {
			if r := <-st.Submit(change.Change{Flow: "flow", Source: variant{Name: "flow", Lanes: lanes, Tally: "a"}.text()}); r.Outcome != change.Applied {
				t.Fatal(r)
			}
			time.Sleep(5 * time.Second)
		}
		time.Sleep(30 * time.Second)
		end := f.Snapshot()
		st.Close()
		f.Stop()
		<-f.Done()
		tally := stageOf(end, "tally")
		var records uint64
		for lane, n := range tally.Nodes {
			records += n.Records
			if running := n.Phase != telemetry.Gone; n.Lane != lane || running != (lane == 0) {
				t.Errorf("lane %d has number %d and is %v", lane, n.Lane, n.Phase)
			}
		}
		if len(tally.Nodes) != 8 || records != 1200 || tally.Counts.In != 1200 {
			t.Errorf("%d lanes had %d records, %d by the ledger", len(tally.Nodes), records, tally.Counts.In)
		}
		if before := nodeOf(middle, "tally"); before.Records == 0 || nodeOf(end, "tally").First != before.First {
			t.Errorf("the first call was at %v, now at %v", before.First, nodeOf(end, "tally").First)
		}
		if e := end.Flow; e.Reloads["applied"] != 3 || e.PauseSeconds.Count != 3 || e.Commits == 0 || e.CommitSeconds.Count != e.Commits ||
			e.SnapshotBytesTotal == 0 || e.Lag > time.Second || e.Unacknowledged != 0 || e.LastCommit.IsZero() {
			t.Errorf("%+v", e)
		}
	})
}

func stageOf(s telemetry.Snapshot, name string) telemetry.StageStats {
	for _, one := range s.Stages {
		if one.Name == name {
			return one
		}
	}
	panic("no stage " + name)
}
