package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

const (
	stateVariable = "TELLURIDE_STATE_DIR"
	socketName    = "telluride.sock"
)

// errStateInUse says that another process holds a state folder.
var errStateInUse = errors.New("another process runs there")

// stateHome is where the state folders of runs are that were given none.
func (p *program) stateHome() (string, error) {
	if home, ok := p.env("XDG_STATE_HOME"); ok && filepath.IsAbs(home) {
		return filepath.Join(home, "telluride"), nil
	}
	if home, ok := p.env("HOME"); ok && filepath.IsAbs(home) {
		return filepath.Join(home, ".local", "state", "telluride"), nil
	}
	return "", errors.New("neither XDG_STATE_HOME nor HOME is set")
}

// chosenState is the state folder that the user names: by flag, or by variable.
func (p *program) chosenState(flag string) (dir string, ok bool) {
	if flag != "" {
		return flag, true
	}
	dir, ok = p.env(stateVariable)
	return dir, ok && dir != ""
}

// stateName is the name of the state folder of a run over paths: equal for
// equal paths, in any order, seen from any folder. A path that is a folder
// stands for itself, so that files may come and go in it.
func stateName(paths []string) (string, error) {
	var all []string
	for _, path := range paths {
		abs, err := filepath.Abs(path)
		if err != nil {
			return "", err
		}
		all = append(all, abs)
	}
	slices.Sort(all)
	all = slices.Compact(all)
	sum := sha256.Sum256([]byte(strings.Join(all, "\x00")))
	base := filepath.Base(all[0])
	base = strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '-' || r == '_' {
			return r
		}
		return '_'
	}, strings.TrimSuffix(base, filepath.Ext(base)))
	return base[:min(len(base), 40)] + "-" + hex.EncodeToString(sum[:6]), nil
}

// stateFolder is a folder that this process has for itself.
type stateFolder struct {
	dir  string
	lock *os.File
	// remove lists the folders to remove at the end, if nothing is in them.
	remove []string
}

// openState makes and locks the state folder of a run. chosen says that the
// user named it.
func (p *program) openState(flag string, paths []string) (s *stateFolder, chosen bool, err error) {
	dir, chosen := p.chosenState(flag)
	var remove []string
	if !chosen {
		home, err := p.stateHome()
		if err != nil {
			return nil, false, err
		}
		name, err := stateName(paths)
		if err != nil {
			return nil, false, err
		}
		dir = filepath.Join(home, name)
		remove = []string{dir, home}
	} else if _, err := os.Stat(dir); errors.Is(err, fs.ErrNotExist) {
		remove = []string{dir}
	}
	s, err = takeState(dir)
	if err != nil {
		return nil, chosen, fmt.Errorf("state folder %s: %w", dir, reason(err))
	}
	s.remove = remove
	return s, chosen, nil
}

// statePatience is how long a folder may be held by somebody who does not answer:
// telluride state holds it while it looks into it, and a run before it answers.
const statePatience = 3 * time.Second

// takeState makes and locks a folder. It waits for those who hold it for a
// moment only.
func takeState(dir string) (*stateFolder, error) {
	for began := time.Now(); ; {
		s, err := lockState(dir)
		switch {
		case err == nil, time.Since(began) > statePatience:
			return s, err
		case errors.Is(err, fs.ErrNotExist), errors.Is(err, fs.ErrExist):
			// A process that ends may remove the folder at the moment that we take it.
		case errors.Is(err, errStateInUse):
			if _, asked := ask(context.Background(), dir); asked == nil {
				return nil, err
			}
		default:
			return nil, err
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// lockState makes a folder and locks it. There is no file for the lock: the
// folder itself is it, so that nothing stays behind.
func lockState(dir string) (*stateFolder, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	f, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	if err := lockFile(f); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	held, err := f.Stat()
	if err == nil {
		var there os.FileInfo
		if there, err = os.Stat(dir); err == nil && !os.SameFile(held, there) {
			err = fs.ErrNotExist
		}
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return &stateFolder{dir: dir, lock: f}, nil
}

func (s *stateFolder) socket() string { return filepath.Join(s.dir, socketName) }

// close unlocks the folder, and removes it when nothing is in it.
func (s *stateFolder) close() {
	if s == nil {
		return
	}
	for _, dir := range s.remove {
		_ = os.Remove(dir) // it removes no folder that holds something
	}
	_ = s.lock.Close()
}
