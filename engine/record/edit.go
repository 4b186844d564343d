package record

import "fmt"

// SetPath is root, an object, array, null or nothing, with v at the path rest
// inside it: replaced where it is, added where it is not. Objects on the way
// are made; all other bytes stay as they are. A Missing v is dropped.
//
// It is an error when the path leads through a value that is neither object
// nor array, or to a list position that does not exist. root and v are not
// changed, and the result shares no memory with them unless rest is empty.
func SetPath(root Value, rest Path, v Value) (Value, error) {
	if v.kind == Missing {
		return DropPath(root, rest), nil
	}
	if len(rest) == 0 {
		return v, nil
	}
	e := editor{path: rest, value: v, src: root.JSON()}
	if !root.IsNil() && e.src == "" {
		return Value{}, e.blocked(0, root.kind)
	}
	if root.IsNil() {
		e.out = make([]byte, 0, 32)
		if err := e.create(0); err != nil {
			return Value{}, err
		}
		return MapValue(stringOf(e.out)), nil
	}
	e.out = make([]byte, 0, len(e.src)+len(v.s)+32)
	if err := e.set(0, 0, len(e.src)); err != nil {
		return Value{}, err
	}
	return Value{kind: root.kind, s: stringOf(e.out)}, nil
}

// DropPath is root without the value at the path rest; what follows in a list
// moves up. It is root itself when there is no such value.
func DropPath(root Value, rest Path) Value {
	if len(rest) == 0 {
		return Value{}
	}
	e := editor{path: rest, src: root.JSON()}
	e.out = make([]byte, 0, len(e.src))
	if e.src == "" || !e.drop(0, 0, len(e.src)) {
		return root
	}
	return Value{kind: root.kind, s: stringOf(e.out)}
}

type editor struct {
	path  Path
	value Value
	src   string
	out   []byte
}

// set writes src[from:to], the value at path[:i], with the edit made in it.
func (e *editor) set(i, from, to int) error {
	if i == len(e.path) {
		e.out = AppendValue(e.out, e.value)
		return nil
	}
	step := e.path[i]
	w := walk(e.src, from)
	if w.i < 0 {
		v := ProjectValue(e.src[from:to], nil)
		if v.kind != Null {
			return e.blocked(i, v.kind)
		}
		return e.create(i)
	}
	if w.list != step.List {
		kind := Map
		if w.list {
			kind = List
		}
		return e.blocked(i, kind)
	}
	value, end, last := -1, 0, 0
	for w.next() {
		if w.is(step) {
			value, end = w.value, w.end // of equal keys the last one is read
		}
		last = w.end
	}
	switch {
	case w.err != nil:
		return fmt.Errorf("set %s: %w", e.path[:i+1], w.err)
	case value >= 0:
		e.out = append(e.out, e.src[from:value]...)
		if err := e.set(i+1, value, end); err != nil {
			return err
		}
		e.out = append(e.out, e.src[end:to]...)
		return nil
	case w.list:
		return e.noPosition(i, w.n)
	case w.n == 0:
		last = w.closing
		e.out = append(e.out, e.src[from:last]...)
	default:
		e.out = append(e.out, e.src[from:last]...)
		e.out = append(e.out, ',')
	}
	e.out = append(appendQuoted(e.out, step.Key), ':')
	if err := e.create(i + 1); err != nil {
		return err
	}
	e.out = append(e.out, e.src[last:to]...)
	return nil
}

// create writes the objects of path[i:] and the value in them.
func (e *editor) create(i int) error {
	rest := e.path[i:]
	for j, step := range rest {
		if step.List {
			return e.noPosition(i+j, 0)
		}
		e.out = append(appendQuoted(append(e.out, '{'), step.Key), ':')
	}
	e.out = AppendValue(e.out, e.value)
	for range rest {
		e.out = append(e.out, '}')
	}
	return nil
}

func (e *editor) blocked(i int, k Kind) error {
	if i == 0 {
		return fmt.Errorf("set %s: the value is %s", e.path, k.noun())
	}
	return fmt.Errorf("set %s: %s is %s", e.path, e.path[:i], k.noun())
}

func (e *editor) noPosition(i, n int) error {
	return fmt.Errorf("set %s: position %d does not exist in a list of %d", e.path, e.path[i].Index, n)
}

// drop writes src[from:to] without the value at path[i:], and says whether
// there was one.
func (e *editor) drop(i, from, to int) bool {
	step := e.path[i]
	w := walk(e.src, from)
	if i < len(e.path)-1 {
		value, end := -1, 0
		for w.next() {
			if w.is(step) {
				value, end = w.value, w.end
			}
		}
		if value < 0 || w.err != nil {
			return false
		}
		e.out = append(e.out, e.src[from:value]...)
		if !e.drop(i+1, value, end) {
			return false
		}
		e.out = append(e.out, e.src[end:to]...)
		return true
	}
	// Every equal key goes: otherwise one that was hidden would come up. A
	// member that stays keeps the comma and the space before it.
	kept, prev, done := 0, 0, from
	found := false
	for w.next() {
		if w.n == 1 {
			e.out = append(e.out, e.src[from:w.from]...)
			prev = w.from
		}
		if w.is(step) {
			found = true
		} else {
			if kept > 0 {
				e.out = append(e.out, e.src[prev:w.from]...)
			}
			e.out = append(e.out, e.src[w.from:w.end]...)
			kept++
		}
		prev, done = w.end, w.end
	}
	e.out = append(e.out, e.src[done:to]...)
	return found && w.err == nil
}

func (k Kind) noun() string {
	if k == Int {
		return "an int"
	}
	return "a " + k.String()
}
