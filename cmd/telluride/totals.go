package main

import (
	"errors"

	"github.com/telluride-stream/telluride/engine"
	"github.com/telluride-stream/telluride/engine/stage"
	"github.com/telluride-stream/telluride/engine/topology"
)

// totals is where a flow stands, over all of its stages.
type totals struct {
	records, results, filtered, late, dead uint64
	seen, size                             int64
}

func totalsOf(f *engine.Flow) totals {
	var t totals
	for _, r := range f.Ledger.Rows() {
		c := r.Counts()
		t.late += c.Late
		t.dead += c.Dead
		t.filtered += c.Filtered
		switch r.Kind {
		case "source":
			t.records += c.In
			t.seen += r.Seen.Load()
			t.size += r.Size.Load()
		case "sink":
			if !isSide(f, r.Name) {
				t.results += c.Passed
			}
		}
	}
	return t
}

// isSide says whether a sink takes dead letters or late records, not results.
func isSide(f *engine.Flow, sink string) bool {
	p := f.Current()
	return p.Dead != nil && p.Dead.Name == sink || p.Late != nil && p.Late.Name == sink
}

// How a flow ended.
const (
	ended    = "ended"
	drained  = "drained"
	unread   = "output closed" // whoever read the results has gone
	aborted  = "aborted"
	failedAs = "failed"
)

// outcome tells how a flow has ended, with the error when it failed. asked
// says that it was asked to end.
func outcome(f *engine.Flow, asked bool) (string, error) {
	err := f.Wait()
	switch {
	case err == nil && asked:
		return drained, nil
	case err == nil:
		return ended, nil
	case stage.IsClosed(err):
		return unread, nil
	case errors.Is(err, topology.ErrStopped) && f.Summary().Unsaved == 0:
		return drained, nil
	case errors.Is(err, topology.ErrStopped):
		return aborted, nil
	}
	return failedAs, err
}
