package main

import (
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"slices"

	"github.com/telluride-stream/telluride/engine/checkpoint"
)

// store opens what a run keeps its state in: a folder in its state folder, or
// memory (nil) when every flow says so, or when there is no such folder.
// close removes a folder in which nothing is kept at the end.
func (s *stateFolder) store(flows []loaded, log *slog.Logger) (store checkpoint.Store, closing func() error, err error) {
	onDisk := slices.ContainsFunc(flows, func(f loaded) bool { return f.plan.Durability == "disk" })
	if s == nil || !onDisk {
		return nil, func() error { return nil }, nil
	}
	dir := filepath.Join(s.dir, "store")
	p, err := checkpoint.Open(dir, checkpoint.Options{Log: log})
	if err != nil {
		return nil, nil, err
	}
	return p, func() error {
		kept, err := p.Flows()
		if closing := p.Close(); err != nil || closing != nil {
			return errors.Join(err, closing)
		}
		if len(kept) == 0 {
			return os.RemoveAll(dir)
		}
		return nil
	}, nil
}
