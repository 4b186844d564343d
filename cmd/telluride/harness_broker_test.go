package main

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/telluride-stream/telluride/engine/change"
	"github.com/telluride-stream/telluride/stages/rabbitmq"
)

// closeConnections has the broker close every connection, ours too.
func (h *harness) closeConnections() {
	h.trace("  the broker closed %d connections", h.node.CloseConnections())
	h.connect()
}

// restartBroker ends the broker, and starts it again.
func (h *harness) restartBroker() {
	h.node.Stop()
	h.node.Boot()
	h.connect()
}

// alarm has the broker take no messages for a while.
func (h *harness) alarm() {
	h.node.Alarm(true)
	time.Sleep(h.pause(1500))
	h.node.Alarm(false)
}

// deleteIn deletes the queue that a flow reads, and makes it again. What a
// queue holds goes with it, so that it has to be empty.
func (h *harness) deleteIn() {
	h.quiet()
	f := h.anyFlow()
	_, err := h.channel.QueueDelete(f.in, false, true, false)
	h.must(err)
	time.Sleep(h.pause(1000))
	h.declareIn(f)
}

// deleteOut deletes the queue that a flow writes to, while it writes, and
// makes it again.
func (h *harness) deleteOut() {
	h.quiet()
	f := h.anyFlow()
	_, err := h.channel.QueueDelete(f.out, false, true, false)
	h.must(err)
	h.must(h.publish(50, []time.Duration{0}))
	time.Sleep(h.pause(1000))
	h.declare(f.out, nil)
}

// setByMessage changes a param through the config queue, as the original did.
func (h *harness) setByMessage() {
	f := h.anyFlow()
	h.say(f, fmt.Sprintf(`{"lanes": %d}`, 1+h.rng.IntN(8)), func(r change.Receipt) bool {
		return (r.Outcome == change.Applied || r.Outcome == change.Unchanged) && r.Running
	})
}

// sendWrong sends what cannot be taken. The flow must not notice.
func (h *harness) sendWrong() {
	f := h.anyFlow()
	other := h.flows[0]
	if f == other {
		other = h.flows[1]
	}
	text := f.text(h.url)
	message := []string{
		"\x00\xff\xfe garbage \x80",
		`{"lanes": "many"}`, `{"lanes": 2.5}`, `{"lanes": 9}`, `{"lane": 2}`, `{"lanes": 2,`, "", "[]",
		strings.Replace(text, "source:", "sorce:", 1),
		other.text(h.url),
		text + "description: " + strings.Repeat("long ", 2<<20),
	}[h.rng.IntN(11)]
	h.refused++
	h.say(f, message, func(r change.Receipt) bool {
		return r.Outcome == change.Rejected && r.Running && r.Before == r.After && r.PausedMS == 0 && r.Drained == 0 && len(r.Diagnostics) > 0
	})
}

// say sends a message to a flow's config queue, and judges the receipt.
func (h *harness) say(f *flowFile, message string, fine func(change.Receipt) bool) {
	h.changes++
	ctx, cancel := context.WithTimeout(context.Background(), eventTimeout)
	defer cancel()
	shown := message[:min(len(message), 100)]
	answer, err := rabbitmq.Ask(ctx, rabbitmq.Request{
		URL: h.node.URL(), Queue: f.config, ID: fmt.Sprintf("change-%d", h.changes), Body: []byte(message), Last: isLast,
	})
	if err != nil {
		h.score.unexpected("the message %q to %s: %v", shown, f.name, err)
		return
	}
	var r change.Receipt
	if err := json.Unmarshal(answer, &r); err != nil || !fine(r) {
		h.score.unexpected("the message %q to %s was answered by %s (%v)", shown, f.name, answer, err)
	}
}

// refusedCheck looks whether every message that was wrong has become a dead
// letter of its queue, once.
func (h *harness) refusedCheck() {
	var ids []string
	for _, f := range h.flows {
		for {
			d, ok, err := h.channel.Get(f.refused, true)
			h.must(err)
			if !ok {
				break
			}
			ids = append(ids, d.MessageId)
			if d.Headers["x-first-death-reason"] != "rejected" {
				h.score.unexpected("a change that was refused came with the headers %v", d.Headers)
			}
		}
	}
	if n := len(ids); n != h.refused || len(slices.Compact(slices.Sorted(slices.Values(ids)))) != n {
		h.score.unexpected("%d messages asked for what is wrong, and the dead letters are %v", h.refused, ids)
	}
}
