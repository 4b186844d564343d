package window_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/telluride-stream/telluride/engine/record"
	"github.com/telluride-stream/telluride/engine/stage"
)

var stateKinds = []string{
	"tumbling: 5s\n  allowed_lateness: 3s\n  emit: {every: 1s}", "hopping: {size: 6s, every: 2s}", "tumbling: 1d\n  timezone: Europe/Vienna", "session: {gap: 2s}\n  allowed_lateness: 3s",
	"count: 9", "sliding: {last: 5}", "sliding: {last: 5s}", "global: true\n  emit: {every: 1s}",
}

// stateful is a lane that holds something of every kind of aggregate.
func stateful(t testing.TB, kind, aggregates string) *lane {
	l := newLane(t, build(t, "window:\n  by: k\n  "+kind+aggregates))
	for i, x := range []string{"1", "2.5", `-7`, "null", "12345678901234567890", "1e300"} {
		l.batch(int64(i), record.None, at(float64(i), `{"k":"a\u00e9","x":%s}`, x).under(0))
	}
	l.batch(7, record.Checkpoint, at(2, `{"k":5,"x":3}`).under(0))
	return l
}

func TestDamagedStateIsAnError(t *testing.T) {
	for _, kind := range stateKinds {
		for _, aggregates := range []string{oracleAggregates, everyAggregate} {
			l := stateful(t, kind, aggregates)
			if len(l.state) != 2 {
				t.Fatalf("%s: state of %d keys", kind, len(l.state))
			}
			for key, value := range l.state {
				for cut := range value {
					if err := l.flow.spec.New().(stage.Stateful).Restore(key, value[:cut]); err == nil {
						t.Errorf("%s: %d of %d bytes are accepted", kind, cut, len(value))
					} else if !strings.HasPrefix(err.Error(), "window: key ") {
						t.Errorf("%s: %v", kind, err)
					}
				}
				if err := l.flow.spec.New().(stage.Stateful).Restore(key, append(value[:len(value):len(value)], 0)); err == nil {
					t.Errorf("%s: a byte too many is accepted", kind)
				}
				other := append([]byte{99}, value[1:]...)
				if err := l.flow.spec.New().(stage.Stateful).Restore(key, other); err == nil || !strings.Contains(err.Error(), "version 99") {
					t.Errorf("%s: another version: %v", kind, err)
				}
			}
		}
	}
}

// TestStateReadsBackAsItWas: what a restored operator writes is, byte for
// byte, what it was given.
func TestStateReadsBackAsItWas(t *testing.T) {
	for _, kind := range stateKinds {
		l := stateful(t, kind, everyAggregate)
		before := l.state
		l.restart()
		l.state = map[string][]byte{}
		// Another record makes each key write its state again.
		events := []event{at(3, `{"k":"a\u00e9"}`).under(0), at(3, `{"k":5}`).under(0)}
		l.batch(8, record.Checkpoint, events...)
		restarted := l.state

		l = stateful(t, kind, everyAggregate)
		l.batch(8, record.Checkpoint, events...)
		for key, value := range l.state {
			if string(restarted[key]) != string(value) || string(value) == string(before[key]) {
				t.Errorf("%s: key %q: restarted\n%q\nnot restarted\n%q", kind, key, restarted[key], value)
			}
		}
	}
}

func TestSnapshotsHoldOnlyWhatChanged(t *testing.T) {
	l := newLane(t, build(t, "window: {by: k, tumbling: 10s, aggregate: {n: count()}}"))
	puts := func(kind record.BarrierKind, events ...event) string {
		l.state = map[string][]byte{"\x00": nil}
		saved := l.state
		l.batch(0, kind, events...)
		text := ""
		for i := range 3 {
			if _, ok := saved[string(record.AppendKey(nil, record.IntValue(int64(i))))]; ok {
				text += fmt.Sprint(i)
			}
		}
		return text
	}
	if got := puts(record.Checkpoint, at(1, `{"k":0}`), at(1, `{"k":1}`)); got != "01" {
		t.Errorf("first snapshot: %s", got)
	}
	if got := puts(record.Checkpoint, at(1, `{"k":2}`), at(1, `{"k":0}`)); got != "02" {
		t.Errorf("second snapshot: %s", got)
	}
	if got := puts(record.Checkpoint); got != "" {
		t.Errorf("third snapshot: %s", got)
	}
}

func TestIdleKeysLeaveTheState(t *testing.T) {
	for _, kind := range []string{"tumbling: 10s", "tumbling: 10s, allowed_lateness: 5s", "session: {gap: 9s}", "sliding: {last: 9s}"} {
		l := newLane(t, build(t, "window: {by: k, "+kind+", aggregate: {n: count()}}"))
		l.batch(0, record.Checkpoint, at(1, `{"k":"a"}`), at(1, `{"k":"b"}`))
		l.batch(0, record.Checkpoint, at(9, `{"k":"b"}`))
		if len(l.state) != 2 {
			t.Errorf("%s: %d keys", kind, len(l.state))
		}
		l.batch(0, record.Checkpoint, at(40, `{"k":"c"}`))
		if len(l.state) != 1 {
			t.Errorf("%s: %d keys are left, want only c", kind, len(l.state))
		}
		// A key that is gone and back within one epoch stays.
		l.batch(0, record.Checkpoint, at(80, `{"k":"d"}`), at(81, `{"k":"c"}`), at(100, `{"k":"c"}`))
		if _, ok := l.state[string(record.AppendKey(nil, record.StringValue("c")))]; !ok {
			t.Errorf("%s: c is not there", kind)
		}
	}
}

func TestMessageIDsAreStable(t *testing.T) {
	ids := func(split bool) (ids []string) {
		l := newLane(t, build(t, "window: {by: k, tumbling: 10s, aggregate: {n: count()}}"))
		l.batch(0, record.Checkpoint, at(1, `{"k":"a"}`), at(2, `{"k":"b"}`))
		if split {
			l.restart()
		}
		l.batch(0, record.None, at(11, `{"k":"a"}`))
		l.batch(0, record.End)
		for _, r := range l.rows {
			ids = append(ids, fmt.Sprint(r.object(t)["k"], r.object(t)["window_start"], r.id))
		}
		return ids
	}
	a, b := ids(false), ids(true)
	for _, id := range a {
		if !strings.Contains(strings.Join(b, " "), id) {
			t.Errorf("%v, after a restart %v", a, b)
		}
	}
	if len(a) != 3 {
		t.Errorf("got %v", a)
	}
}

func FuzzRestore(f *testing.F) {
	var flows []*flow
	for i, kind := range stateKinds {
		l := stateful(f, kind, everyAggregate)
		flows = append(flows, l.flow)
		for _, value := range l.state {
			f.Add(i, value)
		}
	}
	f.Fuzz(func(t *testing.T, kind int, value []byte) {
		fl := flows[((kind%len(flows))+len(flows))%len(flows)]
		l := newLane(t, fl)
		key := string(record.AppendKey(nil, record.StringValue("a")))
		if err := l.op.(stage.Stateful).Restore(key, value); err != nil {
			return
		}
		l.state[key] = value
		// What is accepted must work.
		l.driver = stage.NewDriver("window", l.op, 7, false)
		l.batch(1, record.Checkpoint, at(3, `{"k":"a","x":4}`), at(30, `{"k":"a","x":"b"}`))
		l.batch(2e9, record.End)
		for _, reason := range l.reasons {
			if strings.Contains(reason, "panic") {
				t.Fatal(reason)
			}
		}
	})
}
