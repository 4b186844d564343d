package process

// ageHeap is a binary heap of ids, the oldest first. An id knows its place, so
// that it can be moved or removed. New ids are mostly the youngest, and those
// cost one comparison.
type ageHeap []*id

func (h *ageHeap) push(e *id) {
	e.pos = len(*h)
	*h = append(*h, e)
	h.up(e.pos)
}

func (h *ageHeap) remove(e *id) {
	i, last := e.pos, len(*h)-1
	h.swap(i, last)
	(*h)[last] = nil
	*h = (*h)[:last]
	e.pos = -1
	if i < last {
		h.fix((*h)[i])
	}
}

// fix moves an id to where its time belongs.
func (h *ageHeap) fix(e *id) {
	i := e.pos
	h.up(i)
	if e.pos == i {
		h.down(i)
	}
}

func (h *ageHeap) up(i int) {
	for i > 0 {
		parent := (i - 1) / 2
		if !h.less(i, parent) {
			return
		}
		h.swap(i, parent)
		i = parent
	}
}

func (h *ageHeap) down(i int) {
	for {
		child := 2*i + 1
		if child+1 < len(*h) && h.less(child+1, child) {
			child++
		}
		if child >= len(*h) || !h.less(child, i) {
			return
		}
		h.swap(i, child)
		i = child
	}
}

// less orders ids of one time by their text, so that the same ones are
// forgotten before and after a restart.
func (h *ageHeap) less(i, j int) bool {
	a, b := (*h)[i], (*h)[j]
	return a.time < b.time || a.time == b.time && a.key < b.key
}

func (h *ageHeap) swap(i, j int) {
	a := *h
	a[i], a[j] = a[j], a[i]
	a[i].pos, a[j].pos = i, j
}
