package main

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/telluride-stream/telluride/engine/change"
)

// A change that is pending has been taken, and has not been made: whoever
// waits for it waits on for its last receipt.

// pendingPoll is how often a process is asked what became of a pending change.
const pendingPoll = 250 * time.Millisecond

// last waits for the last receipt of a change that is pending. When the time
// is up, or ctx is done, that is the one there is.
func last(ctx context.Context, process *remote, r change.Receipt, wait time.Duration) (change.Receipt, error) {
	ctx, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	pause := time.NewTicker(pendingPoll)
	defer pause.Stop()
	for {
		select {
		case <-ctx.Done():
			return r, nil
		case <-pause.C:
		}
		now, ok, err := process.Receipt(ctx, r.ID)
		switch {
		case ctx.Err() != nil:
			return r, nil
		case err != nil:
			return r, fmt.Errorf("the change %s is pending, and the process does not say any more what became of it: %w", r.ID, err)
		case ok:
			r = now
		}
		if r.Outcome != change.Pending {
			return r, nil
		}
	}
}

// isLast says whether no receipt follows one that came through a queue.
func isLast(receipt []byte) bool {
	var r change.Receipt
	return json.Unmarshal(receipt, &r) != nil || r.Outcome != change.Pending
}

// tellPending says what is waited for.
func (p *program) tellPending(r change.Receipt) {
	_, _ = fmt.Fprintf(p.stderr, "telluride: the change is pending: %s; waiting for it to start\n", r.Reason)
}

// waits is tellPending for a receipt that came through a queue.
func (p *program) waits(receipt []byte) {
	var r change.Receipt
	if json.Unmarshal(receipt, &r) == nil {
		p.tellPending(r)
	}
}

// stillPending writes the receipt of a change for which nobody waits longer.
func (p *program) stillPending(c change.Change, r change.Receipt, format string) error {
	if err := p.answered(c, r, format); err != nil {
		return err
	}
	return failed(fmt.Errorf("the change has not started yet: it is tried again until another takes its place, and telluride status will show what became of it (id %s)", r.ID))
}

// unsettled is stillPending for a receipt that came through a queue.
func (p *program) unsettled(c change.Change, receipt []byte, format string) error {
	var r change.Receipt
	if err := json.Unmarshal(receipt, &r); err != nil {
		return failed(fmt.Errorf("the answer is no receipt: %w", err))
	}
	return p.stillPending(c, r, format)
}
