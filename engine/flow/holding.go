package flow

import (
	"fmt"
	"time"

	"github.com/telluride-stream/telluride/engine/conf"
	"github.com/telluride-stream/telluride/engine/plan"
)

// How long, and how many together, a flow holds records that its sources
// have delivered and that are not settled.

// holding warns where a flow holds records in larger groups than its sources
// deliver unsettled, or for longer than one of them bears.
type holding struct {
	*compiler
	most     int // records that the sources deliver unsettled; 0: no bound
	source   string
	patience time.Duration // of the source; 0: any time will do
}

// held is what is known of records at one place of the flow.
type held struct {
	wait    time.Duration // how long they may have waited in stages
	many    bool          // one delivery may have become several of them
	settled bool          // their deliveries are settled, whatever becomes of them
}

func (c *compiler) warnOfHolding() {
	h := &holding{compiler: c}
	bounded := true
	for i := range c.plan.Sources {
		s := &c.plan.Sources[i]
		bounded = bounded && s.Spec.Prefetch > 0
		h.most += s.Spec.Prefetch
		if p := s.Spec.Patience; p > 0 && (h.patience == 0 || p < h.patience) {
			h.patience, h.source = p, s.Name
		}
		h.pace(s)
	}
	if !bounded {
		h.most = 0
	}
	h.nodes(c.plan.Nodes, held{})
	if h.patience == 0 {
		return
	}
	for _, s := range c.plan.AllSinks() {
		if s.Deadline >= h.patience {
			c.warn(s.Span, fmt.Sprintf("%s: deadline %s is never reached, since %s", s.Name, conf.FormatDuration(s.Deadline), h.limit()),
				"shorten deadline, or raise the broker's consumer_timeout")
		}
	}
	if c.plan.Stateful && c.plan.Checkpoint >= h.patience {
		c.warn(c.plan.Sources[0].Span, fmt.Sprintf("checkpoint: interval %s is too long, since %s", conf.FormatDuration(c.plan.Checkpoint), h.limit()),
			"shorten interval, or raise the broker's consumer_timeout")
	}
}

// limit says what a source does not bear.
func (h *holding) limit() string {
	return fmt.Sprintf("the broker of %s ends the session when a message is not acknowledged for %s (consumer_timeout)", h.source, conf.FormatDuration(h.patience))
}

// pace warns of a source that delivers more ahead than it lets through in time.
func (h *holding) pace(s *plan.Source) {
	if s.Rate == 0 || s.Spec.Patience == 0 {
		return
	}
	took := time.Duration(float64(s.Per) / float64(s.Rate) * float64(s.Spec.Prefetch))
	if took < s.Spec.Patience {
		return
	}
	h.warn(s.Span, fmt.Sprintf("%s: at %d records per %s, the %d messages that it gets ahead are not acknowledged for up to %s, and the broker ends the session after %s (consumer_timeout)",
		s.Name, s.Rate, conf.FormatDuration(s.Per), s.Spec.Prefetch, conf.FormatDuration(took.Round(time.Second)), conf.FormatDuration(s.Spec.Patience)),
		"lower prefetch")
}

// nodes follows records from h through the nodes.
func (h *holding) nodes(nodes []plan.Node, at held) held {
	for _, n := range nodes {
		switch n := n.(type) {
		case *plan.Operator:
			at = h.operator(n, at)
		case *plan.Route:
			at = h.route(n, at)
		}
	}
	return at
}

func (h *holding) route(r *plan.Route, at held) held {
	joined := held{many: at.many || r.All, settled: true}
	for _, b := range r.Branches {
		end := h.nodes(b.Nodes, held{at.wait, at.many || r.All, at.settled})
		if len(b.Sinks) > 0 {
			continue
		}
		joined = held{max(joined.wait, end.wait), joined.many || end.many, joined.settled && end.settled}
	}
	return joined
}

func (h *holding) operator(op *plan.Operator, at held) held {
	if at.settled {
		return at
	}
	s := &op.Spec
	if h.most > 0 && s.Group > h.most && !at.many {
		h.warn(op.Span, fmt.Sprintf("%s: no group ever has %d records, since at most %d messages are delivered that are not acknowledged (prefetch)", op.Name, s.Group, h.most),
			"raise the source's prefetch, or lower size")
	}
	before := at.wait
	if !op.FlushAlways { // else it lets go with every epoch
		at.wait += s.Wait
	}
	if h.patience > 0 && at.wait >= h.patience && before < h.patience {
		h.warn(op.Span, fmt.Sprintf("%s: records wait for up to %s, and %s", op.Name, conf.FormatDuration(at.wait), h.limit()),
			"shorten timeout, or raise the broker's consumer_timeout")
	}
	at.many = at.many || !s.RecordWise && !s.Holds && !s.Stateful
	at.settled = s.Stateful && s.Makes
	return at
}
