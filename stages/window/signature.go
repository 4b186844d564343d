package window

import (
	"encoding/json"
	"slices"
)

// layout is what kept state depends on, and enough to read it. Written as JSON
// it is the stage's signature. Neither lateness nor the names of results nor
// when they are emitted belong to it, nor constants that only results need,
// such as the q of a quantile.
type layout struct {
	Version int          `json:"window"` // stateVersion
	Kind    string       `json:"kind"`
	Size    []int64      `json:"size,omitempty"` // nanoseconds or records, as Kind has it
	Zone    string       `json:"zone,omitempty"` // of midnights; "": UTC
	By      []string     `json:"by"`             // the expressions of the key
	Cells   []cellLayout `json:"cells"`
}

// cellLayout says what one cell collects.
type cellLayout struct {
	Op    string `json:"op"`
	Size  int    `json:"size,omitempty"`
	Of    string `json:"of,omitempty"`    // the argument; "": none
	Where string `json:"where,omitempty"` // the condition; "": none
}

func layoutOf(c *Config, s *spec) *layout {
	l := &layout{Version: stateVersion, Kind: c.Kind, By: []string{}, Cells: s.set.layouts()}
	switch c.Kind {
	case "tumbling":
		l.Size = []int64{int64(c.Tumbling)}
	case "hopping":
		l.Size = []int64{int64(c.Hopping.Size), int64(c.Hopping.Every)}
	case "session":
		l.Size = []int64{int64(c.Session.Gap), int64(c.Session.Max)}
	case "count":
		l.Size = []int64{int64(c.Count)}
	case "sliding":
		l.Size = []int64{int64(c.Sliding.Records), int64(c.Sliding.Duration)}
	}
	if c.Location != nil {
		l.Zone = c.Location.String()
	}
	for i := range s.key.Len() {
		l.By = append(l.By, s.key.Fields[i].Source)
	}
	return l
}

func (set *aggregates) layouts() []cellLayout {
	cells := []cellLayout{}
	for i := range set.cells {
		spec := &set.cells[i]
		c := cellLayout{Op: spec.op.String(), Size: spec.size}
		if spec.arg >= 0 {
			c.Of = set.args[spec.arg].text
		}
		for j, w := range set.wheres {
			if spec.mask == 1<<j {
				c.Where = w.String()
			}
		}
		cells = append(cells, c)
	}
	return cells
}

// String is the layout as a signature.
func (l *layout) String() string {
	b, err := json.Marshal(l)
	if err != nil { // it consists of texts and numbers
		panic(err)
	}
	return string(b)
}

// parseLayout reads a signature.
func parseLayout(signature string) (*layout, bool) {
	l := &layout{}
	if err := json.Unmarshal([]byte(signature), l); err != nil {
		return nil, false
	}
	for _, c := range l.Cells {
		if _, known := opNamed(c.Op); !known || c.Size < 0 {
			return nil, false
		}
	}
	return l, true
}

// fits says whether the windows and keys are the same, and at most the
// aggregates differ.
func (l *layout) fits(old *layout) bool {
	return l.Version == old.Version && l.Kind == old.Kind && slices.Equal(l.Size, old.Size) && l.Zone == old.Zone && slices.Equal(l.By, old.By)
}

// args are the different arguments, in the order in which a compiled set has
// them: that of their first cells.
func (l *layout) args() []string {
	return l.distinct(func(c cellLayout) string { return c.Of })
}

// wheres are the different conditions, likewise; that of index i is bit i of
// a mask.
func (l *layout) wheres() []string {
	return l.distinct(func(c cellLayout) string { return c.Where })
}

func (l *layout) distinct(of func(cellLayout) string) []string {
	var all []string
	for _, c := range l.Cells {
		if text := of(c); text != "" && !slices.Contains(all, text) {
			all = append(all, text)
		}
	}
	return all
}
