package batch

import (
	"strings"

	"github.com/telluride-stream/telluride/engine/record"
	"github.com/telluride-stream/telluride/engine/stage"
)

// group is some records that will go out together.
type group struct {
	key   string
	n     int
	size  int64  // bytes, as the bound counts them
	first int64  // Context.Now when the first record came
	epoch uint64 // Context.Epoch likewise
	low   int64  // the lowest Record.Watermark

	prev, next *group // by the first record
	pos        int    // in the heap

	// Of records: the records, and whose memory they lie in. Those that keeps
	// do not cover lie in that of the batch at hand.
	records []record.Record
	keeps   []keep
	listed  bool // among the fresh ones
	// Of messages: the text so far, and what is taken from the records.
	text []byte
	time int64  // the latest
	hash uint64 // of key
}

// groups holds the open groups, of which there is one for each key. It knows
// at any time the one that is open longest, and the lowest watermark.
//
// The one that is open longest also has the oldest epoch: an operator is
// given no older epoch than before.
type groups struct {
	keyed bool
	one   *group // the group of a batch without key
	byKey map[string]*group

	oldest, youngest *group
	lowest           []*group // a binary heap by low
	held             int

	free []*group // to be used again
}

// most bounds how many unused groups are kept.
const most = 1024

// find is the open group for a record, nil when there is none.
func (g *groups) find(key string) *group {
	if !g.keyed {
		return g.one
	}
	return g.byKey[key]
}

// open begins a group. It holds no record yet, which is for add to change.
func (g *groups) open(c *stage.Context, r *record.Record) *group {
	var n *group
	if last := len(g.free) - 1; last >= 0 {
		n, g.free = g.free[last], g.free[:last]
	} else {
		n = &group{}
	}
	n.first, n.epoch, n.low, n.time = c.Now, c.Epoch, r.Watermark, r.Time
	if g.keyed {
		n.key = strings.Clone(r.Key)
		if g.byKey == nil {
			g.byKey = map[string]*group{}
		}
		g.byKey[n.key] = n
	} else {
		g.one = n
	}
	if n.prev = g.youngest; n.prev != nil {
		n.prev.next = n
	} else {
		g.oldest = n
	}
	g.youngest = n
	n.pos = len(g.lowest)
	g.lowest = append(g.lowest, n)
	g.up(n.pos)
	return n
}

// add counts a record into a group.
func (g *groups) add(n *group, r *record.Record) {
	n.n++
	g.held++
	if r.Watermark < n.low {
		n.low = r.Watermark
		g.up(n.pos)
	}
}

// close takes a group out. It is emptied and used again later, so what it
// held must have gone.
func (g *groups) close(n *group) {
	g.held -= n.n
	if g.keyed {
		delete(g.byKey, n.key)
	} else {
		g.one = nil
	}
	if n.prev != nil {
		n.prev.next = n.next
	} else {
		g.oldest = n.next
	}
	if n.next != nil {
		n.next.prev = n.prev
	} else {
		g.youngest = n.prev
	}
	g.unheap(n)
	clear(n.records)
	clear(n.keeps)
	*n = group{records: n.records[:0], keeps: n.keeps[:0], listed: n.listed}
	if len(g.free) < most && cap(n.records) <= 1<<16 {
		g.free = append(g.free, n)
	}
}

func (g *groups) heldNow() stage.Held {
	if g.held == 0 {
		return stage.Held{}
	}
	return stage.Held{Records: g.held, Epoch: g.oldest.epoch, Watermark: g.lowest[0].low}
}

func (g *groups) unheap(n *group) {
	i, last := n.pos, len(g.lowest)-1
	g.swap(i, last)
	g.lowest[last] = nil
	g.lowest = g.lowest[:last]
	if i < last {
		g.up(i)
		g.down(i)
	}
}

func (g *groups) up(i int) {
	for i > 0 {
		parent := (i - 1) / 2
		if g.lowest[i].low >= g.lowest[parent].low {
			return
		}
		g.swap(i, parent)
		i = parent
	}
}

func (g *groups) down(i int) {
	for {
		child := 2*i + 1
		if child+1 < len(g.lowest) && g.lowest[child+1].low < g.lowest[child].low {
			child++
		}
		if child >= len(g.lowest) || g.lowest[child].low >= g.lowest[i].low {
			return
		}
		g.swap(i, child)
		i = child
	}
}

func (g *groups) swap(i, j int) {
	h := g.lowest
	h[i], h[j] = h[j], h[i]
	h[i].pos, h[j].pos = i, j
}
