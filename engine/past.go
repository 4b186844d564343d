package engine

import (
	"bytes"
	"encoding/json"
	"slices"
	"time"

	"github.com/telluride-stream/telluride/engine/checkpoint"
)

const (
	// maxPast is how many versions of a flow's file are kept to look at, and to
	// go back to.
	maxPast = 20
	// maxPastBytes bounds their texts. The one that runs is always kept.
	maxPastBytes = 1 << 20
)

// Past is a version that a flow has run, or runs.
type Past struct {
	Version string
	Source  []byte
	Since   time.Time
	// FromFile says that Source is what the flow's file held at that time.
	FromFile bool
}

// note keeps a version for people to look at. The caller holds f.mu.
func (f *hosted) note(v version) {
	if v.plan == nil {
		return
	}
	fromFile := hash(v.source) == v.base
	if n := len(f.past); n > 0 && f.past[n-1].Version == v.plan.Version {
		f.past[n-1].FromFile = fromFile
		return
	}
	f.past = bounded(append(f.past, Past{v.plan.Version, v.source, f.host.engine.config.Clock.Now(), fromFile}))
}

// bounded leaves out the oldest versions that are too many or too large. A
// text that several share counts once.
func bounded(past []Past) []Past {
	from, size := len(past), 0
	for from > 0 && len(past)-from < maxPast {
		p := past[from-1]
		if !slices.ContainsFunc(past[from:], func(kept Past) bool { return bytes.Equal(kept.Source, p.Source) }) {
			size += len(p.Source)
		}
		if size > maxPastBytes && from < len(past) {
			break
		}
		from--
	}
	return slices.Clone(past[from:])
}

// Past lists the versions that a flow has run, as far as they are kept, the
// newest last. They outlive the process where its state does.
func (h *Host) Past(name string) ([]Past, bool) {
	f := h.find(name)
	if f == nil {
		return nil, false
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.past), true
}

// rememberedPast is the form in which the store keeps versions: those that
// differ in their params alone share a text.
type rememberedPast struct {
	Texts    [][]byte         `json:"texts"`
	Versions []rememberedFile `json:"versions"`
}

type rememberedFile struct {
	Version  string    `json:"version"`
	Text     int       `json:"text"`
	Since    time.Time `json:"since"`
	FromFile bool      `json:"from_file,omitempty"`
}

// rememberPast is the control data of the versions. The caller holds f.mu.
func (f *hosted) rememberPast() checkpoint.Change {
	var r rememberedPast
	for _, p := range f.past {
		at := slices.IndexFunc(r.Texts, func(text []byte) bool { return bytes.Equal(text, p.Source) })
		if at < 0 {
			at, r.Texts = len(r.Texts), append(r.Texts, p.Source)
		}
		r.Versions = append(r.Versions, rememberedFile{p.Version, at, p.Since, p.FromFile})
	}
	text, _ := json.Marshal(r) // bytes, numbers and times always can be
	return checkpoint.Change{Key: controlPast, Value: text}
}

// recallPast reads the control data of the versions. What cannot be read is
// not kept: nothing but people needs it.
func recallPast(control []byte) (past []Past) {
	var r rememberedPast
	if json.Unmarshal(control, &r) != nil {
		return nil
	}
	for _, f := range r.Versions {
		if f.Text < 0 || f.Text >= len(r.Texts) {
			return nil
		}
		past = append(past, Past{f.Version, r.Texts[f.Text], f.Since, f.FromFile})
	}
	return bounded(past)
}
