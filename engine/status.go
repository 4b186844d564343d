package engine

import (
	"time"

	"github.com/telluride-stream/telluride/engine/change"
	"github.com/telluride-stream/telluride/engine/stage"
)

// FlowStatus is how a flow of a host stands. Its JSON is stable.
type FlowStatus struct {
	Name    string `json:"name"`
	File    string `json:"file"`
	Version string `json:"version"`
	// State is running, pending (a change waits to start), ended or failed.
	State    string           `json:"state"`
	Reason   string           `json:"reason,omitempty"`
	Since    time.Time        `json:"since"`
	Params   []ParamStatus    `json:"params"`
	Stages   []StageStatus    `json:"stages"`
	Restarts int              `json:"restarts"`
	Unsaved  uint64           `json:"unacknowledged"`
	Receipts []change.Receipt `json:"receipts"`
}

// ParamStatus is a param and where its value came from: default, environment,
// flag, file, queue or api. A value from the environment is not shown.
type ParamStatus struct {
	Name   string `json:"name"`
	Value  string `json:"value"`
	From   string `json:"from"`
	Hidden bool   `json:"hidden,omitempty"`
}

// StageStatus is a row of the ledger.
type StageStatus struct {
	Name     string `json:"name"`
	Kind     string `json:"kind"`
	In       uint64 `json:"in"`
	Passed   uint64 `json:"passed"`
	Absorbed uint64 `json:"absorbed"`
	Filtered uint64 `json:"filtered"`
	Late     uint64 `json:"late"`
	Dead     uint64 `json:"dead"`
	Held     int64  `json:"held"`
	Emitted  uint64 `json:"emitted"`
}

// shownReceipts is how many receipts a status has.
const shownReceipts = 20

// Status tells how every flow stands, in the order in which they were started.
func (h *Host) Status() []FlowStatus {
	h.mu.Lock()
	flows := append([]*hosted(nil), h.flows...)
	h.mu.Unlock()
	all := []FlowStatus{}
	for _, f := range flows {
		all = append(all, f.status())
	}
	return all
}

func (f *hosted) status() FlowStatus {
	f.mu.Lock()
	v, file, flow, pending := f.version, f.file, f.flow, f.pending
	receipts := append([]change.Receipt{}, f.receipts[max(0, len(f.receipts)-shownReceipts):]...)
	f.mu.Unlock()
	sum := flow.Summary()
	s := FlowStatus{
		Name: f.name, File: file, Version: v.plan.Version, State: "running", Since: flow.started.UTC(),
		Params: []ParamStatus{}, Stages: []StageStatus{}, Restarts: sum.Restarts, Unsaved: sum.Unsaved, Receipts: receipts,
	}
	switch {
	case !flow.Running():
		s.State = "ended"
		if err := flow.Wait(); err != nil {
			s.State, s.Reason = "failed", err.Error()
		}
	case pending != nil:
		s.State = "pending"
		for _, r := range receipts {
			if r.ID == pending.ID {
				s.Reason = r.Reason
			}
		}
	}
	for _, p := range v.plan.Params {
		one := ParamStatus{Name: p.Name, Value: p.Value.Text(), From: p.From}
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

func stageStatus(name, kind string, c stage.Counts) StageStatus {
	return StageStatus{name, kind, c.In, c.Passed, c.Absorbed, c.Filtered, c.Late, c.Dead, c.Held, c.Emitted}
}
