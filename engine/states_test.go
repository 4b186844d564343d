package engine_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/telluride-stream/telluride/engine/change"
	"github.com/telluride-stream/telluride/engine/checkpoint"
	"github.com/telluride-stream/telluride/engine/inspect"
)

// TestStateChangesByHandWhileAFlowRuns drops, exports and imports under a flow
// that goes on counting: what is done by hand shows at once and after a
// restart, nothing else changes, and no record is lost or read twice.
func TestStateChangesByHandWhileAFlowRuns(t *testing.T) {
	for _, first := range []int{0, 1} { // 0: by hand before anything is committed
		synctest.Test(t, func(t *testing.T) {
			wait := 10 * time.Second
			s := &script{name: "s", idle: true, events: []event{
				{wait: time.Duration(1-first) * wait, keys: []int{1, 1, 2}}, {wait: wait, keys: []int{1, 3}}, {wait: wait, keys: []int{2}},
			}}
			st := newStand(s, checkpoint.NewMemory())
			f, list := st.Start("flow.yaml", variant{Name: "flow", Lanes: 3, Tally: "t", Source: "a"}.text(), nil)
			if f == nil {
				t.Fatal(list)
			}
			time.Sleep(5 * time.Second)
			var exported bytes.Buffer
			if err := st.ExportState("flow", "tally", &exported); err != nil {
				t.Fatal(err)
			}
			file, err := inspect.ReadFile(bytes.NewReader(exported.Bytes()))
			if err != nil {
				t.Fatal(err)
			}
			want := map[string]int64{"k1": 3, "k2": 2, "k3": 1}
			if first == 1 {
				key := "k2"
				done, err := st.DropState("flow", "tally", &key)
				if err != nil || len(done.Stages) != 1 || done.Stages[0].Dropped != 1 {
					t.Fatalf("%+v, %v", done, err)
				}
				want["k2"] = 1
			} else {
				file.Stages[0].Keys[`"k9"`] = binary.BigEndian.AppendUint64(nil, 9)
				done, err := st.ImportState("flow", file, inspect.Importing{})
				if err != nil || done.Stages[0].Written != 1 {
					t.Fatalf("%+v, %v", done, err)
				}
				want["k9"] = 9
			}
			time.Sleep(time.Minute)
			if r := <-st.Submit(change.Change{Flow: "flow", Set: map[string]string{"slow": "9"}}); r.Outcome != change.Applied {
				t.Errorf("a change behind it: %+v", r)
			}
			st.Close()
			f.Stop()
			<-f.Done()
			if got := totalsOf(t, st.store, "flow", "tally"); fmt.Sprint(got) != fmt.Sprint(want) {
				t.Errorf("the store has %v, want %v", got, want)
			}
			if n := len(st.sink.got); n != 6 {
				t.Errorf("%d records passed, want 6", n)
			}
		})
	}
}

// slowStore takes a while to find a state.
type slowStore struct{ checkpoint.Store }

func (s slowStore) State(flow, stage string, each func(string, []byte) error) error {
	time.Sleep(700 * time.Millisecond)
	return s.Store.State(flow, stage, each)
}

// TestAnExportIsAsOfOneMoment exports all of a flow that goes on counting: its
// position and its state belong together.
func TestAnExportIsAsOfOneMoment(t *testing.T) {
	for _, paused := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			s := ticking(500)
			s.ack = false
			st := newStand(s, slowStore{checkpoint.NewMemory()})
			f, list := st.Start("flow.yaml", variant{Name: "flow", Lanes: 3, Tally: "t", Source: "a"}.text(), nil)
			if f == nil {
				t.Fatal(list)
			}
			time.Sleep(2 * time.Second)
			if paused {
				if err := st.Pause(t.Context(), "flow"); err != nil {
					t.Fatal(err)
				}
			}
			var exported bytes.Buffer
			if err := st.ExportState("flow", "", &exported); err != nil {
				t.Fatal(err)
			}
			file, err := inspect.ReadFile(&exported)
			if err != nil {
				t.Fatal(err)
			}
			read, counted := binary.BigEndian.Uint64(file.Sources["s"].Bytes), uint64(0)
			for _, value := range file.Stages[0].Keys {
				counted += binary.BigEndian.Uint64(value)
			}
			if read == 0 || read != counted {
				t.Errorf("at record %d, %d were counted", read, counted)
			}
			if rests := st.rests(); rests != paused {
				t.Errorf("behind it the flow rests: %v, and it was paused: %v", rests, paused)
			}
			if paused {
				if err := st.Continue("flow"); err != nil {
					t.Fatal(err)
				}
			}
			time.Sleep(time.Minute) // until all is read
			st.finish(t, s)
		})
	}
}

func TestWhatCannotBeDoneByHandIsRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &script{name: "s", idle: true, events: []event{{keys: []int{1, 1, 2}}}}
		st := newStand(s, checkpoint.NewMemory())
		f, _ := st.Start("flow.yaml", variant{Name: "flow", Tally: "t", Source: "a"}.text(), nil)
		time.Sleep(5 * time.Second)
		export := func(stage string) *inspect.File {
			var b bytes.Buffer
			if err := st.ExportState("flow", stage, &b); err != nil {
				t.Fatal(err)
			}
			file, err := inspect.ReadFile(&b)
			if err != nil {
				t.Fatal(err)
			}
			return file
		}
		whole, fits := export(""), export("tally")
		other := export("tally")
		other.Stages[0].Signature = "u"
		damaged := export("tally")
		damaged.Stages[0].Keys[`"k1"`] = nil
		nothing := "k7"
		for want, do := range map[string]func() error{
			"positions of sources": func() error {
				_, err := st.ImportState("flow", whole, inspect.Importing{How: inspect.Merge})
				return err
			},
			"state of 2 keys already": func() error { _, err := st.ImportState("flow", fits, inspect.Importing{}); return err },
			"does not fit": func() error {
				_, err := st.ImportState("flow", other, inspect.Importing{How: inspect.Merge})
				return err
			},
			"cannot be read": func() error {
				_, err := st.ImportState("flow", damaged, inspect.Importing{How: inspect.Merge})
				return err
			},
			`no flow "flaw"`:              func() error { _, err := st.DropState("flaw", "tally", nil); return err },
			`did you mean "tally"`:        func() error { _, err := st.DropState("flow", "taly", nil); return err },
			"keeps nothing of key k7":     func() error { _, err := st.DropState("flow", "tally", &nothing); return err },
			`stage in the file "nowhere"`: func() error { _, err := st.ImportState("flow", fits, inspect.Importing{Stage: "nowhere"}); return err },
		} {
			err := do()
			var e *inspect.Error
			if !errors.As(err, &e) || !strings.Contains(err.Error(), want) {
				t.Errorf("got %v, want %s", err, want)
			}
		}
		if got := totalsOf(t, st.store, "flow", "tally"); got["k1"] != 2 || !f.Running() {
			t.Errorf("the flow has %v", got)
		}
		st.Close()
		if _, err := st.DropState("flow", "tally", nil); err == nil || !strings.Contains(err.Error(), "ending") {
			t.Errorf("while the process ends: %v", err)
		}
		f.Stop()
		<-f.Done()
	})
}
