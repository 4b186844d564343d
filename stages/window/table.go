package window

import (
	"math/bits"
)

// entry is what an operator keeps of one key.
type entry[S any] struct {
	key  string
	hash uint64
	// seq counts the records of the key that were taken. It orders those of
	// equal time.
	seq   uint64
	state S

	// seen is when the key had its last record; see expiry.
	seen int64

	saved   int32 // how many bytes a snapshot holds of it; 0: none does
	live    bool  // it is in the table
	dirty   bool  // it is in the list of what the next snapshot writes
	touched bool  // it is in the list of what the timer is to emit
	watched bool  // it is in the queue of what may expire
}

// table finds entries by key: open addressing with linear probing over the
// hash that records bring along.
type table[S any] struct {
	slots []*entry[S]
	shift uint8 // 64 - log2(len(slots))
	n     int
}

// home spreads the hash once more (Knuth's multiplicative method): a lane
// holds only keys whose hashes are alike in some bits.
func (t *table[S]) home(hash uint64) int { return int(hash * 0x9E3779B97F4A7C15 >> t.shift) }

func (t *table[S]) find(hash uint64, key string) *entry[S] {
	if t.n == 0 {
		return nil
	}
	for i := t.home(hash); ; i = (i + 1) & (len(t.slots) - 1) {
		e := t.slots[i]
		if e == nil {
			return nil
		}
		if e.hash == hash && e.key == key {
			return e
		}
	}
}

func (t *table[S]) insert(e *entry[S]) {
	if 4*(t.n+1) > 3*len(t.slots) {
		old := t.slots
		t.slots = make([]*entry[S], max(16, 2*len(old)))
		t.shift = uint8(64 - bits.TrailingZeros(uint(len(t.slots))))
		for _, o := range old {
			if o != nil {
				t.put(o)
			}
		}
	}
	t.put(e)
	t.n++
	e.live = true
}

func (t *table[S]) put(e *entry[S]) {
	i := t.home(e.hash)
	for t.slots[i] != nil {
		i = (i + 1) & (len(t.slots) - 1)
	}
	t.slots[i] = e
}

// remove closes the gap, so that no search ends early at it.
func (t *table[S]) remove(e *entry[S]) {
	mask := len(t.slots) - 1
	gap := t.home(e.hash)
	for t.slots[gap] != e {
		gap = (gap + 1) & mask
	}
	for i := (gap + 1) & mask; t.slots[i] != nil; i = (i + 1) & mask {
		if (i-t.home(t.slots[i].hash))&mask >= (i-gap)&mask {
			t.slots[gap], gap = t.slots[i], i
		}
	}
	t.slots[gap] = nil
	t.n--
	e.live = false
}

// all calls visit for every entry. visit must not insert or remove.
func (t *table[S]) all(visit func(*entry[S])) {
	for _, e := range t.slots {
		if e != nil {
			visit(e)
		}
	}
}
