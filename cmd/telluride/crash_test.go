package main

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

// TestCrashes kills a process at random moments, in the middle of commits and
// changes too, and cuts its connections at others. It runs a flow over a queue
// whose messages have ids, one over a stream and one over a file, each with
// tumbling and session windows behind a dedupe, and global ones. In the end every
// result must be the oracle's, once repeats are taken away by message id, and
// every record that is broken must be one dead letter.
//
// HARNESS_CRASHES is the number of kills, and of cuts; HARNESS_SEED repeats a run.
func TestCrashes(t *testing.T) {
	if testing.Short() {
		t.Skip("it starts a broker")
	}
	n, seed := number(t, "HARNESS_CRASHES", 5), uint64(number(t, "HARNESS_SEED", 11))
	t.Logf("HARNESS_SEED=%d HARNESS_CRASHES=%d", seed, n)
	h := newHarness(t, rand.New(rand.NewPCG(seed, 1)))
	w := &crashes{harness: h, input: newCrashInput(h.rng, 1500+n*400)}
	w.flow("queue", `rabbitmq: {url: %q, queue: %s, prefetch: 300}`)
	w.flow("stream", `rabbitmq: {url: %q, queue: %s, prefetch: 300, offset: first}`)
	w.flow("file", `file: {path: %q, follow: true}`)
	w.fill()
	h.start()
	events := append(slices.Repeat([]func(){w.crash}, n), slices.Repeat([]func(){h.cut}, n)...)
	h.rng.Shuffle(len(events), func(i, j int) { events[i], events[j] = events[j], events[i] })
	for _, do := range events {
		time.Sleep(h.pause(400))
		do()
	}
	w.finish()
	h.terminate()
	h.logCheck()
	w.report(n)
}

// crashes is a harness with flows of its own.
type crashes struct {
	*harness
	input    crashInput
	collects []*collection
}

// flow makes a flow over a source, which is made of a path, or of URL and queue.
func (w *crashes) flow(kind, source string) {
	h := w.harness
	name := "crash-" + kind
	f := &flowFile{name: name, file: filepath.Join(h.dir, kind+".yaml"), in: name + "-in", out: name + "-out", dead: name + "-dead"}
	input := filepath.Join(h.dir, kind+".ndjson")
	if strings.HasPrefix(source, "file") {
		source = fmt.Sprintf(source, input)
		h.must(os.WriteFile(input, []byte(strings.Join(w.input.bodies, "\n")+"\n"), 0o644))
	} else {
		source = fmt.Sprintf(source, h.url, f.in)
		args := amqp.Table{}
		if kind == "stream" {
			args["x-queue-type"] = "stream"
		}
		h.declare(f.in, args)
	}
	h.declare(f.out, nil)
	h.declare(f.dead, nil)
	h.must(os.WriteFile(f.file, fmt.Appendf(nil, crashFlow, name, source, h.url, f.out, f.dead), 0o644))
	h.flows = append(h.flows, f)
	c := newCollection(kind)
	w.collects = append(w.collects, c)
	h.consume(f.out, c.result)
	h.consume(f.dead, c.letter)
}

const crashFlow = `name: %s
params:
  lanes: {default: 2, min: 1, max: 8}
  rate: {default: 50, min: 1, max: 100000}
source:
  %s
  rate_limit: {records: "${params.rate}", per: 50ms}
  time: {field: at, out_of_order: 3s}
stages:
  - partition: {by: key, lanes: "${params.lanes}"}
  - route:
      match: all
      branches:
        - name: tumbling
          when: "n >= 0"
          stages:
            - {name: once, dedupe: {by: id, within: 24h}}
            - name: tumbled
              window: {by: key, tumbling: 10s, aggregate: {count: "count()", sum: "sum(n)"}}
            - process: [{set: {kind: "'tumbling'"}}]
        - name: session
          when: "n >= 0"
          stages:
            - {name: once_more, dedupe: {by: id, within: 24h}}
            - name: sessions
              window: {by: key, session: {gap: 5s}, aggregate: {count: "count()", sum: "sum(n)"}}
            - process: [{set: {kind: "'session'"}}]
        - name: global
          when: "n >= 0"
          stages:
            - name: totals
              window: {by: key, global: true, emit: {every: 100ms, changed_only: true}, aggregate: {count: "count()", sum: "sum(n)"}}
            - process: [{set: {kind: "'global'"}}]
sink: {rabbitmq: {url: %q, queue: %s}}
dead_letter: {rabbitmq: {url: %[3]q, queue: %[5]s}}
checkpoint: {interval: 100ms}
`

// fill publishes the whole input: the flows read it at their rate.
func (w *crashes) fill() {
	for _, f := range w.flows[:2] {
		var last *amqp.DeferredConfirmation
		for i, body := range w.input.bodies {
			var err error
			last, err = w.channel.PublishWithDeferredConfirm("", f.in, true, false, amqp.Publishing{
				MessageId: fmt.Sprintf("m%d", i), DeliveryMode: amqp.Persistent, Body: []byte(body),
			})
			w.must(err)
		}
		if !last.Wait() {
			w.t.Fatal("the broker refused a message")
		}
	}
}

// crash kills the process, at times in the middle of a change.
func (w *crashes) crash() {
	if w.rng.IntN(3) == 0 {
		f := w.anyFlow()
		cmd := w.command("apply", "--flow", f.name, "--set", fmt.Sprintf("lanes=%d", 1+w.rng.IntN(8)))
		w.must(cmd.Start())
		defer func() { _ = cmd.Wait() }() // it may or may not get its receipt
		time.Sleep(w.pause(60))
	}
	w.kill()
}

// finish lets the flows read as fast as they can, and waits until everything
// is there that the oracle expects.
func (w *crashes) finish() {
	for _, f := range w.flows {
		if code, out := w.apply(f, "rate=100000"); code != exitFine {
			w.t.Errorf("apply: exit code %d: %s", code, out)
		}
	}
	awaitAll(settleTimeout, func() (n int) {
		for _, c := range w.collects {
			n += c.came()
		}
		return n
	}, func() bool {
		return !slices.ContainsFunc(w.collects, func(c *collection) bool { return len(c.problems(w.input)) > 0 })
	})
}

func (w *crashes) report(n int) {
	log, err := os.ReadFile(w.logFile)
	w.must(err)
	w.t.Logf("flows let records through bit by bit %d times, and %d records were alone in flight at the end of a process",
		bytes.Count(log, []byte("is let through bit by bit")), bytes.Count(log, []byte("this record was alone in flight")))
	for _, c := range w.collects {
		problems := c.problems(w.input)
		w.t.Logf("%s: %d records, %d kills, %d cuts: %d results, %d of them repeated; %d dead letters, %d of them repeated; %d unexpected",
			c.name, len(w.input.bodies), n, n, len(c.results), c.repeated, len(c.letters), c.lettersAgain, len(problems))
		for i, p := range problems {
			if i == 20 {
				w.t.Errorf("… and %d more", len(problems)-i)
				break
			}
			w.t.Errorf("%s: %s", c.name, p)
		}
	}
	if w.t.Failed() || len(w.score.wrong) > 0 {
		w.t.Errorf("unexpected: %v; the end of what the process said:\n%s", w.score.wrong, log[max(0, len(log)-5000):])
	}
}
