package engine

import (
	"context"
	"errors"
	"fmt"

	"github.com/telluride-stream/telluride/engine/checkpoint"
	"github.com/telluride-stream/telluride/engine/topology"
)

// Pause has everything that was read done and committed, and nothing more
// read until Continue. The sources keep their sessions. What runs after a
// change, or after a lost session, is paused too; a flow that is started anew
// is not. With the error of ctx the pause is still under way.
func (f *Flow) Pause(ctx context.Context) error {
	f.mu.Lock()
	f.held = true
	g := f.graph
	if f.trouble != "" {
		g = nil // the next session begins paused
	}
	f.mu.Unlock()
	if !f.Running() {
		return ErrEnded
	}
	if g == nil {
		return nil
	}
	err := f.park(ctx, g)
	if errors.Is(err, topology.ErrStopped) || !f.Running() {
		return ErrEnded
	}
	if err != nil {
		return fmt.Errorf("%w; %d records are in flight", err, g.Unsettled())
	}
	return nil
}

// park drains a graph, and notes that it is at rest.
func (f *Flow) park(ctx context.Context, g *topology.Graph) error {
	err := g.Drain(ctx)
	f.mu.Lock()
	defer f.mu.Unlock()
	switch {
	case err == nil && f.held && f.graph == g:
		f.parked = g
	case errors.Is(err, checkpoint.ErrResumed):
		err = nil // Continue came before it was done
	}
	return err
}

// unpark lets a graph go on that was drained for a change, unless the flow is
// paused.
func (f *Flow) unpark(g *topology.Graph) {
	f.mu.Lock()
	held := f.held
	f.mu.Unlock()
	if held {
		go func() { _ = f.park(context.Background(), g) }() // at once, or when the drain is done that was given up
		return
	}
	g.Resume()
}

// Continue ends a pause.
func (f *Flow) Continue() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.held {
		return
	}
	f.held, f.parked = false, nil
	if f.graph != nil {
		f.graph.Resume()
	}
}

// Pause pauses a flow by name; see [Flow.Pause].
func (h *Host) Pause(ctx context.Context, name string) error {
	f := h.find(name)
	if f == nil {
		return fmt.Errorf("there is no flow %q", name)
	}
	flow := f.running()
	if !flow.Running() {
		return ErrEnded
	}
	h.engine.config.Log.Info("pausing", "flow", name)
	return flow.Pause(ctx)
}

// Continue ends a pause of a flow.
func (h *Host) Continue(name string) error {
	f := h.find(name)
	if f == nil {
		return fmt.Errorf("there is no flow %q", name)
	}
	flow := f.running()
	if !flow.Running() {
		return ErrEnded
	}
	h.engine.config.Log.Info("continuing", "flow", name)
	flow.Continue()
	return nil
}

// condition is how a flow is doing, in one word, with the reason when it is
// not as it should be.
func (f *Flow) condition() (state, reason string) {
	if !f.Running() {
		if err := f.Wait(); err != nil {
			return "failed", err.Error()
		}
		return "ended", ""
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	switch {
	case f.draining:
		return "draining", ""
	case f.trouble != "":
		return "reconnecting", f.trouble
	case f.graph == nil:
		return "starting", ""
	}
	if trouble := f.graph.Trouble(); trouble != "" {
		return "retrying", trouble
	}
	switch {
	case f.parked == f.graph:
		return "paused", ""
	case f.held:
		return "pausing", ""
	}
	return "running", ""
}
