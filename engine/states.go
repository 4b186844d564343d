package engine

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/telluride-stream/telluride/engine/checkpoint"
	"github.com/telluride-stream/telluride/engine/inspect"
	"github.com/telluride-stream/telluride/engine/plan"
)

// view is a flow's state as of its last commit.
func (f *hosted) view() *inspect.View {
	p := f.current().plan
	return &inspect.View{Flow: f.name, Store: f.host.engine.store(p), States: plan.States(p), Plan: p}
}

func (h *Host) hostedFlow(name string) (*hosted, error) {
	if f := h.find(name); f != nil {
		return f, nil
	}
	e := &inspect.Error{Message: fmt.Sprintf("there is no flow %q", name), Missing: true}
	for _, f := range h.Flows() {
		e.Advice += ", " + f.Current().Name
	}
	if e.Advice != "" {
		e.Advice = "flows:" + e.Advice[1:]
	}
	return nil, e
}

// States tells what is kept of a flow, or of all that run.
func (h *Host) States(flow string) ([]inspect.Flow, error) {
	h.mu.Lock()
	flows := append([]*hosted(nil), h.flows...)
	h.mu.Unlock()
	if flow != "" {
		f, err := h.hostedFlow(flow)
		if err != nil {
			return nil, err
		}
		flows = []*hosted{f}
	}
	all := []inspect.Flow{}
	for _, f := range flows {
		one, err := f.view().List()
		if err != nil {
			return nil, err
		}
		all = append(all, one)
	}
	return all, nil
}

// ShowState calls each for the entries of a stage's state: see [inspect.View.Show].
func (h *Host) ShowState(flow, stage string, q inspect.Query, each func(inspect.Entry) error) (more bool, err error) {
	f, err := h.hostedFlow(flow)
	if err != nil {
		return false, err
	}
	return f.view().Show(stage, q, each)
}

// ExportState writes the state of a stage, or all of a flow's. The latter is as
// of one commit, so that positions and states belong together: a flow that runs
// is paused meanwhile.
func (h *Host) ExportState(flow, stage string, to io.Writer) error {
	f, err := h.hostedFlow(flow)
	if err != nil {
		return err
	}
	if stage != "" {
		return f.view().Export(stage, to)
	}
	return f.inTurn(func() error {
		goOn, err := f.running().still(f.host.config.DrainTimeout)
		if err != nil {
			return err
		}
		defer goOn()
		return f.view().Export("", to)
	})
}

// still has a flow commit nothing more until goOn is called. One that was
// paused stays so.
func (f *Flow) still(timeout time.Duration) (goOn func(), err error) {
	f.mu.Lock()
	held := f.held
	f.mu.Unlock()
	goOn = func() {
		if !held {
			f.Continue()
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	if err := f.Pause(ctx); err != nil && !errors.Is(err, ErrEnded) {
		goOn()
		return nil, fmt.Errorf("pause the flow: %w", err)
	}
	return goOn, nil
}

// ImportState takes over exported state: the flow is parked, as for a change,
// and goes on with it. Positions are those of a flow that does not run.
func (h *Host) ImportState(flow string, file *inspect.File, how inspect.Importing) (inspect.Done, error) {
	if how.Stage == "" && len(file.Sources) > 0 {
		return inspect.Done{}, &inspect.Error{
			Message: "the file holds positions of sources, which cannot change while the flow runs",
			Advice:  "take over one stage with --stage NAME, or end the flow first",
		}
	}
	return h.edit(flow, func(v *inspect.View) (map[string]checkpoint.Edit, inspect.Done, error) {
		return v.Edits(file, how)
	})
}

// DropState drops the state of a stage, or of one key of it.
func (h *Host) DropState(flow, stage string, key *string) (inspect.Done, error) {
	return h.edit(flow, func(v *inspect.View) (map[string]checkpoint.Edit, inspect.Done, error) {
		edit, changed, err := v.Dropping(stage, key)
		return map[string]checkpoint.Edit{stage: edit}, inspect.Done{Flow: flow, Stages: []inspect.Changed{changed}}, err
	})
}

// edit changes state by hand, in its turn among the changes of the flow. The
// edits are made while the flow runs; keys that come until it is parked stay.
func (h *Host) edit(flow string, edits func(*inspect.View) (map[string]checkpoint.Edit, inspect.Done, error)) (done inspect.Done, err error) {
	f, err := h.hostedFlow(flow)
	if err != nil {
		return done, err
	}
	err = f.inTurn(func() error {
		change, would, err := edits(f.view())
		done = would
		if err != nil {
			return err
		}
		return f.swapState(change, &done)
	})
	return done, err
}

// inTurn does something in its turn among the changes of the flow, and waits
// for it.
func (f *hosted) inTurn(do func() error) error {
	result := make(chan error, 1)
	if err := f.enqueue(job{edit: func() { result <- do() }}); err != nil {
		return err
	}
	return <-result
}

// enqueue has a job done behind those that wait.
func (f *hosted) enqueue(j job) error {
	f.host.mu.Lock()
	defer f.host.mu.Unlock()
	if f.host.closed {
		return &inspect.Error{Message: "the process is ending", Advice: "ask again when it has ended"}
	}
	select {
	case f.jobs <- j:
		return nil
	default:
		return &inspect.Error{Message: fmt.Sprintf("%d changes wait already", maxQueued), Advice: "ask again later"}
	}
}

// swapState has the flow go on with the same plan and changed state.
func (f *hosted) swapState(edits map[string]checkpoint.Edit, done *inspect.Done) error {
	f.mu.Lock()
	flow := f.flow
	f.mu.Unlock()
	v := f.current()
	same, problems := plan.Compare(v.plan, v.plan)
	if problems.HasErrors() {
		return problems.Err()
	}
	r := flow.Replace(Replacement{Plan: v.plan, Diff: same, Edits: edits, Timeout: f.host.config.DrainTimeout})
	done.Drained, done.PausedMS = r.Drained, float64(r.Paused.Microseconds())/1000
	if errors.Is(r.Err, ErrEnded) {
		return &inspect.Error{Message: "the flow has ended", Advice: "end the process too: then its state can be changed"}
	}
	if r.Err != nil {
		return fmt.Errorf("the flow goes on as it was: %w", r.Err)
	}
	return nil
}
