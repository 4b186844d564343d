// Package change holds what it means to change a running flow: the change
// itself, the receipt that answers it, and the feeds that changes come from,
// of which the file watcher is one. It must not know how flows run.
package change

import (
	"context"
	"time"

	"github.com/telluride-stream/telluride/engine/diag"
	"github.com/telluride-stream/telluride/engine/plan"
)

// Change asks for another version of one flow: another flow file, other
// params, or both.
type Change struct {
	// ID names the change. One that comes again is answered with its old
	// receipt. "" gets an ID of its own.
	ID string `json:"id,omitempty"`
	// Flow names the flow. It may be empty when Source says it, or when there
	// is only one.
	Flow string `json:"flow,omitempty"`
	// Set and Unset are params to set, as a flow file would write their values,
	// and to leave to their defaults again.
	Set   map[string]string `json:"set,omitempty"`
	Unset []string          `json:"unset,omitempty"`
	// Types says what the values of Set were where they had a type: text,
	// number or bool. A param of another type then refuses them.
	Types map[string]string `json:"types,omitempty"`
	// Source is a whole flow file; nil leaves the file as it is. File names it
	// in messages.
	Source []byte `json:"source,omitempty"`
	File   string `json:"file,omitempty"`
	// BaseVersion is the version that the change was made from. The change is
	// refused when another runs by now. "" takes any.
	BaseVersion string `json:"base_version,omitempty"`
	// Remove drains and ends the flow: its file is gone.
	Remove bool `json:"remove,omitempty"`
	// From says where the change comes from: file, queue or api.
	From string `json:"from,omitempty"`
}

// Outcome is what became of a change.
type Outcome string

const (
	Applied    Outcome = "applied"     // the new version runs
	Unchanged  Outcome = "unchanged"   // it is the version that runs already
	Pending    Outcome = "pending"     // it is accepted, and cannot start yet
	Rejected   Outcome = "rejected"    // it is wrong, or refused; nothing was touched
	RolledBack Outcome = "rolled_back" // it could not start; the old version runs again
)

// Receipt answers a change. Its JSON is stable.
type Receipt struct {
	ID      string  `json:"id"`
	Flow    string  `json:"flow"`
	Outcome Outcome `json:"outcome"`
	// Running says whether the flow runs behind the change.
	Running bool   `json:"running"`
	Before  string `json:"version_before,omitempty"`
	After   string `json:"version_after,omitempty"`
	From    string `json:"from,omitempty"`
	// Reason says in one sentence why a change was not applied.
	Reason      string            `json:"reason,omitempty"`
	Diagnostics []Problem         `json:"diagnostics,omitempty"`
	Sources     []plan.Difference `json:"sources,omitempty"`
	Stages      []plan.Difference `json:"stages,omitempty"`
	// Drained is the number of records that were in flight and done before
	// the old version ended. PausedMS is how long nothing was read.
	Drained  uint64    `json:"records_drained"`
	PausedMS float64   `json:"paused_ms"`
	At       time.Time `json:"at"`
}

// Problem is a diagnostic of a receipt.
type Problem struct {
	Severity string `json:"severity"`
	File     string `json:"file,omitempty"`
	Line     int    `json:"line,omitempty"`
	Column   int    `json:"column,omitempty"`
	Message  string `json:"message"`
	Advice   string `json:"advice,omitempty"`
}

// Problems are diagnostics in the form of a receipt.
func Problems(list diag.List) []Problem {
	var all []Problem
	for _, d := range list {
		all = append(all, Problem{
			Severity: d.Severity.String(), File: d.Span.File, Line: d.Span.Start.Line, Column: d.Span.Start.Col,
			Message: d.Message, Advice: d.Advice,
		})
	}
	return all
}

// Feed brings changes from somewhere. Run returns when ctx is done. submit
// queues a change; changes of one flow are applied in the order in which they
// were submitted, and each is answered on its channel once.
type Feed interface {
	Run(ctx context.Context, submit func(Change) <-chan Receipt) error
}
