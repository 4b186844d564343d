package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/telluride-stream/telluride/engine/change"
)

// eventTimeout is how long the process may take for one event.
const eventTimeout = 2 * time.Minute

// flowFile is one of the flows under test, and what edits change in it.
type flowFile struct {
	name, file           string
	in, out, dead        string // queues
	config, refused      string // queues of changes, and of those that were rejected
	stages               string
	redelivered          string // an expression, where a record knows it
	edits, lanes, flight int
	prefetch             int
	step                 bool
}

func (f *flowFile) text(url string) string {
	step := ""
	if f.step {
		step = "\n  - filter: \"n > 0\""
	}
	return fmt.Sprintf(`name: %s
description: edit %d
params:
  lanes: {default: %d, min: 1, max: 8}
  rate: {default: 100, min: 1, max: 10000}
source:
  rabbitmq: {url: %[4]q, queue: %[5]s, prefetch: %[6]d}
  rate_limit: {records: "${params.rate}", per: 100ms}
stages:
  - partition: {by: key, lanes: "${params.lanes}"}%[7]s%[8]s
sink:
  rabbitmq:
    url: %[4]q
    queue: %[9]s
    max_in_flight: %[10]d
    headers: {redelivered: "{{ %[12]s }}"}
dead_letter:
  rabbitmq: {url: %[4]q, queue: %[11]s}
checkpoint: {interval: 200ms}
durability: disk
control:
  config_queue: {rabbitmq: {url: %[4]q, queue: %[13]s}}
`, f.name, f.edits, f.lanes, url, f.in, f.prefetch, step, f.stages, f.out, f.flight, f.dead, f.redelivered, f.config)
}

const runningAggregate = `
  - name: per_key
    window:
      by: key
      global: true
      emit: {every: 100ms, changed_only: true}
      aggregate: {count: "count()", sum: "sum(n)", low: "min(value)", high: "max(value)"}`

// anyFlow is one of the flows.
func (h *harness) anyFlow() *flowFile { return h.flows[h.rng.IntN(len(h.flows))] }

// setParam changes a param from the command line.
func (h *harness) setParam() {
	set := fmt.Sprintf("lanes=%d", 1+h.rng.IntN(8))
	if h.rng.IntN(2) == 0 {
		set = fmt.Sprintf("rate=%d", []int{30, 60, 200, 10000}[h.rng.IntN(4)])
	}
	f := h.anyFlow()
	if code, out := h.apply(f, set); code != exitFine {
		h.score.unexpected("apply --set %s: exit code %d: %s", set, code, out)
	}
}

// setWrong sets what the flow does not take.
func (h *harness) setWrong() {
	set := []string{"lanes=9", "lanes=many", "lane=2", "rate=0", "rate=1.5"}[h.rng.IntN(5)]
	f := h.anyFlow()
	if code, out := h.apply(f, set); code != exitFailed || !strings.Contains(out, "rejected") {
		h.score.unexpected("apply --set %s: exit code %d: %s", set, code, out)
	}
}

func (h *harness) apply(f *flowFile, set string) (code int, out string) {
	h.changes++
	var both bytes.Buffer
	cmd := h.command("apply", "--flow", f.name, "--set", set, "--timeout", eventTimeout.String())
	cmd.Stdout, cmd.Stderr = &both, &both
	if err := cmd.Run(); err != nil && cmd.ProcessState == nil {
		h.t.Fatalf("apply: %v", err)
	}
	return cmd.ProcessState.ExitCode(), both.String()
}

// edit changes a flow file, in place or as editors do it.
func (h *harness) edit() {
	f := h.anyFlow()
	switch h.rng.IntN(3) {
	case 0:
		f.lanes = 1 + f.lanes%8
	case 1:
		f.flight = 64 + h.rng.IntN(2000)
	case 2:
		f.step = !f.step
	}
	h.save(f, change.Applied)
}

// editSource changes what makes the source begin a session of its own.
func (h *harness) editSource() {
	f := h.anyFlow()
	f.prefetch = 20 + h.rng.IntN(400)
	h.save(f, change.Applied)
}

// save writes a flow file that has changed, and waits for its receipt.
func (h *harness) save(f *flowFile, want ...change.Outcome) {
	f.edits++
	h.write(f, f.text(h.url), want...)
}

// editWrong saves a file that cannot be taken, and then the good one again.
func (h *harness) editWrong() {
	f := h.anyFlow()
	text := f.text(h.url)
	broken := []string{
		strings.Replace(text, "source:", "sorce:", 1),
		strings.Replace(text, "min: 1, max: 8", "min: 9, max: 8", 1),
		strings.Replace(text, "partition: {by: key", "partition: {by: [", 1),
		strings.Replace(text, "checkpoint: {interval: 200ms}", "checkpoint: {interval: soon}", 1),
		text[:len(text)/2] + "\x00\xff",
	}[h.rng.IntN(5)]
	h.write(f, broken, change.Rejected)
	h.write(f, text, change.Unchanged, change.Applied)
}

// editUnstartable saves a file that is right, for a broker that lacks what it
// names.
func (h *harness) editUnstartable() {
	f := h.anyFlow()
	text := f.text(h.url)
	h.write(f, strings.Replace(text, "queue: "+f.in+",", "queue: "+f.in+"-missing,", 1), change.Rejected, change.RolledBack)
	h.write(f, text, change.Unchanged, change.Applied)
}

// write writes a flow's file and waits for the receipt of that.
func (h *harness) write(f *flowFile, text string, want ...change.Outcome) {
	h.changes++
	var before []change.Receipt
	if !await(eventTimeout, func() (ok bool) { before, ok = h.receipts(f); return ok }) {
		h.score.unexpected("the process does not tell of %s within %v", f.name, eventTimeout)
		return
	}
	var err error
	if h.rng.IntN(2) == 0 {
		err = os.WriteFile(f.file, []byte(text), 0o644)
	} else {
		draft := filepath.Join(h.dir, "draft")
		if err = os.WriteFile(draft, []byte(text), 0o644); err == nil {
			err = os.Rename(draft, f.file)
		}
	}
	if err != nil {
		h.t.Fatal(err)
	}
	var got *change.Receipt
	if !await(eventTimeout, func() bool {
		after, _ := h.receipts(f)
		for _, r := range after {
			known := slices.ContainsFunc(before, func(b change.Receipt) bool { return b.ID == r.ID && b.Outcome == r.Outcome })
			if r.From == "file" && !known && r.Outcome != change.Pending {
				got = &r
			}
		}
		return got != nil
	}) {
		h.score.unexpected("no receipt for an edit of %s within %v", f.name, eventTimeout)
		return
	}
	if !slices.Contains(want, got.Outcome) || !got.Running {
		h.score.unexpected("edit of %s: %s, running %v: %s, want one of %v", f.name, got.Outcome, got.Running, got.Reason, want)
	}
}

// receipts are the last receipts of a flow; ok is false when the process does
// not tell.
func (h *harness) receipts(f *flowFile) (all []change.Receipt, ok bool) {
	process, err := h.process()
	if err != nil {
		return nil, false
	}
	for _, one := range process.Flows {
		if one.Name == f.name {
			return one.Receipts, true
		}
	}
	return nil, false
}

// restart ends the process as a service manager does, and starts it again.
func (h *harness) restart() {
	h.terminate()
	h.start()
}

// terminate has the process drain, and waits for its end.
func (h *harness) terminate() {
	_ = h.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-h.ended:
	case <-time.After(eventTimeout):
		h.score.unexpected("the process did not end within %v of SIGTERM", eventTimeout)
		_ = h.cmd.Process.Kill()
		<-h.ended
	}
	// What a session that has just been lost had taken cannot be finished,
	// and the process says so.
	if code := h.cmd.ProcessState.ExitCode(); code != exitFine && (code != exitFailed || h.score.now() != faults) {
		h.score.unexpected("exit code %d behind SIGTERM in a round of %s", code, h.score.now())
	}
}

// kill ends the process without warning, and starts it again.
func (h *harness) kill() {
	select {
	case <-h.ended:
		h.score.unexpected("the process had ended by itself: %v", h.cmd.ProcessState)
	default:
	}
	_ = h.cmd.Process.Kill()
	<-h.ended
	h.start()
}

// cut cuts every connection of the process, without a farewell.
func (h *harness) cut() { h.trace("  cut %d connections", h.proxy.sever()) }
