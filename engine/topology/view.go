package topology

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/telluride-stream/telluride/engine/plan"
	"github.com/telluride-stream/telluride/engine/record"
)

// maxOpen is how many open windows of one key are shown.
const maxOpen = 10

// Question says which keys of a stage are to be shown.
type Question struct {
	// Find is a part of the key, whatever its case; "": any key.
	Find string
	// After is a key: only those behind it are shown, in the order of keys.
	After string
	// Limit is how many keys are shown at most, 1 or more.
	Limit int
}

// View is what a stage keeps by key.
type View struct {
	// Rows are in the order of keys, what closes first first.
	Rows []Row
	// Keys is how many keys have something open, and Found how many of those
	// the question means, shown or not.
	Keys, Found int
	// More says that further keys follow.
	More bool
}

// Row is a window of one key that is open, or its running aggregate.
type Row struct {
	Key string
	// Values is a JSON object of what would be emitted now, masked.
	Values []byte
	// Records of Of are in a window that is counted; else both are 0.
	Records, Of int
	// More says that the key has more that is open, and closes later.
	More bool

	order string // the key, whatever is masked
}

// view is a question about the state of a stage, which its lanes answer
// themselves: an operator's state belongs to its goroutine.
type view struct {
	Question
	mask []record.Path

	mu sync.Mutex
	View
	left int // lanes that have not answered
	done chan struct{}
}

// answer has a lane add its rows.
func (v *view) answer(o *operator) {
	first := least{n: v.Limit}
	keys := 0
	find := strings.ToLower(v.Find)
	o.viewer.Keys(func(key string) {
		keys++
		if find == "" || strings.Contains(strings.ToLower(key), find) {
			first.found++
			if v.After == "" || key > v.After {
				first.add(key)
			}
		}
	})
	var rows []Row
	for _, key := range first.take() {
		n := 0
		for open := range o.viewer.Open(key) {
			if n++; n > maxOpen {
				rows[len(rows)-1].More = true
				break
			}
			rows = append(rows, Row{Key: shownKey(key, v.mask), Values: masked(open.Values, v.mask), Records: open.Records, Of: open.Of, order: key})
		}
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	v.Rows, v.Keys, v.Found, v.More = append(v.Rows, rows...), v.Keys+keys, v.Found+first.found, v.More || first.more
	if v.left--; v.left == 0 {
		close(v.done)
	}
}

// least keeps the n least keys, in memory for twice as many.
type least struct {
	n, found int
	keys     []string
	full     bool // n keys that are not greater than the last are known
	more     bool // keys were left out
}

func (l *least) add(key string) {
	if l.full && key > l.keys[l.n-1] {
		l.more = true
		return
	}
	if l.keys = append(l.keys, key); len(l.keys) >= 2*l.n {
		l.cut()
	}
}

func (l *least) cut() {
	slices.Sort(l.keys)
	if len(l.keys) > l.n {
		l.keys, l.more = l.keys[:l.n], true
	}
	l.full = len(l.keys) == l.n
}

func (l *least) take() []string {
	l.cut()
	return l.keys
}

// View tells what a stage keeps by key. The lanes answer between two batches,
// or at once while none comes, also in a graph that is parked; while what
// follows holds a lane up they do not, and the error is then that of ctx.
func (g *Graph) View(ctx context.Context, stageName string, q Question) (View, error) {
	var lanes []*operator
	for n, instances := range g.operators() {
		if n.Name == stageName && len(instances) > 0 && instances[0].viewer != nil {
			lanes = instances
		}
	}
	switch {
	case lanes == nil:
		return View{}, fmt.Errorf("stage %q keeps no values by key that could be shown", stageName)
	case len(g.plan.Mask) > 0 && (q.Find != "" || q.After != ""):
		// An answer would tell which keys there are.
		return View{}, fmt.Errorf("keys cannot be searched: they are hidden, since the flow masks fields")
	}
	v := &view{Question: q, mask: g.plan.Mask, left: len(lanes), done: make(chan struct{})}
	for _, o := range lanes {
		select {
		case o.looks <- func() { o.look(v) }:
		case <-g.ended:
			return View{}, ErrStopped
		case <-ctx.Done():
			return View{}, ctx.Err()
		}
	}
	select {
	case <-v.done:
	case <-g.ended:
		return View{}, ErrStopped
	case <-ctx.Done():
		return View{}, ctx.Err()
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.cut(), nil
}

// cut is the view in order, with as many keys as were asked for.
func (v *view) cut() View {
	out := v.View
	slices.SortStableFunc(out.Rows, func(a, b Row) int { return cmp.Compare(a.order, b.order) })
	keys := 0
	for i := range out.Rows {
		if i > 0 && out.Rows[i].order == out.Rows[i-1].order {
			continue
		}
		if keys++; keys > v.Limit {
			out.Rows, out.More = out.Rows[:i], true
			break
		}
	}
	return out
}

// operators are the instances of a graph that runs; none before.
func (g *Graph) operators() map[*plan.Operator][]*operator {
	g.viewing.Lock()
	defer g.viewing.Unlock()
	return g.viewable
}
