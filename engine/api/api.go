// Package api serves the state of the flows of a process, and takes changes
// to them, as JSON over HTTP. It holds the client too.
//
// It knows flows by what they tell and changes by what is asked and answered;
// it must not know how flows run, go-streams or AMQP. [Handler] is a plain
// http.Handler: who serves it decides where it listens and who may ask.
package api

import (
	"context"

	"github.com/telluride-stream/telluride/engine/change"
	"github.com/telluride-stream/telluride/engine/plan"
)

// Host is what the API is served over. It is safe for concurrent use.
type Host interface {
	Status() []Flow
	// Plan says what a change would do, and touches nothing.
	Plan(change.Change) Preview
	// Measure tells what was counted and measured in every flow.
	Measure() []Measured
	// Drawing is the graph of a flow, and Files the texts that it has run, as
	// far as they are kept, the newest last.
	Drawing(flow string) (*plan.Drawing, bool)
	Files(flow string) []File
	// Pause has a flow rest until Continue; see the engine.
	Pause(ctx context.Context, flow string) error
	Continue(flow string) error
	// Values is what a stage keeps by key.
	Values(ctx context.Context, flow, stage string, q ValuesQuery) (Values, error)
	// Tap looks at records that pass places of a flow. where is a condition; ""
	// holds always.
	Tap(flow string, places []string, where string) (Tap, error)
	// Submit queues a change. It is answered once, at the latest when the host ends.
	Submit(change.Change) <-chan change.Receipt
}

// Process is what runs in a process. Its JSON, and that of what is in it, is stable.
type Process struct {
	PID int `json:"pid"`
	// URL is where the dashboard is; "": there is none.
	URL   string `json:"url,omitempty"`
	Flows []Flow `json:"flows"`
}

// Flow, Param and Stage are how a flow stands.
type (
	Flow  = change.FlowStatus
	Param = change.ParamStatus
	Stage = change.StageStatus
)

// Preview is what a change would do.
type Preview struct {
	Flow string `json:"flow,omitempty"`
	// OK says that the change would not be refused.
	OK bool `json:"ok"`
	// Before is the version that runs, After the one that would; "" when there is none.
	Before  string            `json:"version_before,omitempty"`
	After   string            `json:"version_after,omitempty"`
	Sources []plan.Difference `json:"sources"`
	// Stages lists the stages with state.
	Stages      []plan.Difference `json:"stages"`
	Diagnostics []change.Problem  `json:"diagnostics"`
}

// Error is why a request was not served.
type Error struct {
	Status  int    `json:"-"`
	Message string `json:"error"`
	Advice  string `json:"advice,omitempty"`
}

func (e *Error) Error() string {
	if e.Advice == "" {
		return e.Message
	}
	return e.Message + "; " + e.Advice
}

// accepted answers a change that nobody waits for any more.
type accepted struct {
	ID string `json:"id"`
	// Receipt is where the receipt will be.
	Receipt string `json:"receipt"`
}
