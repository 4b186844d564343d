package flowtest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/telluride-stream/telluride/engine"
	"github.com/telluride-stream/telluride/engine/change"
	"github.com/telluride-stream/telluride/engine/checkpoint"
	"github.com/telluride-stream/telluride/engine/diag"
	"github.com/telluride-stream/telluride/engine/plan"
	"github.com/telluride-stream/telluride/engine/stage"
	"github.com/telluride-stream/telluride/engine/topology"
)

// Compile makes a plan of a flow file and the params that are set.
type Compile func(file string, src []byte, set map[string]string) (*plan.Plan, diag.List)

// Setup is the flow that a bench runs.
type Setup struct {
	File    string
	Src     []byte
	Params  map[string]string
	Compile Compile
	// Base is the time at which the script begins; zero: [DefaultBase].
	Base time.Time
	// Mocks take the place of stages, by their names.
	Mocks map[string]*Mock
	// Watch lists the stages and branches that [Bench.Take] is asked for, such
	// as "stage clean" and "branch line_one".
	Watch []string
}

// DefaultBase is when scripts begin that do not say when.
var DefaultBase = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// Bench runs one flow, under a script. Each of its methods returns when the
// flow is at rest again.
type Bench struct {
	setup   Setup
	clock   *scripted
	store   checkpoint.Store
	host    *engine.Host
	flow    *engine.Flow
	watched map[string]bool
	step    int
	numbers int     // messages fed
	lives   []Count // the ledgers of flows that have crashed or ended
	changes []answer
	asked   int // changes

	// drained answers a drain that is under way; nil: none is.
	drained chan error

	mu       sync.Mutex
	plan     *plan.Plan
	sources  map[string]*source
	order    []string // the names of the sources, as in the current plan
	inboxes  map[string]*inbox
	gone     []Left
	trail    map[int]string // by number of the message
	receipts []change.Receipt
}

// answer is a change on its way, and where its receipt comes from.
type answer struct{ receipt <-chan change.Receipt }

// durable is a store that outlives a crash, as the one on disk does.
type durable struct{ *checkpoint.Memory }

func (durable) Durable() bool { return true }

// Run starts a flow and runs a script over it. The error is the script's, or
// the bench's own; that the flow cannot start is a [diag.ListError].
func Run(s Setup, script func(*Bench) error) error {
	return bubble(func() error {
		if s.Base.IsZero() {
			s.Base = DefaultBase
		}
		b := &Bench{
			setup: s, clock: newScripted(s.Base), store: durable{checkpoint.NewMemory()}, watched: map[string]bool{},
			sources: map[string]*source{}, inboxes: map[string]*inbox{}, trail: map[int]string{},
		}
		for _, place := range s.Watch {
			b.watched[place] = true
		}
		err := b.start(s.File, s.Src, s.Params)
		if err == nil {
			err = script(b)
		}
		return errors.Join(err, b.stop())
	})
}

// start starts the flow from what is committed.
func (b *Bench) start(file string, src []byte, params map[string]string) error {
	b.host = engine.NewHost(engine.HostConfig{
		Engine:  engine.Config{Store: b.store, Clock: b.clock, Steady: true, Left: b.left},
		Compile: b.compile,
	})
	f, list := b.host.Start(file, src, params)
	if f == nil {
		return list.Err()
	}
	b.flow = f
	return b.rest()
}

// compile compiles and instruments. What it returns may never run: the order
// of the sources is that of the plan that does.
func (b *Bench) compile(file string, src []byte, set map[string]string) (*plan.Plan, diag.List) {
	p, list := b.setup.Compile(file, src, set)
	if p != nil {
		b.instrument(p)
	}
	return p, list
}

// stop ends the flow as a crash does.
func (b *Bench) stop() error {
	if b.flow == nil {
		return nil
	}
	b.host.Stop()
	err := b.rest()
	if b.flow.Running() {
		return errors.Join(err, errors.New("the flow does not end when it is stopped"))
	}
	b.host.Close()
	b.drained = nil
	b.lives = append(b.lives, b.rows()...)
	return errors.Join(err, b.rest())
}

// maxTurns bounds what may happen at one instant.
const maxTurns = 1_000_000

// rest lets the flow come to rest: no source has anything to hand over, and
// everything waits for the time.
func (b *Bench) rest() error {
	for range maxTurns {
		atRest()
		b.current()
		one, ok := b.next()
		if !ok {
			b.collect()
			return nil
		}
		one.turn <- struct{}{}
	}
	return fmt.Errorf("the flow does not come to rest at +%v", b.clock.elapsed())
}

// current notes the order of the sources in the plan that runs.
func (b *Bench) current() {
	if b.flow == nil {
		return
	}
	p := b.flow.Current()
	b.mu.Lock()
	defer b.mu.Unlock()
	if p == b.plan {
		return
	}
	b.plan, b.order = p, nil
	for i := range p.Sources {
		b.order = append(b.order, p.Sources[i].Name)
	}
}

// next is the source whose turn it is.
func (b *Bench) next() (*session, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, name := range b.order {
		if one, ok := b.sources[name].ready(); ok {
			return one, true
		}
	}
	return nil, false
}

// collect takes in what was answered meanwhile.
func (b *Bench) collect() {
	b.changes = slices.DeleteFunc(b.changes, func(a answer) bool {
		select {
		case r := <-a.receipt:
			b.receipts = append(b.receipts, r)
			return true
		default:
			return false
		}
	})
}

// Begin says that the next step of the script begins, for [Arrival.Step].
func (b *Bench) Begin(step int) { b.step = step }

// Elapsed is the time since the script began.
func (b *Bench) Elapsed() time.Duration { return b.clock.elapsed() }

// Now is the scripted time.
func (b *Bench) Now() time.Time { return b.clock.Now() }

// Advance moves time on. Everything that is due on the way happens at its time.
func (b *Bench) Advance(d time.Duration) error { return b.MoveTo(b.Elapsed() + d) }

// MoveTo moves time on to an instant behind the beginning of the script. What
// is due at that instant happens.
func (b *Bench) MoveTo(t time.Duration) error {
	turns, at := 0, time.Duration(-1)
	for {
		if err := b.rest(); err != nil {
			return err
		}
		when, ok := b.clock.next()
		if !ok || when > t {
			break
		}
		b.clock.moveTo(when)
		atRest() // deadlines on the way have passed
		b.clock.fire()
		if turns++; when != at {
			turns, at = 0, when
		}
		if turns > maxTurns {
			return fmt.Errorf("the flow does not come to rest at +%v", when)
		}
	}
	b.clock.moveTo(t)
	return b.rest()
}

// Sources are the names of the flow's sources, in the order of the file.
func (b *Bench) Sources() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.order)
}

// Feed gives messages to a source.
func (b *Bench) Feed(name string, messages ...Message) error {
	s := b.source(name)
	s.mu.Lock()
	for _, m := range messages {
		b.numbers++
		s.log = append(s.log, &message{Message: m, number: b.numbers, at: b.Elapsed()})
	}
	s.mu.Unlock()
	return b.rest()
}

// End says that sources have come to the end of their input.
func (b *Bench) End(names ...string) error {
	for _, name := range names {
		s := b.source(name)
		s.mu.Lock()
		s.ended = true
		s.mu.Unlock()
	}
	return b.rest()
}

// Idle lets time pass until the watermark of a source that says nothing
// follows the clock.
func (b *Bench) Idle(name string) error {
	d := idle(b.Plan(), name)
	if d == 0 {
		return fmt.Errorf("source %q is never idle: its time: has no idle", name)
	}
	return b.Advance(d)
}

// Submit asks for a change of the flow. Its receipt may need time to pass.
func (b *Bench) Submit(c change.Change) error {
	b.asked++
	if c.ID == "" {
		c.ID = fmt.Sprintf("change-%d", b.asked)
	}
	c.Flow = b.Plan().Name
	b.changes = append(b.changes, answer{b.host.Submit(c)})
	return b.rest()
}

// Crash ends the process of the flow and starts it again: what was not
// committed is forgotten, and read again.
func (b *Bench) Crash() error { return b.Restart(b.setup.File, b.setup.Src, b.setup.Params) }

// Restart is Crash, behind which a process starts with another flow file or
// other params. It also starts a flow that has ended.
func (b *Bench) Restart(file string, src []byte, params map[string]string) error {
	if err := b.stop(); err != nil {
		return err
	}
	return b.start(file, src, params)
}

// LoseSession ends the session of a source.
func (b *Bench) LoseSession(name string) error {
	s := b.source(name)
	s.mu.Lock()
	s.lost = stage.Transient(errors.New("the session was lost"))
	s.mu.Unlock()
	return b.rest()
}

// Fail has a sink fail from now on.
func (b *Bench) Fail(sink string, o Outage) {
	i := b.inbox("sink " + sink)
	i.mu.Lock()
	defer i.mu.Unlock()
	i.outage = o
}

// Drain has the flow finish and commit what was read, and end. While a sink
// fails that takes time.
func (b *Bench) Drain() error {
	if b.drained != nil {
		return errors.New("a drain is under way")
	}
	done := make(chan error, 1)
	f := b.flow
	go func() { done <- f.Drain(context.Background()) }()
	b.drained = done
	return b.rest()
}

// Plan is the plan that runs.
func (b *Bench) Plan() *plan.Plan { return b.flow.Current() }

// State is how the flow stands: running, ended, stopped or failed, and for the
// last one why.
func (b *Bench) State() (state, reason string) {
	if b.flow.Running() {
		return "running", ""
	}
	switch err := b.flow.Wait(); {
	case err == nil:
		return "ended", ""
	case errors.Is(err, topology.ErrStopped):
		return "stopped", ""
	default:
		return "failed", err.Error()
	}
}

// source is the source of a name, made when it is new.
func (b *Bench) source(name string) *source {
	b.mu.Lock()
	defer b.mu.Unlock()
	s := b.sources[name]
	if s == nil {
		s = &source{name: name}
		b.sources[name] = s
	}
	return s
}

// inbox is the inbox of a place, made when it is new.
func (b *Bench) inbox(place string) *inbox {
	b.mu.Lock()
	defer b.mu.Unlock()
	i := b.inboxes[place]
	if i == nil {
		i = &inbox{bench: b, name: place}
		b.inboxes[place] = i
	}
	return i
}
