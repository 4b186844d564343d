package change

import (
	"bytes"
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// quiet is short for a person and long for the machine. If the machine stops
// between two steps of one write for longer, what there is then is empty, and
// looks half written: tests give that all the time that it needs (AtMost).
const quiet = 40 * time.Millisecond

// patience is how long a test waits for what must come.
const patience = time.Minute

// whole takes what begins with "half" for half written until "done" ends it.
func whole(_ string, src []byte) bool {
	return len(src) > 0 && (!bytes.HasPrefix(src, []byte("half")) || bytes.HasSuffix(src, []byte("done")))
}

// host takes changes, and answers at once unless it is told to hold.
type host struct {
	mu      sync.Mutex
	changes []Change
	hold    chan struct{}
}

func (h *host) submit(c Change) <-chan Receipt {
	h.mu.Lock()
	h.changes = append(h.changes, c)
	hold := h.hold
	h.mu.Unlock()
	answer := make(chan Receipt, 1)
	if hold == nil {
		answer <- receipt(c)
		return answer
	}
	go func() {
		<-hold
		answer <- receipt(c)
	}()
	return answer
}

// nameOf is the flow that a file is for: x in "name: x", else that of its name.
func nameOf(file string, src []byte) string {
	if name, ok := strings.CutPrefix(string(src), "name: "); ok {
		return strings.TrimSpace(name)
	}
	return strings.TrimSuffix(filepath.Base(file), ".yaml")
}

// receipt is the host's answer: what starts with "bad" is rejected.
func receipt(c Change) Receipt {
	r := Receipt{Outcome: Applied, Flow: c.Flow}
	if !c.Remove {
		r.Flow = nameOf(c.File, c.Source)
	}
	if strings.HasPrefix(string(c.Source), "bad") {
		r.Outcome = Rejected
	}
	return r
}

// said is the changes so far: a=1 is the content of a.yaml, -a its end.
func (h *host) said() string {
	h.mu.Lock()
	defer h.mu.Unlock()
	var all []string
	for _, c := range h.changes {
		name := strings.TrimSuffix(filepath.Base(c.File), ".yaml")
		if c.Remove {
			all = append(all, "-"+name)
		} else {
			all = append(all, name+"="+strings.TrimSpace(string(c.Source)))
		}
	}
	return strings.Join(all, " ")
}

// expect waits until the changes are want.
func (h *host) expect(t *testing.T, want string) {
	t.Helper()
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(2 * time.Millisecond) {
		if h.said() == want {
			return
		}
	}
	t.Fatalf("submitted %q, want %q", h.said(), want)
}

// scene is a folder that is watched.
type scene struct {
	t      *testing.T
	folder string
	host   *host
	log    *lines
}

type lines struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// watch begins with a.yaml=0, which runs. paths are relative to the folder.
func watch(t *testing.T, change func(*watcher), paths ...string) *scene {
	t.Helper()
	s := &scene{t: t, folder: t.TempDir(), host: &host{}, log: &lines{}}
	s.write("a.yaml", "0")
	s.run(change, paths...)
	return s
}

func (s *scene) run(change func(*watcher), paths ...string) {
	s.t.Helper()
	known := map[string]Known{}
	knows := func(file string) {
		if src, err := os.ReadFile(file); err == nil {
			known[file] = Known{nameOf(file, src), src}
		}
	}
	for i, path := range paths {
		paths[i] = filepath.Join(s.folder, path)
		found, _ := os.ReadDir(paths[i])
		for _, e := range found {
			if file := filepath.Join(paths[i], e.Name()); FlowFile(file) {
				knows(file)
			}
		}
		knows(paths[i])
	}
	w := Watch(paths, WatchOptions{
		Known: known, Name: nameOf, Quiet: quiet, AtMost: time.Hour, Poll: 20 * time.Millisecond, MaxBytes: 100,
		Whole: whole, Log: slog.New(slog.NewTextHandler(s.log, nil)),
	}).(*watcher)
	if change != nil {
		change(w)
	}
	ctx, cancel := context.WithCancel(s.t.Context())
	done := make(chan error, 1)
	go func() { done <- w.Run(ctx, s.host.submit) }()
	s.t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			s.t.Errorf("Run: %v", err)
		}
	})
}

func (s *scene) path(name string) string { return filepath.Join(s.folder, name) }

func (s *scene) write(name, text string) {
	s.t.Helper()
	if err := os.WriteFile(s.path(name), []byte(text), 0o644); err != nil {
		s.t.Fatal(err)
	}
}

func (s *scene) must(err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatal(err)
	}
}

// settle proves that nothing else was submitted: a change that was made later
// comes next.
func (s *scene) settle(so string) {
	s.t.Helper()
	s.write("zz.yaml", "end")
	s.host.expect(s.t, strings.TrimSpace(so+" zz=end"))
}
