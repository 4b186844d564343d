package engine

import (
	"context"
	"errors"
	"fmt"

	"github.com/telluride-stream/telluride/engine/change"
	"github.com/telluride-stream/telluride/engine/checkpoint"
	"github.com/telluride-stream/telluride/engine/plan"
	"github.com/telluride-stream/telluride/engine/stage"
)

// apply checks a change and has the flow take it over.
func (f *hosted) apply(c change.Change) change.Receipt {
	r := f.host.receipt(c)
	before := f.current()
	flow := f.running()
	r.Flow, r.Before, r.After = f.name, before.plan.Version, before.plan.Version
	r.Running = flow.Running()
	if c.BaseVersion != "" && c.BaseVersion != r.Before {
		r.Outcome = change.Rejected
		r.Reason = fmt.Sprintf("the change was made from version %s, and %s runs by now", c.BaseVersion, r.Before)
		return r
	}
	if c.Remove {
		return f.remove(r, flow)
	}
	next, list := f.next(c)
	if next.plan == nil {
		r.Outcome, r.Reason, r.Diagnostics = change.Rejected, "the new version has errors", change.Problems(list)
		return r
	}
	if next.plan.Version == r.Before && r.Running {
		f.become(next) // its base may be another
		f.remember(next)
		r.Outcome = change.Unchanged
		return r
	}
	diff, problems := plan.Compare(before.plan, next.plan)
	list = append(list, problems...)
	r.Sources, r.Stages, r.Diagnostics = diff.Sources, diff.Stages, change.Problems(list)
	if list.HasErrors() {
		r.Outcome, r.Reason = change.Rejected, "state would be lost"
		return r
	}
	return f.swap(r, flow, next, diff)
}

func (f *hosted) remove(r change.Receipt, flow *Flow) change.Receipt {
	ctx, cancel := f.host.deadline()
	defer cancel()
	r.Drained = flow.Summary().Unsaved
	if err := flow.Drain(ctx); err != nil {
		flow.Stop()
		r.Reason = fmt.Sprintf("it did not drain in time: %v", err)
	}
	r.Outcome, r.Running, r.After = change.Applied, false, ""
	return r
}

// swap has the flow run the next version, and tells how that went.
func (f *hosted) swap(r change.Receipt, flow *Flow, next version, diff plan.Diff) change.Receipt {
	control, err := next.remember()
	if err != nil {
		r.Outcome, r.Reason = change.Rejected, err.Error()
		return r
	}
	// Whatever waits is replaced by this change, also if the process dies now.
	control = append(control, checkpoint.Change{Key: controlPending})
	done := flow.Replace(Replacement{Plan: next.plan, Diff: diff, Control: control, Timeout: f.host.config.DrainTimeout})
	if done.Err == nil {
		flow.Ledger.Paused(done.Paused)
	}
	if errors.Is(done.Err, ErrEnded) || errors.Is(done.Err, context.Canceled) && f.host.stops() {
		return f.startNext(r, flow, next, control)
	}
	r.Running = flow.Running()
	r.Drained, r.PausedMS = done.Drained, float64(done.Paused.Microseconds())/1000
	switch {
	case done.Err == nil:
		f.become(next)
		r.Outcome, r.After = change.Applied, next.plan.Version
	case stage.IsTransient(done.Err) || errors.Is(done.Err, context.DeadlineExceeded):
		r.Outcome, r.Reason = change.Pending, done.Err.Error()
	case done.Touched:
		r.Outcome, r.Reason = change.RolledBack, done.Err.Error()
	default:
		r.Outcome, r.Reason = change.Rejected, done.Err.Error()
	}
	return r
}

// startNext starts the next version of a flow that has ended: nothing runs that
// could be drained, and what it left behind is treated as behind a restart.
func (f *hosted) startNext(r change.Receipt, ended *Flow, next version, control []checkpoint.Change) change.Receipt {
	h := f.host
	how, problems := h.inherit(next, f.name)
	from := inheritance{how, control}
	h.mu.Lock()
	defer h.mu.Unlock()
	r.Running = false
	if h.stopping {
		r.Outcome, r.Reason = change.Pending, "the process ends, and the next one takes the change over"
		return r
	}
	if problems.HasErrors() {
		r.Outcome, r.Reason, r.Diagnostics = change.Rejected, "state would be lost", change.Problems(problems)
		return r
	}
	if len(how) == 0 {
		f.remember(next)
		from = inheritance{}
	}
	f.become(next)
	f.mu.Lock()
	f.flow = h.engine.start(next.plan, from, ended.Ledger)
	f.mu.Unlock()
	r.Outcome, r.Running, r.After = change.Applied, true, next.plan.Version
	return r
}

func (h *Host) deadline() (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.Background(), h.config.DrainTimeout)
}
