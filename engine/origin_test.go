package engine_test

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/telluride-stream/telluride/engine/change"
	"github.com/telluride-stream/telluride/engine/checkpoint"
	"github.com/telluride-stream/telluride/engine/plan"
	"github.com/telluride-stream/telluride/engine/record"
)

// totalsOf are the totals that the store has of a tally.
func totalsOf(t *testing.T, store checkpoint.Store, flow, stage string) map[string]int64 {
	t.Helper()
	totals := map[string]int64{}
	err := store.State(flow, stage, func(key string, value []byte) error {
		totals[record.KeyValues(key)[0].Str()] = int64(value[len(value)-1])
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return totals
}

// TestAStageThatIsRenamedKeepsItsState renames it while the flow runs, when the
// flow has ended and the process has not, and between two runs: as it is,
// carried, and discarded.
func TestAStageThatIsRenamedKeepsItsState(t *testing.T) {
	base := variant{Name: "flow", Tally: "t", Source: "a"}
	for name, c := range map[string]struct {
		next    variant
		outcome plan.Outcome
		total   int64 // of k1 at the end, of 2 before and 1 after
	}{
		"kept":      {variant{Name: "flow", Named: "new", From: "tally", Tally: "t", Source: "a"}, plan.Kept, 3},
		"carried":   {variant{Name: "flow", Named: "new", From: "tally", Tally: "t+", Source: "a"}, plan.Carried, 3},
		"discarded": {variant{Name: "flow", Named: "new", From: "tally", Tally: "u", OnChange: "discard", Source: "a"}, plan.Discarded, 1},
		"without":   {variant{Name: "flow", Named: "new", Tally: "t", Source: "a"}, plan.New, 1},
	} {
		for _, living := range []string{"flow", "process", "nothing"} {
			t.Run(name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					s := &script{name: "s", idle: true, events: []event{{keys: []int{1, 1, 2}}, {wait: 5 * time.Second, keys: []int{1}}}}
					st := newStand(s, checkpoint.NewMemory())
					f, _ := st.Start("flow.yaml", base.text(), nil)
					time.Sleep(2 * time.Second)
					if living != "flow" {
						f.Stop()
						<-f.Done()
					}
					if living != "nothing" {
						r := <-st.Submit(change.Change{Flow: "flow", Source: c.next.text()})
						if r.Outcome != change.Applied || r.Stages[0].Outcome != c.outcome {
							t.Fatalf("%+v", r)
						}
						f = st.Flows()[0]
					} else {
						st.Close()
						st = newStand(s, st.store)
						var list error
						if f, _ = st.Start("flow.yaml", c.next.text(), nil); f == nil {
							t.Fatal(list)
						}
					}
					time.Sleep(7 * time.Second)
					st.Close()
					f.Stop()
					<-f.Done()
					if totals := totalsOf(t, st.store, "flow", "new"); totals["k1"] != c.total {
						t.Errorf("while the %s lives: the new stage has %v, want k1: %d", living, totals, c.total)
					}
					if totals := totalsOf(t, st.store, "flow", "tally"); len(totals) > 0 {
						t.Errorf("while the %s lives: the old stage still has %v", living, totals)
					}
				})
			})
		}
	}
}

// TestAFlowThatIsRenamedGoesOnFromWhatItWas: state, position and params.
func TestAFlowThatIsRenamedGoesOnFromWhatItWas(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &script{name: "s", idle: true, events: []event{{keys: []int{1, 1, 2}}, {wait: 5 * time.Second, keys: []int{1}}}}
		st := newStand(s, checkpoint.NewMemory())
		old := variant{Name: "old", Tally: "t", Source: "a"}
		f, _ := st.Start("flow.yaml", old.text(), nil)
		time.Sleep(2 * time.Second)
		<-st.Submit(change.Change{Flow: "old", Set: map[string]string{"slow": "7"}, From: "queue"})

		next := variant{Name: "next", WasFlow: "old", Tally: "t", Source: "a"}
		if other, list := st.Start("next.yaml", next.text(), nil); other != nil || !strings.Contains(list.Err().Error(), "still runs") {
			t.Fatalf("state of a flow that runs was taken: %v", list)
		}
		f.Stop()
		<-f.Done()
		st.Close()
		for round := range 2 { // the second time it is left in the file, and means nothing
			st = newStand(s, st.store)
			f, list := st.Start("next.yaml", next.text(), nil)
			if f == nil || len(list) > 0 {
				t.Fatal(list)
			}
			time.Sleep(7 * time.Second)
			if v := st.Status()[0].Params; round == 0 && len(st.sink.got) != 1 {
				t.Errorf("it read %d records, want the one that was new (%v)", len(st.sink.got), v)
			}
			st.Close()
			f.Stop()
			<-f.Done()
			if totals := totalsOf(t, st.store, "next", "tally"); totals["k1"] != 3 || totals["k2"] != 1 {
				t.Errorf("it has %v, want k1: 3, k2: 1", totals)
			}
			if flows, _ := st.store.Flows(); len(flows) != 1 || flows[0] != "next" {
				t.Errorf("the store keeps %v", flows)
			}
		}
		st = newStand(s, st.store)
		_, list := st.Start("third.yaml", variant{Name: "third", WasFlow: "nobody", Tally: "t", Source: "a"}.text(), nil)
		if len(list) != 1 || !strings.Contains(list[0].Message, "nothing is kept of a flow \"nobody\"") {
			t.Errorf("a name that nothing is kept under: %v", list)
		}
		for _, f := range st.Flows() {
			f.Stop()
			<-f.Done()
		}
		st.Close()
	})
}
