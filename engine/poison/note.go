package poison

import (
	"encoding/json"
	"fmt"

	"github.com/telluride-stream/telluride/engine/checkpoint"
)

// control is the key of the note in a flow's control data.
const control = "poison"

// note is what a process tells the next one, should it not get to end in order.
type note struct {
	// Ends is how many processes in a row have ended without order before the
	// one that wrote it.
	Ends int `json:"ends"`
	// Singly is how many records are still to go one by one.
	Singly uint64 `json:"singly,omitempty"`
	// Flight is the group that is in flight; nil while nothing is watched.
	Flight *flight `json:"flight,omitempty"`
	// Deaths is how often the process ended while a record was alone in
	// flight, by its name, for those that have not got through since.
	Deaths map[string]int `json:"deaths,omitempty"`
}

type flight struct {
	Records int `json:"records"`
	// Name is that of the record, when it is alone.
	Name string `json:"name,omitempty"`
}

// maxDeaths bounds what a note holds. Records whose names are never seen again,
// since another consumer got them, must not add up.
const maxDeaths = 1000

func read(s checkpoint.Store, flow string) (last note, found bool, err error) {
	all, err := s.Control(flow)
	if err != nil {
		return last, false, fmt.Errorf("read how the last process ended: %w", err)
	}
	text, found := all[control]
	if found && json.Unmarshal(text, &last) != nil {
		last = note{} // a later version's: what it knew is learnt again
	}
	return last, found, nil
}

// next is the note with which a process begins that found this one: nothing is in
// flight any more, and what was alone in flight has one death more.
func (n *note) next() note {
	next := note{Ends: n.Ends + 1, Singly: n.Singly, Deaths: n.Deaths}
	if next.Deaths == nil || len(next.Deaths) >= maxDeaths {
		next.Deaths = map[string]int{}
	}
	switch f := n.Flight; {
	case f == nil:
	case f.Records == 1:
		next.Deaths[f.Name]++
	default:
		next.Singly = max(next.Singly, uint64(f.Records))
	}
	return next
}

func (n *note) change() checkpoint.Change {
	text, err := json.Marshal(n)
	if err != nil {
		panic(err) // of numbers and texts
	}
	return checkpoint.Change{Key: control, Value: text}
}

func (n *note) write(s checkpoint.Store, flow string) error {
	if err := s.SetControl(flow, []checkpoint.Change{n.change()}); err != nil {
		return fmt.Errorf("note what is in flight: %w", err)
	}
	return nil
}

func erase(s checkpoint.Store, flow string) error {
	return s.SetControl(flow, []checkpoint.Change{{Key: control}})
}
