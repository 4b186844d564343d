package window

// schedule lists, for windows of a grid, the entries that have something to
// do when the window's time has come. Looking for what is due costs nothing
// while nothing is, however many keys there are.
type schedule[T any] struct {
	lists map[int64]*agenda[T]
	order queue[*agenda[T]]
	spare []*agenda[T]
}

type agenda[T any] struct{ entries []T }

func (s *schedule[T]) add(window int64, entry T) {
	a := s.lists[window]
	if a == nil {
		if s.lists == nil {
			s.lists = map[int64]*agenda[T]{}
		}
		if n := len(s.spare) - 1; n >= 0 {
			a, s.spare = s.spare[n], s.spare[:n]
		} else {
			a = &agenda[T]{}
		}
		s.lists[window] = a
		s.order.push(window, a)
	}
	a.entries = append(a.entries, entry)
}

// first is the earliest window that something is listed for.
func (s *schedule[T]) first() (window int64, ok bool) {
	if len(s.order.items) == 0 {
		return 0, false
	}
	return s.order.items[0].at, true
}

// take removes the list of the earliest window. It is valid until done.
func (s *schedule[T]) take() *agenda[T] {
	window, a := s.order.pop()
	delete(s.lists, window)
	return a
}

func (s *schedule[T]) done(a *agenda[T]) {
	clear(a.entries)
	a.entries = a.entries[:0]
	s.spare = append(s.spare, a)
}
