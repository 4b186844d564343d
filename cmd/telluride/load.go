package main

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/telluride-stream/telluride/engine/change"
	"github.com/telluride-stream/telluride/engine/conf"
	"github.com/telluride-stream/telluride/engine/diag"
	"github.com/telluride-stream/telluride/engine/flow"
	"github.com/telluride-stream/telluride/engine/plan"
	"github.com/telluride-stream/telluride/engine/stage"
	"github.com/telluride-stream/telluride/stages"
)

// loaded is a flow file and what the compiler made of it.
type loaded struct {
	file  string
	src   []byte
	set   map[string]string // values of params that --set has for it
	plan  *plan.Plan        // nil when diags has errors
	diags diag.List
}

// settings are the flags of the verbs that compile flows.
type settings struct {
	set       []string // name=value or flow.name=value
	lanes     int
	batchSize int
}

// load compiles the flow files of the paths, each a file or a folder. The
// error is about the command line; problems of the flows are in their diags.
func (p *program) load(paths []string, s settings) ([]loaded, error) {
	if s.lanes < 0 || s.batchSize < 0 {
		return nil, fmt.Errorf("--lanes and --batch-size cannot be negative")
	}
	files, err := flowFiles(paths)
	if err != nil {
		return nil, err
	}
	flows := make([]loaded, len(files))
	for i, file := range files {
		src, err := os.ReadFile(file)
		if err != nil {
			return nil, fmt.Errorf("read %s: %w", file, reason(err))
		}
		flows[i] = loaded{file: file, src: src}
	}
	params, err := paramsFor(flows, s.set)
	if err != nil {
		return nil, err
	}
	compile := p.compiler(s)
	for i := range flows {
		f := &flows[i]
		f.set = params[i]
		f.plan, f.diags = compile(f.file, f.src, f.set)
	}
	checkNames(flows)
	return flows, nil
}

// loadApart compiles files that need not run side by side, such as two
// versions of one flow.
func (p *program) loadApart(files, set []string) ([]loaded, error) {
	flows := make([]loaded, len(files))
	for i, file := range files {
		src, err := os.ReadFile(file)
		if err != nil {
			return nil, fmt.Errorf("read %s: %w%s", file, reason(err), nearMiss(file))
		}
		flows[i] = loaded{file: file, src: src}
	}
	params, err := paramsFor(flows, set)
	if err != nil {
		return nil, err
	}
	compile := p.compiler(settings{})
	for i := range flows {
		f := &flows[i]
		f.set = params[i]
		f.plan, f.diags = compile(f.file, f.src, f.set)
	}
	return flows, nil
}

// compiler compiles flow files the way this process runs them.
func (p *program) compiler(s settings) func(file string, src []byte, set map[string]string) (*plan.Plan, diag.List) {
	registry := cmp.Or(p.kinds, stages.All())
	return func(file string, src []byte, set map[string]string) (*plan.Plan, diag.List) {
		made, diags := flow.Compile(file, src, flow.Options{
			Env: p.env, Params: set, Registry: registry, LanesOverride: s.lanes, BatchSize: s.batchSize,
		})
		if made == nil {
			return nil, diags
		}
		if err := addDeadLetters(made, registry); err != nil {
			diags.Errorf(diag.Span{File: file}, "%v", err)
			return nil, diags
		}
		return made, diags
	}
}

// flowFiles lists the files that paths stand for, without repeats.
func flowFiles(paths []string) ([]string, error) {
	var files []string
	for _, path := range paths {
		info, err := os.Stat(path)
		if err != nil {
			return nil, fmt.Errorf("%s: %w%s", path, reason(err), nearMiss(path))
		}
		found := []string{path}
		if info.IsDir() {
			if found, err = flowsIn(path); err != nil {
				return nil, err
			}
		}
		for _, f := range found {
			if !slices.Contains(files, f) {
				files = append(files, f)
			}
		}
	}
	return files, nil
}

// flowsIn lists the flow files of a folder, by name. Files of tests are none.
func flowsIn(folder string) ([]string, error) {
	entries, err := os.ReadDir(folder)
	if err != nil {
		return nil, fmt.Errorf("read folder %s: %w", folder, reason(err))
	}
	var files []string
	for _, e := range entries {
		if !e.IsDir() && change.FlowFile(e.Name()) {
			files = append(files, filepath.Join(folder, e.Name()))
		}
	}
	if len(files) == 0 {
		return nil, fmt.Errorf("%s: no flow files (*.yaml) in this folder", folder)
	}
	return files, nil
}

// nearMiss is advice for a path that does not exist.
func nearMiss(path string) string {
	entries, err := os.ReadDir(filepath.Dir(path))
	if err != nil {
		return ""
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	if near := diag.Suggest(filepath.Base(path), names); near != "" {
		return fmt.Sprintf("; did you mean %q?", filepath.Join(filepath.Dir(path), near))
	}
	return ""
}

// reason is an error of the file system without the path, which the context names.
func reason(err error) error {
	var e *fs.PathError
	if errors.As(err, &e) {
		return e.Err
	}
	return err
}

// paramsFor finds for each flow the values that --set has for it:
// flow.name=value goes to that flow, name=value to the flows that declare the
// param. A name that none declares goes to all, and the compiler reports it.
func paramsFor(flows []loaded, set []string) ([]map[string]string, error) {
	params := make([]map[string]string, len(flows))
	for i := range params {
		params[i] = map[string]string{}
	}
	for _, text := range set {
		key, value, ok := strings.Cut(text, "=")
		if !ok || key == "" {
			return nil, fmt.Errorf("--set %s: expected name=value", text)
		}
		target, name, qualified := strings.Cut(key, ".")
		if !qualified {
			target, name = "", key
		}
		var takers []int
		for i := range flows {
			called, declared := flows[i].declares()
			if qualified && called == target || !qualified && slices.Contains(declared, name) {
				takers = append(takers, i)
			}
		}
		if len(takers) == 0 {
			if qualified {
				return nil, fmt.Errorf("--set %s: no flow is named %q", text, target)
			}
			for i := range flows {
				takers = append(takers, i)
			}
		}
		for _, i := range takers {
			params[i][name] = value
		}
	}
	return params, nil
}

// declares reads the flow's name and the names of its params, as far as they
// can be told without compiling.
func (f *loaded) declares() (name string, params []string) {
	base := filepath.Base(f.file)
	name = strings.TrimSuffix(base, filepath.Ext(base))
	root := conf.Parse(f.file, f.src, conf.Limits{}, &diag.List{})
	if root == nil {
		return name, nil
	}
	for i := 0; i+1 < len(root.Content); i += 2 {
		switch value := root.Content[i+1]; root.Content[i].Value {
		case "name":
			name = value.Value
		case "params":
			for j := 0; j+1 < len(value.Content); j += 2 {
				params = append(params, value.Content[j].Value)
			}
		}
	}
	return name, params
}

// checkNames reports flows of one name: their state and their dead letters would mix.
func checkNames(flows []loaded) {
	first := map[string]string{}
	for i := range flows {
		f := &flows[i]
		if f.plan == nil {
			continue
		}
		other, taken := first[f.plan.Name]
		if !taken {
			first[f.plan.Name] = f.file
			continue
		}
		f.diags.Add(diag.Diagnostic{
			Span:    diag.Span{File: f.file, Start: diag.Pos{Line: 1, Col: 1}},
			Message: fmt.Sprintf("flow name %q is taken by %s", f.plan.Name, other),
			Advice:  "give one of them another name:",
		})
		f.plan = nil
	}
}

// addDeadLetters gives a flow that names no place for its dead letters a file
// in the working directory, made when the first one comes, so that none is
// lost silently. Where all sources keep what is rejected themselves, it is only
// for records that a stage made.
func addDeadLetters(p *plan.Plan, registry *stage.Registry) error {
	if p.Dead != nil {
		return nil
	}
	kind, ok := registry.Find(stage.RoleSink, "file")
	if !ok {
		return fmt.Errorf("flow %s has no dead_letter, and there is no sink file to use instead", p.Name)
	}
	diags := &diag.List{}
	src := fmt.Appendf(nil, "file: {path: %q, mode: append}\n", p.Name+".dead.ndjson")
	root := conf.Parse("default dead_letter", src, conf.Limits{}, diags)
	f := conf.NewFields(&conf.Scope{Source: src, Diags: diags}, root, "")
	config := kind.Decode(f)
	f.Finish()
	spec := kind.Sink(config, &stage.Builder{Flow: p.Name, Name: "dead_letter", Diags: diags, Layout: p.Layout})
	if err := diags.Err(); err != nil {
		return fmt.Errorf("default dead_letter of flow %s: %w", p.Name, err)
	}
	spec.Lazy = true
	sink := &plan.Sink{Name: "dead_letter", Kind: kind.Name, Spec: spec}
	if slices.ContainsFunc(p.Sources, func(s plan.Source) bool { return !s.Spec.Rejects }) {
		p.Dead = sink
	} else {
		p.Spare = sink
	}
	return nil
}

// tally counts what the diags of some flows hold.
func tally(flows []loaded) (errs, warnings int) {
	for _, f := range flows {
		for _, d := range f.diags {
			if d.Severity == diag.Error {
				errs++
			} else {
				warnings++
			}
		}
	}
	return errs, warnings
}

// all gathers the diags of some flows, and their sources for printing.
func all(flows []loaded) (diag.List, map[string][]byte) {
	var list diag.List
	sources := map[string][]byte{}
	for _, f := range flows {
		list.Add(f.diags...)
		sources[f.file] = f.src
	}
	return list, sources
}

// plural is a number with its noun: 1 error, 2 errors.
func plural(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%s %ss", thousands(uint64(n)), noun)
}
