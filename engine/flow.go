package engine

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"github.com/telluride-stream/telluride/engine/checkpoint"
	"github.com/telluride-stream/telluride/engine/clock"
	"github.com/telluride-stream/telluride/engine/plan"
	"github.com/telluride-stream/telluride/engine/poison"
	"github.com/telluride-stream/telluride/engine/stage"
	"github.com/telluride-stream/telluride/engine/telemetry"
	"github.com/telluride-stream/telluride/engine/topology"
)

// Flow is a plan that an engine runs.
type Flow struct {
	Plan   *plan.Plan
	Ledger *telemetry.Ledger

	engine *Engine
	inheritance
	log     *slog.Logger
	started time.Time
	stop    chan struct{}
	once    sync.Once
	done    chan struct{}
	replace chan replacing
	waiting *replacing        // taken while no graph ran
	wasOpen map[string]string // signatures of sources that have been open, by name
	// guard looks for records that end the process; nil: nobody does.
	guard *poison.Guard
	// published is what the goroutine of the flow has others publish.
	published publishing

	mu       sync.Mutex
	graph    *topology.Graph
	drained  bool
	draining bool            // Drain was called
	held     bool            // see Pause
	swapping chan struct{}   // while a change has the graph parked; closed behind it
	parked   *topology.Graph // the one that is at rest while held
	trouble  string          // why no graph runs: what ended the last one
	restarts int
	left     uint64 // records read and not committed when the flow ended
	lettered uint64
	ended    time.Time
	err      error
}

const (
	// maxRestartPause is short, since it is also how long a flow goes on waiting
	// when a broker is back after hours: an attempt costs one connection.
	maxRestartPause = 5 * time.Second
	// tellRestarts is how often an outage is told of, once it has been.
	tellRestarts = 30 * time.Second
)

// newTelling tells of the first restarts, and then of some.
func newTelling() *rate.Sometimes { return &rate.Sometimes{First: 3, Interval: tellRestarts} }

// run runs graphs of the plan, one after the other, until one has come to its
// end or failed for good.
func (f *Flow) run() {
	defer close(f.done)
	f.publish(f.Plan.Telemetry)
	defer f.endPublishing()
	if err := f.openGuard(); err != nil {
		f.finish(err)
		return
	}
	pauses := clock.NewPauses(100*time.Millisecond, maxRestartPause, f.engine.config.Steady)
	telling, untold := newTelling(), 0
	for {
		began := f.engine.config.Clock.Now()
		err := f.session()
		f.takeOverAtRest(err)
		if stage.IsTransient(err) && f.stopping() {
			err = topology.ErrStopped // it would have started again
		}
		if err == nil || errors.Is(err, topology.ErrStopped) || !stage.IsTransient(err) {
			f.finish(err)
			return
		}
		if f.engine.config.Clock.Now().Sub(began) > time.Minute {
			pauses.Reset()
			telling = newTelling()
		}
		pause := pauses.Next()
		untold++
		telling.Do(func() {
			f.log.Warn("starting again from the last commit", "error", err, "in", pause.Round(time.Millisecond), "times", untold)
			untold = 0
		})
		for _, row := range f.Ledger.Rows() {
			row.Forget()
		}
		f.mu.Lock()
		f.restarts++
		f.trouble = err.Error()
		f.mu.Unlock()
		f.Ledger.Restarted()
		if !f.rest(pause) {
			f.finish(topology.ErrStopped)
			return
		}
	}
}

// rest waits before the next session. A replacement ends the wait: it is for
// the next session, or for the plan when that does not start. false: the flow
// is to stop.
func (f *Flow) rest(pause time.Duration) bool {
	timer := clock.For(f.engine.config.Clock, "flow "+f.Plan.Name).NewTimer(pause)
	defer timer.Stop()
	select {
	case <-timer.C():
		return true
	case ask := <-f.replace:
		f.waiting = &ask
		return true
	case <-f.stop:
		return false
	}
}

func (f *Flow) stopping() bool {
	select {
	case <-f.stop:
		return true
	default:
		return false
	}
}

func (f *Flow) finish(err error) {
	if closing := f.guard.Close(); closing != nil {
		f.log.Warn("the end of the flow could not be noted", "error", closing)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if errors.Is(err, topology.ErrStopped) && f.drained {
		err = nil
	}
	f.err, f.ended = err, f.engine.config.Clock.Now()
	if f.graph != nil {
		f.left = f.graph.Unsettled()
		f.lettered += f.graph.Lettered()
		f.graph = nil
	}
}

// session runs one graph, from the last commit on.
func (f *Flow) session() (err error) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	go func() {
		select {
		case <-f.stop:
			cancel()
		case <-ctx.Done():
		}
	}()
	intakes, err := f.open(ctx)
	now := &running{intakes: intakes}
	defer func() {
		for _, in := range now.intakes {
			if closing := in.Close(); closing != nil {
				err = errors.Join(err, fmt.Errorf("source %s: close: %v", in.Name, closing)) //nolint:errorlint // %w would keep a transient mark, and the flow would start again
			}
		}
	}()
	if err != nil {
		if f.stopping() {
			return topology.ErrStopped
		}
		return err
	}
	f.mu.Lock()
	drained, before := f.drained, f.graph != nil
	f.mu.Unlock()
	if drained {
		return topology.ErrStopped
	}
	g := f.newGraph(f.Plan, before)
	g.Adopt(intakes)
	if err := f.inherit(g); err != nil {
		return errors.Join(err, g.Discard())
	}
	launched := f.launch(ctx, f.Plan, g, intakes)
	if launched == nil {
		return errors.Join(topology.ErrStopped, g.Discard())
	}
	now = launched
	swap := func(ask replacing) (again error) {
		var done Replaced
		now, done, again = f.takeOver(ctx, now, ask.Replacement)
		ask.answer <- done
		return again
	}
	if ask := f.waiting; ask != nil {
		f.waiting = nil
		if again := swap(*ask); again != nil {
			return stage.Transient(again)
		}
	}
	for {
		select {
		case err := <-now.ended:
			return err
		case ask := <-f.replace:
			if again := swap(ask); again != nil {
				return stage.Transient(again)
			}
		}
	}
}

// inherit has the first graph take over what an earlier run left. It is done
// once: from then on the state is this version's.
func (f *Flow) inherit(g *topology.Graph) error {
	if f.how == nil && f.control == nil {
		return nil
	}
	deltas, err := g.Restore(f.how)
	if err != nil {
		return err
	}
	if err := f.commitChange(Replacement{Plan: f.Plan, Control: f.control}, deltas); err != nil {
		return err
	}
	f.inheritance = inheritance{}
	return nil
}

// newGraph makes a graph of a plan. before says that a graph of this flow has
// run already: its sinks must not begin anew.
func (f *Flow) newGraph(p *plan.Plan, before bool) *topology.Graph {
	rt := f.engine.runtime(f)
	rt.Resumed = before
	now := f.engine.config.Clock.Now
	return topology.New(p, topology.Config{
		Store: f.engine.store(p), Clock: f.engine.config.Clock, Ledger: f.Ledger, Taps: f.engine.tapsOf(p.Name), Trace: f.engine.config.Tracer.Flow(p.Name), Runtime: rt, Workers: f.engine.config.Workers,
		Guard: f.guard,
		Committed: func(d checkpoint.Done, took time.Duration) {
			f.Ledger.Committed(d.Commit.Epoch, d.Settled, d.Commit.Bytes(), took, now())
		},
		Steady: f.engine.config.Steady, Left: f.engine.config.Left,
	})
}

func (f *Flow) newIntake(p *plan.Plan, src *plan.Source) *topology.Intake {
	rt := f.engine.runtime(f)
	rt.Name, rt.MaxBatch = src.Name, topology.MaxBatch(p, src)
	rt.Singly = f.guard.Singly()
	rt.Reopened = src.Signature != "" && f.wasOpen[src.Name] == src.Signature
	return topology.NewIntake(src.Name, src.Spec.New(rt))
}

// opened notes that a source has been open. A change that keeps its session
// makes it anew only when that is lost.
func (f *Flow) opened(src *plan.Source) {
	if f.wasOpen == nil {
		f.wasOpen = map[string]string{}
	}
	f.wasOpen[src.Name] = src.Signature
}

// open opens the sources at the positions of the last commit.
func (f *Flow) open(ctx context.Context) ([]*topology.Intake, error) {
	last, _, err := f.engine.store(f.Plan).Last(f.Plan.Name)
	if err != nil {
		return nil, err
	}
	var intakes []*topology.Intake
	for i := range f.Plan.Sources {
		src := &f.Plan.Sources[i]
		in := f.newIntake(f.Plan, src)
		if err := in.Open(ctx, last.Positions[src.Name].Bytes); err != nil {
			return intakes, err
		}
		f.opened(src)
		intakes = append(intakes, in)
	}
	return intakes, nil
}

// Drain finishes and commits what was read, and stops the flow. State that no
// store would keep is let go: open windows close with what they hold. With the
// error of ctx, or of a session that was lost meanwhile, the flow still runs:
// Stop ends it.
func (f *Flow) Drain(ctx context.Context) error {
	f.Continue() // what a pause holds back was read
	f.mu.Lock()
	f.draining = true
	g := f.graph
	f.drained = g == nil // nothing was read
	f.mu.Unlock()
	if g == nil {
		f.Stop()
		return f.wait(ctx)
	}
	finish := g.Drain
	if !f.engine.store(f.Plan).Durable() {
		finish = g.End
	}
	if err := f.quiesce(ctx, g.Quiesce); err != nil {
		return err
	}
	if err := finish(ctx); err != nil {
		return err
	}
	f.mu.Lock()
	f.drained = true
	f.mu.Unlock()
	f.Stop()
	return f.wait(ctx)
}

// quiesce waits for sources that take nothing more, until the flow has read what
// they were delivered ahead: so a broker need not deliver it again. Behind a
// rate limit or a slow sink that may take longer than a drain has: after a third
// of its time, what is left over is given back.
func (f *Flow) quiesce(ctx context.Context, quiesce func(context.Context) error) error {
	limit, cancel := ctx, func() {}
	if end, bounded := ctx.Deadline(); bounded {
		limit, cancel = context.WithTimeout(ctx, time.Until(end)/3)
	}
	defer cancel()
	err := quiesce(limit)
	if errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil {
		f.log.Info("giving back what was delivered ahead, since it would take too long to drain")
		return nil
	}
	return err
}

func (f *Flow) wait(ctx context.Context) error {
	select {
	case <-f.done:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Stop ends the flow without a commit. What was read and not committed is
// read again when the flow starts anew, if its source can do so.
func (f *Flow) Stop() { f.once.Do(func() { close(f.stop) }) }

// Done is closed when the flow has ended.
func (f *Flow) Done() <-chan struct{} { return f.done }

// Wait returns when the flow has ended: nil when its input has, or when it
// was drained; topology.ErrStopped when it was stopped; else why it failed.
func (f *Flow) Wait() error {
	<-f.done
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.err
}

// Snapshot tells what was counted and measured in the flow up to now. It may
// be called at any time, and does not hold the flow up.
func (f *Flow) Snapshot() telemetry.Snapshot {
	s := f.Ledger.Snapshot(f.engine.config.Clock.Now())
	sum := f.Summary()
	s.Flow.Unacknowledged, s.Flow.Lettered = sum.Unsaved, sum.Lettered
	return s
}

// Summary is how a flow stands.
type Summary struct {
	Elapsed  time.Duration
	Unsaved  uint64 // records read and not committed
	Lettered uint64 // records that became dead letters
	Restarts int
}

// Summary tells how the flow stands now.
func (f *Flow) Summary() Summary {
	f.mu.Lock()
	defer f.mu.Unlock()
	s := Summary{Restarts: f.restarts, Unsaved: f.left, Lettered: f.lettered}
	end := f.ended
	if end.IsZero() {
		end = f.engine.config.Clock.Now()
	}
	s.Elapsed = end.Sub(f.started)
	if f.graph != nil {
		s.Unsaved = f.graph.Unsettled()
		s.Lettered += f.graph.Lettered()
	}
	return s
}
