package main

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"testing"
	"time"
)

// TestHarness runs flows in a process over a real broker, both its own, changes
// and breaks what it can while numbered messages go through, and counts.
//
// It goes in rounds. Behind each round everything that was published must
// have come out and been acknowledged, so that what a round may do is exact:
//
//   - a round of reloads repeats nothing, and has the broker redeliver nothing;
//   - a round with restarts (SIGTERM, changes of a source, memory alarms) repeats nothing;
//   - a round with faults (SIGKILL, lost connections, a broker that restarts,
//     queues that are deleted) may repeat outputs.
//
// In every one of them nothing may get lost, and the aggregates are exact.
//
// HARNESS_EVENTS and HARNESS_MESSAGES make it longer, with another seed each
// time; HARNESS_SEED repeats a run.
func TestHarness(t *testing.T) {
	if testing.Short() {
		t.Skip("it takes more than half a minute")
	}
	events, messages := number(t, "HARNESS_EVENTS", 24), number(t, "HARNESS_MESSAGES", 3000)
	otherwise := 11 // every run of the short form is the same run
	if events > 24 {
		otherwise = int(rand.Uint32())
	}
	seed := uint64(number(t, "HARNESS_SEED", otherwise))
	t.Logf("HARNESS_SEED=%d HARNESS_EVENTS=%d HARNESS_MESSAGES=%d", seed, events, messages)
	h := newHarness(t, rand.New(rand.NewPCG(seed, 0)))
	h.makeQueues()
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

// event is one thing that happens to the process, or to the broker.
type event struct {
	name string
	do   func(*harness)
	// alone: the publisher would suffer too, so that it has its say before.
	// Then the event finds the flows at work on a queue that is full.
	alone bool
}

var (
	gentle = []event{
		{"set", (*harness).setParam, false}, {"set by message", (*harness).setByMessage, false},
		{"edit", (*harness).edit, false}, {"edit", (*harness).edit, false},
		{"wrong set", (*harness).setWrong, false}, {"wrong message", (*harness).sendWrong, false},
		{"wrong edit", (*harness).editWrong, false}, {"edit that cannot start", (*harness).editUnstartable, false},
	}
	ending = []event{
		{"SIGTERM", (*harness).restart, false}, {"edit of the source", (*harness).editSource, false}, {"memory alarm", (*harness).alarm, false},
	}
	breaking = []event{
		{"SIGKILL", (*harness).kill, false}, {"connections cut", (*harness).cut, false},
		{"connections closed by the broker", (*harness).closeConnections, true},
		{"broker restarted", (*harness).restartBroker, true},
		{"input queue deleted", (*harness).deleteIn, true}, {"output queue deleted", (*harness).deleteOut, true},
	}
	quick = breaking[:2] // those that take no time
)

// burst is how many times as much is published for an event that is alone.
const burst = 8

// deck draws from a list such that everything has its turn.
type deck struct{ all, left []event }

func (d *deck) draw(rng *rand.Rand) event {
	if len(d.left) == 0 {
		d.left = slices.Clone(d.all)
		rng.Shuffle(len(d.left), func(i, j int) { d.left[i], d.left[j] = d.left[j], d.left[i] })
	}
	e := d.left[0]
	d.left = d.left[1:]
	return e
}

// rounds draws the events: rounds of four, or of twelve when they are many and
// gentle, each of which has at least one event of its nature.
func (h *harness) rounds(events int) []round {
	order := []nature{reloads, faults, restarts, faults}
	own := map[nature]int{restarts: 3, faults: 2}
	decks := map[nature]*deck{reloads: {all: gentle}, restarts: {all: ending}, faults: {all: breaking}}
	var all []round
	for left := events; left > 0; {
		r := round{nature: order[len(all)%len(order)]}
		n := 4
		if events > 100 && r.nature == reloads {
			n = 12
		}
		n = min(n, left)
		left -= n
		others := gentle
		switch r.nature {
		case restarts:
			others = append(append([]event{}, gentle...), ending[:2]...)
		case faults:
			others = append(append(append([]event{}, gentle...), ending[:2]...), quick...)
		}
		for i := range n {
			if i < own[r.nature] || r.nature == reloads {
				r.events = append(r.events, decks[r.nature].draw(h.rng))
			} else {
				r.events = append(r.events, others[h.rng.IntN(len(others))])
			}
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
		began := time.Now()
		h.trace("%s: %s", r.nature, e.name)
		if e.alone {
			h.must(h.publish(burst*n, []time.Duration{0}))
			e.do(h)
		} else {
			h.during(n, e)
		}
		h.trace("  took %v", time.Since(began).Round(time.Millisecond))
	}
	h.settle(r)
}

// during publishes n messages while an event happens.
func (h *harness) during(n int, e event) {
	pauses := []time.Duration{h.pause(40), h.pause(40), h.pause(40)}
	wait := h.pause(100)
	published := make(chan error, 1)
	go func() { published <- h.publish(n, pauses) }()
	time.Sleep(wait)
	e.do(h)
	if err := <-published; err != nil {
		h.t.Fatalf("publish: %v", err)
	}
}

// pause is a random moment below so many milliseconds.
func (h *harness) pause(ms int) time.Duration {
	return time.Duration(h.rng.IntN(ms*1000)) * time.Microsecond
}

// settleTimeout is how long nothing at all may come out, reconnecting included.
const settleTimeout = 2 * time.Minute

// settle waits until everything has come out and is acknowledged. What is
// missing in the end is counted by the report.
func (h *harness) settle(r round) {
	h.t.Helper()
	began := time.Now()
	h.quiet()
	h.trace("settled in %v", time.Since(began).Round(time.Millisecond))
	if r.nature == faults {
		// What a restored aggregate says once more belongs to this round: it has
		// said that when it tells of one more message of each key.
		h.must(h.publish(harnessKeys, []time.Duration{0}))
		h.quiet()
	}
}

// quiet waits until nothing is on its way.
func (h *harness) quiet() {
	h.t.Helper()
	why := ""
	ok := awaitAll(settleTimeout, h.score.came, func() bool {
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
	if !ok {
		h.score.unexpected("a round did not end, and nothing came for %v: %s", settleTimeout, why)
		h.report()
		h.t.FailNow()
	}
}

// report counts, and says how to have the same again.
func (h *harness) report() {
	h.t.Helper()
	h.logCheck()
	h.refusedCheck()
	c := h.score.count()
	h.t.Logf("%d changes asked for; events: %v", h.changes, h.events)
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
