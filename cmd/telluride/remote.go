package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/telluride-stream/telluride/engine/api"
)

// askTimeout is how long a process may take to say what it runs.
const askTimeout = 5 * time.Second

// remote is the process that a verb talks to.
type remote struct {
	*api.Client
	dir     string
	process api.Process
}

const stateDirHelp = "state `folder` of the run; default: $" + stateVariable + ", else that of the one process that runs"

func stateDirFlag(c *cobra.Command, dir *string) {
	c.Flags().StringVar(dir, "state-dir", "", stateDirHelp)
}

// reach finds the process to talk to: that of the state folder which the user
// names, else the only one there is, else the only one with the flow.
func (p *program) reach(ctx context.Context, dir, flow string) (*remote, error) {
	if dir, ok := p.chosenState(dir); ok {
		r, err := ask(ctx, dir)
		if errors.Is(err, api.ErrNoProcess) {
			return nil, failed(fmt.Errorf("no telluride process runs with the state folder %s; start one: telluride run PATH --state-dir %s", dir, dir))
		} else if err != nil {
			return nil, failed(fmt.Errorf("ask the process in %s: %w", dir, err))
		}
		return r, nil
	}
	home, err := p.stateHome()
	if err != nil {
		return nil, fmt.Errorf("%w; name the state folder of the run with --state-dir", err)
	}
	all := p.living(ctx, home)
	if fits := slices.DeleteFunc(slices.Clone(all), func(r *remote) bool { return !r.has(flow) }); len(fits) == 1 {
		return fits[0], nil
	}
	switch len(all) {
	case 0:
		return nil, failed(fmt.Errorf("no telluride process runs (looked in %s); start one: telluride run PATH", home))
	case 1:
		return all[0], nil
	}
	lines := []string{fmt.Sprintf("%d telluride processes run; say which one is meant:", len(all))}
	for _, r := range all {
		lines = append(lines, fmt.Sprintf("  --state-dir %s   (%s)", r.dir, strings.Join(r.names(), ", ")))
	}
	return nil, errors.New(strings.Join(lines, "\n"))
}

// living asks every process whose state folder is in home; those that do not
// answer have ended.
func (p *program) living(ctx context.Context, home string) []*remote {
	sockets, err := filepath.Glob(filepath.Join(quoteGlob(home), "*", socketName))
	if err != nil {
		return nil
	}
	var all []*remote
	for _, socket := range sockets {
		if r, err := ask(ctx, filepath.Dir(socket)); err == nil {
			all = append(all, r)
		}
	}
	return all
}

func quoteGlob(path string) string {
	return strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`).Replace(path)
}

func ask(ctx context.Context, dir string) (*remote, error) {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	client := api.Dial(filepath.Join(dir, socketName))
	process, err := client.Process(ctx)
	return &remote{client, dir, process}, err
}

func (r *remote) names() []string {
	var names []string
	for _, f := range r.process.Flows {
		names = append(names, f.Name)
	}
	return names
}

func (r *remote) has(flow string) bool {
	return flow != "" && slices.Contains(r.names(), flow)
}

// interruptible is a context that ends with the first signal.
func (p *program) interruptible() (context.Context, func()) {
	ctx, cancel := context.WithCancel(context.Background())
	signals, stop := p.signals()
	go func() {
		select {
		case <-signals:
			cancel()
		case <-ctx.Done():
		}
	}()
	return ctx, func() {
		stop()
		cancel()
	}
}
