package inspect

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/telluride-stream/telluride/engine/checkpoint"
	"github.com/telluride-stream/telluride/engine/plan"
)

// formatVersion is that of exported state.
const formatVersion = 1

// line is one line of exported state: a header, the position of a source, a
// stage, one of its keys, or the end.
type line struct {
	Format int    `json:"telluride_state,omitempty"`
	Flow   string `json:"flow,omitempty"`
	Epoch  uint64 `json:"epoch,omitempty"`
	Now    *int64 `json:"now,omitempty"`

	Source    string  `json:"source,omitempty"`
	Position  *[]byte `json:"position,omitempty"`
	Watermark *int64  `json:"watermark,omitempty"`

	Stage     string `json:"stage,omitempty"`
	Kind      string `json:"kind,omitempty"`
	Signature string `json:"signature,omitempty"`
	Upstream  string `json:"upstream,omitempty"`

	Key   *[]byte `json:"key,omitempty"`
	Value *[]byte `json:"value,omitempty"`
	// Shown is for people, and is not read back.
	Shown *Entry `json:"shown,omitempty"`

	End bool `json:"end,omitempty"`
	// Lines is how many came before the end.
	Lines int `json:"lines,omitempty"`
}

// Export writes what is kept of a stage, or of the whole flow with the
// positions of its sources, as lines of JSON. Ids of deliveries are not
// part of it.
func (v *View) Export(stage string, to io.Writer) error {
	out := bufio.NewWriter(to)
	enc := json.NewEncoder(out)
	enc.SetEscapeHTML(false)
	lines := 0
	write := func(l line) error { lines++; return enc.Encode(l) }

	states := v.States
	if stage != "" {
		s, err := v.state(stage)
		if err != nil {
			return err
		}
		states = []plan.State{s}
	}
	last, ok, err := v.Store.Last(v.Flow)
	if err != nil {
		return err
	}
	head := line{Format: formatVersion, Flow: v.Flow, Epoch: last.Epoch}
	if ok {
		head.Now = &last.Now
	}
	if err := write(head); err != nil {
		return err
	}
	for _, name := range sorted(last.Positions) {
		p := last.Positions[name]
		l := line{Source: name, Watermark: &p.Watermark}
		if p.Bytes != nil {
			l.Position = &p.Bytes
		}
		if stage == "" {
			if err := write(l); err != nil {
				return err
			}
		}
	}
	for _, s := range states {
		if err := v.exportStage(s, write); err != nil {
			return err
		}
	}
	if now, _, err := v.Store.Last(v.Flow); err != nil || stage == "" && now.Epoch != last.Epoch {
		if err == nil {
			err = refuse("pause it, or export one stage", "flow %q has gone on meanwhile, and its positions and states would not belong together", v.Flow)
		}
		return err
	}
	if err := enc.Encode(line{End: true, Lines: lines}); err != nil {
		return err
	}
	return out.Flush()
}

func (v *View) exportStage(s plan.State, write func(line) error) error {
	if err := write(line{Stage: s.Name, Kind: s.Kind, Signature: s.Signature, Upstream: s.Upstream}); err != nil {
		return err
	}
	explain := v.explainer(s)
	return v.Store.State(v.Flow, s.Name, func(key string, value []byte) error {
		l := line{Stage: s.Name, Key: bytesOf(key), Value: &value}
		if e := explain(key, value); e.Value != nil {
			l.Shown = &e
		}
		return write(l)
	})
}

func bytesOf(s string) *[]byte {
	b := []byte(s)
	return &b
}

// File is exported state that was read.
type File struct {
	Flow    string
	Epoch   uint64
	Now     int64
	Resumes bool // the flow had committed something
	Sources map[string]checkpoint.Position
	Stages  []StageFile
}

// StageFile is the state of one stage in a file.
type StageFile struct {
	plan.State
	Keys map[string][]byte
}

// maxLine bounds a line of exported state.
const maxLine = 256 << 20

// ReadFile reads exported state. It is read whole or not at all: a file that
// is cut off, or of another version, is an error.
func ReadFile(from io.Reader) (*File, error) {
	f := &File{Sources: map[string]checkpoint.Position{}}
	in := bufio.NewScanner(from)
	in.Buffer(nil, maxLine)
	lines, ended := 0, false
	for in.Scan() {
		if ended {
			return nil, fmt.Errorf("line %d: something follows the end", lines+2)
		}
		var l line
		if err := json.Unmarshal(in.Bytes(), &l); err != nil {
			return nil, fmt.Errorf("line %d: this is no exported state: %w", lines+1, err)
		}
		if l.End {
			if l.Lines != lines {
				return nil, fmt.Errorf("the end says that %d lines came before, and there are %d: lines are missing or were added", l.Lines, lines)
			}
			ended = true
			continue
		}
		if err := f.add(&l, lines == 0); err != nil {
			return nil, fmt.Errorf("line %d: %w", lines+1, err)
		}
		lines++
	}
	if err := in.Err(); err != nil {
		return nil, fmt.Errorf("line %d: %w", lines+1, err)
	}
	if !ended {
		return nil, errors.New("it is cut off: there is no line that ends it")
	}
	return f, nil
}

func (f *File) add(l *line, first bool) error {
	switch {
	case first && l.Format == 0:
		return errors.New("this is no exported state")
	case first && l.Format != formatVersion:
		return fmt.Errorf("it has format %d, and this version reads %d; export it with the version that is to read it", l.Format, formatVersion)
	case first:
		f.Flow, f.Epoch = l.Flow, l.Epoch
		if f.Resumes = l.Now != nil; f.Resumes {
			f.Now = *l.Now
		}
		return nil
	case l.Source != "" && l.Watermark != nil:
		p := checkpoint.Position{Watermark: *l.Watermark}
		if l.Position != nil {
			p.Bytes = *l.Position
		}
		f.Sources[l.Source] = p
		return nil
	case l.Stage != "" && l.Key == nil && l.Signature != "":
		f.Stages = append(f.Stages, StageFile{plan.State{Name: l.Stage, Kind: l.Kind, Signature: l.Signature, Upstream: l.Upstream}, map[string][]byte{}})
		return nil
	}
	n := len(f.Stages) - 1
	if l.Key == nil || l.Value == nil || n < 0 || f.Stages[n].Name != l.Stage {
		return errors.New("it is neither a source, nor a stage, nor a key of the stage before")
	}
	key := string(*l.Key)
	if _, twice := f.Stages[n].Keys[key]; twice {
		return fmt.Errorf("key %s comes twice", keyJSON(key))
	}
	f.Stages[n].Keys[key] = *l.Value
	return nil
}
