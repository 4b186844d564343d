package engine

import (
	"io"
	"log/slog"
	"sync"

	"github.com/telluride-stream/telluride/engine/checkpoint"
	"github.com/telluride-stream/telluride/engine/clock"
	"github.com/telluride-stream/telluride/engine/plan"
	"github.com/telluride-stream/telluride/engine/poison"
	"github.com/telluride-stream/telluride/engine/record"
	"github.com/telluride-stream/telluride/engine/stage"
	"github.com/telluride-stream/telluride/engine/telemetry"
	"github.com/telluride-stream/telluride/engine/telemetry/trace"
	"github.com/telluride-stream/telluride/engine/topology"
)

// Config is what the flows of an engine share.
type Config struct {
	Store checkpoint.Store
	// Volatile is where flows with durability: memory keep state; nil: a new
	// [checkpoint.Memory].
	Volatile checkpoint.Store
	Clock    clock.Clock // nil: the machine's
	Log      *slog.Logger
	// Stdin is what a source reads from standard input; nil: the process's.
	Stdin io.Reader
	// Stdout is where sinks that write to standard output do so; Terminal
	// says that a person is looking, at Width columns.
	Stdout   io.Writer
	Terminal bool
	Width    int
	// Steady has flows do the same at every run, for tests: see [topology.Config].
	Steady bool
	// Left is told of every record that leaves a flow as a dead letter or late,
	// at the time when that takes effect: see [topology.Config]. It may be nil.
	Left func(record.Side)
	// Tracer records what happens to the batches of flows; nil: nothing does.
	Tracer *trace.Tracer
	// Workers is how many goroutines decode the payloads of a source; 0: one per CPU.
	Workers int
}

// Engine runs flows.
type Engine struct {
	config Config

	mu    sync.Mutex
	flows []*Flow
	taps  map[string]*topology.Taps // by flow
	turn  poison.Turn
}

// New makes an engine without flows.
func New(c Config) *Engine {
	if c.Clock == nil {
		c.Clock = clock.System{}
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.Store == nil {
		c.Store = checkpoint.NewMemory()
	}
	if c.Stdout == nil {
		c.Stdout = io.Discard
	}
	if c.Volatile == nil {
		c.Volatile = checkpoint.NewMemory()
	}
	return &Engine{config: c, taps: map[string]*topology.Taps{}, turn: poison.NewTurn()}
}

// Start starts a flow. Its Wait tells how it ends.
func (e *Engine) Start(p *plan.Plan) *Flow { return e.start(p, inheritance{}, &telemetry.Ledger{}) }

// inheritance is what a flow takes over from an earlier run, as its first act.
type inheritance struct {
	how     map[string]topology.Takeover
	control []checkpoint.Change // stored together with it
}

func (e *Engine) start(p *plan.Plan, from inheritance, ledger *telemetry.Ledger) *Flow {
	f := &Flow{
		inheritance: from,

		Plan: p, Ledger: ledger, engine: e, started: e.config.Clock.Now(),
		stop: make(chan struct{}), done: make(chan struct{}), replace: make(chan replacing),
		log: e.config.Log.With("flow", p.Name),
	}
	e.mu.Lock()
	e.flows = append(e.flows, f)
	e.mu.Unlock()
	go f.run()
	return f
}

// tapsOf are the taps of a flow. They outlive it, for when it starts anew.
func (e *Engine) tapsOf(flow string) *topology.Taps {
	e.mu.Lock()
	defer e.mu.Unlock()
	t := e.taps[flow]
	if t == nil {
		t = topology.NewTaps()
		e.taps[flow] = t
	}
	return t
}

// store is where a flow's state and positions are kept.
func (e *Engine) store(p *plan.Plan) checkpoint.Store {
	if p.Durability == "memory" {
		return e.config.Volatile
	}
	return e.config.Store
}

// Flows lists the flows in the order in which they were started.
func (e *Engine) Flows() []*Flow {
	e.mu.Lock()
	defer e.mu.Unlock()
	return append([]*Flow(nil), e.flows...)
}

func (e *Engine) runtime(f *Flow) stage.Runtime {
	return stage.Runtime{
		Flow: f.Plan.Name, Clock: e.config.Clock, Log: f.log,
		Stdin: e.config.Stdin, Stdout: e.config.Stdout, Terminal: e.config.Terminal, Width: e.config.Width,
	}
}
