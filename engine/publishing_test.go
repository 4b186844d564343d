package engine_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/telluride-stream/telluride/engine"
	"github.com/telluride-stream/telluride/engine/change"
	"github.com/telluride-stream/telluride/engine/checkpoint"
	"github.com/telluride-stream/telluride/engine/diag"
	"github.com/telluride-stream/telluride/engine/plan"
	"github.com/telluride-stream/telluride/engine/record"
	"github.com/telluride-stream/telluride/engine/stage"
)

// board is a sink of telemetry, and what it was told.
type board struct {
	mu     sync.Mutex
	away   error // nil: it works
	hangs  bool  // a write lasts until it is given up
	panics bool
	opens  int
	open   int
	got    []told
}

type told struct {
	at   time.Duration // since the beginning
	text string
	name string // what a template over the fields would find
}

type boarding struct {
	*board
	began time.Time
}

func (b *board) sink(name string) *plan.TelemetrySink {
	began := time.Now()
	l := record.NewLayout()
	l.Slot(record.Path{{Key: "name"}})
	return &plan.TelemetrySink{Name: name, Signature: name, Layout: l, Spec: stage.SinkSpec{
		New: func(stage.Runtime) stage.Sink { return boarding{b, began} },
	}}
}

func (b boarding) Open(context.Context) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.opens++
	if b.away == nil {
		b.open++
	}
	return b.away
}

func (b boarding) Write(ctx context.Context, records []record.Record) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.panics {
		panic("no more")
	}
	if b.hangs {
		b.mu.Unlock()
		<-ctx.Done()
		b.mu.Lock()
		return 0, ctx.Err()
	}
	if b.away != nil {
		return 0, b.away
	}
	for i := range records {
		one := told{at: time.Since(b.began), text: string(records[i].Payload)}
		if v := records[i].Fields[0]; v.Kind() == record.String {
			one.name = v.Str()
		}
		b.got = append(b.got, one)
	}
	return len(records), nil
}

func (b boarding) Flush(done func(error)) { done(nil) }

func (b boarding) Close() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.open--
	return nil
}

func (b *board) take() []told {
	b.mu.Lock()
	defer b.mu.Unlock()
	got := b.got
	b.got = nil
	return got
}

// opened is how often it was opened, and is now.
func (b *board) opened() (times, now int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.opens, b.open
}

func (b *board) set(f func(*board)) {
	b.mu.Lock()
	defer b.mu.Unlock()
	f(b)
}

// aSecond is a script of so many records, one a second, and none at the
// instants at which something is published.
func aSecond(n int) *script {
	s := &script{idle: true}
	for i := range n {
		s.events = append(s.events, event{wait: time.Second, keys: []int{i}})
	}
	s.events[0].wait += time.Second / 2
	return s
}

func TestTelemetryIsPublishedEachIntervalAndNodesOnlyWhenTheyChanged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes, throughput := &board{}, &board{}
		p := newPlan([]*script{aSecond(10)}, []*collector{{}}, 0)
		p.Telemetry = &plan.Telemetry{Interval: 2 * time.Second, Nodes: nodes.sink("nodes"), Throughput: throughput.sink("throughput")}
		f := engine.New(engine.Config{}).Start(p)
		time.Sleep(30*time.Second + time.Millisecond)
		got, done := nodes.take(), throughput.take()
		// A source and a sink, in six intervals of fifteen.
		if len(got) != 2*6 {
			t.Errorf("there are %d messages of nodes: %+v", len(got), got)
		}
		for _, m := range got {
			if m.at%(2*time.Second) != 0 || m.at > 12*time.Second || m.name != "s0" && m.name != "sink0" {
				t.Errorf("%+v", m)
			}
		}
		if len(done) < 14 || len(done) > 15 {
			t.Errorf("there are %d messages of the flow", len(done))
		}
		var last struct {
			Earliest   int64 `json:"earliest_raw_time"`
			Last       int64 `json:"last_raw_time"`
			Total      int   `json:"total_message_count"`
			Failed     int   `json:"total_failed_count"`
			Successful int   `json:"total_successful_count"`
		}
		if err := json.Unmarshal([]byte(done[len(done)-1].text), &last); err != nil || last.Total != 10 || last.Failed != 0 || last.Successful != 10 ||
			last.Last-last.Earliest < int64(9*time.Second) || last.Last-last.Earliest > int64(10*time.Second) {
			t.Errorf("at the end: %s (%v)", done[len(done)-1].text, err)
		}
		f.Stop()
		<-f.Done()
		if nodes.open != 0 || throughput.open != 0 || nodes.opens != 1 {
			t.Errorf("behind the end %d and %d sinks are open; one was opened %d times", nodes.open, throughput.open, nodes.opens)
		}
	})
}

// A flow that is shorter than the interval tells what it did when it ends.
func TestTheLastNumbersArePublishedAtTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		throughput := &board{}
		p := newPlan([]*script{{events: records(7)}}, []*collector{{}}, 0)
		p.Telemetry = &plan.Telemetry{Interval: time.Hour, Throughput: throughput.sink("throughput")}
		f := engine.New(engine.Config{}).Start(p)
		<-f.Done()
		if got := throughput.take(); len(got) != 1 || !strings.Contains(got[0].text, `"total_message_count":7,"total_failed_count":0`) {
			t.Errorf("%+v", got)
		}
	})
}

// Whatever a sink of telemetry does, the flow goes on as without it, the log
// has one line for each time that it went away or came back, and what
// is published then is the newest.
func TestASinkOfTelemetryThatIsAwayDoesNotHoldTheFlowUp(t *testing.T) {
	for name, fault := range map[string]func(*board){
		"refuses": func(b *board) { b.away = errors.New("away") },
		"for good": func(b *board) {
			b.away = stage.Permanent(errors.New("no such exchange"))
		},
		"hangs":  func(b *board) { b.hangs = true },
		"panics": func(b *board) { b.panics = true },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				nodes, sink := &board{}, &collector{}
				p := newPlan([]*script{aSecond(600)}, []*collector{sink}, 0)
				p.Telemetry = &plan.Telemetry{Interval: time.Second, Nodes: nodes.sink("nodes")}
				var log bytes.Buffer
				f := engine.New(engine.Config{Log: slog.New(slog.NewTextHandler(&log, nil))}).Start(p)
				time.Sleep(5*time.Second + time.Millisecond)
				nodes.set(fault)
				if len(nodes.take()) == 0 {
					t.Error("nothing is published while all is well")
				}
				time.Sleep(5 * time.Minute)
				if n := len(ids(sink)); n != 304 {
					t.Errorf("%d records have passed, want 304", n)
				}
				if n, _ := nodes.opened(); n > 30 {
					t.Errorf("the sink was opened %d times in five minutes", n)
				}
				nodes.set(func(b *board) { b.away, b.hangs, b.panics = nil, false, false })
				nodes.take()
				time.Sleep(40 * time.Second)
				got := nodes.take()
				if len(got) < 2 || !strings.Contains(got[0].text, `"msg_count":3`) {
					t.Errorf("behind the fault come %+v", got)
				}
				text := log.String()
				if strings.Count(text, "telemetry is not published") != 1 || strings.Count(text, "telemetry is published again") != 1 || strings.Count(text, "\n") != 2 {
					t.Errorf("the log is\n%s", text)
				}
				f.Stop()
				<-f.Done()
			})
		})
	}
}

// A sink that is away, or hangs, does not hold up the end of a flow for long.
func TestAFlowEndsThoughItsTelemetryCannotBePublished(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := &board{hangs: true}
		p := newPlan([]*script{aSecond(10)}, []*collector{{}}, 0)
		p.Telemetry = &plan.Telemetry{Interval: time.Minute, Nodes: nodes.sink("nodes")}
		f := engine.New(engine.Config{}).Start(p)
		time.Sleep(30 * time.Second)
		began := time.Now()
		f.Stop()
		<-f.Done()
		if took := time.Since(began); took > time.Second {
			t.Errorf("the flow took %v to end", took)
		}
	})
}

// A change that leaves the telemetry alone leaves its connection alone too.
func TestTelemetryOutlivesChanges(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		first, second := &board{}, &board{}
		script := aSecond(100)
		st := &stand{store: lasting{checkpoint.NewMemory()}, script: script, sink: &collector{}}
		one, two := first.sink("nodes"), second.sink("others")
		st.Host = engine.NewHost(engine.HostConfig{
			Engine: engine.Config{Store: st.store}, DrainTimeout: time.Second,
			Compile: func(file string, src []byte, set map[string]string) (*plan.Plan, diag.List) {
				p, list := st.compile(file, src, set)
				if p != nil {
					p.Telemetry = &plan.Telemetry{Interval: time.Second, Nodes: one}
					if p.Sources[0].Rate == 500 {
						p.Telemetry.Nodes = two
					}
				}
				return p, list
			},
		})
		f, list := st.Start("flow", variant{Name: "flow"}.text(), nil)
		if list.HasErrors() {
			t.Fatal(list)
		}
		change := func(slow string) {
			if r := <-st.Submit(change.Change{Flow: "flow", Set: map[string]string{"slow": slow}}); r.Outcome != change.Applied {
				t.Fatal(r)
			}
			time.Sleep(5 * time.Second)
		}
		change("100")
		change("200")
		if n, _ := first.opened(); n != 1 || len(first.take()) < 8 {
			t.Errorf("after two changes the sink was opened %d times", n)
		}
		change("500")
		first.take()
		time.Sleep(5 * time.Second)
		_, still := first.opened()
		if n, _ := second.opened(); still != 0 || n != 1 || len(first.take()) != 0 || len(second.take()) < 8 {
			t.Errorf("the sink is open %d times, the other was opened %d times", still, n)
		}
		st.Close()
		f.Stop()
		<-f.Done()
	})
}
