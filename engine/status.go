package engine

import (
	"slices"

	"github.com/telluride-stream/telluride/engine/change"
	"github.com/telluride-stream/telluride/engine/stage"
)

// shownReceipts is how many receipts a status has.
const shownReceipts = 20

// Status tells how every flow stands, in the order in which they were started.
func (h *Host) Status() []change.FlowStatus {
	h.mu.Lock()
	flows := append([]*hosted(nil), h.flows...)
	h.mu.Unlock()
	all := []change.FlowStatus{}
	for _, f := range flows {
		all = append(all, f.status())
	}
	return all
}

func (f *hosted) status() change.FlowStatus {
	f.mu.Lock()
	v, file, flow, pending := f.version, f.file, f.flow, f.pending
	receipts := append([]change.Receipt{}, f.receipts[max(0, len(f.receipts)-shownReceipts):]...)
	f.mu.Unlock()
	sum := flow.Summary()
	s := change.FlowStatus{
		Name: f.name, File: file, Version: v.plan.Version, Description: v.plan.Description, Since: flow.started.UTC(),
		Params: []change.ParamStatus{}, Stages: []change.StageStatus{}, Restarts: sum.Restarts, Unacknowledged: sum.Unsaved, Receipts: receipts,
	}
	s.State, s.Reason = flow.condition()
	switch {
	case s.State == "running" && pending != nil:
		s.State = "pending"
		for _, r := range receipts {
			if r.ID == pending.change.ID {
				s.Reason = r.Reason
			}
		}
	}
	s.Ready = slices.Contains([]string{"running", "pending", "paused", "pausing", "ended"}, s.State)
	if last := lastTried(receipts); s.Ready && last.Outcome == change.RolledBack {
		s.Ready, s.Reason = false, "the last change was rolled back: "+last.Reason
	}
	for _, p := range v.plan.Params {
		one := change.ParamStatus{Name: p.Name, Value: p.Value.Text(), From: p.From, Type: p.Type, Min: p.Min, Max: p.Max, Choices: p.Choices, Description: p.Description}
		if set, ok := v.set[p.Name]; ok {
			one.From = set.From
		}
		if one.From == "environment" {
			one.Value, one.Hidden = "", true
		}
		s.Params = append(s.Params, one)
	}
	for _, row := range flow.Ledger.Rows() {
		s.Stages = append(s.Stages, stageStatus(row.Name, row.Kind, row.Counts()))
	}
	return s
}

// lastTried is the last change that was more than looked at.
func lastTried(receipts []change.Receipt) change.Receipt {
	for _, r := range slices.Backward(receipts) {
		if r.Outcome != change.Rejected && r.Outcome != change.Unchanged {
			return r
		}
	}
	return change.Receipt{}
}

func stageStatus(name, kind string, c stage.Counts) change.StageStatus {
	return change.StageStatus{
		Name: name, Kind: kind, In: c.In, Passed: c.Passed, Absorbed: c.Absorbed, Filtered: c.Filtered,
		Late: c.Late, Dead: c.Dead, Held: c.Held, Emitted: c.Emitted, Expired: c.Expired,
	}
}
