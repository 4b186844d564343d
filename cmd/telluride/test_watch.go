package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// lookAgain is how often --watch looks at the files.
const lookAgain = 300 * time.Millisecond

// watchTests runs the tests, and again whenever a file below the paths changes,
// until it is interrupted.
func (p *program) watchTests(ctx context.Context, paths []string, fl *testFlags) error {
	signals, stop := p.signals()
	defer stop()
	tick := time.NewTicker(lookAgain)
	defer tick.Stop()
	for {
		seen := stamps(paths)
		err := p.testOnce(ctx, paths, fl)
		var exit *exitError
		if err != nil && !(errors.As(err, &exit) && exit.err == nil) {
			fmt.Fprintf(p.stderr, "telluride: %v\n", err)
		}
		fmt.Fprintf(p.stdout, "\n%s: waiting for a change; Ctrl-C ends it\n", time.Now().Format(time.TimeOnly))
		for again := true; again; again = maps.Equal(seen, stamps(paths)) {
			select {
			case <-signals:
				return nil
			case <-tick.C:
			}
		}
	}
}

// stamp tells versions of a file apart.
type stamp struct {
	size     int64
	modified time.Time
}

// watched are the endings of flows, of their tests and of fixtures.
var watched = []string{".yaml", ".yml", ".ndjson", ".jsonl", ".json", ".csv", ".txt"}

// stamps are those of all such files in the folders of paths, hidden ones left out.
func stamps(paths []string) map[string]stamp {
	if len(paths) == 0 {
		paths = []string{"."}
	}
	all := map[string]stamp{}
	for _, root := range paths {
		if info, err := os.Stat(root); err == nil && !info.IsDir() {
			root = filepath.Dir(root)
		}
		_ = filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
			if err != nil {
				return nil //nolint:nilerr // it will be looked at again
			}
			if !d.IsDir() && !slices.Contains(watched, filepath.Ext(path)) {
				return nil
			}
			if hidden := strings.HasPrefix(d.Name(), ".") && path != root; hidden && d.IsDir() {
				return filepath.SkipDir
			} else if hidden || d.IsDir() {
				return nil
			}
			if info, err := d.Info(); err == nil {
				all[path] = stamp{info.Size(), info.ModTime()}
			}
			return nil
		})
	}
	return all
}
