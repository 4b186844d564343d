package main

import (
	"errors"
	"log/slog"
	"os"
	"path/filepath"

	"github.com/telluride-stream/telluride/engine/checkpoint"
)

// storeName is the folder of the state store in a state folder.
const storeName = "store"

// stores are what a run keeps its state in.
type stores struct {
	// lasting is on disk; in memory when there is no place for it.
	lasting  checkpoint.Store
	volatile *checkpoint.Pebble
	disk     *checkpoint.Pebble // lasting, when it is on disk
	dir      string
}

// open opens the stores of a run in its state folder; s is nil when there is
// none.
func (s *stateFolder) open(log *slog.Logger) (*stores, error) {
	all := &stores{}
	if s != nil {
		var err error
		all.dir = filepath.Join(s.dir, storeName)
		if all.disk, err = checkpoint.Open(all.dir, checkpoint.Options{Log: log}); err != nil {
			return nil, err
		}
		all.lasting = all.disk
	}
	var err error
	if all.volatile, err = checkpoint.OpenMemory(log); err != nil {
		return nil, errors.Join(err, all.close())
	}
	if all.lasting == nil {
		all.lasting = all.volatile
	}
	return all, nil
}

// close closes the stores, and removes the one on disk when nothing is kept in
// it.
func (s *stores) close() error {
	var errs []error
	if s.volatile != nil {
		errs = append(errs, s.volatile.Close())
	}
	if s.disk != nil {
		kept, err := s.disk.Flows()
		errs = append(errs, err, s.disk.Close())
		if errors.Join(errs...) == nil && len(kept) == 0 {
			errs = append(errs, os.RemoveAll(s.dir))
		}
	}
	return errors.Join(errs...)
}
