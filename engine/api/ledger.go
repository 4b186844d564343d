package api

import (
	"crypto/rand"
	"sync"

	"github.com/telluride-stream/telluride/engine/change"
)

// maxKept is the number of changes whose receipts are kept for clients that
// ask later.
const maxKept = 256

// ledger remembers the changes that came over the API.
type ledger struct {
	mu    sync.Mutex
	byID  map[string]*entry
	order []*entry
}

// entry is a change. receipt may be read once done is closed.
type entry struct {
	id      string
	done    chan struct{}
	receipt change.Receipt
}

func newLedger() *ledger { return &ledger{byID: map[string]*entry{}} }

// add notes a change that was submitted. Whoever waits for its receipt may go.
func (l *ledger) add(id string, answer <-chan change.Receipt) *entry {
	e := &entry{id: id, done: make(chan struct{})}
	l.mu.Lock()
	l.byID[id] = e
	l.order = append(l.order, e)
	if len(l.order) > maxKept {
		// The one that goes may have been noted anew under its id.
		if old := l.order[0]; l.byID[old.id] == old {
			delete(l.byID, old.id)
		}
		l.order = l.order[1:]
	}
	l.mu.Unlock()
	// It ends with the answer, which the host owes.
	go func() {
		e.receipt = <-answer
		close(e.done)
	}()
	return e
}

func (l *ledger) find(id string) *entry {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.byID[id]
}

func newID() string { return rand.Text() }
