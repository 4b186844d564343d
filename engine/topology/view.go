package topology

import (
	"context"
	"fmt"
	"sync"

	"github.com/telluride-stream/telluride/engine/plan"
	"github.com/telluride-stream/telluride/engine/record"
)

// view is a question about the state of a stage, which its lanes answer
// between two batches: an operator's state belongs to its goroutine.
type view struct {
	limit int
	mask  []record.Path

	mu   sync.Mutex
	rows []Row
	keys int
	left int // lanes that have not answered
	done chan struct{}
}

// Row is what a stage keeps of one key.
type Row struct {
	Key string
	// Values is a JSON object of what would be emitted now, masked.
	Values []byte
}

// answer has a lane add its rows.
func (v *view) answer(o *operator) {
	viewer := o.viewer
	var rows []Row
	n := 0
	viewer.View(func(key string, values func() []byte) {
		n++
		if len(rows) < v.limit {
			rows = append(rows, Row{Key: shownKey(key, v.mask), Values: masked(values(), v.mask)})
		}
	})
	v.mu.Lock()
	defer v.mu.Unlock()
	v.rows, v.keys = append(v.rows, rows...), v.keys+n
	if v.left--; v.left == 0 {
		close(v.done)
	}
}

// View tells what a stage keeps per key: at most limit rows of each lane, and
// how many keys there are. The lanes answer with their next batch, or tick; a
// graph at rest has none, and the error is then that of ctx.
func (g *Graph) View(ctx context.Context, stageName string, limit int) (rows []Row, keys int, err error) {
	var lanes []*operator
	for n, instances := range g.operators() {
		if n.Name == stageName && len(instances) > 0 && instances[0].viewer != nil {
			lanes = instances
		}
	}
	if lanes == nil {
		return nil, 0, fmt.Errorf("stage %q keeps no values by key that could be shown", stageName)
	}
	v := &view{limit: limit, mask: g.plan.Mask, left: len(lanes), done: make(chan struct{})}
	for _, o := range lanes {
		o.asked.Store(v)
	}
	select {
	case <-v.done:
	case <-g.ended:
		return nil, 0, ErrStopped
	case <-ctx.Done():
		return nil, 0, ctx.Err()
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.rows, v.keys, nil
}

// operators are the instances of a graph that runs; none before.
func (g *Graph) operators() map[*plan.Operator][]*operator {
	g.viewing.Lock()
	defer g.viewing.Unlock()
	return g.viewable
}
