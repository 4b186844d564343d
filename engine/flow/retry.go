package flow

import (
	"fmt"
	"time"

	"github.com/telluride-stream/telluride/engine/conf"
	"github.com/telluride-stream/telluride/engine/diag"
	"github.com/telluride-stream/telluride/engine/retry"
	"github.com/telluride-stream/telluride/engine/stage"
)

// retryConfig is retry: of a stage, or of a process for its steps.
type retryConfig struct {
	retry.Config
	given     bool
	span      diag.Span
	order     string
	by        []conf.Text
	inherited bool // from the process that the step is of
}

const (
	orderKey = "key"
	orderAny = "any"
)

func (r *retryConfig) bindTo(f *conf.Fields) {
	r.given = f.Object("retry", "Tries a record again that fails for a reason that may pass: an `assert` that is not true, a `lookup` with `on_missing: dead` that finds no row. "+
		"Meanwhile it is kept in the flow's state. What fails to the last is a dead letter, with its attempts. At a process it counts for all of its steps.", r.bind).Present()
	r.span = f.SpanOf("retry")
}

func (r *retryConfig) bind(f *conf.Fields) {
	f.Int(&r.Attempts, "attempts", 5, "How often a record is tried in all, the first time included.").Min(2).Max(1000)
	f.Duration(&r.Backoff, "backoff", time.Second, "The pause before the second try. Each pause is twice the one before.").Min(10 * time.Millisecond)
	f.Duration(&r.MaxBackoff, "max_backoff", 5*time.Minute, "The longest pause.").Min(10 * time.Millisecond)
	f.Enum(&r.order, "order", orderKey, []string{orderKey, orderAny}, "key: later records of the same key wait behind one that is held, so that they stay in order. any: they pass it.")
	f.Paths(&r.by, "by", "What keys the order: a field, an expression, or several. Default: the key of the partition before.").NotEmpty()
	f.Int(&r.Max, "max", 10_000, "How many records a lane holds. Beyond that a record that fails is a dead letter at once, and before one that would have to wait, those in front of it are tried a last time.").Min(1).Max(1_000_000)
	f.Check(func() (message, advice string) {
		r.AnyOrder = r.order == orderAny
		if r.AnyOrder && len(r.by) > 0 {
			return "by is for order: key", "remove by, or order: any"
		}
		return "", ""
	})
}

// handDown gives the steps of a process its retry.
func (r *retryConfig) handDown(steps []*node) {
	for _, s := range steps {
		if r.given && !s.conf.retry.given {
			s.conf.retry = *r
			s.conf.retry.inherited = true
		}
	}
}

// retried wraps an operator whose stage has retry. key is what its records
// have to be partitioned by; nil: nothing more than they are.
func (c *compiler) retried(n *node, spec stage.OperatorSpec, at place) (wrapped stage.OperatorSpec, key *stage.Key, ok bool) {
	r := &n.conf.retry
	if !spec.Retries {
		if !r.inherited {
			c.fail(r.span, fmt.Sprintf("retry: %s has no failure that could pass", n.title()), retryAdvice(n.kind))
			return spec, nil, false
		}
		return spec, nil, true
	}
	c.retries++
	if r.AnyOrder {
		return retry.Wrap(spec, r.Config, c.layout, c.sources, at.key.Text()), nil, true
	}
	b := c.builder(n.name, n.span, at)
	key = b.KeyBy(r.by)
	if !c.settle(b, at) {
		return spec, nil, false
	}
	if key.Len() == 0 || r.by == nil && at.lost {
		c.fail(r.span, "retry: nothing says which records must stay in order, so that all would wait behind one that is held",
			"put a partition in front, add by: sensor_id, or order: any")
		return spec, nil, false
	}
	return retry.Wrap(spec, r.Config, c.layout, c.sources, key.Text()), key, true
}

func retryAdvice(kind string) string {
	if kind == "lookup" {
		return "add on_missing: dead, or remove retry"
	}
	return "remove it; it is for assert, and for lookup with on_missing: dead"
}
