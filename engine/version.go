package engine

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/telluride-stream/telluride/engine/change"
	"github.com/telluride-stream/telluride/engine/checkpoint"
	"github.com/telluride-stream/telluride/engine/diag"
	"github.com/telluride-stream/telluride/engine/inspect"
	"github.com/telluride-stream/telluride/engine/plan"
)

// version is what a flow runs: a file, and the params that were set.
type version struct {
	plan   *plan.Plan
	source []byte
	// base is the hash of the file on disk that source was made from. When the
	// disk has another one after a restart, the file wins.
	base string
	set  map[string]setting
	file string // where the file is now; "": where it was
}

// setting is the value of a param that was set, and where it came from.
type setting = inspect.Setting

func values(set map[string]setting) map[string]string {
	all := map[string]string{}
	for name, s := range set {
		all[name] = s.Value
	}
	return all
}

// with is the settings after a change.
func with(set map[string]setting, c change.Change) map[string]setting {
	all := maps.Clone(set)
	if all == nil {
		all = map[string]setting{}
	}
	for _, name := range c.Unset {
		delete(all, name)
	}
	for _, name := range slices.Sorted(maps.Keys(c.Set)) {
		all[name] = setting{Value: c.Set[name], From: c.From}
	}
	return all
}

func hash(src []byte) string {
	sum := sha256.Sum256(src)
	return hex.EncodeToString(sum[:])
}

// remembered is the form in which the store keeps a version.
type remembered = inspect.Version

// remember is the control data of a version.
func (v version) remember() ([]checkpoint.Change, error) {
	set := maps.Clone(v.set)
	// Flags are for one run.
	maps.DeleteFunc(set, func(_ string, s setting) bool { return s.From == "flag" })
	text, err := json.Marshal(remembered{Base: v.base, Source: v.source, Set: set, States: plan.States(v.plan)})
	return []checkpoint.Change{{Key: controlVersion, Value: text}}, err
}

func (f *hosted) remember(v version) {
	control, err := v.remember()
	if err == nil {
		err = f.host.engine.config.Store.SetControl(f.name, control)
	}
	if err != nil {
		f.host.engine.config.Log.Warn("the version could not be stored", "flow", f.name, "error", err)
	}
}

// recall decides what a flow starts with. The store remembers which content of
// the file the last version was based on. The same content: that version and
// the params that were set since run on. Another: the file wins, and of the
// params those that still fit are kept.
func (h *Host) recall(f *hosted, p *plan.Plan, src []byte, flags map[string]string, origin string) (version, diag.List) {
	v := version{plan: p, source: src, base: hash(src), set: map[string]setting{}}
	for name, value := range flags {
		v.set[name] = setting{Value: value, From: "flag"}
	}
	control, err := h.engine.config.Store.Control(origin)
	if err != nil {
		return v, diag.List{{Severity: diag.Warning, Span: diag.Span{File: f.file}, Message: "what was applied before cannot be read: " + err.Error()}}
	}
	_ = json.Unmarshal(control[controlReceipts], &f.receipts)
	f.past = recallPast(control[controlPast])
	var old remembered
	known := json.Unmarshal(control[controlVersion], &old) == nil
	warnings := f.recallPending(control, !known || old.Base != v.base)
	if !known {
		return v, warnings
	}
	source := src
	if old.Base == v.base {
		source = old.Source
	}
	set := maps.Clone(old.Set)
	if set == nil {
		set = map[string]setting{}
	}
	maps.Copy(set, v.set)
	for {
		next, list := h.config.Compile(f.file, source, values(set))
		if next != nil {
			return version{plan: next, source: source, base: v.base, set: set}, warnings
		}
		dropped := h.misfit(f.file, source, set, v.set)
		if dropped == "" {
			// The remembered file does not compile any more: the one on disk does.
			warnings.Warnf(diag.Span{File: f.file}, "the version that was applied before does not start any more (%v); the file runs instead", list.Err())
			return v, warnings
		}
		warnings.Warnf(diag.Span{File: f.file}, "param %q was set to %q before and does not fit any more; it is left to its default", dropped, set[dropped].Value)
		delete(set, dropped)
	}
}

// misfit is a remembered param with which a file does not compile, though it
// does without it; "" when there is none.
func (h *Host) misfit(file string, source []byte, set, flags map[string]setting) string {
	base := values(flags)
	for _, name := range slices.Sorted(maps.Keys(set)) {
		if _, flag := flags[name]; flag {
			continue
		}
		one := maps.Clone(base)
		one[name] = set[name].Value
		if p, _ := h.config.Compile(file, source, one); p == nil {
			return name
		}
	}
	return ""
}

// next is the version that a change asks for. Its plan is nil when the list
// has errors.
func (f *hosted) next(c change.Change) (version, diag.List) {
	v := f.current()
	file := f.path()
	if c.Source != nil {
		v.source = c.Source
		if c.From == "file" {
			v.base, v.file = hash(c.Source), c.File
		}
		if c.File != "" {
			file = c.File
		}
	}
	v.set = with(v.set, c)
	p, list := f.host.config.Compile(file, v.source, values(v.set))
	switch {
	case p != nil:
		if wrong := c.Mistyped(p); len(wrong) > 0 {
			list, p = append(list, wrong...), nil
		}
	case c.Source == nil: // the params are still those of the current plan
		list = append(list, besides(list, c.Mistyped(v.plan))...)
	}
	if p != nil && p.Name != f.name {
		list.Errorf(diag.Span{File: file}, "the file is for flow %q, not for %q", p.Name, f.name)
		p = nil
	}
	v.plan = p
	return v, list
}

// besides is the problems with params of which list says nothing.
func besides(list, problems diag.List) diag.List {
	return slices.DeleteFunc(problems, func(d diag.Diagnostic) bool {
		param, _, _ := strings.Cut(d.Message, ":")
		return slices.ContainsFunc(list, func(told diag.Diagnostic) bool { return strings.HasPrefix(told.Message, param+":") })
	})
}

// Tidy forgets the versions of flows that have come to their end and were not
// changed: there is nothing to go on from. It is for the end of a process.
func (h *Host) Tidy() error {
	h.mu.Lock()
	flows := slices.Clone(h.flows)
	h.mu.Unlock()
	for _, f := range flows {
		f.mu.Lock()
		v, flow, receipts := f.version, f.flow, len(f.receipts)
		f.mu.Unlock()
		changed := receipts > 0 || hash(v.source) != v.base
		for _, s := range v.set {
			changed = changed || s.From != "flag"
		}
		if flow == nil || changed || flow.Running() {
			continue
		}
		_, resumes, err := h.engine.store(v.plan).Last(f.name)
		if err != nil {
			return fmt.Errorf("read the last commit of %s: %w", f.name, err)
		}
		if resumes {
			continue
		}
		err = h.engine.config.Store.SetControl(f.name, []checkpoint.Change{{Key: controlVersion}, {Key: controlPast}})
		if err != nil {
			return fmt.Errorf("forget the version of %s: %w", f.name, err)
		}
	}
	return nil
}
