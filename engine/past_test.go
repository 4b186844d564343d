package engine_test

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/telluride-stream/telluride/engine"
	"github.com/telluride-stream/telluride/engine/change"
	"github.com/telluride-stream/telluride/engine/checkpoint"
)

// Versions outlive the process, with their texts and times, so that one can
// look at them and go back.
func TestEarlierVersionsOutliveTheProcess(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := checkpoint.NewMemory()
		file := variant{Name: "flow", Source: "a"}
		var before []engine.Past
		for run := range 3 {
			st := newStand(&script{name: "s", idle: true}, store)
			f, _ := st.Start("flow.yaml", file.text(), nil)
			past, _ := st.Past("flow")
			if run > 0 && !samePast(past, before) {
				t.Errorf("run %d has %v, and there was %v", run, past, before)
			}
			time.Sleep(time.Second)
			applied := file
			applied.Lanes = 2 + run
			for _, c := range []change.Change{{Source: applied.text()}, {Set: map[string]string{"slow": fmt.Sprint(7 + run)}}} {
				c.Flow, c.From = "flow", "api"
				if r := <-st.Submit(c); r.Outcome != change.Applied {
					t.Fatalf("%+v", r)
				}
			}
			before, _ = st.Past("flow")
			if want := 3 + 2*run; len(before) != want {
				t.Errorf("run %d: %d versions, want %d", run, len(before), want)
			}
			if first := before[0]; !bytes.Equal(first.Source, file.text()) || !first.FromFile || before[1].FromFile {
				t.Errorf("run %d: the first version is %+v, the second %+v", run, first, before[1])
			}
			st.Close()
			f.Stop()
			<-f.Done()
		}

		// Back to the first.
		st := newStand(&script{name: "s", idle: true}, store)
		f, _ := st.Start("flow.yaml", file.text(), nil)
		past, _ := st.Past("flow")
		r := <-st.Submit(change.Change{Flow: "flow", Source: past[0].Source, Unset: []string{"slow"}, From: "api"})
		if r.Outcome != change.Applied || r.After != past[0].Version {
			t.Errorf("%+v", r)
		}
		st.Close()
		f.Stop()
		<-f.Done()
	})
}

func samePast(a, b []engine.Past) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i].Version != b[i].Version || !bytes.Equal(a[i].Source, b[i].Source) || !a[i].Since.Equal(b[i].Since) || a[i].FromFile != b[i].FromFile {
			return false
		}
	}
	return true
}

// However many and large the versions are, what is kept of them is bounded,
// and the one that runs is there.
func TestEarlierVersionsAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := checkpoint.NewMemory()
		st := newStand(&script{name: "s", idle: true}, store)
		file := variant{Name: "flow", Source: "a"}
		f, _ := st.Start("flow.yaml", file.text(), nil)
		for i := range 60 {
			file.Lanes = 1 + i%7
			text := file.text()
			if i >= 30 {
				text = append(text, strings.Repeat(" ", 100_000+i)...)
			}
			r := <-st.Submit(change.Change{Flow: "flow", Source: text, From: "api"})
			if r.Outcome != change.Applied {
				t.Fatalf("%+v", r)
			}
			past, _ := st.Past("flow")
			size := 0
			for _, p := range past {
				size += len(p.Source)
			}
			if last := past[len(past)-1]; len(past) > 20 || size > 1<<20 || !bytes.Equal(last.Source, text) {
				t.Fatalf("%d versions with %d bytes", len(past), size)
			}
			control, err := store.Control("flow")
			if n := len(control["past"]); err != nil || n > 3<<19 {
				t.Fatalf("%d bytes are stored (%v)", n, err)
			}
		}
		st.Close()
		f.Stop()
		<-f.Done()
	})
}
