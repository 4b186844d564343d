package main

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// at is a process whose state home is a folder.
func at(home string) *program {
	return &program{env: func(name string) (string, bool) {
		return home, name == "XDG_STATE_HOME"
	}}
}

func TestTheStateFolderIsThatOfThePaths(t *testing.T) {
	t.Chdir(t.TempDir())
	name := func(paths ...string) string {
		s, err := stateName(paths)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	abs, err := filepath.Abs("flows/a.yaml")
	if err != nil {
		t.Fatal(err)
	}
	same := name("flows/a.yaml", "b.yaml")
	for _, paths := range [][]string{{"b.yaml", "flows/a.yaml"}, {"./b.yaml", abs}, {"b.yaml", "flows/../flows/a.yaml", abs}} {
		if got := name(paths...); got != same {
			t.Errorf("%v: %s, want %s", paths, got, same)
		}
	}
	for _, paths := range [][]string{{"flows/a.yaml"}, {"b.yaml"}, {"flows", "b.yaml"}, {"flows/a.yamlb.yaml"}} {
		if got := name(paths...); got == same {
			t.Errorf("%v: the folder of other paths", paths)
		}
	}
	if got := name("flows/ä b.yaml"); !strings.HasPrefix(got, "__b-") {
		t.Errorf("name %q", got)
	}
	if got := name(strings.Repeat("x", 200) + ".yaml"); len(got) != 53 {
		t.Errorf("name %q", got)
	}
}

func TestAStateFolderHasOneProcess(t *testing.T) {
	home := t.TempDir()
	p := at(home)
	s, chosen, err := p.openState("", []string{"a.yaml"})
	if err != nil || chosen {
		t.Fatal(err)
	}
	if info, err := os.Stat(s.dir); err != nil || info.Mode().Perm() != 0o700 || filepath.Dir(s.dir) != filepath.Join(home, "telluride") {
		t.Errorf("folder %s: %v, %v", s.dir, info, err)
	}
	if _, _, err := p.openState("", []string{"a.yaml"}); !errors.Is(err, errStateInUse) {
		t.Errorf("error %v", err)
	}
	other, _, err := p.openState("", []string{"b.yaml"})
	if err != nil {
		t.Fatal(err)
	}
	s.close()
	if _, err := os.Stat(s.dir); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("an empty folder stays: %v", err)
	}
	if err := os.WriteFile(filepath.Join(other.dir, "kept"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	other.close()
	if _, err := os.Stat(filepath.Join(other.dir, "kept")); err != nil {
		t.Errorf("what was kept has gone: %v", err)
	}
}

// Processes that come and go at once never hold a folder together, and none
// holds one that was removed.
func TestStateFoldersComeAndGoAtOnce(t *testing.T) {
	p := at(t.TempDir())
	var holding sync.Mutex
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range 100 {
				s, _, err := p.openState("", []string{"a.yaml"})
				if errors.Is(err, errStateInUse) {
					continue
				}
				if err != nil {
					// So many came and went at this moment that it was given up.
					if !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, fs.ErrExist) {
						t.Error(err)
					}
					continue
				}
				if !holding.TryLock() {
					t.Error("two processes hold one folder")
					s.close()
					return
				}
				if err := os.WriteFile(filepath.Join(s.dir, "f"), nil, 0o600); err != nil {
					t.Error(err)
				}
				_ = os.Remove(filepath.Join(s.dir, "f"))
				holding.Unlock()
				s.close()
			}
		})
	}
	wg.Wait()
}

func TestAStateFolderThatTheUserMadeStays(t *testing.T) {
	dir := t.TempDir()
	s, chosen, err := at("").openState(dir, nil)
	if err != nil || !chosen {
		t.Fatal(err)
	}
	s.close()
	if _, err := os.Stat(dir); err != nil {
		t.Error(err)
	}
	if _, _, err := at("").openState("", []string{"a.yaml"}); err == nil {
		t.Error("a state folder without a home")
	}
}
