package main

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/telluride-stream/telluride/engine/change"
	"github.com/telluride-stream/telluride/stages/rabbitmq"
)

// viaQueue is where a change is sent that does not go to the process itself.
type viaQueue struct {
	url, queue string
}

// request is a change as a message: a flow file as it is, params as JSON.
func (v viaQueue) request(p *program, c change.Change) (rabbitmq.Request, error) {
	r := rabbitmq.Request{URL: v.url, Queue: v.queue, ID: "apply-" + strings.ToLower(rand.Text())}
	switch {
	case c.Flow != "":
		return r, errors.New("--flow: with --via-queue the queue says which flow is meant; leave it out")
	case c.Source != nil && len(c.Set)+len(c.Unset) > 0:
		return r, errors.New("with --via-queue, a change is a flow file or params, and not both: send two")
	case c.Source != nil && c.BaseVersion != "":
		return r, errors.New("--base-version: with --via-queue, only a change of params can name it")
	}
	if c.Source == nil {
		if r.Queue == "" {
			return r, errors.New("--via-queue needs to know the queue: name it with --queue")
		}
		r.ContentType = "application/json"
		body, err := paramsMessage(c)
		r.Body = body
		return r, err
	}
	r.ContentType, r.Body = "application/yaml", c.Source
	if r.Queue == "" {
		if r.Queue = p.configQueue(c); r.Queue == "" {
			return r, fmt.Errorf("%s names no config queue (control: {config_queue: {rabbitmq: …}}) that could be read from it: name it with --queue", c.File)
		}
	}
	return r, nil
}

// configQueue is the queue that a flow file reads its changes from.
func (p *program) configQueue(c change.Change) string {
	plan, _ := p.compiler(settings{})(c.File, c.Source, nil)
	if plan == nil {
		return ""
	}
	for _, feed := range plan.Control {
		if feed.Kind == "rabbitmq" {
			return feed.Spec.Text
		}
	}
	return ""
}

// paramsMessage is the long form of a message. A value that is a number, true,
// false or a quoted text in JSON is sent as that; anything else is a text.
func paramsMessage(c change.Change) ([]byte, error) {
	params := map[string]json.RawMessage{}
	for name, value := range c.Set {
		raw := json.RawMessage(value)
		if !json.Valid(raw) || strings.ContainsAny(value[:1], "[{n") {
			text, err := json.Marshal(value)
			if err != nil {
				return nil, err
			}
			raw = text
		}
		params[name] = raw
	}
	return json.Marshal(struct {
		Params      map[string]json.RawMessage `json:"params"`
		Unset       []string                   `json:"unset,omitempty"`
		BaseVersion string                     `json:"base_version,omitempty"`
	}{params, c.Unset, c.BaseVersion})
}

// applyViaQueue sends a change to a config queue, and waits for its receipt.
func (p *program) applyViaQueue(c change.Change, a asked, v viaQueue, timeout time.Duration) error {
	request, err := v.request(p, c)
	if err != nil {
		return err
	}
	ctx, cancel := p.interruptible()
	defer cancel()
	ctx, stop := context.WithTimeout(ctx, timeout)
	defer stop()
	request.Last = func(receipt []byte) bool {
		if isLast(receipt) {
			return true
		}
		p.waits(receipt)
		return false
	}
	answer, err := rabbitmq.Ask(ctx, request)
	switch {
	case answer != nil && err != nil:
		return p.unsettled(c, answer, a.format)
	case errors.Is(err, rabbitmq.ErrNoReceipt) && errors.Is(err, context.DeadlineExceeded):
		why := "the change goes on, and telluride status where it runs will show what became of it"
		if errors.Is(err, rabbitmq.ErrUnread) {
			why = fmt.Sprintf("nobody reads queue %q, in which the change waits until its flow runs", request.Queue)
		}
		return failed(fmt.Errorf("no receipt after %v: %s (id %s)", timeout, why, request.ID))
	case err != nil:
		return failed(err)
	}
	var r change.Receipt
	if err := json.Unmarshal(answer, &r); err != nil {
		return failed(fmt.Errorf("the answer is no receipt: %w", err))
	}
	return p.answered(c, r, a.format)
}
