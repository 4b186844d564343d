package topology

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"

	"github.com/telluride-stream/telluride/engine/checkpoint"
	"github.com/telluride-stream/telluride/engine/clock"
	"github.com/telluride-stream/telluride/engine/plan"
	"github.com/telluride-stream/telluride/engine/poison"
	"github.com/telluride-stream/telluride/engine/record"
	"github.com/telluride-stream/telluride/engine/stage"
	"github.com/telluride-stream/telluride/engine/telemetry"
	"github.com/telluride-stream/telluride/engine/telemetry/trace"
)

// Config is what a graph needs besides its plan.
type Config struct {
	Store  checkpoint.Store
	Clock  clock.Clock
	Ledger *telemetry.Ledger
	// Runtime is for sinks; Name and MaxBatch are set per sink.
	Runtime stage.Runtime
	// Trace records what happens to batches; nil: nothing does.
	Trace *trace.Flow
	// Taps are where passing records can be looked at; nil: nowhere.
	Taps *Taps
	// Intakes are those of the plan's sources, in their order, open at the
	// positions of the last commit.
	Intakes []*Intake
	// Workers is how many goroutines decode the payloads of a source; 0: one per CPU.
	Workers int
	// Steady has the graph do the same at every run over the same input, for
	// tests: a sink that fails is tried again without jitter, and lanes without
	// records hear of the time with every batch rather than once a tick, so that
	// a watermark has closed what it closes once its record is through.
	Steady bool
	// Left is told of every record that leaves the flow as a dead letter or
	// late, before it is written or its delivery is noted as rejected: again
	// when that is repeated after an abort. Calls do not overlap. It must not
	// keep the record's memory. It may be nil.
	Left func(record.Side)
	// Guard looks for records that end the process; nil: nobody does.
	Guard *poison.Guard
	// Committed is told of every commit. It does not block. It may be nil.
	Committed func(checkpoint.Done, time.Duration)
}

// Graph is a plan at work. It runs once.
type Graph struct {
	plan   *plan.Plan
	config Config
	coord  *checkpoint.Coordinator
	opened bool     // the sinks are
	built  *builder // nil before Restore
	last   checkpoint.Commit

	now       int64 // processing time of the last commit: time goes on from there
	stop      chan struct{}
	stopOnce  sync.Once
	aborted   context.Context
	abort     context.CancelFunc
	wg        sync.WaitGroup
	pumps     []*pump
	metered   map[*telemetry.Node]bool // those that have a writer
	terminals map[*plan.Sink]*terminal
	ordered   []*terminal     // in the order of the file
	reading   []*trace.Source // in the order of the plan
	sides     *sides
	lettered  atomic.Uint64
	troubles  troubles
	viewing   sync.Mutex
	viewable  map[*plan.Operator][]*operator // once they run
	ended     chan struct{}
	err       error // of Run, valid once ended is closed
	resuming  sync.Mutex
}

// New makes the graph of a plan. Nothing runs yet.
func New(p *plan.Plan, c Config) *Graph {
	if c.Workers == 0 {
		c.Workers = runtime.GOMAXPROCS(0)
	}
	g := &Graph{plan: p, config: c, stop: make(chan struct{}), ended: make(chan struct{}), now: record.MinTime, metered: map[*telemetry.Node]bool{}}
	g.aborted, g.abort = context.WithCancel(context.Background())
	cc := checkpoint.Config{
		Flow: p.Name, Sinks: len(p.AllSinks()), Store: c.Store, Clock: clock.For(c.Clock, "checkpoint"), Interval: p.Checkpoint,
	}
	for i := range p.Sources {
		src := &p.Sources[i]
		cc.Sources = append(cc.Sources, checkpoint.SourceLimits{Name: src.Name, Prefetch: src.Spec.Prefetch})
		g.reading = append(g.reading, c.Trace.Source(src.Name, src.Spec.Messaging))
		cc.Eager = cc.Eager || src.Spec.Prefetch > 0 && !p.Stateful
	}
	g.coord = checkpoint.New(cc, checkpoint.Hooks{
		Inject: g.inject,
		Sync:   func(ctx context.Context) error { return g.sides.sync(ctx) },
		Settle: func(ctx context.Context, i int, s checkpoint.Settle) error {
			err := g.config.Intakes[i].Settle(ctx, stage.Settlement{Upto: s.Upto, Rejected: s.Rejected})
			if err == nil {
				g.reading[i].Settled(s.Upto)
			}
			return err
		},
		Committed: g.committed,
	})
	return g
}

func (g *Graph) committed(d checkpoint.Done, took time.Duration) {
	if err := g.config.Guard.Committed(d.Settled); err != nil {
		g.coord.Fail(err)
	}
	for _, p := range g.pumps {
		p.look()
	}
	if g.config.Committed != nil {
		g.config.Committed(d, took)
	}
	var spans []record.Span
	for _, s := range g.reading {
		spans = record.JoinSpans(spans, s.Take())
	}
	g.config.Trace.Commit(spans, took, d.Commit.Epoch, d.Settled, d.Commit.Bytes())
}

func (g *Graph) inject(b record.Barrier) {
	for _, p := range g.pumps {
		p.barriers <- b
	}
}

// ErrStopped is the error of a graph that was stopped rather than came to its end.
var ErrStopped = errors.New("stopped")

// Run runs the graph until its input has ended and everything is committed
// (nil), until [Graph.Stop] or ctx is done ([ErrStopped]), or until something
// fails. It returns when every goroutine of the graph has ended. What was not
// committed is then as if it had never been read.
func (g *Graph) Run(ctx context.Context) error {
	defer close(g.ended)
	// Once stopped, sinks discard, and no wait lasts.
	defer g.Stop()
	stopped := context.AfterFunc(ctx, g.Stop)
	defer stopped()
	g.err = g.run()
	return g.err
}

func (g *Graph) run() error {
	if err := g.open(); err != nil {
		if g.aborted.Err() != nil {
			err = ErrStopped
		}
		return errors.Join(err, g.closeSinks())
	}
	if g.built == nil {
		if _, err := g.Restore(nil); err != nil {
			return errors.Join(err, g.closeSinks())
		}
	}
	for i, in := range g.config.Intakes {
		g.coord.From(i, in.sent)
	}
	g.built.connect(g.last)
	err := g.coord.Run(g.aborted)
	if err != nil {
		g.Stop()
	}
	g.wg.Wait()
	for _, s := range g.reading {
		s.Abort()
	}
	if errors.Is(err, checkpoint.ErrAborted) {
		err = ErrStopped
	}
	// Whatever was in flight has not ended the process.
	return errors.Join(err, g.config.Guard.Withdraw(), g.closeSinks())
}

// Stop ends the graph without a commit. It returns at once; Run returns when
// everything has ended.
func (g *Graph) Stop() {
	g.stopOnce.Do(func() {
		g.abort()
		close(g.stop)
	})
}

// Drain has everything that was read so far done and committed, and reads
// nothing more. The graph is then parked: Resume or Stop it. When the graph
// ends meanwhile, Drain returns what Run does.
func (g *Graph) Drain(ctx context.Context) error { return g.settle(ctx, g.coord.Drain) }

// Quiesce has the sources take nothing more: see [Intake.Quiesce]. It is for a
// Drain that nothing follows.
func (g *Graph) Quiesce(ctx context.Context) error {
	return g.settle(ctx, func(ctx context.Context) error {
		for _, in := range g.config.Intakes {
			if err := in.Quiesce(ctx); err != nil {
				return err
			}
		}
		return nil
	})
}

// End is a Drain behind which the flow has ended: windows close with what
// they hold, and Run returns nil.
func (g *Graph) End(ctx context.Context) error { return g.settle(ctx, g.coord.End) }

func (g *Graph) settle(ctx context.Context, how func(context.Context) error) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() {
		select {
		case <-g.ended:
			cancel()
		case <-ctx.Done():
		}
	}()
	err := how(ctx)
	select {
	case <-g.ended:
		return g.err
	default:
		return err
	}
}

// Resume lets a parked graph go on, and calls off a Drain that is under way.
func (g *Graph) Resume() {
	g.resuming.Lock()
	defer g.resuming.Unlock()
	if epoch := g.coord.Resume(); epoch > 0 {
		for _, p := range g.pumps {
			p.goOn(epoch)
		}
	}
}

// Unsettled is the number of records that were read and are not committed.
func (g *Graph) Unsettled() uint64 { return g.coord.Unsettled() }

// Lettered is the number of records that left the flow as dead letters.
func (g *Graph) Lettered() uint64 { return g.lettered.Load() }

// failing has a panic of work fail the graph; nothing of its batch goes on.
func (g *Graph) failing(what string, work func(*record.Batch)) func(*record.Batch) {
	return func(b *record.Batch) {
		defer func() {
			if p := recover(); p != nil {
				g.coord.Fail(fmt.Errorf("%s: %s", what, stage.Panicked(p)))
				b.Records, b.Side = nil, nil
			}
		}()
		work(b)
	}
}

// rows makes the rows of the ledger, so that they stand in the order of the flow.
func (g *Graph) rows() {
	l := g.config.Ledger
	for i := range g.plan.Sources {
		l.Row("source", g.plan.Sources[i].Name).Plays(telemetry.Source)
	}
	plan.Walk(g.plan.Nodes, func(n plan.Node) {
		switch n := n.(type) {
		case *plan.Operator:
			l.Row(n.Kind, n.Name).Plays(roleOf(n.Spec))
		case *plan.Partition:
			if !n.Implied {
				l.Row("partition", n.Name).Plays(telemetry.Splitter)
			}
		case *plan.Route:
			l.Row("route", n.Name).Plays(telemetry.Splitter)
		}
	})
}

func roleOf(s stage.OperatorSpec) telemetry.Role {
	switch {
	case s.Holds:
		return telemetry.Batcher
	case s.Stateful && s.Makes:
		return telemetry.Aggregate
	}
	return telemetry.Step
}

// open makes the writers of all sinks and opens those that are not lazy.
func (g *Graph) open() error { return g.openWith((*writer).open) }

func (g *Graph) openWith(open func(*writer) error) error {
	if g.opened {
		return nil
	}
	g.opened = true
	_, resumed, err := g.config.Store.Last(g.plan.Name)
	if err != nil {
		return fmt.Errorf("read the last commit: %w", err)
	}
	g.config.Runtime.Resumed = g.config.Runtime.Resumed || resumed
	g.rows()
	g.sides = &sides{graph: g, telling: rate.Sometimes{First: 10, Interval: time.Second}, lock: make(chan struct{}, 1), twins: twins{began: rand.Text()}}
	g.terminals = map[*plan.Sink]*terminal{}
	for i, p := range g.plan.AllSinks() {
		t := newTerminal(i, p, g)
		g.terminals[p] = t
		g.ordered = append(g.ordered, t)
	}
	if g.plan.Dead != nil {
		g.sides.dead = newWriter(g.plan.Dead, g)
	}
	if g.plan.Late != nil {
		g.sides.late = newWriter(g.plan.Late, g)
	}
	if g.plan.Spare != nil {
		g.sides.spare = newWriter(g.plan.Spare, g)
	}
	for _, w := range g.writers() {
		if !w.lazy {
			if err := open(w); err != nil {
				return fmt.Errorf("sink %s: open: %w", w.name, err)
			}
		}
	}
	return nil
}

func (g *Graph) writers() []*writer {
	var ws []*writer
	for _, t := range g.ordered {
		ws = append(ws, t.writer)
	}
	for _, w := range []*writer{g.sides.dead, g.sides.late, g.sides.spare} {
		if w != nil {
			ws = append(ws, w)
		}
	}
	return ws
}

func (g *Graph) closeSinks() error {
	var errs []error
	for _, w := range g.writers() {
		errs = append(errs, w.close())
	}
	return errors.Join(errs...)
}
