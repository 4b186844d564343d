package change

import (
	"crypto/sha256"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// FlowFile says whether a file of a folder is a flow: *.yaml or *.yml, not
// hidden, and no test of one.
func FlowFile(name string) bool {
	name = filepath.Base(name)
	ext := filepath.Ext(name)
	return (ext == ".yaml" || ext == ".yml") && !strings.HasPrefix(name, ".") &&
		!strings.HasSuffix(strings.TrimSuffix(name, ext), "_test")
}

type sum [sha256.Size]byte

// sum is the hash of as much of a content as is read.
func (w *watcher) sum(src []byte) sum {
	return sha256.Sum256(src[:min(int64(len(src)), w.o.MaxBytes+1)])
}

// look is a file that is not what was submitted last.
type look struct {
	file string
	src  []byte
	sum  sum
	gone bool
}

// look reads the files and lists those that are not what was submitted last,
// by name. A file that cannot be read, and all of a folder that cannot be
// listed, is as if it had not changed: a file system that is away ends no flow.
func (w *watcher) look() []look {
	present := w.flowFiles()
	var all []look
	for _, file := range present {
		src, err := w.read(file)
		if err != nil {
			continue
		}
		st := w.files[file]
		if st == nil {
			st = &watched{folder: !slices.Contains(w.paths, file)}
			w.files[file] = st
		}
		if s := w.sum(src); !st.runs || s != st.last {
			all = append(all, look{file: file, src: src, sum: s})
		}
	}
	for file, st := range w.files {
		if st.runs && st.folder && !slices.Contains(present, file) && w.listed(filepath.Dir(file)) && missing(file) {
			all = append(all, look{file: file, gone: true})
		}
	}
	slices.SortFunc(all, func(a, b look) int { return strings.Compare(a.file, b.file) })
	return all
}

func (w *watcher) differs() bool { return len(w.look()) > 0 }

// flowFiles lists the files that the paths stand for now, named as the paths name them.
func (w *watcher) flowFiles() []string {
	var files []string
	for _, path := range w.paths {
		found := []string{path}
		if info, err := os.Stat(path); w.files[path] == nil && (err != nil || info.IsDir()) {
			entries, err := os.ReadDir(path)
			w.note(path, "folder cannot be read: its flows go on as they are", err)
			found = nil
			for _, e := range entries {
				if !e.IsDir() && FlowFile(e.Name()) {
					found = append(found, filepath.Join(path, e.Name()))
				}
			}
		}
		for _, f := range found {
			if !slices.Contains(files, f) {
				files = append(files, f)
			}
		}
	}
	return files
}

// listed says whether the folder could be read the last time.
func (w *watcher) listed(folder string) bool {
	return !slices.ContainsFunc(w.paths, func(path string) bool {
		return w.warned[path] && filepath.Clean(path) == folder
	})
}

func missing(file string) bool {
	_, err := os.Stat(file)
	return errors.Is(err, fs.ErrNotExist)
}

var errNoFile = errors.New("not a regular file")

// read reads a file, up to one byte more than it may have.
func (w *watcher) read(file string) ([]byte, error) {
	// Opening a pipe would wait for whoever writes into it.
	info, err := os.Stat(file)
	if err == nil && !info.Mode().IsRegular() {
		return nil, errNoFile
	}
	var src []byte
	if err == nil {
		src, err = readUpTo(file, w.o.MaxBytes+1)
	}
	if st := w.files[file]; errors.Is(err, fs.ErrNotExist) && st != nil && !st.folder {
		w.note(file, "the file is gone: its flow goes on", err)
	} else if !errors.Is(err, fs.ErrNotExist) {
		w.note(file, "the file cannot be read: its flow goes on as it is", err)
	}
	return src, err
}

func readUpTo(file string, limit int64) ([]byte, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, limit))
}

// note warns of an error with a path, once until the path is fine again.
func (w *watcher) note(path, message string, err error) { w.noteOnce(path, path, message, err) }

// noteOnce is note for what is known as key.
func (w *watcher) noteOnce(key, path, message string, err error) {
	if err != nil && !w.warned[key] {
		w.o.Log.Warn(message, "path", path, "error", err)
	}
	if err == nil {
		delete(w.warned, key)
		return
	}
	w.warned[key] = true
}
