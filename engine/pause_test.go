package engine_test

import (
	"context"
	"encoding/binary"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/telluride-stream/telluride/engine/change"
	"github.com/telluride-stream/telluride/engine/checkpoint"
)

// ticking is a source of n records, one each 10 ms.
func ticking(n int) *script {
	s := &script{name: "s", idle: true, ack: true}
	for i := range n {
		s.events = append(s.events, event{wait: 10 * time.Millisecond, keys: []int{i % 3}})
	}
	return s
}

func (st *stand) state(t *testing.T) string {
	t.Helper()
	return st.Status()[0].State
}

func (st *stand) written() int {
	st.sink.mu.Lock()
	defer st.sink.mu.Unlock()
	return len(st.sink.got)
}

// rests says whether nothing is written for a second.
func (st *stand) rests() bool {
	n := st.written()
	time.Sleep(time.Second)
	return st.written() == n
}

func (st *stand) finish(t *testing.T, s *script) {
	t.Helper()
	st.Close()
	if err := st.Drain(context.Background()); err != nil {
		t.Error(err)
	}
	var ids []string
	for _, g := range st.sink.got {
		ids = append(ids, g.id)
	}
	for i := range s.total() {
		if n := len(slices.DeleteFunc(slices.Clone(ids), func(id string) bool { return id != "s/"+strconv.Itoa(i) })); n != 1 {
			t.Errorf("record %d came %d times", i, n)
		}
	}
}

func TestAPauseRestsUntilItIsContinued(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := ticking(500)
		st := newStand(s, checkpoint.NewMemory())
		f, _ := st.Start("flow.yaml", variant{Name: "flow", Lanes: 2, Source: "a"}.text(), nil)
		time.Sleep(time.Second)
		if err := st.Pause(t.Context(), "flow"); err != nil {
			t.Fatal(err)
		}
		if st.state(t) != "paused" || !st.rests() || f.Summary().Unsaved > 0 || st.written() == 0 {
			t.Errorf("state %s, %d written, %d not saved", st.state(t), st.written(), f.Summary().Unsaved)
		}
		if err := st.Pause(t.Context(), "flow"); err != nil {
			t.Errorf("a second pause: %v", err)
		}
		for _, c := range []change.Change{
			{Flow: "flow", Source: variant{Name: "flow", Lanes: 4, Source: "a"}.text()},
			{Flow: "flow", Source: variant{Name: "flow", Lanes: 4, Source: "b"}.text()},
			{Flow: "flow", Source: variant{Name: "flow", Lanes: 3, Source: "b", BadSink: true}.text()},
			{Flow: "flow", Source: variant{Name: "flow", Lanes: 3, Source: "b", BadSource: true}.text()},
		} {
			r := <-st.Submit(c)
			time.Sleep(time.Second)
			if st.state(t) != "paused" || !st.rests() {
				t.Errorf("behind the change that was %s it is %s", r.Outcome, st.state(t))
			}
		}
		if err := st.Continue("flow"); err != nil {
			t.Fatal(err)
		}
		time.Sleep(20 * time.Second)
		if st.state(t) != "running" {
			t.Errorf("state %s", st.state(t))
		}
		st.finish(t, s)
	})
}

func TestAPauseOutlivesALostSession(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := ticking(300)
		s.events[120].lose = true
		st := newStand(s, checkpoint.NewMemory())
		if _, list := st.Start("flow.yaml", variant{Name: "flow", Lanes: 2, Source: "a"}.text(), nil); list.HasErrors() {
			t.Fatal(list.Err())
		}
		for st.state(t) != "reconnecting" {
			time.Sleep(time.Millisecond)
		}
		if status := st.Status()[0]; status.Ready || !strings.Contains(status.Reason, "connection lost") {
			t.Errorf("status %+v", status)
		}
		if err := st.Pause(t.Context(), "flow"); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		if st.state(t) != "paused" || !st.rests() {
			t.Errorf("state %s", st.state(t))
		}
		if err := st.Continue("flow"); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		st.finish(t, s)
	})
}

func TestAPausedFlowDrains(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := ticking(100)
		st := newStand(s, checkpoint.NewMemory())
		f, _ := st.Start("flow.yaml", variant{Name: "flow", Lanes: 2, Source: "a"}.text(), nil)
		time.Sleep(500 * time.Millisecond)
		if err := st.Pause(t.Context(), "flow"); err != nil {
			t.Fatal(err)
		}
		st.Close()
		if err := st.Drain(t.Context()); err != nil || f.Wait() != nil || f.Summary().Unsaved > 0 {
			t.Errorf("drained with %v, ended with %v, %d not saved", err, f.Wait(), f.Summary().Unsaved)
		}
		if err := f.Pause(t.Context()); err == nil {
			t.Error("a flow that has ended can be paused")
		}
	})
}

// slowCommits takes a while for a commit while slow is set.
type slowCommits struct {
	checkpoint.Store
	slow atomic.Bool
}

func (s *slowCommits) Commit(c checkpoint.Commit) error {
	if s.slow.Load() {
		time.Sleep(400 * time.Millisecond)
	}
	return s.Store.Commit(c)
}

// Pausing and continuing while a change is under way leaves the old version at
// rest, whose state the new one has read already, and holds for whichever of
// them goes on.
func TestAPauseMayBeginAndEndDuringAChange(t *testing.T) {
	for name, next := range map[string]variant{
		"that is applied":     {Name: "flow", Lanes: 4, Tally: "t", Source: "a"},
		"of the source":       {Name: "flow", Lanes: 4, Tally: "t", Source: "b"},
		"that is rolled back": {Name: "flow", Lanes: 4, Tally: "t", Source: "b", BadSource: true},
	} {
		for _, paused := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s, paused %v", name, paused), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					s := ticking(1000)
					store := &slowCommits{Store: checkpoint.NewMemory()}
					st := newStand(s, store)
					st.Start("flow.yaml", variant{Name: "flow", Lanes: 2, Tally: "t", Source: "a"}.text(), nil)
					time.Sleep(time.Second)
					if paused {
						if err := st.Pause(t.Context(), "flow"); err != nil {
							t.Fatal(err)
						}
					}
					store.slow.Store(true)
					answer := st.Submit(change.Change{Flow: "flow", Source: next.text()})
					time.Sleep(200 * time.Millisecond)
					if paused {
						if err := st.Continue("flow"); err != nil {
							t.Fatal(err)
						}
					} else if err := st.Pause(t.Context(), "flow"); err != nil {
						t.Errorf("pause: %v", err)
					}
					store.slow.Store(false)
					if !paused && !st.rests() {
						t.Error("it is paused, and goes on")
					}
					<-answer
					if !paused {
						if err := st.Continue("flow"); err != nil {
							t.Fatal(err)
						}
					}
					time.Sleep(time.Minute)
					if st.state(t) != "running" {
						t.Errorf("it is %s", st.state(t))
					}
					counted := 0
					if err := store.State("flow", "tally", func(_ string, value []byte) error {
						counted += int(binary.BigEndian.Uint64(value))
						return nil
					}); err != nil || counted != s.total() {
						t.Errorf("%d of %d records were counted (%v)", counted, s.total(), err)
					}
					st.finish(t, s)
				})
			})
		}
	}
}
