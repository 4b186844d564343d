package engine

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/telluride-stream/telluride/engine/checkpoint"
	"github.com/telluride-stream/telluride/engine/plan"
	"github.com/telluride-stream/telluride/engine/stage"
	"github.com/telluride-stream/telluride/engine/topology"
)

// Replacement asks a flow to run another plan.
type Replacement struct {
	Plan *plan.Plan
	Diff plan.Diff
	// Control is stored together with the change.
	Control []checkpoint.Change
	// Edits change the state of stages by hand, by name.
	Edits map[string]checkpoint.Edit
	// Timeout bounds the tries to connect, and the drain.
	Timeout time.Duration
}

// Replaced tells how a replacement went.
type Replaced struct {
	Drained uint64        // records that were in flight
	Paused  time.Duration // how long nothing was read
	// Err is why the old plan still runs; nil when the new one does.
	Err error
	// Touched says that the old plan was parked before Err came.
	Touched bool
}

// ErrEnded is the error of a replacement of a flow that has ended.
var ErrEnded = errors.New("the flow has ended")

type replacing struct {
	Replacement
	answer chan Replaced
}

// Replace has the flow run another plan. Nothing is lost or read twice: the
// new plan goes on from the commit at which the old one was parked, and a
// source that both have in the same way keeps its session. When the new plan
// cannot start, the old one goes on.
func (f *Flow) Replace(r Replacement) Replaced {
	ask := replacing{r, make(chan Replaced, 1)}
	select {
	case f.replace <- ask:
		return <-ask.answer
	case <-f.done:
		return Replaced{Err: ErrEnded}
	}
}

// Running says whether the flow has not ended.
func (f *Flow) Running() bool {
	select {
	case <-f.done:
		return false
	default:
		return true
	}
}

// running is one graph at work, with what belongs to it.
type running struct {
	plan    *plan.Plan
	graph   *topology.Graph
	intakes []*topology.Intake // in the order of the plan's sources
	ended   chan error
}

// launch starts a graph. It returns nil when the flow was drained before its
// first graph: that drain has said that nothing was read.
func (f *Flow) launch(ctx context.Context, p *plan.Plan, g *topology.Graph, intakes []*topology.Intake) *running {
	r := &running{plan: p, graph: g, intakes: intakes, ended: make(chan error, 1)}
	f.mu.Lock()
	if f.graph == nil && f.drained {
		f.mu.Unlock()
		return nil
	}
	if f.graph != nil {
		f.lettered += f.graph.Lettered()
	}
	f.Plan, f.graph, f.trouble = p, g, ""
	held := f.held
	f.swapped()
	f.mu.Unlock()
	f.publish(p.Telemetry)
	go func() { r.ended <- g.Run(ctx) }()
	if held {
		go func() { _ = f.park(ctx, g) }() // it fails with the graph
	}
	return r
}

// takeOver replaces the running graph. It returns what runs behind it, which
// is old when that fails. With again, old cannot go on, since sources of it
// were closed: the flow is to start again from the last commit, with the plan
// of old. Nothing is in flight then.
func (f *Flow) takeOver(ctx context.Context, old *running, r Replacement) (now *running, done Replaced, again error) {
	next := f.newGraph(r.Plan, true)
	limit, cancel := context.WithTimeout(ctx, r.Timeout)
	defer cancel()
	t := &takeover{flow: f, old: old, next: next, Replacement: r}
	if err := t.preflight(limit); err != nil {
		return t.refuse(err)
	}
	drained := old.graph.Unsettled()
	began := f.engine.config.Clock.Now()
	f.swaps()
	if err := t.park(limit); err != nil {
		return t.refuse(err)
	}
	if err := t.prepare(limit); err != nil {
		return t.refuse(err)
	}
	old.graph.Stop()
	if err := <-old.ended; err != nil && !errors.Is(err, topology.ErrStopped) {
		f.log.Warn("the old version did not end cleanly", "error", err)
	}
	next.Adopt(t.intakes)
	now = f.launch(ctx, r.Plan, next, t.intakes)
	return now, Replaced{Drained: drained, Paused: f.engine.config.Clock.Now().Sub(began), Touched: true}, nil
}

// takeOverAtRest answers a replacement that waits behind a session that did
// not start: the next session runs the new plan. Only its sinks are tried
// before, since a source that is opened takes messages.
func (f *Flow) takeOverAtRest(failed error) {
	ask := f.waiting
	if ask == nil {
		return
	}
	f.waiting = nil
	if !stage.IsTransient(failed) || f.stopping() {
		ask.answer <- Replaced{Err: ErrEnded}
		return
	}
	err := f.adopt(ask.Replacement)
	ask.answer <- Replaced{Err: err, Touched: true}
}

func (f *Flow) adopt(r Replacement) error {
	if names := stagesWith(r.Diff, plan.Flushed); len(names) > 0 {
		return fmt.Errorf("%v cannot be flushed while the flow is not running", names)
	}
	limit, cancel := context.WithTimeout(context.Background(), r.Timeout)
	defer cancel()
	g := f.newGraph(r.Plan, true)
	err := g.Preflight(limit)
	var deltas []*checkpoint.Delta
	if err == nil {
		deltas, err = g.Restore(r.takeovers(f.Plan))
	}
	if closing := g.Discard(); closing != nil {
		f.log.Warn("a sink of the new version could not be closed", "error", closing)
	}
	if err == nil {
		err = f.commitChange(r, deltas)
	}
	if err != nil {
		return err
	}
	f.mu.Lock()
	f.Plan = r.Plan
	f.mu.Unlock()
	return nil
}

// takeover is a replacement under way.
type takeover struct {
	Replacement
	flow *Flow
	old  *running
	next *topology.Graph

	touched bool               // old was asked to drain
	ending  []*topology.Intake // of sources that change or go
	intakes []*topology.Intake // of the new plan, in its order
	opened  []*topology.Intake // those of them that are new
}

// preflight finds out what would keep the new version from starting, while the
// old one runs.
func (t *takeover) preflight(ctx context.Context) error {
	for i := range t.Plan.Sources {
		src := &t.Plan.Sources[i]
		if sourceOutcome(t.Diff, src.Name) == plan.Kept {
			continue
		}
		if err := t.flow.newIntake(t.Plan, src).Probe(ctx); err != nil {
			return err
		}
	}
	return t.next.Preflight(ctx)
}

// park drains the old graph. Sources that do not live on stop first, so that
// they have as little as possible to give back.
func (t *takeover) park(ctx context.Context) error {
	for _, in := range t.old.intakes {
		if sourceOutcome(t.Diff, in.Name) != plan.Kept {
			t.ending = append(t.ending, in)
		}
	}
	t.touched = true
	if len(t.ending) > 0 {
		t.old.graph.Resume() // a paused graph would not take what they have read
	}
	err := t.flow.quiesce(ctx, func(ctx context.Context) error {
		for _, in := range t.ending {
			if err := in.Quiesce(ctx); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	err = t.old.graph.Drain(ctx)
	if errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("the old version did not drain within %v; %d records are in flight", t.Timeout, t.old.graph.Unsettled())
	}
	return err
}

// prepare does all that can fail: the new sources are open behind it, what is
// to be flushed is, and the state is the new plan's.
func (t *takeover) prepare(ctx context.Context) (err error) {
	// A queue that one session has for itself opens for another only then,
	// and what an old session gives back comes before what a new one takes.
	t.flow.closeIntakes(t.ending)
	t.intakes, t.opened, err = t.flow.changeIntakes(ctx, t.old, t.Plan, t.Diff)
	if err != nil {
		return err
	}
	if names := stagesWith(t.Diff, plan.Flushed); len(names) > 0 {
		if err := t.old.graph.Empty(ctx, names); err != nil {
			return fmt.Errorf("emit what %v held: %w", names, err)
		}
	}
	deltas, err := t.next.Restore(t.takeovers(t.old.plan))
	if err != nil {
		return err
	}
	return t.flow.commitChange(t.Replacement, deltas)
}

// refuse takes everything back.
func (t *takeover) refuse(err error) (now *running, done Replaced, again error) {
	t.flow.closeIntakes(t.opened)
	if closing := t.next.Discard(); closing != nil {
		t.flow.log.Warn("a sink of the new version could not be closed", "error", closing)
	}
	if len(t.ending) > 0 {
		again = fmt.Errorf("the change could not start: %v", err) //nolint:errorlint // the old version starts again, whatever kept the new one from it
		t.old.graph.Stop()
		if ended := <-t.old.ended; ended != nil && !errors.Is(ended, topology.ErrStopped) {
			again = errors.Join(again, ended)
		}
		t.flow.mu.Lock()
		t.flow.swapped()
		t.flow.mu.Unlock()
	} else if t.touched {
		t.flow.unpark(t.old.graph)
	}
	return t.old, Replaced{Err: err, Touched: t.touched}, again
}

// commitChange stores, as one write, what the change makes of the state, and
// the change itself.
func (f *Flow) commitChange(r Replacement, deltas []*checkpoint.Delta) error {
	store := f.engine.store(r.Plan)
	last, ok, err := store.Last(r.Plan.Name)
	if err != nil {
		return fmt.Errorf("read the last commit: %w", err)
	}
	if ok || len(deltas) > 0 {
		last.Flow, last.Deltas = r.Plan.Name, deltas
		if store == f.engine.config.Store {
			last.Control = r.Control
		}
		if err := store.Commit(last); err != nil {
			return fmt.Errorf("commit the change: %w", err)
		}
	}
	if len(r.Control) > 0 && last.Control == nil {
		// Nothing was committed yet, or it is not kept where versions are.
		return f.engine.config.Store.SetControl(r.Plan.Name, r.Control)
	}
	return nil
}

// changeIntakes is the intakes of the new plan: those of unchanged sources as
// they are, the others opened anew.
func (f *Flow) changeIntakes(ctx context.Context, old *running, next *plan.Plan, diff plan.Diff) (all, opened []*topology.Intake, err error) {
	last, _, err := f.engine.store(next).Last(next.Name)
	if err != nil {
		return nil, nil, err
	}
	kept := map[string]*topology.Intake{}
	kinds := map[string]string{}
	for i, in := range old.intakes {
		kept[in.Name] = in
		kinds[in.Name] = old.plan.Sources[i].Kind
	}
	for i := range next.Sources {
		src := &next.Sources[i]
		if sourceOutcome(diff, src.Name) == plan.Kept {
			all = append(all, kept[src.Name])
			continue
		}
		position := last.Positions[src.Name].Bytes
		if kinds[src.Name] != src.Kind {
			position = nil // another kind's position means nothing to this one
		}
		in := f.newIntake(next, src)
		if err := in.Open(ctx, position); err != nil {
			return nil, opened, err
		}
		f.opened(src)
		all, opened = append(all, in), append(opened, in)
	}
	return all, opened, nil
}

func sourceOutcome(d plan.Diff, name string) plan.Outcome {
	for _, s := range d.Sources {
		if s.Name == name {
			return s.Outcome
		}
	}
	return plan.New
}

func stagesWith(d plan.Diff, o plan.Outcome) (names []string) {
	for _, s := range d.Stages {
		if s.Outcome == o {
			names = append(names, s.Origin())
		}
	}
	return names
}

func signaturesOf(p *plan.Plan) map[string]string {
	signatures := map[string]string{}
	for _, s := range plan.States(p) {
		signatures[s.Name] = s.Signature
	}
	return signatures
}

// takeovers says what becomes of each stage's state.
func (r *Replacement) takeovers(old *plan.Plan) map[string]topology.Takeover {
	how := takeovers(signaturesOf(old), r.Plan, r.Diff.Stages)
	for name, edit := range r.Edits {
		one := how[name]
		one.Edit = &edit
		how[name] = one
	}
	return how
}

// takeovers says what a change makes of each stage's state, which was written
// under the given signatures.
func takeovers(signatures map[string]string, next *plan.Plan, stages []plan.Difference) map[string]topology.Takeover {
	specs := map[string]stage.OperatorSpec{}
	plan.Walk(next.Nodes, func(n plan.Node) {
		if op, ok := n.(*plan.Operator); ok {
			specs[op.Name] = op.Spec
		}
	})
	how := map[string]topology.Takeover{}
	for _, s := range stages {
		switch s.Outcome {
		case plan.Flushed, plan.Discarded, plan.Dropped:
			how[s.Name] = topology.Takeover{Discard: true, From: s.From}
		case plan.Carried:
			carry, _ := specs[s.Name].Carry(signatures[s.Origin()])
			how[s.Name] = topology.Takeover{Carry: carry, From: s.From}
		case plan.Kept:
			if s.From != "" {
				how[s.Name] = topology.Takeover{From: s.From}
			}
		}
	}
	return how
}

func (f *Flow) closeIntakes(intakes []*topology.Intake) {
	for _, in := range intakes {
		if err := in.Close(); err != nil {
			f.log.Warn("a source could not be closed", "source", in.Name, "error", err)
		}
	}
}
