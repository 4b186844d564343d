package topology

import (
	"fmt"
	"slices"
	"sync"
)

// troubles are the sinks that fail at the moment, in the order in which they
// began to.
type troubles struct {
	mu   sync.Mutex
	list []trouble
}

type trouble struct {
	sink string
	err  error
}

// set notes the latest error of a sink; nil: it works again.
func (t *troubles) set(sink string, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	i := slices.IndexFunc(t.list, func(one trouble) bool { return one.sink == sink })
	switch {
	case err == nil && i >= 0:
		t.list = slices.Delete(t.list, i, i+1)
	case err == nil:
	case i >= 0:
		t.list[i].err = err
	default:
		t.list = append(t.list, trouble{sink, err})
	}
}

// Trouble says in one sentence which sink fails and is tried again; "": none.
func (g *Graph) Trouble() string {
	g.troubles.mu.Lock()
	defer g.troubles.mu.Unlock()
	if len(g.troubles.list) == 0 {
		return ""
	}
	first := g.troubles.list[0]
	text := fmt.Sprintf("sink %s: %v", first.sink, first.err)
	if n := len(g.troubles.list) - 1; n > 0 {
		text += fmt.Sprintf(" (and %d more)", n)
	}
	return text
}
