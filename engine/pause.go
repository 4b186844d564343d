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
	g, swapping := f.graph, f.swapping
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
	if swapping != nil {
		select {
		case <-swapping:
			return f.Pause(ctx) // of what the change has left
		case <-ctx.Done():
			return fmt.Errorf("a change is under way: %w", ctx.Err())
		}
	}
	err := f.park(ctx, g)
	switch {
	case !f.Running():
		return ErrEnded
	case errors.Is(err, topology.ErrStopped):
		return nil // the next session begins paused
	case err != nil:
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
	defer f.mu.Unlock()
	f.swapped()
	if f.held {
		go func() { _ = f.park(context.Background(), g) }() // at once, or when the drain is done that was given up
		return
	}
	g.Resume()
}

// swaps notes that a change has the graph parked from here on: what ends a
// pause must not have it go on, since the new version begins where it was
// parked.
func (f *Flow) swaps() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.swapping = make(chan struct{})
}

// swapped notes that the change is over, one way or the other. The caller
// holds mu.
func (f *Flow) swapped() {
	if f.swapping != nil {
		close(f.swapping)
		f.swapping = nil
	}
}

// Continue ends a pause. While a change is under way, it counts for the version
// that goes on behind it.
func (f *Flow) Continue() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.held {
		return
	}
	f.held, f.parked = false, nil
	if f.graph != nil && f.swapping == nil {
		f.graph.Resume()
	}
}

// Pause pauses a flow by name; see [Flow.Pause].
func (h *Host) Pause(ctx context.Context, name string) error {
	flow, err := h.steered(name, "pausing")
	if err != nil {
		return err
	}
	return flow.Pause(ctx)
}

// Continue ends a pause of a flow.
func (h *Host) Continue(name string) error {
	flow, err := h.steered(name, "continuing")
	if err != nil {
		return err
	}
	flow.Continue()
	return nil
}

// steered is a flow that runs, and has the log say what is done with it.
func (h *Host) steered(name, doing string) (*Flow, error) {
	f := h.find(name)
	if f == nil {
		return nil, fmt.Errorf("there is no flow %q", name)
	}
	flow := f.running()
	if !flow.Running() {
		return nil, ErrEnded
	}
	h.engine.config.Log.Info(doing, "flow", name)
	return flow, nil
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
