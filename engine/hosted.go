package engine

import (
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/telluride-stream/telluride/engine/change"
	"github.com/telluride-stream/telluride/engine/checkpoint"
	"github.com/telluride-stream/telluride/engine/clock"
	"github.com/telluride-stream/telluride/engine/diag"
	"github.com/telluride-stream/telluride/engine/inspect"
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
	// waited says that the change is tried again.
	waited bool
	// problems are why a message is no change; with errors it is rejected.
	problems diag.List
}

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
		if j.waited && r.Outcome == change.Pending {
			f.mu.Lock()
			f.enter(r) // its reason may be another
			f.mu.Unlock()
			return r.Outcome
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
