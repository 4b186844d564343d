package change

import "time"

// FlowStatus is how a flow stands. Its JSON, and that of what is in it, is stable.
type FlowStatus struct {
	Name    string `json:"name"`
	File    string `json:"file"`
	Version string `json:"version"`
	// Description is what the flow is for, in the words of its file.
	Description string `json:"description,omitempty"`
	// State is starting, running, pausing, paused, pending (it runs, and a
	// change waits to start), reconnecting (its session was lost), retrying (a
	// sink fails), draining, ended or failed.
	State string `json:"state"`
	// Ready says that the flow does its work, or was told not to: it is not
	// ready while it starts, reconnects, tries a sink again or drains, when it
	// has failed, and when its last change was rolled back.
	Ready bool `json:"ready"`
	// Reason says in one sentence why the flow, or a change of it, does not run.
	Reason string        `json:"reason,omitempty"`
	Since  time.Time     `json:"since"`
	Params []ParamStatus `json:"params"`
	// Stages are the rows of the ledger.
	Stages   []StageStatus `json:"stages"`
	Restarts int           `json:"restarts"`
	// Unacknowledged counts records that were read and are not committed.
	Unacknowledged uint64 `json:"unacknowledged"`
	// Receipts are those of the last changes, the newest last.
	Receipts []Receipt `json:"receipts"`
}

// ParamStatus is the value of a param, and where it came from: default,
// environment, flag, file, queue or api.
type ParamStatus struct {
	Name string `json:"name"`
	// Value is written as a flow file writes it; "" when Hidden.
	Value  string `json:"value"`
	From   string `json:"from"`
	Hidden bool   `json:"hidden,omitempty"`
	// Type is text, number, whole number or true/false; Min, Max and Choices
	// bound what may be set.
	Type        string   `json:"type"`
	Min         *float64 `json:"min,omitempty"`
	Max         *float64 `json:"max,omitempty"`
	Choices     []string `json:"choices,omitempty"`
	Description string   `json:"description,omitempty"`
}

// StageStatus is what went through a source, stage or sink: in is passed + absorbed
// + filtered + late + dead + held.
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
	// Expired counts keys whose state was dropped since they were idle.
	Expired uint64 `json:"expired,omitempty"`
}
