package engine_test

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
	"pgregory.net/rapid"

	"github.com/telluride-stream/telluride/engine"
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
	faults  bool // sessions are lost or flushes fail: outputs may repeat
	tallies int
	routed  bool
	text    []string
}

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
	p := &plan.Plan{Name: "flow", Layout: l, Reads: l.Len(), Tick: 10 * time.Millisecond, Checkpoint: 100 * time.Millisecond, Batch: 8}
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
	w := &world{}
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
		w.sinks = append(w.sinks, c)
	}
	w.plan = newPlan(w.sources, w.sinks, prefetch)
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
			w.routed = true
			nodes = append(nodes, &plan.Route{Name: w.name("route"), Branches: []plan.Branch{
				{Name: "low", When: program(w.plan.Layout, `key < "k3"`), Nodes: w.drawNodes(t, depth+1)},
				{Name: "rest", Nodes: w.drawNodes(t, depth+1)},
			}})
		default:
			nodes = append(nodes, &plan.Operator{Name: w.name("picky"), Kind: "picky", Spec: stage.OperatorSpec{
				RecordWise: true, New: func() stage.Operator { return &picky{} },
			}})
		}
	}
	return nodes
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
// sessions and failing sinks, and checks the promises from outside: what is
// settled is durable; everything arrives, and only after a fault more than
// once; equal keys keep their order; state is exact; the ledger balances; and
// every goroutine ends.
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
				for _, sink := range w.sinks {
					sink.mu.Lock()
					if sink.durable[s.name+"/"+strconv.Itoa(id)] == 0 {
						fail("%s/%d was settled before it was durable", s.name, id)
					}
					sink.mu.Unlock()
				}
			}
		}
	}
	f := engine.New(engine.Config{Workers: 2}).Start(w.plan)
	select {
	case <-f.Done():
	case <-time.After(time.Hour):
		return "the flow does not end"
	}
	if err := f.Wait(); err != nil {
		return err.Error()
	}
	for _, sink := range w.sinks {
		if sink.open {
			fail("a sink was left open")
		}
		w.check(sink, fail)
	}
	for _, row := range f.Ledger.Rows() {
		if c := row.Counts(); !c.Balanced() || c.Held != 0 {
			fail("the ledger of %s does not balance: %+v", row.Name, c)
		}
	}
	return problem
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
			want[string(record.AppendKey(nil, record.StringValue(s.keyOf(id))))]++
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
