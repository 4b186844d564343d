package change

import (
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"

	"github.com/fsnotify/fsnotify"
)

// eyes notice writes. They watch folders, never files: an editor renames a new
// file over the old one, and Kubernetes swaps a link that files are read
// through. Where that is not possible they say so once, and polling is set.
type eyes struct {
	watcher *fsnotify.Watcher // nil: there is none
	log     *slog.Logger
	polling bool

	open map[string]os.FileInfo // folders that are watched, and which they were
	// An event tells something when it is of one of these entries, or of a
	// flow file in one of these folders.
	entries, folders map[string]bool
}

func (w *watcher) open() *eyes {
	e := &eyes{log: w.o.Log, open: map[string]os.FileInfo{}}
	var err error
	if e.watcher, err = w.notify(); err != nil {
		e.watcher = nil
		e.poll(err)
	}
	e.refresh(w.paths, w.flowFiles())
	return e
}

func (e *eyes) close() {
	if e.watcher != nil {
		_ = e.watcher.Close()
	}
}

func (e *eyes) poll(err error) {
	if !e.polling {
		e.log.Warn("the system does not tell of writes to flow files: they are read every few seconds instead", "error", err)
	}
	e.polling = true
}

func (e *eyes) events() <-chan fsnotify.Event {
	if e.watcher == nil {
		return nil
	}
	return e.watcher.Events
}

func (e *eyes) errors() <-chan error {
	if e.watcher == nil {
		return nil
	}
	return e.watcher.Errors
}

func (e *eyes) relevant(event fsnotify.Event) bool {
	return e.entries[event.Name] || e.folders[filepath.Dir(event.Name)] && FlowFile(event.Name)
}

// refresh watches what decides now what the paths and files hold. A folder
// that is another one than before is watched anew. It says whether it watches
// a folder that it did not watch before.
func (e *eyes) refresh(paths, files []string) (more bool) {
	if e.watcher == nil {
		return false
	}
	e.entries, e.folders = map[string]bool{}, map[string]bool{}
	need := map[string]bool{}
	t := &trail{entries: e.entries}
	for _, path := range append(slices.Clone(paths), files...) {
		real := t.follow(path)
		if info, err := os.Stat(real); err == nil && info.IsDir() {
			e.folders[real], need[real] = true, true
		}
	}
	for entry := range e.entries {
		need[filepath.Dir(entry)] = true
	}
	live := e.watcher.WatchList()
	for folder, was := range e.open {
		now, err := os.Stat(folder)
		if need[folder] && err == nil && os.SameFile(was, now) && slices.Contains(live, folder) {
			continue
		}
		_ = e.watcher.Remove(folder) // it may have gone by itself
		delete(e.open, folder)
	}
	for folder := range need {
		if e.open[folder] != nil {
			continue
		}
		info, err := os.Stat(folder)
		if err == nil {
			err = e.watcher.Add(folder)
		}
		switch {
		case err == nil:
			e.open[folder], more = info, true
		case !errors.Is(err, fs.ErrNotExist):
			e.poll(err)
		}
	}
	return more
}

// trail gathers the entries of folders that decide what a path leads to: the
// links on the way, what is missing, and where it ends.
type trail struct {
	entries map[string]bool
	links   int
}

func (t *trail) follow(path string) string {
	t.links = 0
	path, err := filepath.Abs(path)
	if err != nil {
		return path
	}
	real := t.resolve(path)
	if filepath.Dir(real) != real {
		t.entries[real] = true
	}
	return real
}

func (t *trail) resolve(path string) string {
	parent := filepath.Dir(path)
	if parent == path {
		return path
	}
	entry := filepath.Join(t.resolve(parent), filepath.Base(path))
	info, err := os.Lstat(entry)
	if err != nil {
		t.entries[entry] = true
		return entry
	}
	const most = 40 // as Linux has it
	if info.Mode()&fs.ModeSymlink == 0 || t.links == most {
		return entry
	}
	t.links++
	t.entries[entry] = true
	target, err := os.Readlink(entry)
	if err != nil {
		return entry
	}
	if !filepath.IsAbs(target) {
		target = filepath.Join(filepath.Dir(entry), target)
	}
	return t.resolve(target)
}
