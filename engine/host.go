package engine

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/telluride-stream/telluride/engine/change"
	"github.com/telluride-stream/telluride/engine/checkpoint"
	"github.com/telluride-stream/telluride/engine/diag"
	"github.com/telluride-stream/telluride/engine/plan"
	"github.com/telluride-stream/telluride/engine/telemetry"
	"github.com/telluride-stream/telluride/engine/topology"
)

// HostConfig is what a host needs.
type HostConfig struct {
	Engine Config
	// Compile makes a plan of a flow file and the values that were set for its
	// params. The plan is nil when the list has errors.
	Compile func(file string, src []byte, set map[string]string) (*plan.Plan, diag.List)
	// DrainTimeout bounds the drain of a change; 0: 30 s.
	DrainTimeout time.Duration
	// Told is told what became of a change that a feed brought, before its
	// sender is; nil: nobody is. It may be called from several goroutines.
	Told func(change.Change, change.Receipt)
}

// Host runs flows that may change while they run. Changes of one flow are
// applied one after the other, in the order in which they were submitted;
// flows do not wait for each other.
type Host struct {
	config HostConfig
	engine *Engine

	mu     sync.Mutex
	flows  []*hosted
	closed bool
	// stopping says that no flow is to start any more.
	stopping bool
	wg       sync.WaitGroup
	quit     chan struct{} // closed: the feeds end
	feeds    sync.WaitGroup
}

// NewHost makes a host without flows.
func NewHost(c HostConfig) *Host {
	if c.DrainTimeout == 0 {
		c.DrainTimeout = 30 * time.Second
	}
	return &Host{config: c, engine: New(c.Engine), quit: make(chan struct{})}
}

// Close ends the work on changes and then the feeds. What was submitted is
// still done and answered; later ones are answered as rejected, and what feeds
// bring then stays where it came from. The flows go on.
func (h *Host) Close() {
	h.mu.Lock()
	if h.closed {
		h.mu.Unlock()
		return
	}
	h.closed = true
	for _, f := range h.flows {
		close(f.jobs)
	}
	h.mu.Unlock()
	h.wg.Wait()
	close(h.quit)
	h.feeds.Wait()
}

// Stop stops every flow without draining it, for a process that cannot wait,
// and returns at once. A change that is under way then is pending, for the next
// process; it starts no flow any more.
func (h *Host) Stop() {
	h.mu.Lock()
	h.stopping = true
	h.mu.Unlock()
	for _, f := range h.Flows() {
		f.Stop()
	}
}

func (h *Host) stops() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.stopping
}

// Flows lists the flows in the order in which they were started.
func (h *Host) Flows() []*Flow {
	h.mu.Lock()
	defer h.mu.Unlock()
	var all []*Flow
	for _, f := range h.flows {
		f.mu.Lock()
		if f.flow != nil {
			all = append(all, f.flow)
		}
		f.mu.Unlock()
	}
	return all
}

// Start starts the flow of a file for the first time. set holds the params
// that the command line gives; they win over remembered ones. When the store
// remembers a version of this flow, it goes on from there: see [recall].
func (h *Host) Start(file string, src []byte, set map[string]string) (*Flow, diag.List) {
	p, list := h.config.Compile(file, src, set)
	if p == nil {
		return nil, list
	}
	if h.find(p.Name) != nil {
		list.Errorf(diag.Span{File: file}, "flow %q runs already", p.Name)
		return nil, list
	}
	f := &hosted{host: h, name: p.Name, file: file, jobs: make(chan job, maxQueued), poked: make(chan struct{}, 1)}
	origin, problems := h.origin(p)
	list = append(list, problems...)
	version, warnings := h.recall(f, p, src, set, origin)
	list = append(list, warnings...)
	how, problems := h.inherit(version, origin)
	list = append(list, problems...)
	if list.HasErrors() {
		return nil, list
	}
	control, err := version.remember()
	if err == nil {
		err = h.move(p, origin)
	}
	if err != nil {
		list.Errorf(diag.Span{File: file}, "remember the version: %v", err)
		return nil, list
	}
	if f.pending == nil { // what was there is out of date
		control = append(control, checkpoint.Change{Key: controlPending})
	}
	if len(f.receipts) > 0 {
		text, _ := json.Marshal(f.receipts) // texts, numbers and times always can be
		control = append(control, checkpoint.Change{Key: controlReceipts, Value: text})
	}
	f.become(version)
	f.mu.Lock()
	control = append(control, f.rememberPast())
	f.mu.Unlock()
	// Stop and Close either see the flow, or it is not started.
	h.mu.Lock()
	defer h.mu.Unlock()
	switch {
	case h.stopping || h.closed:
		list.Errorf(diag.Span{File: file}, "flow %q is not started: %s", p.Name, ending)
		return nil, list
	case h.named(p.Name) != nil:
		list.Errorf(diag.Span{File: file}, "flow %q runs already", p.Name)
		return nil, list
	}
	h.flows = append(h.flows, f)
	h.wg.Go(f.work)
	f.mu.Lock()
	defer f.mu.Unlock()
	f.flow = h.engine.start(version.plan, inheritance{how, control}, &telemetry.Ledger{})
	h.feeds.Go(f.tend)
	return f.flow, list
}

// inherit says what becomes of the state that the flow left behind when it
// ran last, perhaps in another version. origin is its name then.
func (h *Host) inherit(v version, origin string) (map[string]topology.Takeover, diag.List) {
	fail := func(err error) (map[string]topology.Takeover, diag.List) {
		return nil, diag.List{{Span: diag.Span{File: v.plan.File}, Message: err.Error()}}
	}
	_, ok, err := h.engine.store(v.plan).Last(origin)
	if err != nil {
		return fail(fmt.Errorf("read the last commit: %w", err))
	}
	if !ok {
		return nil, nil
	}
	control, err := h.engine.config.Store.Control(origin)
	if err != nil {
		return fail(fmt.Errorf("read what ran before: %w", err))
	}
	var old remembered
	if text, some := control[controlVersion]; some {
		if err := json.Unmarshal(text, &old); err != nil {
			return fail(fmt.Errorf("read what ran before: %w", err))
		}
	}
	states, err := h.holding(old.States, origin, v.plan)
	if err != nil {
		return fail(err)
	}
	stages, problems := plan.CompareStates(states, v.plan)
	signatures := map[string]string{}
	for _, s := range old.States {
		signatures[s.Name] = s.Signature
	}
	return takeovers(signatures, v.plan, stages), problems
}

// holding leaves out the states of records in which there are none: they need
// not be emptied.
func (h *Host) holding(states []plan.State, origin string, p *plan.Plan) ([]plan.State, error) {
	found := errors.New("there is one")
	var all []plan.State
	for _, s := range states {
		if s.Records {
			err := h.engine.store(p).State(origin, s.Name, func(string, []byte) error { return found })
			if err != nil && !errors.Is(err, found) {
				return nil, fmt.Errorf("read the state of %s: %w", s.Name, err)
			}
			if err == nil {
				continue
			}
		}
		all = append(all, s)
	}
	return all, nil
}

func (h *Host) find(name string) *hosted {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.named(name)
}

// named is find for who holds mu.
func (h *Host) named(name string) *hosted {
	for _, f := range h.flows {
		if f.name == name {
			return f
		}
	}
	return nil
}

// target is the flow that a change is for; nil when there is none yet.
func (h *Host) target(c change.Change) (*hosted, string) {
	if c.Flow != "" {
		if f := h.find(c.Flow); f != nil {
			return f, ""
		}
		if c.Source == nil {
			return nil, fmt.Sprintf("there is no flow %q", c.Flow)
		}
		return nil, ""
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, f := range h.flows {
		if c.File != "" && f.path() == c.File {
			return f, ""
		}
	}
	if c.Source == nil && !c.Remove && len(h.flows) == 1 {
		return h.flows[0], ""
	}
	if c.Source == nil {
		var names []string
		for _, f := range h.flows {
			names = append(names, f.name)
		}
		return nil, "the change names no flow; there are " + strings.Join(names, ", ")
	}
	return nil, ""
}

// ending is why a host that stops takes nothing more.
const ending = "the process is ending"

// Submit queues a change and answers it on the channel, once.
func (h *Host) Submit(c change.Change) <-chan change.Receipt {
	answer := make(chan change.Receipt, 1)
	if c.ID == "" {
		c.ID = newID()
	}
	f, problem := h.target(c)
	switch {
	case problem != "":
		answer <- h.refused(c, problem)
	case f == nil:
		h.add(c, answer)
	default:
		h.mu.Lock()
		defer h.mu.Unlock()
		if h.closed {
			answer <- h.refused(c, ending)
			return answer
		}
		select {
		case f.jobs <- job{change: c, answer: answer}:
		default:
			answer <- h.refused(c, fmt.Sprintf("%d changes wait already", maxQueued))
		}
	}
	return answer
}

// add starts a flow that a change brings.
func (h *Host) add(c change.Change, answer chan<- change.Receipt) {
	p, list := h.config.Compile(c.File, c.Source, c.Set)
	r := h.receipt(c)
	if p != nil && h.find(p.Name) != nil {
		// The file has another name than the flow that it is for.
		c.Flow = p.Name
		go func() { answer <- <-h.Submit(c) }()
		return
	}
	if p != nil {
		r.Flow = p.Name
		_, more := h.Start(c.File, c.Source, c.Set)
		if !more.HasErrors() {
			r.Outcome, r.Running, r.After = change.Applied, true, p.Version
		}
		list = more
	}
	r.Diagnostics = change.Problems(list)
	if r.Outcome != change.Applied {
		r.Outcome, r.Reason = change.Rejected, "the flow file has errors"
	}
	answer <- r
}

func (h *Host) receipt(c change.Change) change.Receipt {
	return change.Receipt{ID: c.ID, Flow: c.Flow, From: c.From, At: h.engine.config.Clock.Now().UTC()}
}

func (h *Host) refused(c change.Change, reason string) change.Receipt {
	r := h.receipt(c)
	r.Outcome, r.Reason = change.Rejected, reason
	return r
}

// Plan says what a change would do, and touches nothing.
func (h *Host) Plan(c change.Change) (plan.Diff, *plan.Plan, diag.List) {
	f, problem := h.target(c)
	if problem != "" {
		return plan.Diff{}, nil, diag.List{{Span: diag.Span{File: c.File}, Message: problem}}
	}
	if f == nil {
		p, list := h.config.Compile(c.File, c.Source, c.Set)
		if p == nil {
			return plan.Diff{}, nil, list
		}
		if f = h.find(p.Name); f == nil {
			d, more := plan.Compare(&plan.Plan{Name: p.Name}, p)
			return d, p, append(list, more...)
		}
	}
	next, list := f.next(c)
	if next.plan == nil {
		return plan.Diff{}, nil, list
	}
	d, more := plan.Compare(f.current().plan, next.plan)
	return d, next.plan, append(list, more...)
}

// Drain drains every flow; see [Flow.Drain].
func (h *Host) Drain(ctx context.Context) error {
	var wg sync.WaitGroup
	var mu sync.Mutex
	var errs []error
	for _, f := range h.Flows() {
		wg.Go(func() {
			if err := f.Drain(ctx); err != nil {
				mu.Lock()
				errs = append(errs, fmt.Errorf("%s: %w", f.Plan.Name, err))
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}
