package inspect

import (
	"encoding/json"
	"fmt"
	"maps"

	"github.com/telluride-stream/telluride/engine/checkpoint"
	"github.com/telluride-stream/telluride/engine/plan"
	"github.com/telluride-stream/telluride/engine/stage"
)

// What becomes of keys that are there when state is imported.
const (
	Merge   = "merge"   // those of the file take the place of theirs, others stay
	Replace = "replace" // those that are not in the file go
)

// Done tells what a change by hand did. Its JSON is stable.
type Done struct {
	Flow string `json:"flow"`
	// Stages are those that were changed, by name.
	Stages []Changed `json:"stages"`
	// Positions says that the positions of sources were changed too.
	Positions bool `json:"positions,omitempty"`
	// Of a flow that runs: records that were in flight and were finished, and
	// for how long nothing was read.
	Drained  uint64  `json:"drained,omitempty"`
	PausedMS float64 `json:"paused_ms,omitempty"`
}

// Changed counts the keys of a stage that were written and dropped.
type Changed struct {
	Stage   string `json:"stage"`
	Written int    `json:"written"`
	Dropped int    `json:"dropped"`
}

// Importing says what of a file is taken, and how.
type Importing struct {
	Stage string // "": every stage of the file
	How   string // Merge, Replace; "": only where nothing is kept
}

// Edits are what an import would change of the stages, by name. Nothing is
// changed. A stage whose signature is not that of the file is an error, as is
// a value that its operator cannot read.
func (v *View) Edits(f *File, i Importing) (map[string]checkpoint.Edit, Done, error) {
	edits, done := map[string]checkpoint.Edit{}, Done{Flow: v.Flow, Stages: []Changed{}}
	var names []string
	for _, s := range f.Stages {
		names = append(names, s.Name)
		if i.Stage != "" && i.Stage != s.Name {
			continue
		}
		mine, err := v.state(s.Name)
		if err != nil {
			return nil, done, err
		}
		if mine.Kind != s.Kind || mine.Signature != s.Signature {
			return nil, done, refuse("run the version of the flow that it was exported from, import there, and change the flow with on_change: carry",
				"the state of stage %q does not fit: the file has that of a %s with signature %s, and the flow keeps that of a %s with %s", s.Name, s.Kind, s.Signature, mine.Kind, mine.Signature)
		}
		if err := v.readable(&s); err != nil {
			return nil, done, err
		}
		one, err := v.changes(&s, i.How)
		if err != nil {
			return nil, done, err
		}
		edits[s.Name] = checkpoint.Edit{Clear: i.How == Replace, Keys: maps.Clone(s.Keys)}
		done.Stages = append(done.Stages, one)
	}
	if i.Stage != "" && len(edits) == 0 {
		return nil, done, missing("stage in the file", i.Stage, names)
	}
	return edits, done, nil
}

// readable has the stage's operator read every value.
func (v *View) readable(s *StageFile) error {
	spec, problem := v.spec(s.State)
	if problem != "" {
		return nil // the flow itself looks at them when it starts
	}
	d := stage.NewDriver(s.Name, spec.New(), 1, false)
	for key, value := range s.Keys {
		if err := d.Restore(key, value); err != nil {
			return refuse("export it anew", "the value of key %s cannot be read: %v", keyJSON(key), err)
		}
	}
	return nil
}

// changes counts what an import changes of a stage.
func (v *View) changes(s *StageFile, how string) (Changed, error) {
	c := Changed{Stage: s.Name, Written: len(s.Keys)}
	there := 0
	err := v.Store.State(v.Flow, s.Name, func(key string, _ []byte) error {
		there++
		if _, stays := s.Keys[key]; !stays && how == Replace {
			c.Dropped++
		}
		return nil
	})
	if err == nil && there > 0 && how == "" {
		err = refuse("say --merge to keep those that are not in the file, or --replace to drop them", "stage %q has state of %d keys already", s.Name, there)
	}
	return c, err
}

// Import takes over exported state into the store of a flow that does not run.
// Where nothing is kept of the flow, the file says which states it has.
func (v *View) Import(f *File, i Importing) (Done, error) {
	version, known, err := VersionOf(v.Store, v.Flow)
	if err != nil {
		return Done{}, err
	}
	if !known {
		for _, s := range f.Stages {
			version.States = append(version.States, s.State)
		}
		v.States = version.States
	}
	edits, done, err := v.Edits(f, i)
	if err != nil {
		return done, err
	}
	last, resumes, err := v.Store.Last(v.Flow)
	if err != nil {
		return done, err
	}
	c := checkpoint.Commit{Flow: v.Flow, Epoch: max(last.Epoch, f.Epoch), Now: last.Now, Positions: last.Positions}
	if c.Deltas, err = v.deltas(edits); err != nil {
		return done, err
	}
	if i.Stage == "" && f.Resumes && (!resumes || i.How == Replace) {
		c.Now, c.Positions, done.Positions = max(last.Now, f.Now), f.Sources, len(f.Sources) > 0
	}
	if !known {
		text, err := json.Marshal(version)
		if err != nil {
			return done, err
		}
		c.Control = []checkpoint.Change{{Key: ControlVersion, Value: text}}
	}
	return done, v.Store.Commit(c)
}

// deltas are edits of stages as a store takes them.
func (v *View) deltas(edits map[string]checkpoint.Edit) (all []*checkpoint.Delta, err error) {
	for _, name := range sorted(edits) {
		d := &checkpoint.Delta{Stage: name}
		e := edits[name]
		if e.Clear {
			err = v.Store.State(v.Flow, name, func(key string, _ []byte) error {
				if _, stays := e.Keys[key]; !stays {
					d.Delete(key)
				}
				return nil
			})
		}
		if err != nil {
			return nil, err
		}
		for _, key := range sorted(e.Keys) {
			if value := e.Keys[key]; value != nil {
				d.Put(key, value)
			} else {
				d.Delete(key)
			}
		}
		all = append(all, d)
	}
	return all, nil
}

// Dropping is the edit that drops a stage's state, or that of one key.
func (v *View) Dropping(stage string, key *string) (checkpoint.Edit, Changed, error) {
	c := Changed{Stage: stage}
	if _, err := v.state(stage); err != nil {
		return checkpoint.Edit{}, c, err
	}
	e := checkpoint.Edit{Clear: key == nil, Keys: map[string][]byte{}}
	var wanted []string
	if key != nil {
		wanted = keysOf(*key)
	}
	err := v.Store.State(v.Flow, stage, func(k string, _ []byte) error {
		if key == nil {
			c.Dropped++
			return nil
		}
		for _, w := range wanted {
			if w == k {
				e.Keys[k] = nil
				c.Dropped = len(e.Keys)
			}
		}
		return nil
	})
	if err == nil && key != nil && c.Dropped == 0 {
		err = &Error{Message: fmt.Sprintf("stage %q keeps nothing of key %s", stage, *key), Missing: true}
	}
	return e, c, err
}

// Drop drops the state of a stage, or of one key of it, of a flow that does
// not run.
func (v *View) Drop(stage string, key *string) (Done, error) {
	done := Done{Flow: v.Flow, Stages: []Changed{}}
	edit, c, err := v.Dropping(stage, key)
	if err != nil {
		return done, err
	}
	done.Stages = append(done.Stages, c)
	last, resumes, err := v.Store.Last(v.Flow)
	if err != nil || !resumes {
		return done, err
	}
	last.Flow = v.Flow
	if last.Deltas, err = v.deltas(map[string]checkpoint.Edit{stage: edit}); err != nil {
		return done, err
	}
	return done, v.Store.Commit(last)
}

// DropFlow drops all that is kept of a flow that does not run: state,
// positions, params, and what was applied to it.
func DropFlow(s checkpoint.Store, flow string) error {
	if err := s.Drop(flow, ""); err != nil {
		return err
	}
	control, err := s.Control(flow)
	if err != nil {
		return err
	}
	var gone []checkpoint.Change
	for key := range control {
		gone = append(gone, checkpoint.Change{Key: key})
	}
	return s.SetControl(flow, gone)
}

// Stored is a view of a flow that does not run, as the store remembers it.
// compile makes a plan of what is remembered, nil when that fails.
func Stored(s checkpoint.Store, flow string, compile func(v Version) *plan.Plan) (*View, error) {
	flows, err := s.Flows()
	if err != nil {
		return nil, err
	}
	version, known, err := VersionOf(s, flow)
	if err != nil {
		return nil, err
	}
	view := &View{Flow: flow, Store: s, States: version.States}
	if _, resumes, err := s.Last(flow); err != nil || !known && !resumes {
		if err == nil {
			err = missing("flow", flow, flows)
		}
		return view, err
	}
	view.NoPlan = "the flow has not run here yet"
	if known && len(version.Source) > 0 {
		view.Plan, view.NoPlan = compile(version), "the version of the flow that ran last does not compile here"
	}
	return view, nil
}
