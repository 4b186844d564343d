package engine_test

import (
	"context"
	"encoding/json"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/telluride-stream/telluride/engine/checkpoint"
	"github.com/telluride-stream/telluride/engine/topology"
)

// looks asks from several sides at once what a tally holds, and returns the
// sum of the counts of each answer.
func (st *stand) looks(t *testing.T, n int) (sums []int) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	var wg sync.WaitGroup
	var mu sync.Mutex
	for range n {
		wg.Go(func() {
			v, err := st.View(ctx, "flow", "tally", topology.Question{Limit: 10})
			if err != nil {
				t.Errorf("look at the tally: %v", err)
			}
			sum := 0
			for _, r := range v.Rows {
				var one struct{ Total int }
				if err := json.Unmarshal(r.Values, &one); err != nil {
					t.Error(err)
				}
				sum += one.Total
			}
			mu.Lock()
			defer mu.Unlock()
			sums = append(sums, sum)
		})
	}
	wg.Wait()
	return sums
}

// Whoever looks gets an answer, also beside others, and at a flow that rests.
func TestStateCanBeLookedAtByMany(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := ticking(500)
		st := newStand(s, checkpoint.NewMemory())
		if _, list := st.Start("flow.yaml", variant{Name: "flow", Lanes: 2, Source: "a", Tally: "t"}.text(), nil); list.HasErrors() {
			t.Fatal(list.Err())
		}
		time.Sleep(time.Second)
		for _, sum := range st.looks(t, 5) {
			if sum < 90 || sum > 101 {
				t.Errorf("the tally shows %d records after a second, of one each 10 ms", sum)
			}
		}
		if err := st.Pause(t.Context(), "flow"); err != nil {
			t.Fatal(err)
		}
		want := st.written()
		for _, sum := range st.looks(t, 5) {
			if sum != want {
				t.Errorf("the tally of a paused flow shows %d records, and %d were written", sum, want)
			}
		}
		if err := st.Continue("flow"); err != nil {
			t.Fatal(err)
		}
		time.Sleep(20 * time.Second)
		st.finish(t, s)
		if _, err := st.View(t.Context(), "flow", "tally", topology.Question{Limit: 10}); err == nil {
			t.Error("a flow that has ended shows values")
		}
	})
}
