package engine_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
	"pgregory.net/rapid"

	"github.com/telluride-stream/telluride/engine"
	"github.com/telluride-stream/telluride/engine/checkpoint"
	"github.com/telluride-stream/telluride/engine/expr"
	"github.com/telluride-stream/telluride/engine/plan"
	"github.com/telluride-stream/telluride/engine/record"
	"github.com/telluride-stream/telluride/engine/stage"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// world is a random flow over scripted sources and sinks.
type world struct {
	plan    *plan.Plan
	sources []*script
	sinks   []*collector
	dead    *collector // nil: the sources reject
	pickies map[*plan.Operator]*picky
	// interrupts are what ends the runs before the last one.
	interrupts []interrupt
	faults     bool // sessions are lost or the flow is stopped: outputs may repeat
	tallies    int
	text       []string
}

type interrupt struct {
	after time.Duration
	drain bool
}

// fate is what becomes of a record on its way.
type fate uint8

const (
	arrives fate = iota
	dies
	filtered
)

func program(l *record.Layout, source string) *expr.Program {
	p, err := expr.Compile(source, expr.Env{Layout: l, Schema: &expr.Schema{Open: true}})
	if err != nil {
		panic(err)
	}
	return p
}

func partition(l *record.Layout, lanes int) *plan.Partition {
	return &plan.Partition{Name: "partition", Lanes: lanes, Key: &stage.Key{Fields: []stage.KeyField{
		{Name: "key", Source: "key", Program: program(l, "key")},
	}}}
}

// newPlan is a plan without nodes over sources and sinks.
func newPlan(sources []*script, sinks []*collector, prefetch int) *plan.Plan {
	l := testLayout()
	p := &plan.Plan{Name: "flow", Layout: l, Reads: l.Len(), Tick: 10 * time.Millisecond, Checkpoint: 100 * time.Millisecond, Batch: 8, Attempts: 3}
	for i, s := range sources {
		if s.name == "" {
			s.name = "s" + strconv.Itoa(i)
		}
		p.Sources = append(p.Sources, plan.Source{Name: s.name, Spec: s.spec(prefetch)})
	}
	for i, s := range sinks {
		p.Sinks = append(p.Sinks, plan.Sink{Name: "sink" + strconv.Itoa(i), Spec: s.spec()})
	}
	return p
}

func drawWorld(t *rapid.T) *world {
	w := &world{pickies: map[*plan.Operator]*picky{}}
	ack := rapid.Bool().Draw(t, "queues")
	prefetch := 0
	if ack {
		prefetch = rapid.IntRange(1, 40).Draw(t, "prefetch")
	}
	for range rapid.IntRange(1, 3).Draw(t, "sources") {
		s := &script{ack: ack}
		for range rapid.IntRange(0, 12).Draw(t, "events") {
			e := event{
				wait: time.Duration(rapid.SampledFrom([]int{0, 0, 0, 1, 15, 120}).Draw(t, "wait")) * time.Millisecond,
				keys: rapid.SliceOfN(rapid.IntRange(0, 5), 0, 12).Draw(t, "keys"),
			}
			if prefetch > 0 && len(e.keys) > prefetch {
				e.keys = e.keys[:prefetch]
			}
			// A queue whose messages carry no ids counts twice what it
			// delivers twice, so sessions are lost only where there are positions.
			e.lose = !ack && rapid.IntRange(0, 9).Draw(t, "lose") == 0
			w.faults = w.faults || e.lose
			s.events = append(s.events, e)
		}
		w.sources = append(w.sources, s)
	}
	for range rapid.IntRange(1, 2).Draw(t, "sinks") {
		c := &collector{delay: time.Duration(rapid.IntRange(0, 1).Draw(t, "delay")*30) * time.Millisecond, failWrites: map[int]error{}, failFlushes: map[int]error{}}
		for range rapid.IntRange(0, 2).Draw(t, "failures") {
			c.failWrites[rapid.IntRange(1, 10).Draw(t, "write")] = errors.New("busy")
			c.failFlushes[rapid.IntRange(1, 4).Draw(t, "flush")] = errors.New("busy")
		}
		c.poison = w.drawIDs(t, "poison")
		w.sinks = append(w.sinks, c)
	}
	w.plan = newPlan(w.sources, w.sinks, prefetch)
	if rapid.Bool().Draw(t, "dead letters") {
		w.dead = &collector{failWrites: map[int]error{}, failFlushes: map[int]error{}, letterOf: func(o record.Origin) string {
			return w.sources[o.Source].idOf(o.Seq)
		}}
		w.dead.failWrites[rapid.IntRange(1, 4).Draw(t, "write")] = errors.New("busy")
		w.dead.failFlushes[rapid.IntRange(1, 4).Draw(t, "flush")] = errors.New("busy")
		w.plan.Dead = &plan.Sink{Name: "dead", Spec: w.dead.spec()}
	}
	for range rapid.IntRange(0, 3).Draw(t, "interrupts") {
		i := interrupt{
			after: time.Duration(rapid.SampledFrom([]int{0, 1, 16, 40, 130, 300}).Draw(t, "after")) * time.Millisecond,
			drain: rapid.Bool().Draw(t, "drain"),
		}
		w.faults = w.faults || !i.drain
		w.interrupts = append(w.interrupts, i)
	}
	w.plan.Batch = rapid.SampledFrom([]int{1, 2, 8, 100}).Draw(t, "batch")
	w.plan.Nodes = w.drawNodes(t, 0)
	// Totals are of whole keys only behind a partition.
	w.plan.Stateful = w.tallies > 0
	markFlushAlways(w.plan.Nodes, false)
	return w
}

func (w *world) drawNodes(t *rapid.T, depth int) []plan.Node {
	var nodes []plan.Node
	for range rapid.IntRange(0, 3).Draw(t, "nodes") {
		switch kind := rapid.IntRange(0, 4).Draw(t, "kind"); {
		case kind == 0:
			lanes := rapid.IntRange(1, 4).Draw(t, "lanes")
			nodes = append(nodes, partition(w.plan.Layout, lanes))
			w.text = append(w.text, fmt.Sprintf("partition %d", lanes))
		case kind == 1:
			size := rapid.IntRange(1, 7).Draw(t, "size")
			timeout := time.Duration(rapid.SampledFrom([]int{5, 50, 3_600_000}).Draw(t, "timeout")) * time.Millisecond
			nodes = append(nodes, &plan.Operator{Name: w.name("keeper"), Kind: "keeper", Spec: keeperSpec(size, timeout)})
		case kind == 2 && depth == 0:
			nodes = append(nodes, partition(w.plan.Layout, rapid.IntRange(1, 4).Draw(t, "lanes")),
				&plan.Operator{Name: w.name("tally"), Kind: "tally", Spec: tallySpec()})
			w.tallies++
		case kind == 3 && depth < 2:
			nodes = append(nodes, &plan.Route{Name: w.name("route"), Branches: []plan.Branch{
				{Name: "low", When: program(w.plan.Layout, `key < "k3"`), Nodes: w.drawNodes(t, depth+1)},
				{Name: "rest", Nodes: w.drawNodes(t, depth+1)},
			}})
		default:
			p := &picky{panics: w.drawIDs(t, "panics"), errs: w.drawIDs(t, "errs"), filters: w.drawIDs(t, "filters")}
			n := &plan.Operator{Name: w.name("picky"), Kind: "picky", Spec: stage.OperatorSpec{
				RecordWise: true, New: func() stage.Operator { return p },
			}}
			w.pickies[n] = p
			nodes = append(nodes, n)
		}
	}
	return nodes
}

// drawIDs draws the names of a few records.
func (w *world) drawIDs(t *rapid.T, what string) map[string]bool {
	ids := map[string]bool{}
	for range rapid.IntRange(0, 2).Draw(t, what) {
		s := rapid.SampledFrom(w.sources).Draw(t, "of")
		if n := s.total(); n > 0 {
			ids[w.id(s, rapid.IntRange(0, n-1).Draw(t, "id"))] = true
		}
	}
	return ids
}

func (w *world) id(s *script, id int) string {
	for i := range w.sources {
		if w.sources[i] == s {
			return "s" + strconv.Itoa(i) + "/" + strconv.Itoa(id)
		}
	}
	panic("no such source")
}

// fateOf follows a record through nodes, and says whether it was counted.
func (w *world) fateOf(nodes []plan.Node, id, key string) (f fate, counted bool) {
	for _, n := range nodes {
		switch n := n.(type) {
		case *plan.Operator:
			counted = counted || n.Kind == "tally"
			if p := w.pickies[n]; p != nil {
				switch {
				case p.panics[id], p.errs[id]:
					return dies, counted
				case p.filters[id]:
					return filtered, counted
				}
			}
		case *plan.Route:
			b := n.Branches[1]
			if key < "k3" {
				b = n.Branches[0]
			}
			if f, _ := w.fateOf(b.Nodes, id, key); f != arrives {
				return f, counted
			}
		}
	}
	return arrives, counted
}

// deaths is how many dead letters a record becomes: one on its way, or one
// for every sink that does not take it.
func (w *world) deaths(id, key string) (n int) {
	switch f, _ := w.fateOf(w.plan.Nodes, id, key); f {
	case dies:
		return 1
	case arrives:
		for _, sink := range w.sinks {
			if sink.poison[id] {
				n++
			}
		}
	}
	return n
}

func (w *world) name(kind string) string {
	w.text = append(w.text, kind)
	return kind + strconv.Itoa(len(w.text))
}

// markFlushAlways does what the compiler does: what holds records in front of
// state lets them go at every barrier. It says whether there is state in nodes.
func markFlushAlways(nodes []plan.Node, behind bool) bool {
	for i := len(nodes) - 1; i >= 0; i-- {
		switch n := nodes[i].(type) {
		case *plan.Operator:
			n.FlushAlways = n.Spec.Holds && behind
			behind = behind || n.Spec.Stateful
		case *plan.Route:
			in := behind
			for _, b := range n.Branches {
				in = markFlushAlways(b.Nodes, behind) || in
			}
			behind = in
		}
	}
	return behind
}

// TestNothingIsLostWhateverTheFlow runs random flows, with waits, lost
// sessions, failing sinks, broken records, and drains and stops behind which
// another run goes on, and checks the promises from outside: what is settled
// is durable; everything arrives, is filtered, or becomes a dead letter, and
// only after a fault more than once; equal keys keep their order; state is
// exact; the ledger balances; and every goroutine ends.
func TestNothingIsLostWhateverTheFlow(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		w := drawWorld(rt)
		var problem string
		synctest.Test(t, func(*testing.T) { problem = w.run() })
		if problem != "" {
			rt.Fatalf("%s\nflow: %s", problem, strings.Join(w.text, " → "))
		}
	})
}

func (w *world) run() (problem string) {
	fail := func(format string, args ...any) {
		if problem == "" {
			problem = fmt.Sprintf(format, args...)
		}
	}
	for _, s := range w.sources {
		s.onSettle = func(ids []int) {
			for _, id := range ids {
				w.checkSettled(s, id, fail)
			}
		}
	}
	store := lasting{checkpoint.NewMemory()}
	for _, i := range w.interrupts {
		f := engine.New(engine.Config{Workers: 2, Store: store}).Start(w.plan)
		select {
		case <-f.Done():
		case <-time.After(i.after):
		}
		drained := i.drain && f.Drain(context.Background()) == nil
		f.Stop()
		if !w.ended(f, fail) {
			return problem
		}
		if err := f.Wait(); drained && (err != nil || f.Summary().Unsaved > 0) {
			fail("drained, but %d records are not saved (%v)", f.Summary().Unsaved, err)
		}
		if w.complete(f, store) {
			w.checkAll(f, fail)
			return problem
		}
	}
	f := engine.New(engine.Config{Workers: 2, Store: store}).Start(w.plan)
	if !w.ended(f, fail) {
		return problem
	}
	if err := f.Wait(); err != nil {
		return err.Error()
	}
	w.checkAll(f, fail)
	return problem
}

// complete says whether a run came to the end of its input before it was
// interrupted: there is nothing to resume then, and another run would begin anew.
func (w *world) complete(f *engine.Flow, store checkpoint.Store) bool {
	_, resumes, _ := store.Last(w.plan.Name)
	for _, s := range w.sources {
		s.mu.Lock()
		resumes = resumes || !s.eof
		s.mu.Unlock()
	}
	return f.Wait() == nil && !resumes
}

// checkAll checks what must be so when everything has been read.
func (w *world) checkAll(f *engine.Flow, fail func(string, ...any)) {
	for _, sink := range w.sinks {
		w.check(sink, fail)
	}
	w.checkDead(fail)
	for _, row := range f.Ledger.Rows() {
		if c := row.Counts(); c.Held != 0 {
			fail("%s holds something at the end: %+v", row.Name, c)
		}
	}
}

// lasting is a store that is said to outlive the process, so that a drain
// keeps state rather than let it go.
type lasting struct{ *checkpoint.Memory }

func (lasting) Durable() bool { return true }

// ended waits for a flow, and checks what must be so however it ends.
func (w *world) ended(f *engine.Flow, fail func(string, ...any)) bool {
	select {
	case <-f.Done():
	case <-time.After(time.Hour):
		fail("the flow does not end")
		return false
	}
	for _, sink := range append([]*collector{w.dead}, w.sinks...) {
		if sink != nil && sink.open {
			fail("a sink was left open")
		}
	}
	for _, row := range f.Ledger.Rows() {
		if c := row.Counts(); !c.Balanced() {
			fail("the ledger of %s does not balance: %+v", row.Name, c)
		}
	}
	return true
}

// checkSettled checks that nothing of a delivery is missing when it is
// settled. The script is locked.
func (w *world) checkSettled(s *script, id int, fail func(string, ...any)) {
	name, key := s.name+"/"+strconv.Itoa(id), s.keyOf(id)
	durable := func(c *collector) bool {
		c.mu.Lock()
		defer c.mu.Unlock()
		return c.durable[name] > 0
	}
	if f, _ := w.fateOf(w.plan.Nodes, name, key); f == arrives {
		for _, sink := range w.sinks {
			if !sink.poison[name] && !durable(sink) {
				fail("%s was settled before it was durable", name)
			}
		}
	}
	if w.deaths(name, key) > 0 {
		if w.dead != nil && !durable(w.dead) {
			fail("%s was settled before its dead letter was durable", name)
		}
		if w.dead == nil && !slices.Contains(s.rejects, id) {
			fail("%s was acknowledged, not rejected", name)
		}
	}
}

// checkDead checks that exactly the right records are dead letters.
func (w *world) checkDead(fail func(string, ...any)) {
	letters := map[string]int{}
	if w.dead != nil {
		for _, g := range w.dead.got {
			letters[g.id]++
		}
	}
	for _, s := range w.sources {
		for _, id := range s.rejects {
			letters[s.name+"/"+strconv.Itoa(id)]++
		}
		for id := range s.total() {
			name := s.name + "/" + strconv.Itoa(id)
			want := w.deaths(name, s.keyOf(id))
			if w.dead == nil {
				want = min(want, 1) // a delivery is rejected once
			}
			if n := letters[name]; n < want || n > want && (!w.faults || want == 0) {
				fail("%s became %d dead letters, want %d", name, n, want)
			}
		}
	}
}

func (w *world) check(sink *collector, fail func(string, ...any)) {
	times := map[string]int{}
	last := map[string]int{}
	for _, g := range sink.got {
		if g.id == "" {
			continue
		}
		times[g.id]++
		source, number, _ := strings.Cut(g.id, "/")
		n, _ := strconv.Atoi(number)
		of := source + " " + g.key
		if !w.faults && n <= last[of]-1 {
			fail("%s of %s came behind %d", g.id, g.key, last[of]-1)
		}
		last[of] = n + 1
	}
	for _, s := range w.sources {
		for id := range s.total() {
			name := s.name + "/" + strconv.Itoa(id)
			if f, _ := w.fateOf(w.plan.Nodes, name, s.keyOf(id)); f != arrives || sink.poison[name] {
				if times[name] > 0 {
					fail("%s came, though it was not to", name)
				}
				continue
			}
			if n := times[name]; n == 0 || n > 1 && !w.faults {
				fail("%s came %d times", name, n)
			}
			if sink.durable[name] == 0 {
				fail("%s never became durable", name)
			}
		}
	}
	w.checkTallies(sink, fail)
}

// checkTallies compares the totals with a count of the scripts. The totals of
// a tally are counted by one behind it, so only the last one is compared:
// records with an id are what it counts.
func (w *world) checkTallies(sink *collector, fail func(string, ...any)) {
	if w.tallies != 1 {
		return
	}
	want := map[string]int64{}
	for _, s := range w.sources {
		for id := range s.total() {
			if _, counted := w.fateOf(w.plan.Nodes, s.name+"/"+strconv.Itoa(id), s.keyOf(id)); counted {
				want[string(record.AppendKey(nil, record.StringValue(s.keyOf(id))))]++
			}
		}
	}
	have := map[string]int64{}
	for _, g := range sink.got {
		if key, ok := strings.CutPrefix(g.key, "total of "); ok {
			have[key] = g.total // the last one counts: an earlier end may not have been committed
		}
	}
	for key, n := range want {
		if have[key] != n {
			fail("the total of %q is %d, want %d", key, have[key], n)
		}
	}
	if len(have) != len(want) {
		fail("totals of %d keys, want %d", len(have), len(want))
	}
}
