package checkpoint

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"path/filepath"
	"strings"
	"sync"
	"syscall"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/bloom"
	"github.com/cockroachdb/pebble/v2/vfs"
)

var (
	// ErrInUse is the reason when a state folder is locked.
	ErrInUse = errors.New("in use by another telluride process")
	// ErrFormat is the reason when a state folder was written by a version
	// that this one does not understand.
	ErrFormat = errors.New("unknown format")
	// ErrDamaged is the reason when a state folder cannot be read as it was
	// written.
	ErrDamaged = errors.New("damaged")
	// ErrStopped is the reason when a store has ended after a failure.
	ErrStopped = errors.New("state store stopped")
	// ErrKept is the reason when a name is to be given to a flow under which
	// something is kept already.
	ErrKept = errors.New("something is kept already")
	// ErrClosed is the reason when a store is used after Close.
	ErrClosed = errors.New("state store is closed")
)

// Options are what a store can be given; all are optional.
type Options struct {
	// FS is where the folder is; nil: the disk. vfs.NewMem() keeps everything
	// in memory, for flows whose state may end with the process.
	FS vfs.FS
	// ReadOnly opens a folder that is there, and leaves it as it is. What would
	// write returns an error.
	ReadOnly bool
	// Log gets failures and write stalls as they happen.
	Log *slog.Logger

	memTable uint64 // bytes; tests make it small
}

const (
	memTableSize = 8 << 20
	cacheSize    = 8 << 20
	openFiles    = 256
	folderMode   = 0o700
)

// Pebble is a store in a folder, on a Pebble database.
//
// It stops at the first write that fails, as if the process had crashed at
// that moment: nothing more reaches the folder, all methods return
// [ErrStopped] with the cause, and the folder is unlocked. What was committed
// before is found when the folder is opened again.
type Pebble struct {
	dir  string
	log  *slog.Logger
	db   *pebble.DB
	lock *pebble.Lock
	disk *haltingFS

	mu      sync.Mutex
	idle    sync.Cond // users is 0
	users   int       // calls that use db
	opened  bool      // Open has returned, or will without an error
	closing bool
	failed  error
	stop    sync.Once
	stopped sync.WaitGroup
	closed  error // what closing db returned
}

var _ Store = (*Pebble)(nil)

// Open opens the store in folder dir, which is created if need be, and locks
// it. It fails with [ErrInUse], [ErrFormat], [ErrDamaged], or what the file
// system says; a store is opened whole or not at all.
func Open(dir string, o Options) (*Pebble, error) {
	if o.FS == nil {
		o.FS = vfs.Default
		// A folder has one lock in this process, whatever it is called.
		abs, err := filepath.Abs(dir)
		if err != nil {
			return nil, fmt.Errorf("find state folder %s: %w", dir, err)
		}
		dir = abs
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.memTable == 0 {
		o.memTable = memTableSize
	}
	p := &Pebble{dir: dir, log: o.Log}
	p.idle.L = &p.mu
	p.disk = &haltingFS{FS: o.FS, store: p}
	if o.ReadOnly {
		if _, err := o.FS.Stat(dir); err != nil {
			return nil, fmt.Errorf("open state folder: %w", err)
		}
	} else if err := o.FS.MkdirAll(dir, folderMode); err != nil {
		return nil, fmt.Errorf("create state folder: %w", err)
	}
	var err error
	if p.lock, err = lock(dir, p.disk); err != nil {
		return nil, err
	}
	if err := p.open(&o); err != nil {
		return nil, errors.Join(err, p.lock.Close())
	}
	return p, nil
}

// OpenMemory opens a new store that ends with the process: the same code on a
// file system in memory.
func OpenMemory(log *slog.Logger) (*Pebble, error) {
	return Open("memory", Options{FS: vfs.NewMem(), Log: log})
}

func lock(dir string, disk vfs.FS) (*pebble.Lock, error) {
	l, err := pebble.LockDirectory(dir, disk)
	if err == nil {
		return l, nil
	}
	var path *fs.PathError // the lock file itself could not be made
	held := errors.Is(err, syscall.EAGAIN) || errors.Is(err, syscall.EACCES) ||
		strings.Contains(err.Error(), "held by current process")
	if held && !errors.As(err, &path) {
		return nil, fmt.Errorf("state folder %s is %w: stop that one, or choose another folder", dir, ErrInUse)
	}
	return nil, fmt.Errorf("lock state folder %s: %w", dir, err)
}

func (p *Pebble) open(given *Options) error {
	o := p.options(given.memTable)
	o.ReadOnly, o.ErrorIfNotExists = given.ReadOnly, given.ReadOnly
	var db *pebble.DB
	err := p.checkMarker()
	if err == nil {
		db, err = pebble.Open(p.dir, o)
	}
	if err == nil {
		p.db = db
		err = p.checkFormat(given.ReadOnly)
	}
	p.mu.Lock()
	failed := p.failed
	p.opened = failed == nil && err == nil
	p.mu.Unlock()
	if failed != nil {
		err = failed // what Pebble says may follow from it
	} else if err != nil {
		err = p.explain("open", err)
	}
	if err != nil && db != nil {
		err = errors.Join(err, db.Close())
	}
	return err
}

// checkMarker refuses a folder with a database of which nothing says any more
// where it begins: Pebble would make a new one in its place. A manifest alone is
// what a crash leaves of a database that was being made.
func (p *Pebble) checkMarker() error {
	names, err := p.disk.List(p.dir)
	if err != nil {
		return err
	}
	used := false
	for _, name := range names {
		if strings.HasPrefix(name, "marker.manifest.") {
			return nil
		}
		used = used || strings.HasSuffix(name, ".sst") || strings.HasSuffix(name, ".log")
	}
	if used {
		return fmt.Errorf("marker.manifest: %w", fs.ErrNotExist)
	}
	return nil
}

// options are for a database of some ten to some hundred megabytes beside a
// process that needs its memory for other things.
func (p *Pebble) options(memTable uint64) *pebble.Options {
	o := &pebble.Options{
		FS:                          p.disk,
		Lock:                        p.lock,
		FormatMajorVersion:          pebble.FormatNewest,
		MemTableSize:                memTable,
		MemTableStopWritesThreshold: 4,
		CacheSize:                   cacheSize,
		MaxOpenFiles:                openFiles,
		Logger:                      pebbleLog{p},
		EventListener: &pebble.EventListener{
			// Pebble would try again at once, forever.
			BackgroundError: p.fail,
			DataCorruption: func(i pebble.DataCorruptionInfo) {
				p.fail(fmt.Errorf("%s: %w", i.Path, i.Details))
			},
			WriteStallBegin: func(i pebble.WriteStallBeginInfo) {
				p.log.Warn("state store: writes wait for the disk", "folder", p.dir, "reason", i.Reason)
			},
			WriteStallEnd: func() { p.log.Info("state store: writes go on", "folder", p.dir) },
		},
	}
	// One compaction at a time, and the next when it is done. The usual
	// scheduler does the same with a ticker, whose goroutine a failing Open
	// leaves behind.
	o.Experimental.CompactionScheduler = pebble.NewConcurrencyLimitSchedulerWithNoPeriodicGrantingForTest()
	for i := range o.Levels {
		// Most ids that are looked up were never seen.
		o.Levels[i].FilterPolicy = bloom.FilterPolicy(10)
	}
	return o
}

// checkFormat writes the format into a new store and refuses one that is not
// of ours.
func (p *Pebble) checkFormat(readOnly bool) error {
	want := fmt.Sprintf("telluride/%d", formatVersion)
	got, err := p.get(formatKey)
	switch {
	case err != nil:
		return err
	case string(got) == want:
		return nil
	case got != nil:
		return fmt.Errorf("%w: it was written as %q, and this version reads %q", ErrFormat, got, want)
	}
	used, err := p.any(nil, nil)
	if err != nil {
		return err
	}
	if used || readOnly {
		return fmt.Errorf("%w: it holds a database that is not telluride's", ErrFormat)
	}
	return p.db.Set(formatKey, []byte(want), pebble.Sync)
}

// explain says what an error means to the person whose folder it is.
func (p *Pebble) explain(doing string, err error) error {
	text := err.Error()
	switch {
	case strings.Contains(text, "unknown format major version"), strings.Contains(text, "no longer supported"):
		err = fmt.Errorf("%w: %w", ErrFormat, err)
		fallthrough
	case errors.Is(err, ErrFormat):
		return fmt.Errorf("open state folder %s: %w; "+
			"run the version of telluride that wrote it, or choose another folder", p.dir, err)
	case pebble.IsCorruptionError(err), errors.Is(err, errMalformed), errors.Is(err, fs.ErrNotExist),
		errors.Is(err, pebble.ErrDBNotPristine), errors.Is(err, pebble.ErrDBDoesNotExist):
		return fmt.Errorf("state folder %s is %w: %w; restore it from a copy, or move it away: "+
			"flows then begin anew, without state and positions", p.dir, ErrDamaged, err)
	}
	return fmt.Errorf("%s state folder %s: %w", doing, p.dir, err)
}

// Durable says that the folder is on a disk.
func (p *Pebble) Durable() bool {
	_, memory := vfs.Root(p.disk).(*vfs.MemFS)
	return !memory
}

// use runs f on the database. What f read or wrote counts only if the store
// has not failed by its end: what comes after a failure is not in the folder.
func (p *Pebble) use(f func() error) error {
	p.mu.Lock()
	if p.closing || p.failed != nil {
		defer p.mu.Unlock()
		return p.ended()
	}
	p.users++
	p.mu.Unlock()
	err := f()
	if pebble.IsCorruptionError(err) || errors.Is(err, errMalformed) {
		p.fail(err)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.users--; p.users == 0 {
		p.idle.Broadcast()
	}
	if p.failed != nil {
		return p.failed
	}
	return err
}

func (p *Pebble) ended() error {
	if p.failed != nil {
		return p.failed
	}
	return fmt.Errorf("state folder %s: %w", p.dir, ErrClosed)
}

// fail stops the store. It may be called with any of Pebble's locks held.
func (p *Pebble) fail(cause error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.failed != nil {
		return
	}
	p.disk.halted.Store(true)
	if !p.opened {
		p.failed = p.explain("open", cause)
		return // Open returns it
	}
	p.failed = fmt.Errorf("%w: %w", ErrStopped, p.explain("write to", cause))
	p.log.Error("state store stopped", "folder", p.dir, "error", cause)
	if !p.closing {
		p.closing = true
		p.stopped.Go(p.end)
	}
}

// end closes the database once nobody uses it.
func (p *Pebble) end() {
	p.stop.Do(func() {
		p.mu.Lock()
		p.closing = true
		for p.users > 0 {
			p.idle.Wait()
		}
		p.mu.Unlock()
		p.closed = errors.Join(p.db.Close(), p.lock.Close())
	})
}

// Close waits for calls in progress, makes everything durable and unlocks the
// folder. It must not be called from within State. Closing again does nothing.
func (p *Pebble) Close() error {
	p.end()
	p.stopped.Wait()
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.failed != nil {
		return p.failed // db.Close says nothing of interest any more
	}
	if p.closed != nil {
		return fmt.Errorf("close state folder %s: %w", p.dir, p.closed)
	}
	return nil
}

// pebbleLog is Pebble's logger.
type pebbleLog struct{ p *Pebble }

// Infof is for those who develop Pebble.
func (l pebbleLog) Infof(string, ...any) {}

func (l pebbleLog) Errorf(format string, args ...any) {
	l.p.log.Warn("state store: "+fmt.Sprintf(format, args...), "folder", l.p.dir)
}

// Fatalf returns, though Pebble expects it not to: the store has stopped, so
// that what Pebble does from here on has no effect and no witness.
func (l pebbleLog) Fatalf(format string, args ...any) {
	l.p.fail(fmt.Errorf(format, args...))
}
