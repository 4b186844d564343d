package main

import (
	"fmt"
	"strings"
	"sync"

	"github.com/telluride-stream/telluride/engine"
	"github.com/telluride-stream/telluride/engine/change"
	"github.com/telluride-stream/telluride/engine/diag"
)

// changes passes changes on to the host, and tells of what becomes of them.
type changes struct {
	host *engine.Host
	tell func(change.Change, change.Receipt)
	// answered has an element when a change was answered that nobody has seen yet.
	answered chan struct{}

	mu      sync.Mutex
	waiting int
	removed map[string]bool // flows that were drained since their file is gone
	wg      sync.WaitGroup
}

func newChanges(host *engine.Host, tell func(change.Change, change.Receipt)) *changes {
	return &changes{host: host, tell: tell, answered: make(chan struct{}, 1), removed: map[string]bool{}}
}

// submit is the host's, with an ear on the receipt.
func (c *changes) submit(ch change.Change) <-chan change.Receipt {
	c.mu.Lock()
	c.waiting++
	c.mu.Unlock()
	from, to := c.host.Submit(ch), make(chan change.Receipt, 1)
	c.wg.Go(func() {
		r := <-from
		c.tell(ch, r)
		c.mu.Lock()
		c.waiting--
		if r.Outcome == change.Applied {
			c.removed[r.Flow] = ch.Remove
		}
		c.mu.Unlock()
		select {
		case c.answered <- struct{}{}:
		default:
		}
		to <- r
	})
	return to
}

// busy says whether a change is on its way: what has ended may start anew.
func (c *changes) busy() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.waiting > 0
}

func (c *changes) wasRemoved(flow string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.removed[flow]
}

// wait returns when every change has been answered. The host is closed.
func (c *changes) wait() { c.wg.Wait() }

// told writes what became of a change, with the problems of one that was refused.
func (r *runner) told(c change.Change, receipt change.Receipt) {
	list := []any{"flow", receipt.Flow, "from", receipt.From, "id", receipt.ID}
	if receipt.Reason != "" {
		list = append(list, "reason", receipt.Reason)
	}
	asJSON := r.flags.logFormat == "json"
	if asJSON && len(receipt.Diagnostics) > 0 {
		list = append(list, "diagnostics", receipt.Diagnostics)
	}
	switch receipt.Outcome {
	case change.Unchanged:
		r.log.Debug("unchanged", list...)
	case change.Applied:
		if c.Remove {
			r.log.Info("removed", list...)
			break
		}
		r.log.Info("changed", append(list, "before", receipt.Before, "version", receipt.After,
			"drained", receipt.Drained, "paused_ms", receipt.PausedMS)...)
	case change.Pending:
		r.log.Warn("change is pending", list...)
	case change.RolledBack:
		r.log.Error("change was rolled back", append(list, "running", receipt.Running)...)
	default:
		r.log.Warn("change was rejected", list...)
	}
	if !asJSON && len(receipt.Diagnostics) > 0 && receipt.Outcome != change.Unchanged {
		var b strings.Builder
		diag.Print(&b, diagnostics(receipt.Diagnostics), map[string][]byte{c.File: c.Source}, r.console.colour)
		fmt.Fprint(r.console.Stderr(), b.String())
	}
}

// diagnostics are the problems of a receipt, for printing.
func diagnostics(problems []change.Problem) diag.List {
	var list diag.List
	for _, p := range problems {
		d := diag.Diagnostic{Message: p.Message, Advice: p.Advice, Span: diag.Span{File: p.File, Start: diag.Pos{Line: p.Line, Col: p.Column}}}
		if p.Severity == diag.Warning.String() {
			d.Severity = diag.Warning
		}
		list.Add(d)
	}
	return list
}
