package checkpoint

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"sync/atomic"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// haltingFS stops its store at the first write that fails. Pebble would end
// the process (with a panic under its locks, in places) or try again without
// pause. Instead it is told that the write went well, and from then on
// nothing reaches the folder any more: on the disk it looks as after a crash,
// from which Pebble recovers when the folder is opened again.
//
// Reading is not touched. A file that cannot be removed is not a failure.
type haltingFS struct {
	vfs.FS
	store  *Pebble
	halted atomic.Bool
}

// file is what Pebble gets to write to.
func (d *haltingFS) file(f vfs.File, err error) (vfs.File, error) {
	if err != nil {
		d.store.fail(err)
		return nowhere{}, nil
	}
	return haltingFile{f, d}, nil
}

func (d *haltingFS) Create(name string, c vfs.DiskWriteCategory) (vfs.File, error) {
	if strings.HasPrefix(d.PathBase(name), "marker.") {
		// A marker names another file by its own name. Pebble syncs the folder
		// after it has made both, and a power failure before that could leave
		// the marker alone: nothing says that a file system keeps the order.
		if err := d.syncDir(d.PathDir(name)); err != nil {
			d.store.fail(err)
		}
	}
	if d.halted.Load() {
		return nowhere{}, nil
	}
	return d.file(d.FS.Create(name, c))
}

func (d *haltingFS) syncDir(name string) error {
	f, err := d.FS.OpenDir(name)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

func (d *haltingFS) OpenReadWrite(name string, c vfs.DiskWriteCategory, o ...vfs.OpenOption) (vfs.File, error) {
	if d.halted.Load() {
		return nowhere{}, nil
	}
	return d.file(d.FS.OpenReadWrite(name, c, o...))
}

func (d *haltingFS) ReuseForWrite(oldname, newname string, c vfs.DiskWriteCategory) (vfs.File, error) {
	if d.halted.Load() {
		return nowhere{}, nil
	}
	return d.file(d.FS.ReuseForWrite(oldname, newname, c))
}

// OpenDir opens a folder to be synced.
func (d *haltingFS) OpenDir(name string) (vfs.File, error) {
	if d.halted.Load() {
		return nowhere{}, nil
	}
	return d.file(d.FS.OpenDir(name))
}

func (d *haltingFS) Link(oldname, newname string) error {
	return d.write(func() error { return d.FS.Link(oldname, newname) })
}

func (d *haltingFS) Rename(oldname, newname string) error {
	return d.write(func() error { return d.FS.Rename(oldname, newname) })
}

func (d *haltingFS) MkdirAll(dir string, perm os.FileMode) error {
	return d.write(func() error { return d.FS.MkdirAll(dir, perm) })
}

func (d *haltingFS) write(f func() error) error {
	if !d.halted.Load() {
		if err := f(); err != nil {
			d.store.fail(err)
		}
	}
	return nil
}

func (d *haltingFS) Remove(name string) error {
	if d.halted.Load() {
		return nil
	}
	return d.FS.Remove(name)
}

func (d *haltingFS) RemoveAll(name string) error {
	if d.halted.Load() {
		return nil
	}
	return d.FS.RemoveAll(name)
}

// GetDiskUsage only paces Pebble: an error is no reason to stop.
func (d *haltingFS) GetDiskUsage(path string) (vfs.DiskUsage, error) {
	u, err := d.FS.GetDiskUsage(path)
	if err != nil {
		return u, fmt.Errorf("%w: %w", vfs.ErrUnsupported, err)
	}
	return u, nil
}

func (d *haltingFS) Unwrap() vfs.FS { return d.FS }

type haltingFile struct {
	vfs.File
	disk *haltingFS
}

func (f haltingFile) Write(b []byte) (int, error) {
	return f.wrote(len(b), func() (int, error) { return f.File.Write(b) })
}

func (f haltingFile) WriteAt(b []byte, at int64) (int, error) {
	return f.wrote(len(b), func() (int, error) { return f.File.WriteAt(b, at) })
}

func (f haltingFile) wrote(all int, write func() (int, error)) (int, error) {
	return all, f.disk.write(func() error { _, err := write(); return err })
}

func (f haltingFile) Sync() error     { return f.disk.write(f.File.Sync) }
func (f haltingFile) SyncData() error { return f.disk.write(f.File.SyncData) }

func (f haltingFile) SyncTo(length int64) (whole bool, err error) {
	err = f.disk.write(func() (err error) { whole, err = f.File.SyncTo(length); return err })
	return whole, err
}

func (f haltingFile) Preallocate(at, length int64) error {
	return f.disk.write(func() error { return f.File.Preallocate(at, length) })
}

// Close closes the file also after a halt.
func (f haltingFile) Close() error {
	if err := f.File.Close(); err != nil {
		f.disk.store.fail(err)
	}
	return nil
}

// nowhere is a file that is not there.
type nowhere struct{}

func (nowhere) Close() error                           { return nil }
func (nowhere) Read([]byte) (int, error)               { return 0, fs.ErrNotExist }
func (nowhere) ReadAt([]byte, int64) (int, error)      { return 0, fs.ErrNotExist }
func (nowhere) Write(b []byte) (int, error)            { return len(b), nil }
func (nowhere) WriteAt(b []byte, _ int64) (int, error) { return len(b), nil }
func (nowhere) Preallocate(int64, int64) error         { return nil }
func (nowhere) Stat() (vfs.FileInfo, error)            { return nil, fs.ErrNotExist }
func (nowhere) Sync() error                            { return nil }
func (nowhere) SyncTo(int64) (bool, error)             { return true, nil }
func (nowhere) SyncData() error                        { return nil }
func (nowhere) Prefetch(int64, int64) error            { return nil }
func (nowhere) Fd() uintptr                            { return vfs.InvalidFd }
