package engine_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/telluride-stream/telluride/engine"
	"github.com/telluride-stream/telluride/engine/checkpoint"
	"github.com/telluride-stream/telluride/engine/plan"
	"github.com/telluride-stream/telluride/engine/record"
	"github.com/telluride-stream/telluride/engine/stage"
)

// life is one life of a process: from die on nothing that it does has an effect.
type life struct {
	once  sync.Once
	ended chan struct{}
	mu    sync.Mutex // held while something has an effect
	dead  bool
}

func newLife() *life { return &life{ended: make(chan struct{})} }

func (l *life) die() {
	l.once.Do(func() {
		l.mu.Lock()
		l.dead = true
		l.mu.Unlock()
		close(l.ended)
	})
}

var errDied = errors.New("the process has died")

// does has an effect, in one piece, if the process lives.
func (l *life) does(effect func() error) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.dead {
		return errDied
	}
	return effect()
}

// mortalStore is a store of one life, over what outlives it.
type mortalStore struct {
	lasting
	*life
}

func (s mortalStore) Commit(c checkpoint.Commit) error {
	return s.does(func() error { return s.lasting.Commit(c) })
}

func (s mortalStore) SetControl(flow string, c []checkpoint.Change) error {
	return s.does(func() error { return s.lasting.SetControl(flow, c) })
}

type mortalSource struct {
	stage.Source
	*life
}

func (s mortalSource) Settle(ctx context.Context, what stage.Settlement) error {
	return s.does(func() error { return s.Source.Settle(ctx, what) })
}

type mortalSink struct {
	stage.Sink
	*life
}

func (s mortalSink) Write(ctx context.Context, r []record.Record) (n int, err error) {
	err = s.does(func() error {
		n, err = s.Sink.Write(ctx, r)
		return err
	})
	return n, err
}

// killer ends the life at some records.
type killer struct {
	*life
	deadly map[string]bool
}

func (k killer) Process(_ *stage.Context, r *record.Record) stage.Verdict {
	if k.deadly[r.Field(slotID).Str()] {
		k.die()
	}
	return stage.Pass
}

// mortals are flows of one process over what outlives it.
type mortals struct {
	store  lasting
	flows  []*mortalFlow
	kills  []time.Duration // when the first lives end from outside
	killed atomic.Int32
	lives  int
	alone  map[string]int // ends at which a record was alone in flight, by its id
}

type mortalFlow struct {
	name     string
	sources  []*script
	sink     *collector
	dead     *collector
	deadly   map[string]bool
	prefetch int
	batch    int
	holds    bool
	stateful bool
	hangs    bool // the sink
}

func drawMortals(t *rapid.T) *mortals {
	m := &mortals{store: lasting{checkpoint.NewMemory()}, alone: map[string]int{}}
	for i := range rapid.IntRange(1, 2).Draw(t, "flows") {
		f := &mortalFlow{
			name: "f" + strconv.Itoa(i), deadly: map[string]bool{},
			batch: rapid.SampledFrom([]int{1, 8, 100}).Draw(t, "batch"), holds: rapid.Bool().Draw(t, "holds"), stateful: rapid.Bool().Draw(t, "stateful"),
		}
		delay := time.Duration(rapid.SampledFrom([]int{0, 1, 30}).Draw(t, "delay")) * time.Millisecond
		f.sink, f.dead = &collector{delay: delay}, &collector{delay: delay}
		ack := rapid.Bool().Draw(t, "queue")
		if ack {
			f.prefetch = rapid.SampledFrom([]int{12, 100, 5000}).Draw(t, "prefetch")
		}
		for j := range rapid.IntRange(1, 2).Draw(t, "sources") {
			s := &script{name: fmt.Sprintf("%s.s%d", f.name, j), ack: ack, ids: true, idle: true}
			for range rapid.IntRange(0, 6).Draw(t, "events") {
				s.events = append(s.events, event{
					wait: time.Duration(rapid.SampledFrom([]int{0, 0, 3, 400}).Draw(t, "wait")) * time.Millisecond,
					keys: make([]int, rapid.IntRange(0, 12).Draw(t, "records")),
				})
			}
			if n := s.total(); n > 0 {
				for range rapid.SampledFrom([]int{0, 0, 1, 3}).Draw(t, "poison") {
					f.deadly[s.name+"/"+strconv.Itoa(rapid.IntRange(0, n-1).Draw(t, "which"))] = true
				}
			}
			f.sources = append(f.sources, s)
		}
		f.dead.letterOf = func(o record.Origin) string { return f.sources[o.Source].idOf(o.Seq) }
		m.flows = append(m.flows, f)
	}
	for range rapid.IntRange(0, 12).Draw(t, "kills") {
		m.kills = append(m.kills, time.Duration(rapid.SampledFrom([]int{0, 1, 2, 5, 33, 450, 1001, 1010, 3000}).Draw(t, "kill"))*time.Millisecond)
	}
	return m
}

func (f *mortalFlow) plan(l *life) *plan.Plan {
	p := newPlan(f.sources, []*collector{f.sink}, f.prefetch)
	p.Name, p.Batch, p.Stateful = f.name, f.batch, f.stateful
	for i := range p.Sources {
		inner := p.Sources[i].Spec.New
		p.Sources[i].Spec.New = func(rt stage.Runtime) stage.Source { return mortalSource{inner(rt), l} }
	}
	p.Dead = &plan.Sink{Name: "dead", Spec: f.dead.spec()}
	for _, s := range []*plan.Sink{&p.Sinks[0], p.Dead} {
		inner := s.Spec.New
		s.Spec.New = func(rt stage.Runtime) stage.Sink { return mortalSink{inner(rt), l} }
	}
	if f.hangs {
		inner := p.Sinks[0].Spec.New
		p.Sinks[0].Spec.New = func(rt stage.Runtime) stage.Sink { return hanging{inner(rt)} }
	}
	p.Nodes = []plan.Node{&plan.Operator{Name: "killer", Kind: "killer", Spec: stage.OperatorSpec{
		RecordWise: true, New: func() stage.Operator { return killer{l, f.deadly} },
	}}, partition(p.Layout, 2)}
	if f.holds {
		p.Nodes = append(p.Nodes, &plan.Operator{Name: "keeper", Kind: "keeper", Spec: keeperSpec(5, 50*time.Millisecond)})
	}
	if f.stateful {
		p.Nodes = append(p.Nodes, &plan.Operator{Name: "tally", Kind: "tally", Spec: tallySpec()})
	}
	markFlushAlways(p.Nodes, false)
	return p
}

// live is one life. It says whether all that there is was read and settled in
// it, and the flows ended in order.
func (m *mortals) live() (complete bool, problem string) {
	l := newLife()
	e := engine.New(engine.Config{Store: mortalStore{m.store, l}})
	for _, f := range m.flows {
		e.Start(f.plan(l))
	}
	if len(m.kills) > 0 {
		killing := time.AfterFunc(m.kills[0], func() {
			m.killed.Add(1)
			l.die()
		})
		defer killing.Stop()
		m.kills = m.kills[1:]
	}
	limit := time.Now().Add(10 * time.Minute)
	for alive := true; alive && !complete && problem == ""; {
		select {
		case <-l.ended:
			alive = false
		case <-time.After(20 * time.Millisecond):
			complete = m.over()
		}
		if time.Now().After(limit) {
			problem = "the flows do not get through"
		}
	}
	for _, f := range e.Flows() {
		if complete {
			problem += drained(f)
		}
		f.Stop()
		if err := f.Wait(); complete && err != nil {
			problem += err.Error()
		}
	}
	select {
	case <-l.ended: // perhaps while it ended in order
		complete, problem = false, ""
	default:
	}
	m.lives++
	m.autopsy()
	return complete, problem
}

func drained(f *engine.Flow) string {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := f.Drain(ctx); err != nil {
		return "drain: " + err.Error()
	}
	return ""
}

func (m *mortals) over() bool {
	for _, f := range m.flows {
		if !f.over(m.store) {
			return false
		}
	}
	return true
}

// over says that a flow has read all, and all of it is settled or committed.
func (f *mortalFlow) over(store checkpoint.Store) bool {
	last, _, _ := store.Last(f.name)
	for _, s := range f.sources {
		s.mu.Lock()
		at := s.settled
		s.mu.Unlock()
		if !s.ack && last.Positions != nil && last.Positions[s.name].Bytes != nil {
			at = int(last.Positions[s.name].Bytes[7])
		}
		if at < s.total() {
			return false
		}
	}
	return true
}

// autopsy reads in the store which record was alone in flight.
func (m *mortals) autopsy() {
	for _, f := range m.flows {
		control, _ := m.store.Control(f.name)
		var note struct {
			Flight *struct {
				Records int
				Name    string
			}
		}
		if json.Unmarshal(control["poison"], &note) == nil && note.Flight != nil && note.Flight.Records == 1 {
			m.alone[strings.Fields(note.Flight.Name)[1]]++
		}
	}
}

// TestRecordsThatEndTheProcessAreFoundAndNoOthers: whatever records end the
// process, and whenever it is killed besides, all others come through, unless
// one was alone in flight at three ends; and it takes a bounded number of lives.
func TestRecordsThatEndTheProcessAreFoundAndNoOthers(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		m := drawMortals(rt)
		var problem string
		synctest.Test(t, func(*testing.T) { problem = m.run() })
		if problem != "" {
			rt.Fatal(problem)
		}
	})
}

func (m *mortals) run() string {
	deadly := 0
	for _, f := range m.flows {
		deadly += len(f.deadly)
	}
	for complete := false; !complete; {
		var problem string
		if complete, problem = m.live(); problem != "" {
			return problem
		}
		if most := 3 + 2*int(m.killed.Load()) + 6*deadly; m.lives > most {
			return fmt.Sprintf("not over after %d lives, %d of them killed, with %d deadly records", m.lives, m.killed.Load(), deadly)
		}
		time.Sleep(time.Second)
	}
	for _, f := range m.flows {
		if problem := m.check(f); problem != "" {
			return problem
		}
		if control, _ := m.store.Control(f.name); len(control) > 0 {
			return fmt.Sprintf("left behind: %q", control)
		}
	}
	return ""
}

func (m *mortals) check(f *mortalFlow) string {
	dead := map[string]int{}
	for _, g := range f.dead.got {
		dead[g.id]++
	}
	passed := map[string]bool{}
	for _, g := range f.sink.got {
		passed[g.id] = true
	}
	for _, s := range f.sources {
		for i := range s.total() {
			id := s.name + "/" + strconv.Itoa(i)
			switch {
			case f.deadly[id] && (dead[id] == 0 || passed[id]):
				return fmt.Sprintf("%s ends the process; dead %d times, passed: %v", id, dead[id], passed[id])
			case dead[id] > 0 && (m.alone[id] < 3 || !f.deadly[id] && m.killed.Load() == 0):
				return fmt.Sprintf("%s is dead, and was alone in flight at %d ends", id, m.alone[id])
			case dead[id] > 1 && m.killed.Load() == 0:
				return fmt.Sprintf("%s is dead %d times", id, dead[id])
			case dead[id] == 0 && !passed[id]:
				return fmt.Sprintf("%s is gone", id)
			}
		}
	}
	return ""
}
