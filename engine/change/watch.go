package change

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/fsnotify/fsnotify"
)

// WatchOptions says how files are watched. The zero value watches.
type WatchOptions struct {
	// Known are the files whose flows run already, by the names that changes
	// give them. A file that is not among them is new.
	Known map[string]Known
	// Name tells the name of a file's flow, as far as it can be told. With it,
	// a file that was renamed is no end of its flow, and a second file for one
	// flow is refused. nil: every file has a flow of its own.
	Name func(file string, src []byte) string
	// A change is submitted once nothing was written for Quiet (0: 150 ms), at
	// the latest AtMost (0: 1 s) after the first write.
	Quiet, AtMost time.Duration
	// Poll is how often files are read where the system does not tell of
	// writes; 0: 2 s.
	Poll time.Duration
	// MaxBytes is the size from which on a file is too big: what is submitted
	// of it is one byte more than that, for the compiler to refuse. 0: 1 MiB.
	MaxBytes int64
	// Whole says whether a content looks complete. What does not is given
	// until AtMost to become so. nil: every content does.
	Whole func(file string, src []byte) bool
	// Log is told of what cannot be watched or read; nil: nobody is.
	Log *slog.Logger
}

// Known is a file whose flow runs.
type Known struct {
	Flow   string
	Source []byte
}

func (o *WatchOptions) defaults() {
	def := func(d *time.Duration, v time.Duration) {
		if *d <= 0 {
			*d = v
		}
	}
	def(&o.Quiet, 150*time.Millisecond)
	def(&o.AtMost, time.Second)
	def(&o.Poll, 2*time.Second)
	if o.MaxBytes <= 0 {
		o.MaxBytes = 1 << 20
	}
	if o.Whole == nil {
		o.Whole = func(string, []byte) bool { return true }
	}
	if o.Name == nil {
		o.Name = func(file string, _ []byte) string { return file }
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
}

// Watch is the feed of flow files. Paths are files, or folders of which every
// flow file counts (see [FlowFile]). A write makes a change with the file's
// content; a new file in a folder makes one too, and one that is gone asks for
// the end of its flow, if it has one. A file that was itself named in paths
// may go without ending its flow. What was last submitted is no change.
//
// At most one change of a file is on its way: what is written meanwhile is
// submitted, in its last form, when that one has been answered.
func Watch(paths []string, o WatchOptions) Feed {
	o.defaults()
	return newWatcher(paths, o)
}

type watcher struct {
	o      WatchOptions
	paths  []string
	notify func() (*fsnotify.Watcher, error) // tests replace it

	files    map[string]*watched
	warned   map[string]bool // what was said and still holds
	answered chan answered
	// The writes that are not submitted yet: when the first and the last was
	// noticed. Both are zero when there are none.
	first, last time.Time
}

// watched is what the watcher knows of one file.
type watched struct {
	folder  bool   // found in a folder
	runs    bool   // it was submitted, or runs from the start
	flow    string // the flow that it is the file of; "": none came of it
	last    sum    // of the content that was submitted last
	seen    sum    // of the content at the last look
	waiting bool   // a change is on its way
}

// answered is a file whose change was answered.
type answered struct {
	file    string
	receipt Receipt
}

func newWatcher(paths []string, o WatchOptions) *watcher {
	w := &watcher{
		o: o, paths: paths, notify: fsnotify.NewWatcher,
		files: map[string]*watched{}, warned: map[string]bool{}, answered: make(chan answered),
	}
	for file, k := range o.Known {
		w.files[file] = &watched{folder: !slices.Contains(paths, file), runs: true, flow: k.Flow, last: w.sum(k.Source)}
	}
	return w
}

// Run watches until ctx is done, and returns nil then.
func (w *watcher) Run(ctx context.Context, submit func(Change) <-chan Receipt) error {
	ctx, cancel := context.WithCancel(ctx)
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()
	send := func(file string, c Change) {
		answer := submit(c)
		wg.Go(func() {
			var receipt Receipt
			select {
			case receipt = <-answer:
			case <-ctx.Done():
				return
			}
			select {
			case w.answered <- answered{file, receipt}:
			case <-ctx.Done():
			}
		})
	}
	eyes := w.open()
	defer eyes.close()
	poll := time.NewTicker(w.o.Poll)
	defer poll.Stop()
	timer := time.NewTimer(0)
	defer timer.Stop()
	// What was written before the eyes were open is noticed by looking once.
	w.touch(time.Now())
	for {
		if next := w.due(); next.IsZero() {
			timer.Stop()
		} else {
			timer.Reset(time.Until(next))
		}
		select {
		case <-ctx.Done():
			return nil
		case event, ok := <-eyes.events():
			if ok && eyes.relevant(event) {
				w.touch(time.Now())
			}
		case err, ok := <-eyes.errors():
			if ok {
				// Events may have been lost.
				w.o.Log.Debug("watch", "error", err)
				w.touch(time.Now())
			}
		case a := <-w.answered:
			w.learn(a)
			w.touch(time.Now())
		case <-poll.C:
			// No event tells that a folder far above was exchanged.
			more := eyes.refresh(w.paths, w.flowFiles())
			if more || eyes.polling && w.first.IsZero() && w.differs() {
				w.touch(time.Now())
			}
		case <-timer.C:
			eyes.refresh(w.paths, w.flowFiles())
			w.submitAll(eyes.polling, send)
		}
	}
}

// touch notes a write.
func (w *watcher) touch(now time.Time) {
	if w.first.IsZero() {
		w.first = now
	}
	w.last = now
}

// due is when writes are to be submitted; zero: there are none.
func (w *watcher) due() time.Time {
	if w.first.IsZero() {
		return time.Time{}
	}
	quiet, latest := w.last.Add(w.o.Quiet), w.first.Add(w.o.AtMost)
	if quiet.Before(latest) {
		return quiet
	}
	return latest
}

// learn notes what became of a change.
func (w *watcher) learn(a answered) {
	st := w.files[a.file]
	st.waiting = false
	switch {
	case !st.runs:
		st.flow = ""
	case a.receipt.Outcome != Rejected && a.receipt.Flow != "":
		st.flow = a.receipt.Flow
	}
}

// submitAll submits every file that is not what was submitted last. Files
// that come are submitted before those that go, so that a flow whose file was
// renamed has its new one first.
func (w *watcher) submitAll(polling bool, send func(string, Change)) {
	now := time.Now()
	late := !now.Before(w.first.Add(w.o.AtMost))
	wait := false
	var gone []string
	looks := w.look()
	for _, look := range looks {
		st := w.files[look.file]
		// Between two polls nothing tells of a write but another content.
		moving := polling && st.seen != look.sum
		st.seen = look.sum
		switch {
		case st.waiting:
		case !late && (moving || !look.gone && !w.o.Whole(look.file, look.src)):
			wait = true
		case look.gone:
			gone = append(gone, look.file)
		case w.taken(look, looks):
		default:
			st.runs, st.last, st.waiting = true, look.sum, true
			send(look.file, Change{File: look.file, Source: look.src, From: "file"})
		}
	}
	if !wait && !w.busy() {
		for _, file := range gone {
			w.end(file, send)
		}
	}
	if wait {
		w.last = now
		return
	}
	w.first, w.last = time.Time{}, time.Time{}
}

// busy says whether a change is on its way. Its answer has the files looked at again.
func (w *watcher) busy() bool {
	for _, st := range w.files {
		if st.waiting {
			return true
		}
	}
	return false
}

// taken says that a new file is for a flow that another file is there for.
func (w *watcher) taken(l look, looks []look) bool {
	st := w.files[l.file]
	if st.flow != "" {
		return false
	}
	name := w.o.Name(l.file, l.src)
	for other, o := range w.files {
		left := slices.ContainsFunc(looks, func(l look) bool { return l.gone && l.file == other })
		if other == l.file || left || o.flow != name {
			continue
		}
		w.noteOnce("second "+l.file, l.file, "a new file is left out: its flow has another file; give one of the flows another name",
			fmt.Errorf("flow %q is that of %s", name, other))
		return true
	}
	delete(w.warned, "second "+l.file)
	return false
}

// end asks for the end of a flow whose file is gone, unless it has another one.
func (w *watcher) end(file string, send func(string, Change)) {
	st := w.files[file]
	flow := st.flow
	st.runs, st.flow, st.last = false, "", sum{}
	for _, o := range w.files {
		if o.flow == flow {
			flow = ""
		}
	}
	if flow == "" {
		return
	}
	st.waiting = true
	send(file, Change{Flow: flow, File: file, Remove: true, From: "file"})
}
