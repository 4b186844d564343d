package engine_test

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/telluride-stream/telluride/engine"
	"github.com/telluride-stream/telluride/engine/change"
	"github.com/telluride-stream/telluride/engine/checkpoint"
	"github.com/telluride-stream/telluride/engine/diag"
	"github.com/telluride-stream/telluride/engine/plan"
	"github.com/telluride-stream/telluride/engine/record"
	"github.com/telluride-stream/telluride/engine/stage"
)

// variant is a flow file of these tests, as JSON: what differs between the
// versions of a flow over one scripted source and one collecting sink.
type variant struct {
	Name      string
	Lanes     int
	Keep      int    // size of a keeper in front; 0: none
	Tally     string // signature of a tally; "": none
	OnChange  string
	Named     string // the tally's name; "": tally
	From      string // its state_from
	WasFlow   string // the flow's state_from
	Source    string // signature of the source
	BadSink   bool   // the sink cannot open, now or ever
	BadSource bool   // the source likewise
	Slow      int    // param: how many records per second
}

func (v variant) text() []byte {
	b, _ := json.Marshal(v)
	return b
}

// stand is a host over scripted parts.
type stand struct {
	*engine.Host
	store  checkpoint.Store
	script *script
	sink   *collector
}

func newStand(s *script, store checkpoint.Store) *stand {
	st := &stand{store: store, script: s, sink: &collector{}}
	st.Host = engine.NewHost(engine.HostConfig{
		Engine: engine.Config{Store: store, Workers: 2}, Compile: st.compile, DrainTimeout: time.Second,
	})
	return st
}

func (st *stand) compile(file string, src []byte, set map[string]string) (*plan.Plan, diag.List) {
	var list diag.List
	var v variant
	if err := json.Unmarshal(src, &v); err != nil {
		list.Errorf(diag.Span{File: file, Start: diag.Pos{Line: 1, Col: 1}}, "%v", err)
		return nil, list
	}
	for name, value := range set {
		n, err := strconv.Atoi(value)
		if name != "slow" || err != nil {
			list.Errorf(diag.Span{File: file}, "param %s: %q is no number", name, value)
			return nil, list
		}
		v.Slow = n
	}
	prefetch := 0
	if st.script.ack {
		prefetch = 20
	}
	p := newPlan([]*script{st.script}, []*collector{st.sink}, prefetch)
	p.StateFrom = v.WasFlow
	p.Name, p.Version = v.Name, fmt.Sprintf("%+v", v)
	p.Sources[0].Signature = v.Source
	if v.Slow > 0 {
		p.Sources[0].Rate, p.Sources[0].Per = v.Slow, time.Second
	}
	if v.BadSink {
		p.Sinks[0].Spec.New = func(stage.Runtime) stage.Sink { return badSink{} }
	}
	if v.BadSource {
		p.Sources[0].Signature = "bad"
		p.Sources[0].Spec.New = func(stage.Runtime) stage.Source { return badSource{} }
	}
	if v.Keep > 0 {
		p.Nodes = append(p.Nodes, &plan.Operator{Name: "keeper", Kind: "keeper", Spec: keeperSpec(v.Keep, time.Hour)})
	}
	p.Nodes = append(p.Nodes, partition(p.Layout, max(1, v.Lanes)))
	if v.Tally != "" {
		spec := tallySpec()
		spec.Signature = v.Tally
		spec.Carry = func(old string) (func(string, []byte) ([]byte, error), bool) {
			return func(_ string, value []byte) ([]byte, error) { return value, nil }, old+"+" == v.Tally
		}
		p.Nodes = append(p.Nodes, &plan.Operator{Name: cmp.Or(v.Named, "tally"), Kind: "tally", Spec: spec, OnChange: v.OnChange, StateFrom: v.From})
		p.Stateful = true
	}
	markFlushAlways(p.Nodes, false)
	return p, nil
}

type badSink struct{ stage.Sink }

type badSource struct{ stage.Source }

func (badSource) Open(context.Context, []byte) error { return errors.New("no such queue") }

func (badSink) Open(context.Context) error { return stage.Permanent(errors.New("no such place")) }
func (badSink) Close() error               { return nil }

// TestChangesLoseNothingAndRepeatNothing changes a flow at random moments while
// records pass: other lanes, another source session, other params, versions
// that are wrong or cannot start. Every record arrives exactly once and in
// order, state is exact, and every change has its receipt.
func TestChangesLoseNothingAndRepeatNothing(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		s := &script{name: "s", idle: true, ack: rapid.Bool().Draw(rt, "queue")}
		for range rapid.IntRange(1, 20).Draw(rt, "events") {
			s.events = append(s.events, event{
				wait: time.Duration(rapid.SampledFrom([]int{0, 1, 20, 200}).Draw(rt, "wait")) * time.Millisecond,
				keys: rapid.SliceOfN(rapid.IntRange(0, 4), 0, 10).Draw(rt, "keys"),
			})
		}
		type step struct {
			wait time.Duration
			v    variant
			set  string
		}
		var steps []step
		for range rapid.IntRange(1, 6).Draw(rt, "changes") {
			steps = append(steps, step{
				wait: time.Duration(rapid.SampledFrom([]int{0, 3, 50, 300}).Draw(rt, "when")) * time.Millisecond,
				v: variant{
					Name: "flow", Lanes: rapid.IntRange(1, 4).Draw(rt, "lanes"), Keep: rapid.IntRange(0, 3).Draw(rt, "keep"),
					Tally: "t", Source: rapid.SampledFrom([]string{"a", "a", "b"}).Draw(rt, "source"),
					BadSink: rapid.IntRange(0, 4).Draw(rt, "bad sink") == 0, BadSource: rapid.IntRange(0, 4).Draw(rt, "bad source") == 0,
				},
				set: rapid.SampledFrom([]string{"", "", "50", "1000", "x"}).Draw(rt, "set"),
			})
		}
		var problem string
		var seen []got
		synctest.Test(t, func(*testing.T) {
			st := newStand(s, checkpoint.NewMemory())
			f, list := st.Start("flow.yaml", variant{Name: "flow", Lanes: 2, Tally: "t", Source: "a"}.text(), nil)
			if list.HasErrors() {
				problem = list.Err().Error()
				return
			}
			var answers []<-chan change.Receipt
			for _, c := range steps {
				time.Sleep(c.wait)
				one := change.Change{Flow: "flow", Source: c.v.text(), From: "api"}
				if c.set != "" {
					one = change.Change{Flow: "flow", Set: map[string]string{"slow": c.set}, From: "queue"}
				}
				answers = append(answers, st.Submit(one))
			}
			for i, a := range answers {
				r := <-a
				bad := steps[i].set == "" && steps[i].v.BadSink || steps[i].set == "x"
				back := !bad && steps[i].set == "" && steps[i].v.BadSource
				refused := r.Outcome == change.RolledBack || r.Outcome == change.Rejected
				if refused != (back || bad) || back && r.Outcome != change.RolledBack {
					problem = fmt.Sprintf("change %d: %+v", i, r)
				}
				if r.Outcome == change.Applied && f.Running() && r.Before == r.After {
					problem = fmt.Sprintf("change %d was applied and changed nothing: %+v", i, r)
				}
			}
			time.Sleep(10 * time.Second) // all of the script, at the slowest rate
			st.Close()
			if err := st.Drain(context.Background()); err != nil {
				problem = err.Error()
			}
			seen = st.sink.got
			for _, f := range st.Flows() {
				if err := f.Wait(); err != nil {
					problem = err.Error()
				}
				for _, row := range f.Ledger.Rows() {
					if c := row.Counts(); !c.Balanced() {
						problem = fmt.Sprintf("the ledger of %s does not balance: %+v", row.Name, c)
					}
				}
			}
		})
		count, last, totals, want := map[string]int{}, map[string]int{}, map[string]int64{}, map[string]int64{}
		for _, g := range seen {
			if key, ok := strings.CutPrefix(g.key, "total of "); ok {
				totals[key] = g.total
				continue
			}
			n, _ := strconv.Atoi(strings.TrimPrefix(g.id, "s/"))
			count[g.id]++
			if n < last[g.key] {
				problem = fmt.Sprintf("%s of %s came behind %d", g.id, g.key, last[g.key])
			}
			last[g.key] = n
		}
		for id := range s.total() {
			if n := count["s/"+strconv.Itoa(id)]; n != 1 && problem == "" {
				problem = fmt.Sprintf("s/%d came %d times", id, n)
			}
			want[string(record.AppendKey(nil, record.StringValue(s.keyOf(id))))]++
		}
		if !maps.Equal(totals, want) && problem == "" {
			problem = fmt.Sprintf("totals are %v, want %v", totals, want)
		}
		if problem != "" {
			rt.Fatal(problem)
		}
	})
}

func TestAnIncompatibleChangeIsRefusedUntilTheFlowSaysWhatToDo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := newStand(&script{name: "s", idle: true, events: []event{{keys: []int{1, 1, 2}}}}, checkpoint.NewMemory())
		base := variant{Name: "flow", Tally: "t", Source: "a"}
		f, _ := st.Start("flow.yaml", base.text(), nil)
		time.Sleep(time.Second)
		other := base
		other.Tally = "u"
		r := <-st.Submit(change.Change{ID: "1", Flow: "flow", Source: other.text()})
		if r.Outcome != change.Rejected || !r.Running || len(r.Diagnostics) == 0 {
			t.Fatalf("%+v", r)
		}
		other.OnChange = "discard"
		r = <-st.Submit(change.Change{ID: "2", Flow: "flow", Source: other.text()})
		if r.Outcome != change.Applied || len(r.Stages) != 1 || r.Stages[0].Outcome != plan.Discarded {
			t.Fatalf("%+v", r)
		}
		if again := <-st.Submit(change.Change{ID: "2", Flow: "flow", Source: base.text()}); again.After != r.After || again.At != r.At {
			t.Fatalf("a change that came again was answered with %+v", again)
		}
		stale := <-st.Submit(change.Change{Flow: "flow", Set: map[string]string{"slow": "5"}, BaseVersion: r.Before})
		if stale.Outcome != change.Rejected || !strings.Contains(stale.Reason, "made from version") {
			t.Fatalf("%+v", stale)
		}
		keys := 0
		st.store.State("flow", "tally", func(string, []byte) error { keys++; return nil })
		if keys != 0 {
			t.Fatalf("%d keys of discarded state are in the store", keys)
		}
		st.Close()
		f.Stop()
		<-f.Done()
	})
}

// TestAChangeSurvivesARestart walks through the rules of precedence: the same
// file runs on with what was applied to it since, another file wins, and
// params that do not fit any more are dropped with a warning.
func TestAChangeSurvivesARestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := checkpoint.NewMemory()
		file := variant{Name: "flow", Source: "a"}
		run := func(src []byte) (versions string, warnings int) {
			st := newStand(&script{name: "s", idle: true}, store)
			f, list := st.Start("flow.yaml", src, nil)
			time.Sleep(time.Second)
			s := st.Status()[0]
			st.Close()
			f.Stop()
			<-f.Done()
			return s.Version, len(list)
		}
		st := newStand(&script{name: "s", idle: true}, store)
		f, _ := st.Start("flow.yaml", file.text(), nil)
		applied := file
		applied.Lanes = 3
		<-st.Submit(change.Change{Flow: "flow", Source: applied.text(), From: "api"})
		r := <-st.Submit(change.Change{Flow: "flow", Set: map[string]string{"slow": "7"}, From: "queue"})
		if r.Outcome != change.Applied {
			t.Fatalf("%+v", r)
		}
		st.Close()
		f.Stop()
		<-f.Done()

		if got, _ := run(file.text()); got != r.After {
			t.Errorf("the same file runs version %s, want %s", got, r.After)
		}
		other := file
		other.Lanes, other.Slow = 2, 0
		want := other
		want.Slow = 7
		if got, _ := run(other.text()); got != fmt.Sprintf("%+v", want) {
			t.Errorf("another file runs version %s, want %+v", got, want)
		}
	})
}

// A source of the new version that cannot be reached costs the version that
// runs nothing, however often the change is tried again.
func TestASourceThatIsAwayLeavesTheRunningVersionAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &script{name: "s", idle: true, ack: true, events: []event{{keys: []int{1, 2}}}}
		st := newStand(s, checkpoint.NewMemory())
		f, _ := st.Start("flow.yaml", variant{Name: "flow", Tally: "t", Source: "a"}.text(), nil)
		time.Sleep(time.Second)
		s.setAway(true)
		r := <-st.Submit(change.Change{Flow: "flow", Source: variant{Name: "flow", Tally: "t", Source: "b"}.text()})
		if r.Outcome != change.Pending || !r.Running || r.PausedMS != 0 {
			t.Fatalf("%+v", r)
		}
		time.Sleep(time.Minute)
		if n := f.Snapshot().Flow.Restarts; n != 0 {
			t.Errorf("the version that runs was started again %d times", n)
		}
		s.setAway(false)
		time.Sleep(5 * time.Second)
		if v := st.Status()[0].Version; v == r.Before {
			t.Error("the change was not made when the source was there")
		}
		st.Close()
		f.Stop()
		<-f.Done()
	})
}

// TestAChangeIsTakenWhileTheFlowCannotRun is about the way out of a source that
// fails again and again: the change that mends it need not wait for a session.
func TestAChangeIsTakenWhileTheFlowCannotRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &script{name: "s", idle: true, away: true}
		st := newStand(s, checkpoint.NewMemory())
		f, _ := st.Start("flow.yaml", variant{Name: "flow", Tally: "t", Source: "a"}.text(), nil)
		time.Sleep(20 * time.Second) // by now it rests for long between two tries
		began := time.Now()
		r := <-st.Submit(change.Change{Flow: "flow", Source: variant{Name: "flow", Tally: "t", Source: "a", Lanes: 3}.text()})
		if r.Outcome != change.Applied || time.Since(began) > time.Second {
			t.Fatalf("after %v: %+v", time.Since(began), r)
		}
		st.Close()
		f.Stop()
		<-f.Done()
	})
}

// Nothing would stop it any more.
func TestAHostThatEndsStartsNoFlow(t *testing.T) {
	for name, end := range map[string]func(*engine.Host){"stopped": (*engine.Host).Stop, "closed": (*engine.Host).Close} {
		synctest.Test(t, func(t *testing.T) {
			st := newStand(&script{name: "s", idle: true}, checkpoint.NewMemory())
			end(st.Host)
			v := variant{Name: "flow"}
			if f, list := st.Start("flow.yaml", v.text(), nil); f != nil || !list.HasErrors() {
				t.Errorf("%s: it has started a flow: %v", name, list)
				f.Stop()
				<-f.Done()
			}
			if r := <-st.Submit(change.Change{File: "flow.yaml", Source: v.text()}); r.Outcome != change.Rejected || r.Running {
				t.Errorf("%s: %+v", name, r)
			}
			if len(st.Status()) != 0 {
				t.Errorf("%s: %+v", name, st.Status())
			}
			st.Close()
		})
	}
}

// A process that is told to end must end, whatever was to change.
func TestAChangeUnderWayStartsNoFlowOnceTheHostStops(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := checkpoint.NewMemory()
		st := newStand(&script{name: "s", idle: true, events: []event{{keys: []int{1, 2}}}}, store)
		st.sink.failWrites = map[int]error{}
		for n := range 1000 {
			st.sink.failWrites[n] = errLost
		}
		v := variant{Name: "flow", Tally: "t", Source: "a"}
		f, _ := st.Start("flow.yaml", v.text(), nil)
		time.Sleep(100 * time.Millisecond)
		v.Lanes = 3
		answer := st.Submit(change.Change{ID: "more", Flow: "flow", Source: v.text()})
		time.Sleep(100 * time.Millisecond) // it drains into the outage
		st.Stop()
		if r := <-answer; r.Outcome != change.Pending || r.Running {
			t.Errorf("%+v", r)
		}
		<-f.Done()
		for _, f := range st.Flows() {
			if f.Running() {
				t.Error("a flow was started again")
				f.Stop()
				<-f.Done()
			}
		}
		st.Close()
		// The next process takes the change over.
		st = newStand(&script{name: "s", idle: true, events: []event{{keys: []int{1, 2}}}}, store)
		v.Lanes = 0
		f, _ = st.Start("flow.yaml", v.text(), nil)
		time.Sleep(10 * time.Second)
		if version := f.Current().Version; !strings.Contains(version, "Lanes:3") {
			t.Errorf("the next process runs %s", version)
		}
		st.Stop()
		<-f.Done()
		st.Close()
	})
}

func TestRemovingAFlowDrainsIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := newStand(&script{name: "s", idle: true, events: []event{{keys: []int{1, 2, 3}}}}, checkpoint.NewMemory())
		f, _ := st.Start("flow.yaml", variant{Name: "flow", Keep: 100}.text(), nil)
		time.Sleep(time.Second)
		r := <-st.Submit(change.Change{Flow: "flow", Remove: true, From: "file"})
		if r.Outcome != change.Applied || r.Running {
			t.Fatalf("%+v", r)
		}
		<-f.Done()
		if got := len(st.sink.got); got != 3 {
			t.Fatalf("%d records arrived, want 3", got)
		}
		st.Close()
	})
}

func TestAChangeForNoFlowIsRefused(t *testing.T) {
	st := newStand(&script{name: "s"}, checkpoint.NewMemory())
	defer st.Close()
	r := <-st.Submit(change.Change{Flow: "nobody", Set: map[string]string{"a": "1"}})
	if r.Outcome != change.Rejected || !strings.Contains(r.Reason, `no flow "nobody"`) {
		t.Fatalf("%+v", r)
	}
	if slices.Contains([]string{""}, r.ID) {
		t.Fatal("the receipt has no id")
	}
}

// TestStateThatDoesNotFitIsNotReadAtAStart is about an edit between two runs:
// what the first left behind is refused, discarded as the flow says, or kept.
func TestStateThatDoesNotFitIsNotReadAtAStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := checkpoint.NewMemory()
		start := func(v variant) (keys int, list diag.List) {
			st := newStand(&script{name: "s", idle: true, events: []event{{keys: []int{1, 2}}}}, store)
			f, list := st.Start("flow.yaml", v.text(), nil)
			if f != nil {
				time.Sleep(time.Second)
				f.Stop()
				<-f.Done()
			}
			st.Close()
			store.State("flow", "tally", func(string, []byte) error { keys++; return nil })
			return keys, list
		}
		base := variant{Name: "flow", Tally: "t", Source: "a"}
		if keys, list := start(base); keys != 2 || len(list) != 0 {
			t.Fatalf("%d keys, %v", keys, list)
		}
		other := base
		other.Tally = "u"
		if keys, list := start(other); keys != 2 || !list.HasErrors() {
			t.Fatalf("another signature was taken: %d keys, %v", keys, list)
		}
		other.OnChange = "flush"
		if _, list := start(other); !list.HasErrors() || !strings.Contains(list.Err().Error(), "needs the flow to run") {
			t.Fatalf("a flush without a running flow: %v", list)
		}
		other.OnChange = "discard"
		if keys, list := start(other); keys != 0 || list.HasErrors() {
			t.Fatalf("after a discard: %d keys, %v", keys, list)
		}
	})
}
