package flowtest_test

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"pgregory.net/rapid"

	"github.com/telluride-stream/telluride/engine/change"
	"github.com/telluride-stream/telluride/engine/flowtest"
)

// modelStep is one step of a random script.
type modelStep struct {
	kind    string // feed, advance, reload, crash, lose_session, sink_fails
	facts   []fact
	advance time.Duration
	id      string // of the change
	set     map[string]string
	invalid bool // the reload is to be refused
	sink    string
	times   int
}

// modelWorld is a random flow and a random script.
type modelWorld struct {
	flow  *modelFlow
	steps []modelStep
	facts []fact // all that is fed
}

func drawWorld(t *rapid.T) *modelWorld {
	w := &modelWorld{flow: drawFlow(t)}
	sinks := w.flow.sinks()
	if w.flow.poison {
		sinks = sinks[1:] // main refuses some records all along
	}
	tag, clock, changes := 0, 0, 0
	for range rapid.IntRange(1, 12).Draw(t, "steps") {
		s := modelStep{kind: rapid.SampledFrom([]string{
			"feed", "feed", "feed", "advance", "advance", "reload", "crash", "lose_session", "sink_fails",
		}).Draw(t, "step")}
		switch s.kind {
		case "feed":
			for range rapid.IntRange(1, 12).Draw(t, "messages") {
				clock += rapid.SampledFrom([]int{0, 0, 1, 3, 9}).Draw(t, "later")
				s.facts = append(s.facts, w.drawFact(t, clock, len(s.facts)))
			}
			w.facts = append(w.facts, s.facts...)
		case "advance":
			s.advance = time.Duration(rapid.SampledFrom([]int{1, 100, 1000, 2500, 40000}).Draw(t, "ms")) * time.Millisecond
		case "reload":
			changes++
			s.id = fmt.Sprintf("change-%d", changes)
			s.set, s.invalid = map[string]string{}, rapid.IntRange(0, 4).Draw(t, "invalid") == 0
			switch {
			case s.invalid:
				s.set["lanes"] = "0"
			default:
				tag++
				s.set["tag"] = fmt.Sprint(tag)
				s.set["lanes"] = fmt.Sprint(rapid.IntRange(1, 8).Draw(t, "lanes"))
				s.set["size"] = fmt.Sprint(rapid.SampledFrom([]int{1, 2, 3, 7}).Draw(t, "size"))
			}
		case "sink_fails":
			if len(sinks) == 0 {
				continue
			}
			s.sink, s.times = rapid.SampledFrom(sinks).Draw(t, "sink"), rapid.SampledFrom([]int{1, 2, 5, 1000}).Draw(t, "times")
		}
		w.steps = append(w.steps, s)
	}
	return w
}

func (w *modelWorld) drawFact(t *rapid.T, clock, n int) fact {
	f := fact{id: len(w.facts) + n, v: rapid.IntRange(0, 6).Draw(t, "v")}
	f.k = rapid.SampledFrom([]string{"a", "b", "c"}).Draw(t, "k")
	f.e = f.k + fmt.Sprint(rapid.IntRange(0, 5).Draw(t, "e"))
	f.at = max(0, clock-rapid.SampledFrom([]int{0, 0, 0, 2, 15}).Draw(t, "older"))
	f.broken = rapid.IntRange(0, 14).Draw(t, "broken") == 0
	return f
}

// faults says whether anything is delivered again: outputs may repeat.
func (w *modelWorld) faults() bool {
	for _, s := range w.steps {
		if s.kind == "crash" || s.kind == "lose_session" {
			return true
		}
	}
	return false
}

func (w *modelWorld) source() string {
	if w.flow.queue {
		return "rabbitmq"
	}
	return "file"
}

func (s *modelStep) run(w *modelWorld, b *flowtest.Bench) error {
	switch s.kind {
	case "feed":
		var all []flowtest.Message
		for i := range s.facts {
			m := flowtest.Message{Payload: []byte(s.facts[i].payload())}
			if w.flow.ids {
				m.Meta = fmt.Appendf(nil, `{"message_id":"m%d"}`, s.facts[i].id)
			}
			all = append(all, m)
		}
		return b.Feed(w.source(), all...)
	case "advance":
		return b.Advance(s.advance)
	case "reload":
		return b.Submit(change.Change{ID: s.id, Set: s.set, From: "api"})
	case "crash":
		return b.Crash()
	case "lose_session":
		return b.LoseSession(w.source())
	case "sink_fails":
		b.Fail(s.sink, flowtest.Outage{Times: s.times})
	}
	return nil
}

// begin comes before the steps.
func (w *modelWorld) begin(b *flowtest.Bench) {
	if w.flow.poison {
		b.Fail("main", flowtest.Outage{Times: 1 << 30, Permanent: true, Only: func(doc []byte) bool { return idOf(string(doc))%5 == 3 }})
	}
}

// finish ends every outage and the input, and gives the flow time to end.
func (w *modelWorld) finish(b *flowtest.Bench) error {
	for i, sink := range w.flow.sinks() {
		if i > 0 || !w.flow.poison {
			b.Fail(sink, flowtest.Outage{})
		}
	}
	// A change that is answered behind the end starts the flow again.
	if w.changes() {
		if err := b.Advance(answering); err != nil {
			return err
		}
	}
	if err := b.End(w.source()); err != nil {
		return err
	}
	return b.Advance(finishing)
}

func (w *modelWorld) changes() bool {
	return slices.ContainsFunc(w.steps, func(s modelStep) bool { return s.kind == "reload" })
}

const (
	// answering is longer than a sink that works again, and a change behind it, wait.
	answering = 90 * time.Second
	// finishing is longer than any back-off.
	finishing = 5 * time.Minute
)

// script is steps in the words of flow tests.
func (w *modelWorld) script(steps []modelStep) string {
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, "      - "+format+"\n", args...) }
	if w.flow.poison {
		line(`sink_fails: {sink: main, times: 1000000, error: permanent, when: "id %% 5 == 3"}`)
	}
	for _, s := range steps {
		switch s.kind {
		case "feed":
			line("feed:")
			for i := range s.facts {
				switch p := s.facts[i].payload(); {
				case w.flow.ids && s.facts[i].broken:
					fmt.Fprintf(&b, "          - {meta: {message_id: m%d}, payload_text: %q}\n", s.facts[i].id, p)
				case w.flow.ids:
					fmt.Fprintf(&b, "          - {meta: {message_id: m%d}, payload: %s}\n", s.facts[i].id, p)
				case s.facts[i].broken:
					fmt.Fprintf(&b, "          - %q\n", p)
				default:
					fmt.Fprintf(&b, "          - %s\n", p)
				}
			}
		case "advance":
			line("advance: %v", s.advance)
		case "reload":
			line("reload: {params: %s}", params(s.set))
		case "sink_fails":
			line("sink_fails: {sink: %s, times: %d}", s.sink, s.times)
		default:
			line("%s", s.kind)
		}
	}
	return b.String()
}

// ending is finish in the words of flow tests.
func (w *modelWorld) ending() string {
	var b strings.Builder
	for i, sink := range w.flow.sinks() {
		if i > 0 || !w.flow.poison {
			fmt.Fprintf(&b, "      - sink_fails: {sink: %s, times: 0}\n", sink)
		}
	}
	if w.changes() {
		fmt.Fprintf(&b, "      - advance: %v\n", answering)
	}
	fmt.Fprintf(&b, "      - end\n      - advance: 5m\n")
	return b.String()
}

func params(set map[string]string) string {
	var parts []string
	for _, name := range []string{"lanes", "size", "tag"} {
		if v, ok := set[name]; ok {
			parts = append(parts, name+": "+v)
		}
	}
	return "{" + strings.Join(parts, ", ") + "}"
}
