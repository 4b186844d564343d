package record

// walker visits the members of one object or the elements of one array:
//
//	for w := walk(json, 0); w.next(); {
//
// It checks what it reads, so text that is malformed after all ends the walk
// (err is then set) and does no harm.
type walker struct {
	scanner
	list bool
	i    int // where to go on
	n    int // how many were visited
	// The member at hand: its bytes are b[from:end], those of its value
	// b[value:end]; keyEnd is the closing quote of its key.
	from, keyEnd, value, end int
	escaped                  bool // the key has escapes
	closing                  int  // the closing bracket, once the walk is over
}

// walk starts at the brace or bracket that is the first thing behind at; for
// any other value there is nothing to visit.
func walk(json string, at int) walker {
	w := walker{scanner: scanner{b: bytesOf(json)}, closing: -1}
	at = w.space(at)
	w.list = w.at(at) == '['
	w.i = at + 1
	if !w.list && w.at(at) != '{' {
		w.i = -1
	}
	return w
}

func (w *walker) next() bool {
	if w.i < 0 {
		return false
	}
	i := w.space(w.i)
	w.i = -1
	c, last := w.at(i), byte('}')
	if w.list {
		last = ']'
	}
	if c == last {
		w.closing = i
		return false
	}
	if w.n > 0 {
		if c != ',' {
			w.fail(i, "expected ','")
			return false
		}
		i = w.space(i + 1)
	}
	w.n++
	w.from = i
	if !w.list {
		if w.at(i) != '"' {
			w.fail(i, "expected a key in quotes")
			return false
		}
		if w.keyEnd, w.escaped = w.str(i + 1); w.keyEnd < 0 {
			return false
		}
		if i = w.space(w.keyEnd + 1); w.at(i) != ':' {
			w.fail(i, "expected ':' after an object key")
			return false
		}
		i = w.space(i + 1)
	}
	w.value = i
	// Depth was checked when the document was read; a value that a stage
	// built may be a little deeper.
	w.end = w.skip(i, -maxDepth)
	w.i = w.end
	return w.end >= 0
}

// key is the key of the member at hand.
func (w *walker) key() string {
	k := w.text(w.from+1, w.keyEnd)
	if w.escaped {
		return unescape(k)
	}
	return k
}

// is says whether the member at hand is the one that a step leads to.
func (w *walker) is(s Step) bool {
	if w.list {
		return s.List && s.Index == w.n-1
	}
	return !s.List && w.key() == s.Key
}

// any is the value of the member at hand.
func (w *walker) any() Value {
	v, _ := w.scanner.value(w.value, nil, -maxDepth)
	return v
}

// ProjectValue reads one path of a JSON text that is known to be valid; the
// result aliases it. Of equal keys the last one counts. An empty path is the
// whole text.
func ProjectValue(json string, p Path) Value {
	at := 0
	for _, step := range p {
		found := -1
		w := walk(json, at)
		for w.next() {
			if w.is(step) {
				found = w.value
				if w.list {
					break
				}
			}
		}
		if found < 0 || w.err != nil {
			return Value{}
		}
		at = found
	}
	s := scanner{b: bytesOf(json)}
	v, _ := s.value(s.space(at), nil, -maxDepth)
	return v
}

// Refresh reads the slots inside top-level field name again after the field
// was written. slots are those of [Layout.Within].
func Refresh(r *Record, l *Layout, name string, slots []Slot) {
	if len(slots) == 0 {
		return
	}
	json := ""
	if top, ok := l.slots[Path{{Key: name}}.String()]; ok {
		json = r.Field(top).JSON()
	}
	for _, slot := range slots {
		v := Value{}
		if json != "" {
			v = ProjectValue(json, l.Path(slot)[1:])
		}
		r.Set(slot, v, l.Len())
	}
}
