package engine

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/telluride-stream/telluride/engine/change"
	"github.com/telluride-stream/telluride/engine/checkpoint"
	"github.com/telluride-stream/telluride/engine/diag"
)

// A change that is pending has been accepted, so that its sender lets go of
// it: it is kept with the control data of its flow until it is applied, is
// refused, or a later change takes its place.

// pendingRetry is how often a change that is pending is tried again.
const pendingRetry = 2 * time.Second

// waiting is a change that is pending.
type waiting struct {
	change change.Change
	follow func(change.Receipt) // see job
}

// replaced is the change that waits and the receipt that ends its wait, when
// another has had an outcome. A later change takes its place, unless that is
// refused. The caller holds mu.
func (f *hosted) replaced(by change.Change, o change.Outcome) (*waiting, change.Receipt) {
	w := f.pending
	if w == nil || by.ID == w.change.ID || o != change.Applied && o != change.Unchanged && o != change.Pending {
		return nil, change.Receipt{}
	}
	return w, f.dropped(w.change, fmt.Sprintf("the change %s took its place before it could start", by.ID))
}

// dropped is the last receipt of a change that waited in vain. The caller
// holds mu.
func (f *hosted) dropped(c change.Change, reason string) change.Receipt {
	r := f.host.refused(c, reason)
	for _, old := range f.receipts {
		if old.ID == c.ID {
			r.Flow, r.Running, r.Before, r.After = old.Flow, old.Running, old.Before, old.After
		}
	}
	return r
}

// ended tells everybody what became of a change that waited.
func (f *hosted) ended(w *waiting, r change.Receipt) {
	if told := f.host.config.Told; told != nil {
		told(w.change, r)
	}
	if w.follow != nil {
		w.follow(r)
	}
}

// notePending keeps or forgets the change that waits, and returns what the
// store is to know of that. The caller holds mu.
func (f *hosted) notePending(j job, o change.Outcome) ([]checkpoint.Change, error) {
	switch {
	case o == change.Pending:
		f.pending = &waiting{j.change, j.follow}
		text, err := json.Marshal(j.change)
		return []checkpoint.Change{{Key: controlPending, Value: text}}, err
	case f.pending != nil && (o == change.Applied || o == change.Unchanged || j.change.ID == f.pending.change.ID):
		f.pending = nil
		return []checkpoint.Change{{Key: controlPending}}, nil
	}
	return nil, nil
}

// recallPending takes up the change that waited when the process ended. Where
// the file on disk wins, a change that came from the file, or that was a whole
// file itself, is out of date.
func (f *hosted) recallPending(control map[string][]byte, fileWins bool) (warnings diag.List) {
	text, ok := control[controlPending]
	if !ok {
		return nil
	}
	var c change.Change
	if err := json.Unmarshal(text, &c); err != nil {
		warnings.Warnf(diag.Span{File: f.file}, "the change that waited to start cannot be read: %v", err)
		return warnings
	}
	if c.Source != nil && (fileWins || c.From == "file") {
		f.enter(f.dropped(c, "the process ended before it could start, and the file that the next one began with runs instead"))
		if c.From != "file" {
			warnings.Warnf(diag.Span{File: f.file}, "the file has changed: the change %s, which waited to start, is dropped", c.ID)
		}
		return warnings
	}
	f.pending = &waiting{change: c}
	return warnings
}

// retry tries the change again that is pending, if there is one, and says
// whether one still is.
func (f *hosted) retry() bool {
	f.mu.Lock()
	again := f.pending
	f.mu.Unlock()
	if again == nil {
		return false
	}
	answer := make(chan change.Receipt, 1)
	if f.do(job{change: again.change, answer: answer, follow: again.follow, waited: true}) == change.Pending {
		return true
	}
	f.ended(again, <-answer)
	return false
}
