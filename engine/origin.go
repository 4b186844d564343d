package engine

import (
	"errors"
	"fmt"

	"github.com/telluride-stream/telluride/engine/checkpoint"
	"github.com/telluride-stream/telluride/engine/diag"
	"github.com/telluride-stream/telluride/engine/plan"
)

// origin is the name under which the store has what a flow goes on from: its
// own, or what state_from says that it was called before, when nothing is
// kept under its own.
func (h *Host) origin(p *plan.Plan) (string, diag.List) {
	var list diag.List
	at := diag.Span{File: p.File}
	if p.StateFrom == "" {
		return p.Name, nil
	}
	own, err := h.keeps(p, p.Name)
	if err == nil && own {
		return p.Name, nil // it was taken over before
	}
	old := false
	if err == nil {
		old, err = h.keeps(p, p.StateFrom)
	}
	switch f := h.find(p.StateFrom); {
	case err != nil:
		list.Errorf(at, "read what is kept: %v", err)
	case f != nil && f.runs():
		list.Add(diag.Diagnostic{
			Span: at, Message: fmt.Sprintf("state_from: flow %q still runs, and its state is its own", p.StateFrom),
			Advice: "remove its file first, or end the process and start it anew with this one",
		})
	case !old:
		list.Warnf(at, "state_from: nothing is kept of a flow %q; the flow begins anew", p.StateFrom)
	default:
		return p.StateFrom, nil
	}
	return p.Name, list
}

// stores are those that may keep something of a flow.
func (h *Host) stores(p *plan.Plan) []checkpoint.Store {
	all := []checkpoint.Store{h.engine.config.Store}
	if own := h.engine.store(p); own != all[0] {
		all = append(all, own)
	}
	return all
}

// keeps says whether anything is kept under a name.
func (h *Host) keeps(p *plan.Plan, name string) (bool, error) {
	for _, s := range h.stores(p) {
		control, err := s.Control(name)
		if err != nil || len(control) > 0 {
			return err == nil, err
		}
		if _, ok, err := s.Last(name); ok || err != nil {
			return ok, err
		}
	}
	return false, nil
}

// move gives what is kept under origin the flow's name.
func (h *Host) move(p *plan.Plan, origin string) error {
	if origin == p.Name {
		return nil
	}
	var errs []error
	for _, s := range h.stores(p) {
		errs = append(errs, s.Move(origin, p.Name))
	}
	return errors.Join(errs...)
}

func (f *hosted) runs() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.flow != nil && f.flow.Running()
}
