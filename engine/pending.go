package engine

import (
	"encoding/json"
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

// replaced says whether what became of a change ends the wait of the one that
// is pending. A later change takes its place, unless that is refused.
func replaced(pending *change.Change, c change.Change, o change.Outcome) bool {
	return pending != nil && (o == change.Applied || o == change.Unchanged || c.ID == pending.ID)
}

// notePending keeps or forgets the change that waits, and returns what the
// store is to know of that. The caller holds mu.
func (f *hosted) notePending(c change.Change, o change.Outcome) ([]checkpoint.Change, error) {
	switch {
	case o == change.Pending:
		f.pending = &c
		text, err := json.Marshal(c)
		return []checkpoint.Change{{Key: controlPending, Value: text}}, err
	case replaced(f.pending, c, o):
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
		if c.From != "file" {
			warnings.Warnf(diag.Span{File: f.file}, "the file has changed: the change %s, which waited to start, is dropped", c.ID)
		}
		return warnings
	}
	f.pending = &c
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
	if f.do(job{change: *again, answer: answer}) == change.Pending {
		return true
	}
	if told := f.host.config.Told; told != nil {
		told(*again, <-answer)
	}
	return false
}
