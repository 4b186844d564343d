package engine

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/telluride-stream/telluride/engine/change"
	"github.com/telluride-stream/telluride/engine/checkpoint"
	"github.com/telluride-stream/telluride/engine/clock"
	"github.com/telluride-stream/telluride/engine/diag"
	"github.com/telluride-stream/telluride/engine/inspect"
	"github.com/telluride-stream/telluride/engine/plan"
	"github.com/telluride-stream/telluride/engine/stage"
)

const (
	// maxQueued bounds the changes of one flow that wait.
	maxQueued = 1000
	// maxReceipts is how many receipts of a flow are kept, for answering
	// changes that come again and for people.
	maxReceipts = 100
)

// hosted is one flow of a host: the version that runs, the receipts, and the
// worker that applies changes one by one.
type hosted struct {
	host *Host
	name string
	file string
	jobs chan job
	// poked has the feeds looked at again. Its capacity is 1.
	poked chan struct{}

	mu       sync.Mutex
	version  version
	flow     *Flow
	receipts []change.Receipt
	past     []Past // the versions that ran, the newest last
	pending  *waiting
}

type job struct {
	change change.Change
	answer chan<- change.Receipt
	// edit is done instead of a change, in its turn.
	edit func()
	// follow tells the sender what became of a change in the end that was
	// answered as pending; nil: nobody waits for that.
	follow func(change.Receipt)
	// problems are why a message is no change; with errors it is rejected.
	problems diag.List
}

// version is what a flow runs: a file, and the params that were set.
type version struct {
	plan   *plan.Plan
	source []byte
	// base is the hash of the file on disk that source was made from. When the
	// disk has another one after a restart, the file wins.
	base string
	set  map[string]setting
	file string // where the file is now; "": where it was
}

// remembered is the form in which the store keeps a version.
type remembered = inspect.Version

// Keys of a flow's control data.
const (
	controlVersion  = inspect.ControlVersion
	controlReceipts = "receipts"
	controlPending  = "pending"
	controlPast     = "past"
)

func newID() string {
	var b [8]byte
	_, _ = rand.Read(b[:]) // never fails
	return hex.EncodeToString(b[:])
}

// path is where the flow's file is.
func (f *hosted) path() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.file
}

func (f *hosted) current() version {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.version
}

func (f *hosted) become(v version) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.version = v
	f.note(v)
	if v.file != "" {
		f.file = v.file
	}
}

// recall decides what a flow starts with. The store remembers which content of
// the file the last version was based on. The same content: that version and
// the params that were set since run on. Another: the file wins, and of the
// params those that still fit are kept.
func (h *Host) recall(f *hosted, p *plan.Plan, src []byte, flags map[string]string, origin string) (version, diag.List) {
	v := version{plan: p, source: src, base: hash(src), set: map[string]setting{}}
	for name, value := range flags {
		v.set[name] = setting{Value: value, From: "flag"}
	}
	control, err := h.engine.config.Store.Control(origin)
	if err != nil {
		return v, diag.List{{Severity: diag.Warning, Span: diag.Span{File: f.file}, Message: "what was applied before cannot be read: " + err.Error()}}
	}
	_ = json.Unmarshal(control[controlReceipts], &f.receipts)
	f.past = recallPast(control[controlPast])
	var old remembered
	known := json.Unmarshal(control[controlVersion], &old) == nil
	warnings := f.recallPending(control, !known || old.Base != v.base)
	if !known {
		return v, warnings
	}
	source := src
	if old.Base == v.base {
		source = old.Source
	}
	set := maps.Clone(old.Set)
	if set == nil {
		set = map[string]setting{}
	}
	maps.Copy(set, v.set)
	for {
		next, list := h.config.Compile(f.file, source, values(set))
		if next != nil {
			return version{plan: next, source: source, base: v.base, set: set}, warnings
		}
		dropped := h.misfit(f.file, source, set, v.set)
		if dropped == "" {
			// The remembered file does not compile any more: the one on disk does.
			warnings.Warnf(diag.Span{File: f.file}, "the version that was applied before does not start any more (%v); the file runs instead", list.Err())
			return v, warnings
		}
		warnings.Warnf(diag.Span{File: f.file}, "param %q was set to %q before and does not fit any more; it is left to its default", dropped, set[dropped].Value)
		delete(set, dropped)
	}
}

// misfit is a remembered param with which a file does not compile, though it
// does without it; "" when there is none.
func (h *Host) misfit(file string, source []byte, set, flags map[string]setting) string {
	base := values(flags)
	for _, name := range slices.Sorted(maps.Keys(set)) {
		if _, flag := flags[name]; flag {
			continue
		}
		one := maps.Clone(base)
		one[name] = set[name].Value
		if p, _ := h.config.Compile(file, source, one); p == nil {
			return name
		}
	}
	return ""
}

// next is the version that a change asks for. Its plan is nil when the list
// has errors.
func (f *hosted) next(c change.Change) (version, diag.List) {
	v := f.current()
	file := f.path()
	if c.Source != nil {
		v.source = c.Source
		if c.From == "file" {
			v.base, v.file = hash(c.Source), c.File
		}
		if c.File != "" {
			file = c.File
		}
	}
	v.set = with(v.set, c)
	p, list := f.host.config.Compile(file, v.source, values(v.set))
	if p != nil {
		if wrong := c.Mistyped(p); len(wrong) > 0 {
			list, p = append(list, wrong...), nil
		}
	}
	if p != nil && p.Name != f.name {
		list.Errorf(diag.Span{File: file}, "the file is for flow %q, not for %q", p.Name, f.name)
		p = nil
	}
	v.plan = p
	return v, list
}

// work applies changes until the host closes.
func (f *hosted) work() {
	// One may have waited when the process ended.
	retry := clock.For(f.host.engine.config.Clock, "changes").NewTimer(pendingRetry)
	defer retry.Stop()
	for {
		select {
		case j, ok := <-f.jobs:
			if !ok {
				return
			}
			if j.edit != nil {
				j.edit()
				continue
			}
			if f.do(j) == change.Pending {
				retry.Reset(pendingRetry)
			}
		case <-retry.C():
			if f.retry() {
				retry.Reset(pendingRetry)
			}
		}
	}
}

// do applies a change, keeps its receipt and answers it.
func (f *hosted) do(j job) change.Outcome {
	r, known := f.known(j.change.ID)
	if !known {
		began := time.Now()
		if j.problems.HasErrors() {
			r = f.unreadable(j.change, j.problems)
		} else {
			r = f.apply(j.change)
		}
		f.keep(j, r)
		f.running().Ledger.Reloaded(string(r.Outcome))
		ok := r.Outcome == change.Applied || r.Outcome == change.Unchanged
		f.host.engine.config.Tracer.Change(f.name, string(r.Outcome), r.After, ok, began, time.Duration(r.PausedMS*float64(time.Millisecond)))
	}
	if j.answer != nil {
		j.answer <- r
	}
	f.poke()
	return r.Outcome
}

// known is the receipt of a change that was answered before. One that is
// pending is not answered for good.
func (f *hosted) known(id string) (change.Receipt, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, r := range f.receipts {
		if r.ID == id && r.Outcome != change.Pending {
			return r, true
		}
	}
	return change.Receipt{}, false
}

// enter puts a receipt behind the others, in the place of an earlier one of the
// same change. The caller holds mu.
func (f *hosted) enter(r change.Receipt) {
	f.receipts = slices.DeleteFunc(f.receipts, func(old change.Receipt) bool { return old.ID == r.ID })
	f.receipts = append(f.receipts, r)
	if n := len(f.receipts); n > maxReceipts {
		f.receipts = slices.Clone(f.receipts[n-maxReceipts:])
	}
}

// keep keeps the receipt of a change, and ends the wait of the one whose place
// it takes.
func (f *hosted) keep(j job, r change.Receipt) {
	f.mu.Lock()
	gone, last := f.replaced(j.change, r.Outcome)
	if gone != nil {
		f.enter(last)
	}
	f.enter(r)
	control, err := f.notePending(j, r.Outcome)
	text, failed := json.Marshal(f.receipts)
	control = append(control, f.rememberPast())
	f.mu.Unlock()
	if err = errors.Join(err, failed); err == nil {
		err = f.host.engine.config.Store.SetControl(f.name, append(control, checkpoint.Change{Key: controlReceipts, Value: text}))
	}
	if err != nil {
		f.host.engine.config.Log.Warn("a receipt could not be stored", "flow", f.name, "error", err)
	}
	if gone != nil {
		f.ended(gone, last)
	}
}

// apply checks a change and has the flow take it over.
func (f *hosted) apply(c change.Change) change.Receipt {
	r := f.host.receipt(c)
	before := f.current()
	flow := f.running()
	r.Flow, r.Before, r.After = f.name, before.plan.Version, before.plan.Version
	r.Running = flow.Running()
	if c.BaseVersion != "" && c.BaseVersion != r.Before {
		r.Outcome = change.Rejected
		r.Reason = fmt.Sprintf("the change was made from version %s, and %s runs by now", c.BaseVersion, r.Before)
		return r
	}
	if c.Remove {
		return f.remove(r, flow)
	}
	next, list := f.next(c)
	if next.plan == nil {
		r.Outcome, r.Reason, r.Diagnostics = change.Rejected, "the new version has errors", change.Problems(list)
		return r
	}
	if next.plan.Version == r.Before && r.Running {
		f.become(next) // its base may be another
		f.remember(next)
		r.Outcome = change.Unchanged
		return r
	}
	diff, problems := plan.Compare(before.plan, next.plan)
	list = append(list, problems...)
	r.Sources, r.Stages, r.Diagnostics = diff.Sources, diff.Stages, change.Problems(list)
	if list.HasErrors() {
		r.Outcome, r.Reason = change.Rejected, "state would be lost"
		return r
	}
	return f.swap(r, flow, next, diff)
}

func (f *hosted) remove(r change.Receipt, flow *Flow) change.Receipt {
	ctx, cancel := f.host.deadline()
	defer cancel()
	r.Drained = flow.Summary().Unsaved
	if err := flow.Drain(ctx); err != nil {
		flow.Stop()
		r.Reason = fmt.Sprintf("it did not drain in time: %v", err)
	}
	r.Outcome, r.Running, r.After = change.Applied, false, ""
	return r
}

// remember is the control data of a version.
func (v version) remember() ([]checkpoint.Change, error) {
	set := maps.Clone(v.set)
	// Flags are for one run.
	maps.DeleteFunc(set, func(_ string, s setting) bool { return s.From == "flag" })
	text, err := json.Marshal(remembered{Base: v.base, Source: v.source, Set: set, States: plan.States(v.plan)})
	return []checkpoint.Change{{Key: controlVersion, Value: text}}, err
}

func (f *hosted) remember(v version) {
	control, err := v.remember()
	if err == nil {
		err = f.host.engine.config.Store.SetControl(f.name, control)
	}
	if err != nil {
		f.host.engine.config.Log.Warn("the version could not be stored", "flow", f.name, "error", err)
	}
}

// swap has the flow run the next version, and tells how that went.
func (f *hosted) swap(r change.Receipt, flow *Flow, next version, diff plan.Diff) change.Receipt {
	control, err := next.remember()
	if err != nil {
		r.Outcome, r.Reason = change.Rejected, err.Error()
		return r
	}
	// Whatever waits is replaced by this change, also if the process dies now.
	control = append(control, checkpoint.Change{Key: controlPending})
	done := flow.Replace(Replacement{Plan: next.plan, Diff: diff, Control: control, Timeout: f.host.config.DrainTimeout})
	if done.Err == nil {
		flow.Ledger.Paused(done.Paused)
	}
	if errors.Is(done.Err, ErrEnded) || errors.Is(done.Err, context.Canceled) && f.host.stops() {
		return f.startNext(r, flow, next)
	}
	r.Running = flow.Running()
	r.Drained, r.PausedMS = done.Drained, float64(done.Paused.Microseconds())/1000
	switch {
	case done.Err == nil:
		f.become(next)
		r.Outcome, r.After = change.Applied, next.plan.Version
	case stage.IsTransient(done.Err) || errors.Is(done.Err, context.DeadlineExceeded):
		r.Outcome, r.Reason = change.Pending, done.Err.Error()
	case done.Touched:
		r.Outcome, r.Reason = change.RolledBack, done.Err.Error()
	default:
		r.Outcome, r.Reason = change.Rejected, done.Err.Error()
	}
	return r
}

// startNext starts the next version of a flow that has ended: nothing runs that
// could be drained.
func (f *hosted) startNext(r change.Receipt, ended *Flow, next version) change.Receipt {
	h := f.host
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.stopping {
		r.Outcome, r.Reason, r.Running = change.Pending, "the process ends, and the next one takes the change over", false
		return r
	}
	f.remember(next)
	f.become(next)
	f.mu.Lock()
	f.flow = h.engine.start(next.plan, inheritance{}, ended.Ledger)
	f.mu.Unlock()
	r.Outcome, r.Running, r.After = change.Applied, true, next.plan.Version
	return r
}

func (h *Host) deadline() (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.Background(), h.config.DrainTimeout)
}

// Tidy forgets the versions of flows that have come to their end and were not
// changed: there is nothing to go on from. It is for the end of a process.
func (h *Host) Tidy() error {
	h.mu.Lock()
	flows := slices.Clone(h.flows)
	h.mu.Unlock()
	for _, f := range flows {
		f.mu.Lock()
		v, flow, receipts := f.version, f.flow, len(f.receipts)
		f.mu.Unlock()
		changed := receipts > 0 || hash(v.source) != v.base
		for _, s := range v.set {
			changed = changed || s.From != "flag"
		}
		if flow == nil || changed || flow.Running() {
			continue
		}
		_, resumes, err := h.engine.store(v.plan).Last(f.name)
		if err != nil {
			return fmt.Errorf("read the last commit of %s: %w", f.name, err)
		}
		if resumes {
			continue
		}
		err = h.engine.config.Store.SetControl(f.name, []checkpoint.Change{{Key: controlVersion}, {Key: controlPast}})
		if err != nil {
			return fmt.Errorf("forget the version of %s: %w", f.name, err)
		}
	}
	return nil
}
