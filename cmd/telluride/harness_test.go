package main

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"
)

// TestHarness runs flows over a real broker in a process of its own, changes
// and breaks what it can while numbered messages go through, and counts.
//
// It goes in rounds. Behind each round everything that was published must
// have come out and been acknowledged, so that what a round may do is exact:
//
//   - a round of reloads repeats nothing, and has the broker redeliver nothing;
//   - a round with restarts (SIGTERM, and changes of a source) repeats nothing;
//   - a round with faults (SIGKILL, lost connections) may repeat outputs.
//
// In every one of them nothing may get lost, and the aggregates are exact.
//
// HARNESS_EVENTS and HARNESS_MESSAGES make it longer, with another seed each
// time; HARNESS_SEED repeats a run.
func TestHarness(t *testing.T) {
	if testing.Short() {
		t.Skip("it takes half a minute")
	}
	events, messages := number(t, "HARNESS_EVENTS", 20), number(t, "HARNESS_MESSAGES", 3000)
	otherwise := 11 // every run of the short form is the same run
	if events > 20 {
		otherwise = int(rand.Uint32())
	}
	seed := uint64(number(t, "HARNESS_SEED", otherwise))
	t.Logf("HARNESS_SEED=%d HARNESS_EVENTS=%d HARNESS_MESSAGES=%d", seed, events, messages)
	h := newHarness(t, rand.New(rand.NewPCG(seed, 0)))
	rounds := h.rounds(events)
	h.start()
	for i, r := range rounds {
		h.round(r, messages*(i+1)/len(rounds)-messages*i/len(rounds))
	}
	h.terminate()
	h.report()
}

// number is a whole number from the environment.
func number(t *testing.T, name string, otherwise int) int {
	t.Helper()
	text := os.Getenv(name)
	if text == "" {
		return otherwise
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 0 {
		t.Fatalf("%s=%s: expected a whole number", name, text)
	}
	return n
}

// nature says what the events of a round may lead to.
type nature int

const (
	reloads  nature = iota // nothing is repeated or redelivered
	restarts               // the broker may redeliver what was not begun
	faults                 // outputs may be repeated
)

func (n nature) String() string { return [...]string{"reloads", "restarts", "faults"}[n] }

type round struct {
	nature nature
	events []event
}

// event is one thing that happens to the process.
type event struct {
	name string
	do   func(*harness)
}

var (
	gentle = []event{
		{"set", (*harness).setParam}, {"set", (*harness).setParam}, {"edit", (*harness).edit}, {"edit", (*harness).edit},
		{"wrong set", (*harness).setWrong}, {"wrong edit", (*harness).editWrong}, {"edit that cannot start", (*harness).editUnstartable},
	}
	ending   = []event{{"SIGTERM", (*harness).restart}, {"edit of the source", (*harness).editSource}}
	breaking = []event{{"SIGKILL", (*harness).kill}, {"connections cut", (*harness).cut}, {"connections closed by the broker", (*harness).closeByBroker}}
)

// rounds draws the events: rounds of four, each of which has at least one
// event of its nature.
func (h *harness) rounds(events int) []round {
	order := []nature{reloads, faults, restarts, faults}
	var all []round
	for left := events; left > 0; {
		r := round{nature: order[len(all)%len(order)]}
		n := min(4, left)
		left -= n
		own, any := gentle, gentle
		switch r.nature {
		case restarts:
			own, any = ending, append(append([]event{}, gentle...), ending...)
		case faults:
			own, any = breaking, append(append(append([]event{}, gentle...), ending...), append(breaking, breaking...)...)
		}
		for i := range n {
			from := any
			if i < 2 {
				from = own
			}
			r.events = append(r.events, from[h.rng.IntN(len(from))])
		}
		h.rng.Shuffle(n, func(i, j int) { r.events[i], r.events[j] = r.events[j], r.events[i] })
		all = append(all, r)
	}
	h.rng.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	return all
}

// round publishes messages while events happen, and waits until everything
// has come out.
func (h *harness) round(r round, messages int) {
	h.score.begin(r.nature)
	for i, e := range r.events {
		n := messages*(i+1)/len(r.events) - messages*i/len(r.events)
		h.events[e.name]++
		pauses := []time.Duration{h.pause(40), h.pause(40), h.pause(40)}
		wait := h.pause(100)
		published := make(chan error, 1)
		go func() { published <- h.publish(n, pauses) }()
		time.Sleep(wait)
		began := time.Now()
		h.trace("%s: %s", r.nature, e.name)
		e.do(h)
		h.trace("  took %v", time.Since(began).Round(time.Millisecond))
		if err := <-published; err != nil {
			h.t.Fatalf("publish: %v", err)
		}
	}
	h.settle(r)
}

// pause is a random moment below so many milliseconds.
func (h *harness) pause(ms int) time.Duration {
	return time.Duration(h.rng.IntN(ms*1000)) * time.Microsecond
}

// settleTimeout is how long everything may take to come out, reconnecting included.
const settleTimeout = 60 * time.Second

// settle waits until everything has come out and is acknowledged. What is
// missing in the end is counted by the report.
func (h *harness) settle(r round) {
	h.t.Helper()
	began := time.Now()
	why := ""
	ok := await(settleTimeout, func() bool {
		if why = h.score.missing(); why != "" {
			return false
		}
		process, err := h.process()
		if err != nil {
			why = err.Error()
			return false
		}
		for _, f := range process.Flows {
			if f.State != "running" || f.Unacknowledged > 0 {
				why = fmt.Sprintf("%s is %s (%s), %d unacknowledged", f.Name, f.State, f.Reason, f.Unacknowledged)
				return false
			}
		}
		return h.queuesEmpty(&why)
	})
	h.trace("settled in %v", time.Since(began).Round(time.Millisecond))
	if !ok {
		h.score.unexpected("a round did not end within %v: %s", settleTimeout, why)
		h.report()
		h.t.FailNow()
	}
	if r.nature == faults {
		// What a restored aggregate says once more belongs to this round.
		time.Sleep(3 * emitEvery)
	}
}

// report counts, and says how to have the same again.
func (h *harness) report() {
	h.t.Helper()
	h.logCheck()
	c := h.score.count()
	h.t.Logf("events: %v", h.events)
	h.t.Logf("%d messages, %d results of aggregates: lost %d, duplicated %d, recovered %d, unexpected %d",
		c.published, c.results, c.lost, c.duplicated, c.recovered, len(c.unexpected))
	for i, what := range c.unexpected {
		if i == 20 {
			h.t.Logf("… and %d more", len(c.unexpected)-i)
			break
		}
		h.t.Logf("unexpected: %s", what)
	}
	if c.lost != 0 || len(c.unexpected) != 0 {
		h.t.Errorf("lost %d, unexpected %d; want 0 and 0. The seed is above", c.lost, len(c.unexpected))
		log, _ := os.ReadFile(h.logFile)
		if keep := os.Getenv("HARNESS_LOG"); keep != "" {
			_ = os.WriteFile(filepath.Clean(keep), log, 0o644)
		}
		h.t.Logf("the end of what the process said:\n%s", log[max(0, len(log)-6000):])
	}
}
