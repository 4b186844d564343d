package engine_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"math"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/telluride-stream/telluride/engine"
	"github.com/telluride-stream/telluride/engine/change"
	"github.com/telluride-stream/telluride/engine/checkpoint"
	"github.com/telluride-stream/telluride/engine/clock"
	"github.com/telluride-stream/telluride/engine/diag"
	"github.com/telluride-stream/telluride/engine/plan"
	"github.com/telluride-stream/telluride/engine/record"
	"github.com/telluride-stream/telluride/engine/stage"
	"github.com/telluride-stream/telluride/engine/topology"
)

// records are n events of one record each, all of one key.
func records(n int) (all []event) {
	for range n {
		all = append(all, event{keys: []int{0}})
	}
	return all
}

func ids(c *collector) (all []string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, g := range c.got {
		all = append(all, g.id)
	}
	return all
}

// always is a set of failures that does not end.
func always(err error) map[int]error {
	all := map[int]error{}
	for i := range 100_000 {
		all[i] = err
	}
	return all
}

// mustEnd waits for a flow, which has to end within a minute.
func mustEnd(t *testing.T, f *engine.Flow) error {
	t.Helper()
	select {
	case <-f.Done():
	case <-time.After(time.Minute):
		t.Fatal("the flow does not end")
	}
	return f.Wait()
}

func TestAtTheDeadlineOfASinkEverythingStaysUnacknowledged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &script{events: records(20), ack: true}
		// Marked, so that it would be mistaken for the loss of a session.
		sink := &collector{failWrites: always(stage.Transient(errors.New("connection refused")))}
		p := newPlan([]*script{s}, []*collector{sink}, 10)
		p.Sinks[0].Deadline = 5 * time.Second
		dead := &collector{}
		p.Dead = &plan.Sink{Name: "dead", Spec: dead.spec()}
		store := lasting{checkpoint.NewMemory()}
		f := engine.New(engine.Config{Store: store}).Start(p)
		err := mustEnd(t, f)
		if err == nil || !strings.Contains(err.Error(), "deadline passed") {
			t.Fatalf("ended with %v", err)
		}
		if s.settled != 0 || len(dead.got) != 0 {
			t.Errorf("%d records were settled, %d became dead letters", s.settled, len(dead.got))
		}
		if n := f.Summary().Unsaved; n == 0 || n > 20 {
			t.Errorf("%d records are said to be unacknowledged", n)
		}
		sink.failWrites = nil
		if err := mustEnd(t, engine.New(engine.Config{Store: store}).Start(p)); err != nil {
			t.Fatal(err)
		}
		if s.settled != 20 || len(ids(sink)) != 20 {
			t.Errorf("the next run settled %d records and wrote %d", s.settled, len(ids(sink)))
		}
	})
}

func TestAStopNeverWaitsForASinkThatIsAway(t *testing.T) {
	away := errors.New("connection refused")
	for name, build := range map[string]func() *plan.Plan{
		"to open": func() *plan.Plan {
			p := newPlan([]*script{{events: records(3)}}, []*collector{{}}, 0)
			p.Sinks[0].Spec = stage.SinkSpec{New: func(stage.Runtime) stage.Sink { return unopened{} }}
			return p
		},
		"to write": func() *plan.Plan {
			return newPlan([]*script{{events: records(3)}}, []*collector{{failWrites: always(away)}}, 0)
		},
		"to flush": func() *plan.Plan {
			return newPlan([]*script{{events: records(3), idle: true}}, []*collector{{failFlushes: always(away)}}, 0)
		},
		"to flush dead letters": func() *plan.Plan {
			p := newPlan([]*script{{events: records(3), idle: true}}, []*collector{{poison: map[string]bool{"s0/1": true}}}, 0)
			dead := &collector{failFlushes: always(away), letterOf: func(record.Origin) string { return "" }}
			p.Dead = &plan.Sink{Name: "dead", Spec: dead.spec()}
			return p
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := engine.New(engine.Config{}).Start(build())
				time.Sleep(time.Second)
				ctx, cancel := context.WithTimeout(t.Context(), time.Second)
				defer cancel()
				if err := f.Drain(ctx); !errors.Is(err, context.DeadlineExceeded) {
					t.Errorf("drained with %v", err)
				}
				f.Stop()
				if err := mustEnd(t, f); !errors.Is(err, topology.ErrStopped) {
					t.Errorf("ended with %v", err)
				}
			})
		})
	}
}

type unopened struct{ stage.Sink }

func (unopened) Open(context.Context) error { return errors.New("connection refused") }

func TestASourceThatIsStoppedWhileItOpensIsStopped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPlan([]*script{{}}, []*collector{{}}, 0)
		p.Sources[0].Spec.New = func(stage.Runtime) stage.Source { return opening{} }
		f := engine.New(engine.Config{}).Start(p)
		synctest.Wait()
		f.Stop()
		if err := mustEnd(t, f); !errors.Is(err, topology.ErrStopped) {
			t.Errorf("ended with %v", err)
		}
	})
}

type opening struct{ stage.Source }

func (opening) Open(ctx context.Context, _ []byte) error { <-ctx.Done(); return ctx.Err() }

// Each branch of nested routes has a sink of its own.
func TestEveryBranchWritesToItsOwnSink(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &script{events: []event{{keys: []int{0, 1, 2, 3}}}}
		sinks := []*collector{{}, {}, {}, {}}
		p := newPlan([]*script{s}, sinks[3:], 0)
		to := func(i int) []plan.Sink { return []plan.Sink{{Name: "b" + strconv.Itoa(i), Spec: sinks[i].spec()}} }
		p.Nodes = []plan.Node{&plan.Route{Name: "outer", Branches: []plan.Branch{
			{Name: "low", When: program(p.Layout, `key < "k2"`), Sinks: to(1), Nodes: []plan.Node{
				&plan.Route{Name: "inner", Branches: []plan.Branch{
					{Name: "k0", When: program(p.Layout, `key == "k0"`), Sinks: to(0)},
					{Name: "rest"},
				}},
			}},
			{Name: "k2", When: program(p.Layout, `key == "k2"`), Sinks: to(2)},
			{Name: "rest"},
		}}}
		if err := mustEnd(t, engine.New(engine.Config{}).Start(p)); err != nil {
			t.Fatal(err)
		}
		for i, sink := range sinks {
			if got, want := ids(sink), []string{"s0/" + strconv.Itoa(i)}; !slices.Equal(got, want) {
				t.Errorf("sink %d got %v, want %v", i, got, want)
			}
		}
	})
}

func TestADeadLetterOfASinkSaysWhen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &script{events: records(2)}
		p := newPlan([]*script{s}, []*collector{{poison: map[string]bool{"s0/1": true}}}, 0)
		dead := &collector{letterOf: func(o record.Origin) string { return s.idOf(o.Seq) }}
		p.Dead = &plan.Sink{Name: "dead", Spec: dead.spec()}
		now := record.FormatTime(time.Now().UnixNano())
		f := engine.New(engine.Config{}).Start(p)
		if err := mustEnd(t, f); err != nil {
			t.Fatal(err)
		}
		if len(dead.got) != 1 || dead.got[0].id != "s0/1" || !strings.Contains(dead.got[0].key, now) || !strings.Contains(dead.got[0].key, "poison") {
			t.Errorf("the letters are %+v, want one of %s", dead.got, now)
		}
		if n := f.Summary().Lettered; n != 1 {
			t.Errorf("%d letters are counted", n)
		}
	})
}

func TestAnIdleSourceDoesNotKeepAFinishedOneFromCommitting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		done := &script{events: records(5), ack: true}
		idle := &script{idle: true, ack: true}
		sink := &collector{}
		p := newPlan([]*script{done, idle}, []*collector{sink}, 10)
		p.Nodes = []plan.Node{&plan.Operator{Name: "keeper", Kind: "keeper", Spec: keeperSpec(100, 50*time.Millisecond)}}
		f := engine.New(engine.Config{}).Start(p)
		time.Sleep(time.Second)
		synctest.Wait()
		if done.settled != 5 {
			t.Errorf("%d records are settled, want 5", done.settled)
		}
		if err := f.Drain(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := mustEnd(t, f); err != nil || f.Summary().Unsaved != 0 {
			t.Errorf("ended with %v, %d unsaved", err, f.Summary().Unsaved)
		}
	})
}

// watcher notes the watermarks that it is told.
type watcher struct {
	mu   sync.Mutex
	told []int64
}

func (*watcher) Process(*stage.Context, *record.Record) stage.Verdict { return stage.Pass }

func (w *watcher) Advance(c *stage.Context) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.told = append(w.told, c.Watermark)
}

// take returns what it was told since the last call.
func (w *watcher) take() []int64 {
	synctest.Wait()
	w.mu.Lock()
	defer w.mu.Unlock()
	told := w.told
	w.told = nil
	return told
}

// Without records the watermark follows the clock, but only after idle, and it
// is there again behind a restart.
func TestEventTimeGoesOnWhenItsSourceIsIdle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &script{events: records(1), idle: true}
		p := newPlan([]*script{s}, []*collector{{}}, 0)
		p.Sources[0].Spec.New = func(rt stage.Runtime) stage.Source {
			return timed{&scriptSession{script: s, clock: rt}, time.Now().Add(-time.Hour).UnixNano()}
		}
		p.Sources[0].Time = plan.Time{Event: true, Slot: slotTotal, Field: "total", Layout: "unix_ns", OutOfOrder: time.Second, Idle: 10 * time.Second}
		w := &watcher{}
		p.Nodes = []plan.Node{&plan.Operator{Name: "watcher", Spec: stage.OperatorSpec{New: func() stage.Operator { return w }}}}
		begin := time.Now()
		store := lasting{checkpoint.NewMemory()}
		f := engine.New(engine.Config{Store: store}).Start(p)
		time.Sleep(9 * time.Second)
		told := w.take()
		if got, want := told[len(told)-1], begin.Add(-time.Hour-time.Second).UnixNano(); got != want {
			t.Errorf("before idle the watermark is %v off", time.Duration(got-want))
		}
		time.Sleep(11 * time.Second)
		told = append(told, w.take()...)
		if off := time.Since(time.Unix(0, told[len(told)-1])) - time.Second; off < 0 || off > p.Tick {
			t.Errorf("the watermark is %v behind the clock", off)
		}
		if err := f.Drain(t.Context()); err != nil {
			t.Fatal(err)
		}
		told = append(told, w.take()...)
		f = engine.New(engine.Config{Store: store}).Start(p)
		time.Sleep(time.Second)
		if told = append(told, w.take()...); !slices.IsSorted(told) {
			t.Error("the watermark went back")
		}
		f.Stop()
		_ = mustEnd(t, f)
	})
}

// timed gives every record a time.
type timed struct {
	stage.Source
	at int64
}

func (s timed) Read(ctx context.Context) (stage.Input, error) {
	in, err := s.Source.Read(ctx)
	if err == nil {
		for i := range in.Batch.Records {
			in.Batch.Records[i].Fields[slotTotal] = record.IntValue(s.at)
		}
	}
	return in, err
}

func TestARateLimitLetsThroughWhatItSays(t *testing.T) {
	for _, c := range []struct {
		rate int
		per  time.Duration
		read int // records a read
	}{
		{5000, time.Second, 8},
		{100, time.Second, 12}, // more than the limiter lets by at a time
		{3, time.Minute, 1},
		{7, 3 * time.Hour, 1},
		{1, time.Millisecond, 8},
	} {
		t.Run(strconv.Itoa(c.rate)+" per "+c.per.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := &script{}
				n := max(12, min(4*c.rate, 2000)/c.read*c.read)
				for range n / c.read {
					s.events = append(s.events, event{keys: make([]int, c.read)})
				}
				sink := &collector{}
				p := newPlan([]*script{s}, []*collector{sink}, 0)
				p.Sources[0].Rate, p.Sources[0].Per = c.rate, c.per
				burst := topology.MaxBatch(p, &p.Sources[0])
				p.Tick = c.per
				begin := time.Now()
				f := engine.New(engine.Config{}).Start(p)
				<-f.Done()
				took := time.Since(begin).Seconds()
				want := float64(n-burst) / float64(c.rate) * c.per.Seconds()
				if math.Abs(took-want) > 0.01*want+0.2 {
					t.Errorf("%d records took %.3fs, want %.3fs", n, took, want)
				}
			})
		})
	}
}

func TestADrainDuringWhichTheSessionIsLostSaysSo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &script{events: append(records(3), event{wait: 100 * time.Millisecond, lose: true}), ack: true, idle: true}
		sink := &collector{delay: time.Minute}
		f := engine.New(engine.Config{}).Start(newPlan([]*script{s}, []*collector{sink}, 10))
		time.Sleep(110 * time.Millisecond) // lost, and waiting to start again
		if err := f.Drain(t.Context()); !errors.Is(err, errLost) {
			t.Errorf("drained with %v, though nothing was committed", err)
		}
		f.Stop()
		if err := f.Wait(); !errors.Is(err, topology.ErrStopped) || f.Summary().Unsaved != 3 {
			t.Errorf("ended with %v, %d unsaved", err, f.Summary().Unsaved)
		}
	})
}

// moment is a clock that has something happen when it is read the n-th time.
type moment struct {
	clock.Clock
	left   *atomic.Int32
	happen func()
}

func (m moment) Now() time.Time {
	if m.left.Add(-1) == 0 {
		m.happen()
	}
	return m.Clock.Now()
}

// A drain says that all is saved at whichever moment of its start it finds a
// flow: one that it finds without a graph reads nothing.
func TestADrainOfAFlowThatStartsLeavesNothingUnsaved(t *testing.T) {
	for n := range int32(4) {
		synctest.Test(t, func(t *testing.T) {
			s := &script{events: records(6), ack: true, idle: true}
			started, drained := make(chan *engine.Flow, 1), make(chan error, 1)
			m := moment{clock.System{}, new(atomic.Int32), func() {
				go func() { drained <- (<-started).Drain(t.Context()) }()
				synctest.Wait()
			}}
			m.left.Store(n + 1)
			f := engine.New(engine.Config{Clock: m}).Start(newPlan([]*script{s}, []*collector{{}}, 10))
			started <- f
			if err := <-drained; err != nil || f.Wait() != nil || f.Summary().Unsaved > 0 {
				t.Errorf("reading %d: drained with %v, ended with %v, %d not saved", n, err, f.Wait(), f.Summary().Unsaved)
			}
		})
	}
}

// forgetful has state that it cannot write down.
type forgetful struct{ *tally }

func (forgetful) Snapshot(stage.StateWriter) { panic("cannot write it down") }

func TestStateThatCannotBeSavedEndsTheFlowWithoutACommit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &script{events: records(3), idle: true, ack: true}
		p := newPlan([]*script{s}, []*collector{{}}, 10)
		p.Stateful = true
		spec := tallySpec()
		made := spec.New
		spec.New = func() stage.Operator { return forgetful{made().(*tally)} }
		p.Nodes = []plan.Node{partition(p.Layout, 2), &plan.Operator{Name: "tally", Spec: spec}}
		err := mustEnd(t, engine.New(engine.Config{}).Start(p))
		if err == nil || !strings.Contains(err.Error(), "tally: panic: cannot write it down") || s.settled != 0 {
			t.Errorf("ended with %v, %d settled", err, s.settled)
		}
	})
}

// breaking panics, or fails, where it is told.
type breaking struct {
	stage.Source
	at string
}

func (b breaking) Settle(ctx context.Context, s stage.Settlement) error {
	if b.at == "settle" {
		panic("no")
	}
	return b.Source.Settle(ctx, s)
}

func (b breaking) Close() error {
	if b.at == "close" {
		return stage.Transient(errors.New("connection lost"))
	}
	return b.Source.Close()
}

func (b breaking) Read(ctx context.Context) (stage.Input, error) {
	if b.at == "nothing" {
		return stage.Input{}, nil
	}
	return b.Source.Read(ctx)
}

// An error while closing is no loss of a session: what has come to its end is
// not to run again.
func TestTheFaultsOfASourceEndTheFlowOnce(t *testing.T) {
	for at, want := range map[string]string{"settle": "panic: no", "close": "connection lost", "nothing": "read nothing"} {
		t.Run(at, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := &script{events: records(3)}
				sink := &collector{}
				p := newPlan([]*script{s}, []*collector{sink}, 0)
				p.Sources[0].Spec.New = func(rt stage.Runtime) stage.Source {
					return breaking{&scriptSession{script: s, clock: rt}, at}
				}
				f := engine.New(engine.Config{}).Start(p)
				if err := mustEnd(t, f); err == nil || !strings.Contains(err.Error(), want) {
					t.Errorf("ended with %v", err)
				}
				if f.Summary().Restarts != 0 || len(ids(sink)) > 3 {
					t.Errorf("%d restarts, wrote %v", f.Summary().Restarts, ids(sink))
				}
			})
		})
	}
}

// ahead is a source that cannot be stopped before it has handed over all that
// it was delivered.
type ahead struct{ *scriptSession }

func (ahead) Stop(context.Context) error { return nil }

// A flow that lets through ten records a second has a thousand before it.
func TestADrainDoesNotWaitForAllThatWasDeliveredAhead(t *testing.T) {
	for _, durable := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			s, sink := &script{events: records(1000), idle: true, ack: true}, &collector{}
			p := newPlan([]*script{s}, []*collector{sink}, 10)
			p.Sources[0].Rate, p.Sources[0].Per = 10, time.Second
			open := p.Sources[0].Spec.New
			p.Sources[0].Spec.New = func(rt stage.Runtime) stage.Source { return ahead{open(rt).(*scriptSession)} }
			var config engine.Config
			if durable {
				config.Store = lasting{checkpoint.NewMemory()}
			}
			f := engine.New(config).Start(p)
			time.Sleep(5 * time.Second)
			began := time.Now()
			ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
			defer cancel()
			if err := f.Drain(ctx); err != nil {
				t.Error(err)
			}
			if took := time.Since(began); took > 11*time.Second {
				t.Errorf("the drain took %v", took)
			}
			_ = mustEnd(t, f)
			s.mu.Lock()
			defer s.mu.Unlock()
			if n := len(ids(sink)); n < 100 || n > 200 || s.settled != n {
				t.Errorf("%d records came through, and %d were acknowledged", n, s.settled)
			}
		})
	}
}

// A change of a source does not wait for all of it either, and nothing of it is
// lost or comes twice.
func TestAChangeDoesNotWaitForAllThatWasDeliveredAhead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const n = 1000
		st := &stand{store: lasting{checkpoint.NewMemory()}, script: &script{events: records(n), idle: true, ack: true}, sink: &collector{}}
		st.Host = engine.NewHost(engine.HostConfig{
			Engine: engine.Config{Store: st.store}, DrainTimeout: 30 * time.Second,
			Compile: func(file string, src []byte, set map[string]string) (*plan.Plan, diag.List) {
				p, list := st.compile(file, src, set)
				if p != nil {
					open := p.Sources[0].Spec.New
					p.Sources[0].Spec.New = func(rt stage.Runtime) stage.Source { return ahead{open(rt).(*scriptSession)} }
				}
				return p, list
			},
		})
		f, list := st.Start("flow", variant{Name: "flow", Source: "one", Slow: 10}.text(), nil)
		if list.HasErrors() {
			t.Fatal(list)
		}
		time.Sleep(5 * time.Second)
		for _, v := range []variant{{Name: "flow", Source: "two", Slow: 10}, {Name: "flow", Source: "three"}} {
			began := time.Now()
			if r := <-st.Submit(change.Change{Flow: "flow", Source: v.text()}); r.Outcome != change.Applied {
				t.Fatal(r)
			}
			if took := time.Since(began); took > 11*time.Second {
				t.Errorf("the change took %v", took)
			}
		}
		time.Sleep(time.Minute)
		got := ids(st.sink)
		for i, id := range got {
			if id != "s0/"+strconv.Itoa(i) {
				t.Errorf("record %d is %s", i, id)
				break
			}
		}
		if len(got) != n {
			t.Errorf("%d of %d records came through", len(got), n)
		}
		st.Close()
		f.Stop()
		<-f.Done()
	})
}

// TestAnOutageIsToldOfNowAndThenAndItsEndIsSeenSoon: a source is away for an
// hour.
func TestAnOutageIsToldOfNowAndThenAndItsEndIsSeenSoon(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, sink := &script{events: records(3), idle: true, ack: true, away: true}, &collector{}
		var log bytes.Buffer
		f := engine.New(engine.Config{Log: slog.New(slog.NewJSONHandler(&log, nil))}).Start(newPlan([]*script{s}, []*collector{sink}, 10))
		const outage = time.Hour
		time.Sleep(outage)
		restarts := f.Summary().Restarts
		s.mu.Lock()
		s.away = false
		s.mu.Unlock()
		time.Sleep(10 * time.Second) // some more than the longest pause
		if got := len(ids(sink)); got != 3 {
			t.Errorf("%d records came through when the source was back, want 3", got)
		}
		f.Stop()
		_ = mustEnd(t, f)
		lines, times := 0, 0
		for dec := json.NewDecoder(&log); dec.More(); {
			var line struct {
				Msg   string
				Times int
			}
			if err := dec.Decode(&line); err != nil {
				t.Fatal(err)
			}
			if line.Msg == "starting again from the last commit" {
				lines++
				times += line.Times
			}
		}
		if most := 3 + int(outage/(30*time.Second)); lines < 3 || lines > most {
			t.Errorf("the outage was told of in %d lines, want 3 to %d", lines, most)
		}
		if restarts-times > 10 || times > restarts {
			t.Errorf("the lines tell of %d restarts of %d", times, restarts)
		}
	})
}
