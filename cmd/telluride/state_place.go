package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/telluride-stream/telluride/engine/api"
	"github.com/telluride-stream/telluride/engine/checkpoint"
	"github.com/telluride-stream/telluride/engine/inspect"
	"github.com/telluride-stream/telluride/engine/plan"
)

// states is where the state of flows is: in a process that runs them, or in a
// store that no process has.
type states interface {
	States(ctx context.Context, flow string) ([]inspect.Flow, error)
	ShowState(ctx context.Context, flow, stage string, q inspect.Query, each func(inspect.Entry) error) (more bool, err error)
	ExportState(ctx context.Context, flow, stage string, to io.Writer) error
	ImportState(ctx context.Context, flow string, file io.Reader, how inspect.Importing) (inspect.Done, error)
	// DropState drops a key, a stage, or all of a flow.
	DropState(ctx context.Context, flow, stage string, key *string) (inspect.Done, error)
	Close() error
}

// use is what a verb does with a store.
type use int

const (
	reads    use = iota
	changing     // it opens the store for writing
	creates      // and makes it, if the user names its folder
)

// places finds the state: the process or the store of the folder that the user
// names; else, among all below the state home, the one with the flow.
func (p *program) places(ctx context.Context, dir, flow string, how use) (states, error) {
	if dir, ok := p.chosenState(dir); ok {
		return p.stateIn(ctx, dir, how)
	}
	home, err := p.stateHome()
	if err != nil {
		return nil, fmt.Errorf("%w; name the state folder of the run with --state-dir", err)
	}
	dirs, err := filepath.Glob(filepath.Join(quoteGlob(home), "*"))
	if err != nil {
		return nil, err
	}
	var fits []string
	for _, dir := range dirs {
		has, err := p.hasFlow(ctx, dir, flow)
		if err != nil {
			return nil, failed(err)
		}
		if has {
			fits = append(fits, dir)
		}
	}
	switch {
	case len(fits) == 1:
		return p.stateIn(ctx, fits[0], min(how, changing))
	case len(fits) == 0 && flow != "":
		return nil, failed(fmt.Errorf("nothing is kept of a flow %q (looked in %s); --state-dir names another folder", flow, home))
	case len(fits) == 0:
		return nil, failed(fmt.Errorf("nothing is kept (looked in %s); --state-dir names another folder", home))
	}
	lines := []string{"state is kept in several folders; say which one is meant:"}
	for _, dir := range fits {
		lines = append(lines, "  --state-dir "+dir)
	}
	return nil, errors.New(strings.Join(lines, "\n"))
}

// hasFlow says whether something is kept of a flow in a folder; of any, when
// flow is "".
func (p *program) hasFlow(ctx context.Context, dir, flow string) (bool, error) {
	s, err := p.stateIn(ctx, dir, reads)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	all, err := s.States(ctx, "")
	if err = errors.Join(err, s.Close()); err != nil {
		return false, err
	}
	return flow == "" && len(all) > 0 || slices.ContainsFunc(all, func(f inspect.Flow) bool { return f.Name == flow }), nil
}

// stateIn asks the process of a folder, or opens its store when there is none.
func (p *program) stateIn(ctx context.Context, dir string, how use) (states, error) {
	s, err := p.askOrOpen(ctx, dir, how)
	if errors.Is(err, errStateInUse) { // a run that has begun to answer by now
		s, err = p.askOrOpen(ctx, dir, how)
	}
	return s, err
}

func (p *program) askOrOpen(ctx context.Context, dir string, how use) (states, error) {
	r, err := ask(ctx, dir)
	if err == nil {
		return remoteStates{r.Client}, nil
	}
	if !errors.Is(err, api.ErrNoProcess) {
		return nil, failed(fmt.Errorf("ask the process in %s: %w", dir, err))
	}
	store := filepath.Join(dir, storeName)
	if _, err := os.Stat(store); err != nil && how != creates {
		return nil, failed(fmt.Errorf("there is no state in %s: %w", dir, reason(err)))
	}
	lock, err := takeState(dir)
	if err != nil {
		return nil, failed(fmt.Errorf("state folder %s: %w", dir, err))
	}
	kept, err := checkpoint.Open(store, checkpoint.Options{ReadOnly: how == reads})
	if err != nil {
		lock.close()
		return nil, failed(err)
	}
	return &storedStates{p, kept, lock}, nil
}

// remoteStates are those of a process.
type remoteStates struct{ *api.Client }

func (remoteStates) Close() error { return nil }

func (s remoteStates) DropState(ctx context.Context, flow, stage string, key *string) (inspect.Done, error) {
	if stage == "" {
		return inspect.Done{}, &inspect.Error{
			Message: fmt.Sprintf("flow %q runs, and all of it cannot go meanwhile", flow),
			Advice:  "end the process first, or drop the state of one stage",
		}
	}
	return s.Client.DropState(ctx, flow, stage, key)
}

// storedStates are those of a store.
type storedStates struct {
	program *program
	store   *checkpoint.Pebble
	lock    *stateFolder
}

func (s *storedStates) Close() error {
	err := s.store.Close()
	s.lock.close()
	return err
}

func (s *storedStates) view(flow string) (*inspect.View, error) {
	return inspect.Stored(s.store, flow, func(v inspect.Version) *plan.Plan {
		set := map[string]string{}
		for name, one := range v.Set {
			set[name] = one.Value
		}
		made, _ := s.program.compiler(settings{})(flow+".yaml", v.Source, set)
		return made
	})
}

func (s *storedStates) States(_ context.Context, flow string) ([]inspect.Flow, error) {
	flows := []string{flow}
	if flow == "" {
		var err error
		if flows, err = s.store.Flows(); err != nil {
			return nil, err
		}
	}
	all := []inspect.Flow{}
	for _, name := range flows {
		view, err := s.view(name)
		if err != nil {
			return nil, err
		}
		one, err := view.List()
		if err != nil {
			return nil, err
		}
		all = append(all, one)
	}
	return all, nil
}

func (s *storedStates) ShowState(_ context.Context, flow, stage string, q inspect.Query, each func(inspect.Entry) error) (bool, error) {
	view, err := s.view(flow)
	if err != nil {
		return false, err
	}
	return view.Show(stage, q, each)
}

func (s *storedStates) ExportState(_ context.Context, flow, stage string, to io.Writer) error {
	view, err := s.view(flow)
	if err != nil {
		return err
	}
	return view.Export(stage, to)
}

func (s *storedStates) ImportState(_ context.Context, flow string, from io.Reader, how inspect.Importing) (inspect.Done, error) {
	file, err := inspect.ReadFile(from)
	if err != nil {
		return inspect.Done{}, err
	}
	view, err := s.view(flow)
	var none *inspect.Error
	if errors.As(err, &none) && none.Missing {
		view, err = &inspect.View{Flow: flow, Store: s.store}, nil
	}
	if err != nil {
		return inspect.Done{}, err
	}
	return view.Import(file, how)
}

func (s *storedStates) DropState(_ context.Context, flow, stage string, key *string) (inspect.Done, error) {
	view, err := s.view(flow)
	if err != nil {
		return inspect.Done{}, err
	}
	if stage != "" {
		return view.Drop(stage, key)
	}
	return inspect.Done{Flow: flow, Stages: []inspect.Changed{}, Positions: true}, inspect.DropFlow(s.store, flow)
}
