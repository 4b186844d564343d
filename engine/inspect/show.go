package inspect

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/telluride-stream/telluride/engine/plan"
	"github.com/telluride-stream/telluride/engine/record"
	"github.com/telluride-stream/telluride/engine/stage"
)

// Entry is the state of one key, for people. Its JSON is stable.
type Entry struct {
	// Key is the list of the parts of the key; empty where everything is one group.
	Key json.RawMessage `json:"key"`
	// Value is what the stage says of it. Without that there is Raw.
	Value json.RawMessage `json:"value,omitempty"`
	Raw   []byte          `json:"raw,omitempty"`
	// Problem is why there is no Value.
	Problem string `json:"problem,omitempty"`
}

// Query says which entries are wanted.
type Query struct {
	// Key is one key as people write it; nil: all. See [keysOf].
	Key *string
	// Limit is the most entries; 0: all.
	Limit int
}

var errEnough = errors.New("enough")

// Show calls each for the entries of a stage. more says that there are more
// than the limit.
func (v *View) Show(stage string, q Query, each func(Entry) error) (more bool, err error) {
	s, err := v.state(stage)
	if err != nil {
		return false, err
	}
	explain := v.explainer(s)
	var wanted []string
	if q.Key != nil {
		wanted = keysOf(*q.Key)
	}
	n := 0
	err = v.Store.State(v.Flow, stage, func(key string, value []byte) error {
		if wanted != nil && !slices.Contains(wanted, key) {
			return nil
		}
		if q.Limit > 0 && n == q.Limit {
			more = true
			return errEnough
		}
		n++
		return each(explain(key, value))
	})
	if errors.Is(err, errEnough) {
		err = nil
	}
	if err == nil && q.Key != nil && n == 0 {
		err = &Error{Message: fmt.Sprintf("stage %q keeps nothing of key %s", stage, *q.Key), Missing: true,
			Advice: "it may have been closed or forgotten; write a key of several parts as a JSON list"}
	}
	return more, err
}

// explainer makes the entries of a stage.
func (v *View) explainer(s plan.State) func(key string, value []byte) Entry {
	spec, problem := v.spec(s)
	if problem == "" && spec.Explain == nil {
		problem = "its kind does not tell what it means"
	}
	return func(key string, value []byte) Entry {
		e := Entry{Key: keyJSON(key), Problem: problem}
		if problem == "" {
			text, err := guarded(func() ([]byte, error) { return spec.Explain(key, value) })
			if err == nil {
				e.Value = text
				return e
			}
			e.Problem = err.Error()
		}
		e.Raw = value
		return e
	}
}

// spec is the operator of a stage, or why there is none that can read its
// state.
func (v *View) spec(s plan.State) (spec stage.OperatorSpec, problem string) {
	if v.Plan == nil {
		return spec, cmp.Or(v.NoPlan, "nothing is known of the flow")
	}
	found := false
	plan.Walk(v.Plan.Nodes, func(n plan.Node) {
		if op, ok := n.(*plan.Operator); ok && op.Name == s.Name && op.Spec.Stateful {
			spec, found = op.Spec, true
		}
	})
	switch {
	case !found:
		return spec, "no stage of this name keeps state"
	case spec.Signature != s.Signature:
		return spec, "it was written by another version of the stage"
	}
	return spec, ""
}

// guarded makes an error of a panic over a value that is damaged.
func guarded(f func() ([]byte, error)) (text []byte, err error) {
	defer func() {
		if p := recover(); p != nil {
			text, err = nil, errors.New(stage.Panicked(p))
		}
	}()
	return f()
}

// keyJSON is a key as the list of its parts. A key is JSON values with commas
// between them: see [record.AppendKey].
func keyJSON(key string) json.RawMessage {
	if list := "[" + key + "]"; json.Valid([]byte(list)) {
		return json.RawMessage(list)
	}
	text, _ := json.Marshal([]string{key}) // a text can be written
	return text
}

// keysOf are the keys that people may mean: a list of parts as JSON, one part
// as JSON, or a text without quotes.
func keysOf(text string) []string {
	keys := []string{text, string(record.AppendKey(nil, record.StringValue(text)))}
	if !json.Valid([]byte(text)) {
		return keys
	}
	var parts []json.RawMessage
	if json.Unmarshal([]byte(text), &parts) != nil {
		parts = []json.RawMessage{json.RawMessage(text)}
	}
	var values []record.Value
	for _, p := range parts {
		values = append(values, record.ProjectValue(string(p), nil))
	}
	return append(keys, string(record.AppendKey(nil, values...)))
}

func sorted[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
