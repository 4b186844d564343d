// Package plan holds what the compiler makes of a flow file: a checked,
// immutable description of a flow. It has no goroutine and no connection, and
// knows neither YAML nor how a flow runs.
package plan

import (
	"time"

	"github.com/telluride-stream/telluride/engine/diag"
	"github.com/telluride-stream/telluride/engine/expr"
	"github.com/telluride-stream/telluride/engine/record"
	"github.com/telluride-stream/telluride/engine/stage"
)

// Plan is a checked flow.
type Plan struct {
	Name    string
	File    string // the file that it was made from, for messages
	Version string // hash of the file's content and the params
	// Description is what the flow is for, in the words of its file.
	Description string
	// StateFrom is what the flow was called before: what is kept of it is
	// taken over when nothing is kept under its name. "": it had no other name.
	StateFrom string

	Layout *record.Layout
	// Reads is how many of the layout's slots are filled from payloads.
	Reads int

	Sources []Source
	Nodes   []Node
	// Sinks take what passes the last node. They may be missing when every
	// record ends in a branch with sinks of its own.
	Sinks []Sink
	// Dead takes dead letters; nil: sources that can reject do so.
	Dead *Sink
	// Spare takes, when Dead is nil, the dead letters that no source can
	// reject: of records that a stage made.
	Spare *Sink
	// Late takes late records; nil: they are dead letters.
	Late *Sink

	Params []Param
	// Mask lists fields of records that nobody is to see who looks at them.
	Mask []record.Path

	// Control lists where changes come from while the flow runs.
	Control []Feed

	// Telemetry is what the flow publishes of itself; nil: nothing.
	Telemetry *Telemetry

	// Tick is how often time passes in the stream when no records do.
	Tick time.Duration
	// Checkpoint is the time between two epochs of a flow that is not Eager.
	Checkpoint time.Duration
	// Stateful says that some stage has state to restore.
	Stateful bool
	// Batch is the number of records that a batch aims at.
	Batch int
	// Attempts is at how many ends of the process a record was alone in flight
	// that becomes a dead letter; 0: it never does.
	Attempts int
	// Durability is disk, or memory for state that need not outlive the process.
	Durability string
}

// Source is a source and what the engine does behind it: pace it, decode its
// payloads and give its records their time.
type Source struct {
	Name, Kind string
	Spec       stage.SourceSpec
	// Signature is equal for two sources of one kind and configuration: a
	// change between them leaves the session alone. What the engine does
	// behind the source is not part of it.
	Signature string
	Time      Time
	// Rate is the most records Per duration; 0: no limit.
	Rate int
	Per  time.Duration
	Span diag.Span
}

// Time says where the time of records comes from.
type Time struct {
	// Event says that records carry their time. Otherwise it is when they were read.
	Event      bool
	Slot       record.Slot
	Field      string
	Layout     string // as record.ParseTime takes it
	OutOfOrder time.Duration
	Idle       time.Duration // 0: never
	MaxAhead   time.Duration // 0: no bound
	// MaxAheadText is MaxAhead as a flow file has it, for messages.
	MaxAheadText string
}

// Sink is a sink and how patient the engine is with it.
type Sink struct {
	Name, Kind string
	Spec       stage.SinkSpec
	// Deadline is how long a failing write is retried; 0: for ever.
	Deadline time.Duration
	Span     diag.Span
}

// Feed brings changes of the flow while it runs.
type Feed struct {
	Name, Kind string
	Spec       stage.FeedSpec
	// Signature is equal for two feeds of one kind and configuration: a
	// change between them leaves the feed alone.
	Signature string
	Span      diag.Span
}

// Telemetry is what a flow publishes of itself, outside of its epochs.
type Telemetry struct {
	Interval time.Duration
	// Nodes takes what each node does, Throughput how much the flow has done;
	// nil: it is not published.
	Nodes, Throughput *TelemetrySink
}

// TelemetrySink is a sink of telemetry. What it cannot take is dropped.
type TelemetrySink struct {
	Name, Kind string
	Spec       stage.SinkSpec
	// Signature is equal for two sinks of one kind and configuration: a
	// change between them leaves the sink alone.
	Signature string
	// Layout is that of its records, which have nothing in common with the flow's.
	Layout *record.Layout
	Span   diag.Span
}

// Node is one of *Operator, *Partition and *Route.
type Node interface{ node() }

// Operator is a stage that works on records.
type Operator struct {
	Name, Kind string
	Spec       stage.OperatorSpec
	// FlushAlways says that it lets held records go at every barrier, since a
	// stage behind it has state whose snapshot must contain them.
	FlushAlways bool
	// OnChange says what becomes of the state when its signature changes:
	// carry, flush or discard; "": the change is refused if it cannot carry.
	OnChange string
	// StateFrom is what the stage was called before: its state is taken over
	// when there is none under its name. "": it had no other name.
	StateFrom string
	// Config is equal for two operators of one kind and configuration.
	Config string
	Span   diag.Span
}

// Partition sends each record to the lane of its key.
type Partition struct {
	Name string
	Key  *stage.Key
	// Lanes is the number of lanes behind it; 1 brings all records together.
	Lanes int
	// Implied says that the compiler put it in, since a keyed stage needs it.
	Implied bool
	Span    diag.Span
}

// Route sends each record into the first branch whose condition holds, or
// into all of them.
type Route struct {
	Name     string
	All      bool
	Branches []Branch
	// InPlace says that branches only work on single records and have no
	// sinks: they run where they stand, and order is kept across them.
	InPlace bool
	Span    diag.Span
}

// Branch is one way through a route. What passes its nodes goes to its sinks,
// or joins the flow again when it has none.
type Branch struct {
	Name  string
	When  *expr.Program // nil: takes what no branch before it took
	Nodes []Node
	Sinks []Sink
}

func (*Operator) node()  {}
func (*Partition) node() {}
func (*Route) node()     {}

// Param is a named value of the flow.
type Param struct {
	Name  string
	Value record.Value
	// From says where the value came from: default, flag, …
	From string
	// Type is text, number, whole number or true/false. Min, Max (nil: none)
	// and Choices (as text; nil: any) say what may be set.
	Type        string
	Min, Max    *float64
	Choices     []string
	Description string
}

// Walk calls visit for every node, branches included, in the order of the file.
func Walk(nodes []Node, visit func(Node)) {
	for _, n := range nodes {
		visit(n)
		if r, ok := n.(*Route); ok {
			for _, b := range r.Branches {
				Walk(b.Nodes, visit)
			}
		}
	}
}

// AllSinks lists every sink of the flow's paths, those of branches included,
// in the order of the file. Dead and Late are not among them.
func (p *Plan) AllSinks() []*Sink {
	var sinks []*Sink
	Walk(p.Nodes, func(n Node) {
		if r, ok := n.(*Route); ok {
			for i := range r.Branches {
				for j := range r.Branches[i].Sinks {
					sinks = append(sinks, &r.Branches[i].Sinks[j])
				}
			}
		}
	})
	for i := range p.Sinks {
		sinks = append(sinks, &p.Sinks[i])
	}
	return sinks
}
