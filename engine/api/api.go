// Package api serves the state of the flows of a process, and takes changes
// to them, as JSON over HTTP. It holds the client too.
//
// It knows flows by what they tell and changes by what is asked and answered;
// it must not know how flows run, go-streams or AMQP. [Handler] is a plain
// http.Handler: who serves it decides where it listens and who may ask.
package api

import (
	"time"

	"github.com/telluride-stream/telluride/engine/change"
	"github.com/telluride-stream/telluride/engine/plan"
)

// Host is what the API is served over. It is safe for concurrent use.
type Host interface {
	Status() []Flow
	// Plan says what a change would do, and touches nothing.
	Plan(change.Change) Preview
	// Submit queues a change. It is answered once, at the latest when the host ends.
	Submit(change.Change) <-chan change.Receipt
}

// Process is what runs in a process. Its JSON, and that of what is in it, is stable.
type Process struct {
	PID   int    `json:"pid"`
	Flows []Flow `json:"flows"`
}

// Flow is how a flow stands.
type Flow struct {
	Name    string `json:"name"`
	File    string `json:"file"`
	Version string `json:"version"`
	// State is running, starting, draining, pending (a change waits to start),
	// ended or failed.
	State string `json:"state"`
	// Reason says in one sentence why the flow, or a change of it, does not run.
	Reason string    `json:"reason,omitempty"`
	Since  time.Time `json:"since"`
	Params []Param   `json:"params"`
	// Stages are the rows of the ledger.
	Stages   []Stage `json:"stages"`
	Restarts int     `json:"restarts"`
	// Unacknowledged counts records that were read and are not committed.
	Unacknowledged uint64 `json:"unacknowledged"`
	// Receipts are those of the last changes, the newest last.
	Receipts []change.Receipt `json:"receipts"`
}

// Param is the value of a param, and where it came from: default,
// environment, flag, file, queue or api.
type Param struct {
	Name string `json:"name"`
	// Value is written as a flow file writes it; "" when Hidden.
	Value  string `json:"value"`
	From   string `json:"from"`
	Hidden bool   `json:"hidden,omitempty"`
}

// Stage is what went through a source, stage or sink: in is passed + absorbed
// + filtered + late + dead + held.
type Stage struct {
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
