package engine_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/telluride-stream/telluride/engine"
	"github.com/telluride-stream/telluride/engine/change"
	"github.com/telluride-stream/telluride/engine/checkpoint"
	"github.com/telluride-stream/telluride/engine/diag"
	"github.com/telluride-stream/telluride/engine/plan"
	"github.com/telluride-stream/telluride/engine/stage"
)

// letters is a feed of these tests: what a test sends it brings to the flow,
// and it keeps the answers.
type letters struct {
	name string
	post chan stage.Message
	slow time.Duration // how long an answer takes

	mu      sync.Mutex
	runs    int // sessions now
	ever    int // and ever
	answers []letter
	follows []change.Receipt
}

// letter is an answer.
type letter struct {
	receipt  change.Receipt
	accepted bool
}

func newLetters(name string) *letters { return &letters{name: name, post: make(chan stage.Message)} }

func (l *letters) Run(ctx context.Context, deliver func(stage.Message)) error {
	l.count(1)
	defer l.count(-1)
	for {
		select {
		case m := <-l.post:
			deliver(m)
		case <-ctx.Done():
			return nil
		}
	}
}

func (l *letters) count(n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.runs += n
	l.ever += max(n, 0)
}

func (l *letters) running() (now, ever int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.runs, l.ever
}

// send brings a message. Its answer is seen by take.
func (l *letters) send(id, body string) {
	follow := func(receipt []byte) {
		var r change.Receipt
		_ = json.Unmarshal(receipt, &r) // without an id nobody takes it for right
		l.mu.Lock()
		defer l.mu.Unlock()
		l.follows = append(l.follows, r)
	}
	l.post <- stage.Message{ID: id, Body: []byte(body), Follow: follow, Answer: func(receipt []byte, accepted bool) error {
		time.Sleep(l.slow)
		var r change.Receipt
		err := json.Unmarshal(receipt, &r)
		l.mu.Lock()
		defer l.mu.Unlock()
		l.answers = append(l.answers, letter{r, accepted})
		if r.ID == "gone" {
			err = errors.New("the sender is gone")
		}
		return err
	}}
}

// take returns the answers so far, when everything has come to rest.
func (l *letters) take() (all []letter) {
	synctest.Wait()
	l.mu.Lock()
	defer l.mu.Unlock()
	all, l.answers = l.answers, nil
	return all
}

// followed returns what became in the end of changes that had waited.
func (l *letters) followed() (all []change.Receipt) {
	synctest.Wait()
	l.mu.Lock()
	defer l.mu.Unlock()
	all, l.follows = l.follows, nil
	return all
}

func (l *letters) plan(signature string) plan.Feed {
	return plan.Feed{
		Name: l.name, Kind: "letters", Signature: signature,
		Spec: stage.FeedSpec{New: func(stage.Runtime) stage.Feed { return l }, Text: l.name},
	}
}

// fed is a stand whose flow has feeds: a flow file here is a number of lanes
// behind "source: ", and the signature of the feed.
func fed(t *testing.T, l *letters) (*fedStand, *engine.Flow) {
	t.Helper()
	return fedFrom(t, l, checkpoint.NewMemory(), "source: 1 x")
}

// fedFrom is a stand whose store may have been used by another.
func fedFrom(t *testing.T, l *letters, store checkpoint.Store, file string) (*fedStand, *engine.Flow) {
	t.Helper()
	st := &fedStand{}
	st.stand = newStand(&script{name: "s", idle: true, events: []event{{keys: []int{1, 2, 3}}}}, store)
	st.Host = engine.NewHost(engine.HostConfig{
		Engine: engine.Config{Store: st.store, Workers: 1}, DrainTimeout: time.Second, Told: st.told,
		Compile: func(file string, src []byte, set map[string]string) (*plan.Plan, diag.List) {
			v := variant{Name: "flow", Source: "a"}
			var signature string
			if _, err := fmt.Sscanf(string(src), "source: %d %s", &v.Lanes, &signature); err != nil {
				return nil, diag.List{{Span: diag.Span{File: file}, Message: err.Error()}}
			}
			v.BadSink = v.Lanes == 13
			p, list := st.compile(file, v.text(), set)
			if p != nil {
				p.Version += signature
				if v.Lanes == 14 {
					make := p.Sinks[0].Spec.New
					p.Sinks[0].Spec.New = func(rt stage.Runtime) stage.Sink { return awaySink{make(rt), &st.away} }
				}
				if signature != "none" {
					p.Control = []plan.Feed{l.plan(signature)}
				}
			}
			return p, list
		},
	})
	f, list := st.Start("flow.yaml", []byte(file), nil)
	if list.HasErrors() {
		t.Fatal(list.Err())
	}
	time.Sleep(time.Second)
	return st, f
}

// fedStand is a stand with a feed. While away is set, the sink of 14 lanes
// cannot be opened.
type fedStand struct {
	*stand
	away atomic.Bool

	mu       sync.Mutex
	outcomes []string // that were told, as id: outcome
}

func (st *fedStand) told(c change.Change, r change.Receipt) {
	st.mu.Lock()
	defer st.mu.Unlock()
	st.outcomes = append(st.outcomes, c.ID+": "+string(r.Outcome))
}

// receipt is the one of a change that the flow keeps.
func (st *fedStand) receipt(id string) (r change.Receipt) {
	for _, one := range st.Status()[0].Receipts {
		if one.ID == id {
			r = one
		}
	}
	return r
}

type awaySink struct {
	stage.Sink
	away *atomic.Bool
}

func (s awaySink) Open(ctx context.Context) error {
	if s.away.Load() {
		return errors.New("the broker is away")
	}
	return s.Sink.Open(ctx)
}

func (st *fedStand) end(f *engine.Flow) {
	st.Close()
	f.Stop()
	<-f.Done()
}

func TestMessagesBecomeChangesInTheirOrderAndAreAnswered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLetters("queue")
		st, f := fed(t, l)
		defer st.end(f)
		var want []string
		for i := 1; i <= 100; i++ {
			l.send(fmt.Sprintf("m%d", i), fmt.Sprintf(`{"slow": %d}`, 100+i))
			want = append(want, fmt.Sprintf("m%d", i))
		}
		time.Sleep(time.Second)
		var ids []string
		before := ""
		for _, a := range l.take() {
			ids = append(ids, a.receipt.ID)
			if a.receipt.Outcome != change.Applied || !a.accepted || !a.receipt.Running || a.receipt.From != "queue" {
				t.Errorf("%+v", a)
			}
			if before != "" && a.receipt.Before != before {
				t.Errorf("%s was made from %s, not %s", a.receipt.ID, a.receipt.Before, before)
			}
			before = a.receipt.After
		}
		if !slices.Equal(ids, want) {
			t.Errorf("answers came as %v", ids)
		}
		if p := st.Status()[0]; p.Version != before || p.State != "running" {
			t.Errorf("%+v runs, want %s", p, before)
		}
	})
}

func TestAMessageIsRejectedWithTheReasons(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLetters("queue")
		st, f := fed(t, l)
		defer st.end(f)
		version := st.Status()[0].Version
		for body, reason := range map[string]string{
			"garbage":                    "neither a JSON object nor a flow file",
			`{"slow": {}}`:               `param "slow" cannot be an object`,
			`{"slow": "often"}`:          `param slow: "often" is no number`,
			`{"fast": 5}`:                "param fast",
			"source: abc":                "expected integer",
			"source: 13 x":               "no such place",
			strings.Repeat("x", 1<<20+1): "more than 1048576 bytes",
			`{"params":{"slow":1},"base_version":"old"}`: "made from version old",
		} {
			l.send("", body)
			time.Sleep(5 * time.Second)
			all := l.take()
			if len(all) != 1 {
				t.Fatalf("%d answers to %.40s", len(all), body)
			}
			a := all[0]
			text, _ := json.Marshal(a.receipt)
			text = []byte(strings.ReplaceAll(string(text), `\"`, `"`))
			if a.receipt.Outcome != change.Rejected || a.accepted || a.receipt.ID == "" || a.receipt.Flow != "flow" || !a.receipt.Running || !strings.Contains(string(text), reason) {
				t.Errorf("%.40s is answered with %s (accepted: %v), want %s", body, text, a.accepted, reason)
			}
		}
		s := st.Status()[0]
		if s.Version != version || s.State != "running" || s.Restarts != 0 || len(s.Receipts) != 8 {
			t.Errorf("%+v", s)
		}
		if now, ever := l.running(); now != 1 || ever != 1 {
			t.Errorf("the feed runs %d times, and ran %d times", now, ever)
		}
	})
}

func TestAMessageThatComesAgainHasItsOldReceipt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLetters("queue")
		st, f := fed(t, l)
		l.send("a", `{"slow": 7}`)
		l.send("b", "garbage")
		l.send("c", `{"slow": 8}`)
		time.Sleep(time.Second)
		first := l.take()
		l.send("a", `{"slow": 7}`)
		l.send("b", "garbage")
		time.Sleep(time.Second)
		again := l.take()
		if len(first) != 3 || len(again) != 2 {
			t.Fatalf("%d answers and %d", len(first), len(again))
		}
		for i, a := range again {
			if fmt.Sprint(a) != fmt.Sprint(first[i]) {
				t.Errorf("%+v\nwas answered before with\n%+v", a, first[i])
			}
		}
		if p := st.Status()[0]; p.Version != first[2].receipt.After {
			t.Errorf("the repeat was applied: %s", p.Version)
		}
		// Without an id it is a new change each time.
		l.send("", `{"slow": 7}`)
		l.send("", `{"slow": 7}`)
		time.Sleep(time.Second)
		if all := l.take(); all[0].receipt.Outcome != change.Applied || all[1].receipt.Outcome != change.Unchanged || !all[1].accepted {
			t.Errorf("%+v", all)
		}
		st.end(f)
	})
}

func TestAFeedFollowsItsFlow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLetters("queue")
		l.slow = 10 * time.Second
		st, f := fed(t, l)
		expect := func(when string, now, ever int) {
			t.Helper()
			synctest.Wait()
			if n, e := l.running(); n != now || e != ever {
				t.Errorf("%s: the feed runs %d times, and ran %d times; want %d and %d", when, n, e, now, ever)
			}
		}
		expect("at first", 1, 1)
		l.send("", `{"slow": 9}`)
		l.send("", "source: 2 x")
		time.Sleep(time.Minute)
		expect("behind changes that leave it alone", 1, 1)
		// The change that replaces the feed is answered by the old one.
		l.send("other", "source: 2 y")
		time.Sleep(5 * time.Second)
		expect("while the answer is on its way", 1, 1)
		time.Sleep(time.Minute)
		expect("behind a change of its config", 1, 2)
		if all := l.take(); all[len(all)-1].receipt.ID != "other" || !all[len(all)-1].accepted {
			t.Errorf("%+v", all)
		}
		if r := <-st.Submit(change.Change{Flow: "flow", Source: []byte("source: 2 none")}); r.Outcome != change.Applied {
			t.Errorf("%+v", r)
		}
		expect("without it", 0, 2)
		if r := <-st.Submit(change.Change{Flow: "flow", Source: []byte("source: 2 z")}); r.Outcome != change.Applied {
			t.Errorf("%+v", r)
		}
		expect("with it again", 1, 3)
		f.Stop()
		<-f.Done()
		expect("behind the end of the flow", 0, 3)
		if r := <-st.Submit(change.Change{Flow: "flow", Source: []byte("source: 3 z")}); r.Outcome != change.Applied || !r.Running {
			t.Errorf("%+v", r)
		}
		expect("when the flow runs again", 1, 4)
		next := st.Flows()[0]
		st.Close()
		expect("when the host has closed", 0, 4)
		next.Stop()
		<-next.Done()
	})
}

// What comes while the host closes is neither applied nor answered: it goes
// back to where it came from. What came before is both.
func TestNothingIsAnsweredBehindClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLetters("queue")
		l.slow = time.Minute
		st, f := fed(t, l)
		l.send("before", `{"slow": 9}`)
		l.send("gone", `{"slow": 10}`)
		closed := make(chan struct{})
		go func() {
			st.Close()
			close(closed)
		}()
		synctest.Wait()
		l.send("late", `{"slow": 11}`)
		<-closed
		all := l.take()
		if len(all) != 2 || all[0].receipt.ID != "before" || all[1].receipt.ID != "gone" || !all[0].accepted {
			t.Errorf("%+v", all)
		}
		f.Stop()
		<-f.Done()
	})
}

// A message that is refused does not take the place of a change that waits.
func TestARefusedMessageLeavesAPendingChangeAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLetters("queue")
		st, f := fed(t, l)
		defer st.end(f)
		st.away.Store(true)
		l.send("waits", "source: 14 x")
		time.Sleep(90 * time.Second)
		l.send("bad", "garbage")
		time.Sleep(time.Second)
		all := l.take()
		if len(all) != 2 || all[0].receipt.Outcome != change.Pending || !all[0].accepted || all[1].accepted {
			t.Fatalf("%+v", all)
		}
		if s := st.Status()[0]; s.State != "pending" || s.Reason != all[0].receipt.Reason {
			t.Errorf("%s: %s", s.State, s.Reason)
		}
		if n := f.Snapshot().Flow.Reloads["pending"]; n != 1 {
			t.Errorf("it is counted as pending %d times", n)
		}
		st.away.Store(false)
		time.Sleep(time.Minute)
		s := st.Status()[0]
		if s.State != "running" || s.Version == all[0].receipt.Before {
			t.Errorf("%+v", s)
		}
	})
}

// A change whose sink is away is answered without waiting for the sink, and
// keeps no later change waiting.
func TestAPendingChangeHoldsUpNoOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLetters("queue")
		st, f := fed(t, l)
		defer st.end(f)
		st.away.Store(true)
		l.send("waits", "source: 14 x")
		time.Sleep(10 * time.Millisecond)
		if all := l.take(); len(all) != 1 || all[0].receipt.Outcome != change.Pending || all[0].receipt.Reason != "sink sink0: open: the broker is away" {
			t.Fatalf("%+v", all)
		}
		time.Sleep(2 * time.Second) // it is tried again
		l.send("later", `{"slow": 9}`)
		time.Sleep(10 * time.Millisecond)
		if all := l.take(); len(all) != 1 || all[0].receipt.Outcome != change.Applied {
			t.Fatalf("%+v", all)
		}
	})
}

// Whoever sent a change that waits hears in the end what became of it.
func TestAPendingChangeHasALastReceipt(t *testing.T) {
	for _, c := range []struct {
		name, later string
		away        bool // still
		want        change.Outcome
	}{
		{"when it starts", "", false, change.Applied},
		{"when another is pending", "source: 14 y", true, change.Rejected},
		{"when another is applied", `{"slow": 9}`, true, change.Rejected},
		{"when another changes nothing", "source: 1 x", true, change.Rejected},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := newLetters("queue")
				st, f := fed(t, l)
				defer st.end(f)
				st.away.Store(true)
				l.send("waits", "source: 14 x")
				time.Sleep(10 * time.Second)
				if all := l.take(); len(all) != 1 || all[0].receipt.Outcome != change.Pending {
					t.Fatalf("%+v", all)
				}
				st.away.Store(c.away)
				if c.later != "" {
					l.send("later", c.later)
				}
				time.Sleep(10 * time.Second)
				all := l.followed()
				if len(all) != 1 || all[0].ID != "waits" || all[0].Outcome != c.want || (c.want == change.Rejected) != strings.Contains(all[0].Reason, "the change later") {
					t.Errorf("its sender is told %+v", all)
				}
				if r := st.receipt("waits"); r.Outcome != c.want || r.Flow != "flow" || !r.Running || r.Before == "" {
					t.Errorf("it is kept as %+v", r)
				}
				told := "waits: " + string(c.want)
				if n := len(slices.DeleteFunc(st.outcomes, func(s string) bool { return s != told })); n != 1 {
					t.Errorf("%q is told %d times", told, n)
				}
				l.send("waits", "source: 14 x")
				time.Sleep(time.Second)
				if all := l.take(); len(all) == 0 || all[len(all)-1].receipt.Outcome != c.want {
					t.Errorf("when it comes again it is answered with %+v", all)
				}
			})
		})
	}
}

// A change that was accepted and cannot start yet is kept for the next process.
func TestAPendingChangeOutlivesTheProcess(t *testing.T) {
	for _, c := range []struct {
		name, change, file string
		applied            bool
	}{
		{"of params", `{"slow": 77}`, "source: 14 x", true},
		{"of params, and the file has changed", `{"slow": 77}`, "source: 14 y", true},
		{"of the file", "source: 14 z", "source: 1 x", true},
		{"of the file, and the file on disk has changed", "source: 14 z", "source: 2 x", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := newLetters("queue")
				store := checkpoint.NewMemory()
				first := "source: 1 x"
				if strings.HasPrefix(c.change, "{") {
					first = "source: 14 x"
				}
				st, f := fedFrom(t, l, store, first)
				st.away.Store(true)
				l.send("waits", c.change)
				time.Sleep(10 * time.Second)
				all := l.take()
				if len(all) != 1 || all[0].receipt.Outcome != change.Pending || !all[0].accepted {
					t.Fatalf("%+v", all)
				}
				st.end(f)

				l = newLetters("queue")
				again, f := fedFrom(t, l, store, c.file)
				defer func() { again.end(f) }()
				before := again.Status()[0].Version
				time.Sleep(10 * time.Second)
				s := again.Status()[0]
				last := s.Receipts[len(s.Receipts)-1]
				if got := last.Outcome == change.Applied && last.ID == "waits"; got != c.applied || s.State != "running" {
					t.Errorf("%s, version %s, and the last receipt is %+v", s.State, s.Version, last)
				}
				if r := again.receipt("waits"); r.Outcome == change.Pending || r.Outcome == "" {
					t.Errorf("its receipt says %q", r.Outcome)
				}
				if (s.Version != before) != c.applied {
					t.Errorf("version %s, and %s before", s.Version, before)
				}
				// The sender may ask again, and is told what became of it.
				l.send("waits", c.change)
				time.Sleep(10 * time.Second)
				if all = l.take(); c.applied && (len(all) != 1 || all[0].receipt.Outcome != change.Applied || !all[0].receipt.At.Equal(last.At)) {
					t.Errorf("%+v", all)
				}
			})
		})
	}
}

// dyingStore keeps no receipts any more, as if the process had died behind the
// change.
type dyingStore struct {
	checkpoint.Store
	dying atomic.Bool
}

func (s *dyingStore) SetControl(flow string, changes []checkpoint.Change) error {
	if s.dying.Load() && slices.ContainsFunc(changes, func(c checkpoint.Change) bool { return c.Key == "receipts" }) {
		return nil
	}
	return s.Store.SetControl(flow, changes)
}

// The change that takes the place of one that waits does so also when the
// process dies before it could say so.
func TestAReplacedChangeDoesNotComeBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLetters("queue")
		store := &dyingStore{Store: checkpoint.NewMemory()}
		st, f := fedFrom(t, l, store, "source: 1 x")
		st.away.Store(true)
		l.send("waits", "source: 14 z")
		time.Sleep(time.Second)
		store.dying.Store(true)
		l.send("later", "source: 3 x")
		time.Sleep(time.Second)
		st.end(f)
		store.dying.Store(false)
		again, f := fedFrom(t, newLetters("queue"), store, "source: 1 x")
		defer func() { again.end(f) }()
		before := again.Status()[0].Version
		time.Sleep(time.Minute)
		if s := again.Status()[0]; s.Version != before {
			t.Errorf("version %s, and %s before: %+v", s.Version, before, s.Receipts)
		}
	})
}
