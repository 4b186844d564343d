package window

// queue gives back items in the order of their times, and of their arrival
// where those are equal. It is a binary heap without the boxing of
// container/heap.
type queue[T any] struct {
	items []queued[T]
	seq   uint64
}

type queued[T any] struct {
	at   int64
	seq  uint64
	item T
}

func (q *queue[T]) push(at int64, item T) {
	q.seq++
	q.items = append(q.items, queued[T]{at, q.seq, item})
	for i := len(q.items) - 1; i > 0 && q.less(i, (i-1)/2); i = (i - 1) / 2 {
		q.swap(i, (i-1)/2)
	}
}

// due says whether the first item's time has come.
func (q *queue[T]) due(now int64) bool { return len(q.items) > 0 && q.items[0].at <= now }

func (q *queue[T]) pop() (at int64, item T) {
	first := q.items[0]
	n := len(q.items) - 1
	q.swap(0, n)
	q.items[n] = queued[T]{} // keep nothing alive
	q.items = q.items[:n]
	for i := 0; ; {
		least := i
		for child := 2*i + 1; child <= 2*i+2 && child < n; child++ {
			if q.less(child, least) {
				least = child
			}
		}
		if least == i {
			return first.at, first.item
		}
		q.swap(i, least)
		i = least
	}
}

func (q *queue[T]) less(i, j int) bool {
	a, b := &q.items[i], &q.items[j]
	return a.at < b.at || a.at == b.at && a.seq < b.seq
}

func (q *queue[T]) swap(i, j int) { q.items[i], q.items[j] = q.items[j], q.items[i] }
