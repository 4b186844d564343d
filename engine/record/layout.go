package record

import (
	"slices"
	"strings"
)

// Path names a field: `a`, `a.b`, `tags[0].x`. Its steps are object keys and
// list positions.
type Path []Step

// Step is one step of a Path: a key, or the position Index in a list when
// Key is "" and List is true.
type Step struct {
	Key   string
	Index int
	List  bool
}

func (p Path) String() string {
	var b strings.Builder
	for i, s := range p {
		s.write(&b, i == 0)
	}
	return b.String()
}

// Slot is the place of a field in Record.Fields.
type Slot int

// Layout gives each path that a flow reads or writes its slot. It grows while
// a plan is built and is read-only afterwards.
//
// One layout covers the records from a source, or from a stage that makes
// new records, to the next such stage.
type Layout struct {
	paths []Path
	slots map[string]Slot
}

func NewLayout() *Layout { return &Layout{slots: map[string]Slot{}} }

// Slot is the slot of a path, made if it is new.
func (l *Layout) Slot(p Path) Slot {
	key := p.String()
	if s, ok := l.slots[key]; ok {
		return s
	}
	s := Slot(len(l.paths))
	l.paths = append(l.paths, p)
	l.slots[key] = s
	return s
}

// Len is the number of slots.
func (l *Layout) Len() int { return len(l.paths) }

// Path is the path of a slot.
func (l *Layout) Path(s Slot) Path { return l.paths[s] }

// Within lists the slots of paths that lie inside top-level field name,
// without the field itself. A stage that writes the field refreshes them
// ([Refresh]).
func (l *Layout) Within(name string) []Slot {
	var in []Slot
	for i, p := range l.paths {
		if len(p) > 1 && p[0].Key == name && !p[0].List {
			in = append(in, Slot(i))
		}
	}
	return in
}

// First is the layout of the first n slots alone.
func (l *Layout) First(n int) *Layout {
	first := NewLayout()
	for _, p := range l.paths[:n] {
		first.Slot(p)
	}
	return first
}

// Nested lists the top-level fields inside which there are slots.
func (l *Layout) Nested() []string {
	var names []string
	for _, p := range l.paths {
		if len(p) > 1 && !p[0].List && !slices.Contains(names, p[0].Key) {
			names = append(names, p[0].Key)
		}
	}
	return names
}
