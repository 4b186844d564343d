// Package inspect looks into what a state store keeps of flows, and changes it
// by hand: it lists, shows, exports, imports and drops.
//
// It knows the store and what plans say of their state; it must not know how
// flows run. Whoever calls it for a flow that runs sees to it that the flow
// takes the change over.
package inspect

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/telluride-stream/telluride/engine/checkpoint"
	"github.com/telluride-stream/telluride/engine/diag"
	"github.com/telluride-stream/telluride/engine/plan"
)

// Setting is the value of a param that was set, and where it came from.
type Setting struct {
	Value string `json:"value"`
	From  string `json:"from"`
}

// Version is what the store remembers of the version of a flow that ran last.
type Version struct {
	// Base is the hash of the file on disk that Source was made from.
	Base   string             `json:"base"`
	Source []byte             `json:"source"`
	Set    map[string]Setting `json:"set,omitempty"`
	States []plan.State       `json:"states,omitempty"`
}

// ControlVersion is the key of the version in a flow's control data.
const ControlVersion = "version"

// VersionOf is what is remembered of a flow; ok is false when that is nothing.
func VersionOf(s checkpoint.Store, flow string) (v Version, ok bool, err error) {
	control, err := s.Control(flow)
	if err != nil {
		return v, false, err
	}
	text, ok := control[ControlVersion]
	if !ok {
		return v, false, nil
	}
	if err := json.Unmarshal(text, &v); err != nil {
		return v, false, fmt.Errorf("what is remembered of flow %q: %w", flow, err)
	}
	return v, true, nil
}

// Error is why something is not done, and what to do instead.
type Error struct {
	Message, Advice string
	// Missing says that there is no such thing.
	Missing bool
}

func (e *Error) Error() string {
	if e.Advice == "" {
		return e.Message
	}
	return e.Message + "; " + e.Advice
}

func refuse(advice, format string, args ...any) error {
	return &Error{Message: fmt.Sprintf(format, args...), Advice: advice}
}

// missing is the error for a name that is none of the known ones.
func missing(what, name string, known []string) error {
	e := &Error{Message: fmt.Sprintf("there is no %s %q", what, name), Missing: true}
	switch near := diag.Suggest(name, known); {
	case near != "":
		e.Advice = fmt.Sprintf("did you mean %q?", near)
	case len(known) > 0:
		e.Advice = fmt.Sprintf("there is %s", strings.Join(known, ", "))
	default:
		e.Advice = "nothing is kept"
	}
	return e
}

// View is a flow whose state is looked at. Its lasting store has the control
// data, Store the state; they differ for flows with durability: memory.
type View struct {
	Flow  string
	Store checkpoint.Store
	// States are those that the flow keeps.
	States []plan.State
	// Plan explains values. Without one they are shown as bytes; NoPlan says why.
	Plan   *plan.Plan
	NoPlan string
}

// Flow is what is kept of a flow. Its JSON is stable.
type Flow struct {
	Name string `json:"flow"`
	// Epoch and Time are those of the last commit; 0 and nil without one.
	Epoch   uint64     `json:"epoch"`
	Time    *time.Time `json:"time,omitempty"`
	Sources []Source   `json:"sources"`
	Stages  []Stage    `json:"stages"`
}

// Source is where a source goes on.
type Source struct {
	Name string `json:"name"`
	// Position says that it has one; Watermark is its watermark there.
	Position  bool       `json:"position"`
	Watermark *time.Time `json:"watermark,omitempty"`
}

// Stage is the state of a stage. Bytes is the size of its keys and values,
// which the store compresses.
type Stage struct {
	Name  string `json:"name"`
	Kind  string `json:"kind"`
	Keys  int    `json:"keys"`
	Bytes int64  `json:"bytes"`
}

// List tells what is kept of the flow. It reads all of its state.
func (v *View) List() (Flow, error) {
	f := Flow{Name: v.Flow, Sources: []Source{}, Stages: []Stage{}}
	last, ok, err := v.Store.Last(v.Flow)
	if err != nil {
		return f, err
	}
	if ok {
		f.Epoch, f.Time = last.Epoch, moment(last.Now)
	}
	for _, name := range sorted(last.Positions) {
		p := last.Positions[name]
		f.Sources = append(f.Sources, Source{name, p.Bytes != nil, moment(p.Watermark)})
	}
	for _, s := range v.States {
		one := Stage{Name: s.Name, Kind: s.Kind}
		err := v.Store.State(v.Flow, s.Name, func(key string, value []byte) error {
			one.Keys++
			one.Bytes += int64(len(key) + len(value))
			return nil
		})
		if err != nil {
			return f, err
		}
		f.Stages = append(f.Stages, one)
	}
	return f, nil
}

// moment is a time for people; nil for those that stand for none.
func moment(ns int64) *time.Time {
	const far = 1 << 62
	if ns <= -far || ns >= far {
		return nil
	}
	t := time.Unix(0, ns).UTC()
	return &t
}

// state is the state of a stage.
func (v *View) state(stage string) (plan.State, error) {
	var names []string
	for _, s := range v.States {
		if s.Name == stage {
			return s, nil
		}
		names = append(names, s.Name)
	}
	return plan.State{}, missing("state of a stage", stage, names)
}
