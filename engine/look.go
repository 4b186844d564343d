package engine

import (
	"context"
	"errors"
	"fmt"

	"github.com/telluride-stream/telluride/engine/plan"
	"github.com/telluride-stream/telluride/engine/telemetry"
	"github.com/telluride-stream/telluride/engine/topology"
)

// PlanOf is the plan that a flow runs.
func (h *Host) PlanOf(name string) (*plan.Plan, bool) {
	f := h.find(name)
	if f == nil {
		return nil, false
	}
	return f.current().plan, true
}

// Measured is what was counted and measured in a flow, and how it is doing.
type Measured struct {
	telemetry.Snapshot
	Plan          *plan.Plan
	State, Reason string
}

// Measure tells what was counted and measured in every flow, in the order in
// which they were started. It holds none of them up.
func (h *Host) Measure() []Measured {
	h.mu.Lock()
	flows := append([]*hosted(nil), h.flows...)
	h.mu.Unlock()
	var all []Measured
	for _, f := range flows {
		f.mu.Lock()
		p, flow := f.version.plan, f.flow
		f.mu.Unlock()
		if flow == nil {
			continue
		}
		m := Measured{Snapshot: flow.Snapshot(), Plan: p}
		m.State, m.Reason = flow.condition()
		all = append(all, m)
	}
	return all
}

// Tap looks at records that pass places of a flow, across changes of it. The
// caller closes it.
func (h *Host) Tap(name string, places []string) (*topology.Tap, error) {
	if h.find(name) == nil {
		return nil, fmt.Errorf("there is no flow %q", name)
	}
	return h.engine.tapsOf(name).Open(places), nil
}

// errAtRest says that no lane is there to answer, and errHeldUp that those
// that are there do not.
var (
	errAtRest = errors.New("the flow does not run: values can be looked at while it does, or is paused")
	errHeldUp = errors.New("the stage did not answer in time: it is held up by what follows it")
)

// View tells what a stage keeps by key now; see [topology.Graph.View].
func (h *Host) View(ctx context.Context, name, stage string, q topology.Question) (topology.View, error) {
	f := h.find(name)
	if f == nil {
		return topology.View{}, fmt.Errorf("there is no flow %q", name)
	}
	flow := f.running()
	flow.mu.Lock()
	g := flow.graph
	flow.mu.Unlock()
	if g == nil || !flow.Running() {
		return topology.View{}, errAtRest
	}
	v, err := g.View(ctx, stage, q)
	switch {
	case errors.Is(err, topology.ErrStopped):
		err = errAtRest
	case errors.Is(err, context.DeadlineExceeded):
		err = errHeldUp
	}
	return v, err
}
