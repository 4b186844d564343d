package checkpoint

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"
)

// open opens a store that is closed when the test ends.
func open(t *testing.T, dir string, o Options) *Pebble {
	t.Helper()
	p, err := Open(dir, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	})
	return p
}

const holdLock = "TELLURIDE_TEST_HOLD_LOCK"

// TestAFolderHasOneStore runs itself as the other process.
func TestAFolderHasOneStore(t *testing.T) {
	if dir := os.Getenv(holdLock); dir != "" {
		holdFolder(dir)
		return
	}
	dir := filepath.Join(t.TempDir(), "new", "state")
	other := exec.Command(os.Args[0], "-test.run=^TestAFolderHasOneStore$")
	other.Env = append(os.Environ(), holdLock+"="+dir)
	in, _ := other.StdinPipe()
	out, _ := other.StdoutPipe()
	if err := other.Start(); err != nil {
		t.Fatal(err)
	}
	if line := make([]byte, 5); true {
		if _, err := io.ReadFull(out, line); err != nil || string(line) != "ready" {
			t.Fatalf("the other process says %q, %v", line, err)
		}
	}
	_, err := Open(dir, Options{})
	if want := "state folder " + dir + " is in use by another telluride process"; !errors.Is(err, ErrInUse) ||
		!strings.HasPrefix(err.Error(), want) {
		t.Fatal(err)
	}
	in.Close()
	io.Copy(io.Discard, out)
	if err := other.Wait(); err != nil {
		t.Fatal(err)
	}
	open(t, dir, Options{})
	if _, err := Open(dir, Options{}); !errors.Is(err, ErrInUse) {
		t.Fatalf("a second store in one process: %v", err)
	}
}

func holdFolder(dir string) {
	p, err := Open(dir, Options{})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Print("ready")
	io.Copy(io.Discard, os.Stdin)
	p.Close()
}

func TestAFolderThatCannotBeMadeIsNotInUse(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := Open(filepath.Join(file, "state"), Options{})
	if err == nil || errors.Is(err, ErrInUse) || errors.Is(err, ErrDamaged) {
		t.Fatal(err)
	}
}

func TestAnUnknownFormatIsRefused(t *testing.T) {
	for name, change := range map[string]func(db *pebble.DB) error{
		"newer": func(db *pebble.DB) error { return db.Set(formatKey, []byte("telluride/2"), pebble.Sync) },
		"older": func(db *pebble.DB) error { return db.Set(formatKey, []byte("telluride/0"), pebble.Sync) },
		"another program's": func(db *pebble.DB) error {
			return errors.Join(db.Delete(formatKey, nil), db.Set([]byte("k"), []byte("v"), pebble.Sync))
		},
	} {
		t.Run(name, func(t *testing.T) {
			fs := vfs.NewMem()
			fill(t, fs)
			db, err := pebble.Open("state", &pebble.Options{
				FS: fs, FormatMajorVersion: pebble.FormatNewest, Logger: pebbleLog{&Pebble{}},
			})
			if err != nil {
				t.Fatal(err)
			}
			if err := errors.Join(change(db), db.Close()); err != nil {
				t.Fatal(err)
			}
			for range 2 { // refusing changes nothing
				_, err = Open("state", Options{FS: fs})
				if !errors.Is(err, ErrFormat) || !strings.HasPrefix(err.Error(), "open state folder state: unknown format: ") {
					t.Fatal(err)
				}
			}
		})
	}
}

func TestANewerPebbleIsRefused(t *testing.T) {
	fs := vfs.NewMem()
	fill(t, fs)
	all, err := fs.List("state")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range all {
		if strings.HasPrefix(name, "marker.format-version.") {
			if err := fs.Rename("state/"+name, "state/marker.format-version.000100.999"); err != nil {
				t.Fatal(err)
			}
		}
	}
	if _, err := Open("state", Options{FS: fs}); !errors.Is(err, ErrFormat) {
		t.Fatal(err)
	}
}

// fill makes a store of several tables and a log, and returns what it keeps:
// as of every commit in the log, and last of all in the end.
func fill(t *testing.T, fs vfs.FS) []map[string]string {
	t.Helper()
	var want []map[string]string
	for range 3 {
		p, err := Open("state", Options{FS: fs, memTable: 64 << 10})
		if err != nil {
			t.Fatal(err)
		}
		want = nil
		for _, c := range script(12) {
			if err := p.Commit(c); err != nil {
				t.Fatal(err)
			}
			d, err := dump(p, scriptNames)
			if err != nil {
				t.Fatal(err)
			}
			want = append(want, d)
		}
		if err := p.Close(); err != nil {
			t.Fatal(err)
		}
	}
	return want
}

// TestADamagedFolderIsReported damages one file at a time. The store must
// either say so or return what was written. Only of the last log, whose end
// cannot be told from that of a crash, the last commits may be missing, each
// as a whole.
func TestADamagedFolderIsReported(t *testing.T) {
	whole := vfs.NewMem()
	want := fill(t, whole)
	files, err := whole.List("state")
	if err != nil {
		t.Fatal(err)
	}
	damages := map[string]func(b []byte, part int) []byte{
		"cut":  func(b []byte, part int) []byte { return b[:len(b)*part/8] },
		"flip": func(b []byte, part int) []byte { b[len(b)*part/8] ^= 0x10; return b },
	}
	reported := 0
	for _, file := range files {
		for name, damage := range damages {
			for part := range 8 {
				b := read(t, whole, file)
				if len(b) == 0 {
					continue
				}
				fs := clone(t, whole)
				write(t, fs, file, damage(b, part))
				got, err := reopen(fs)
				if err != nil {
					reported++
					if !strings.Contains(err.Error(), "state folder state") {
						t.Errorf("%s, %s at %d of 8: unclear: %v", file, name, part, err)
					}
				} else if d := difference(got, want[len(want)-1]); d != "" {
					if file == lastLog(files) && afterCommits(want, got) >= 0 {
						continue
					}
					t.Errorf("%s, %s at %d of 8: not reported: %s", file, name, part, d)
				}
			}
		}
	}
	if reported == 0 {
		t.Error("no damage was reported at all")
	}
	t.Logf("%d reports on %d files", reported, len(files))
}

// TestADamagedManifestIsNotTakenForItsEnd damages the list of tables, which
// Pebble reads up to the first record that a crash may have broken. What the
// lost records spoke of is then in a log, or missed.
func TestADamagedManifestIsNotTakenForItsEnd(t *testing.T) {
	reported := 0
	for _, commits := range []int{6, 18, 34} {
		whole := vfs.NewMem()
		p, err := Open("state", Options{FS: whole, memTable: 64 << 10})
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range script(commits) {
			if err := p.Commit(c); err != nil {
				t.Fatal(err)
			}
		}
		if err := p.Close(); err != nil {
			t.Fatal(err)
		}
		want, err := reopen(clone(t, whole))
		if err != nil {
			t.Fatal(err)
		}
		file := "MANIFEST-000001"
		for at := range len(read(t, whole, file)) {
			if at%17 != 0 {
				continue
			}
			fs := clone(t, whole)
			b := read(t, fs, file)
			b[at] ^= 0x10
			write(t, fs, file, b)
			got, err := reopen(fs)
			if err != nil {
				reported++
			} else if d := difference(got, want); d != "" {
				t.Errorf("%d commits, damage at %d: not reported: %s", commits, at, d)
			}
		}
	}
	if reported == 0 {
		t.Error("no damage was reported at all")
	}
}

func clone(t *testing.T, whole vfs.FS) vfs.FS {
	t.Helper()
	fs := vfs.NewMem()
	if _, err := vfs.Clone(whole, fs, "state", "state"); err != nil {
		t.Fatal(err)
	}
	return fs
}

func lastLog(files []string) string {
	files = slices.DeleteFunc(slices.Clone(files), func(f string) bool { return !strings.HasSuffix(f, ".log") })
	return slices.Max(files)
}

func read(t *testing.T, fs vfs.FS, name string) []byte {
	t.Helper()
	f, err := fs.Open("state/" + name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	b, err := io.ReadAll(f)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func write(t *testing.T, fs vfs.FS, name string, b []byte) {
	t.Helper()
	f, err := fs.Create("state/"+name, vfs.WriteCategoryUnspecified)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.Write(b); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
}

// reopen returns what a folder keeps.
func reopen(fs vfs.FS) (map[string]string, error) {
	p, err := Open("state", Options{FS: fs, memTable: 64 << 10})
	if err != nil {
		return nil, err
	}
	got, err := dump(p, scriptNames)
	return got, errors.Join(err, p.Close())
}

func TestACommitWithNothingToKeepIsNotWritten(t *testing.T) {
	syncs := 0
	fs := errorfs.Wrap(vfs.NewMem(), errorfs.InjectorFunc(func(op errorfs.Op) error {
		switch op.Kind {
		case errorfs.OpFileSync, errorfs.OpFileSyncData, errorfs.OpFileSyncTo, errorfs.OpFileWrite:
			syncs++
		}
		return nil
	}))
	p := open(t, "state", Options{FS: fs})
	before := syncs
	for _, c := range []Commit{
		{Flow: "f", Epoch: 7, Positions: map[string]Position{"s": {Watermark: 3}}, Deltas: []*Delta{{Stage: "w"}}},
		{Flow: "f", Epoch: 8, Restart: true},
	} {
		if err := p.Commit(c); err != nil {
			t.Fatal(err)
		}
		if _, ok, err := p.Last("f"); ok || err != nil || syncs != before {
			t.Fatalf("epoch %d: %v, %v, %d writes", c.Epoch, ok, err, syncs-before)
		}
	}
	if err := p.Commit(Commit{Flow: "f", Epoch: 9, Positions: map[string]Position{"s": {Bytes: []byte{}}}}); err != nil {
		t.Fatal(err)
	}
	if _, ok, err := p.Last("f"); !ok || err != nil || syncs == before {
		t.Fatalf("an epoch with a position: %v, %v, %d writes", ok, err, syncs-before)
	}
}

func TestAClosedStoreSaysSo(t *testing.T) {
	p := open(t, "state", Options{FS: vfs.NewMem()})
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	if _, _, err := p.Last("f"); !errors.Is(err, ErrClosed) {
		t.Fatal(err)
	}
	if err := p.SetControl("f", []Change{{Key: "k"}}); !errors.Is(err, ErrClosed) {
		t.Fatal(err)
	}
}

func TestOnlyAFolderOnDiskIsDurable(t *testing.T) {
	if !open(t, t.TempDir(), Options{}).Durable() {
		t.Error("a folder on disk is not durable")
	}
	if open(t, "state", Options{FS: vfs.NewMem()}).Durable() {
		t.Error("memory is durable")
	}
}

// TestReadOnlyLeavesTheFolderAsItIs: also one whose process was killed, whose
// log is read and not folded into tables.
func TestReadOnlyLeavesTheFolderAsItIs(t *testing.T) {
	whole := vfs.NewMem()
	want := fill(t, whole)
	killed := vfs.NewCrashableMem()
	p := open(t, "state", Options{FS: killed, memTable: 64 << 10})
	for _, c := range script(12) {
		if err := p.Commit(c); err != nil {
			t.Fatal(err)
		}
	}
	for name, fs := range map[string]vfs.FS{"closed": whole, "killed": killed.CrashClone(vfs.CrashCloneCfg{})} {
		before := contents(t, fs)
		p, err := Open("state", Options{FS: fs, ReadOnly: true})
		if err != nil {
			t.Fatal(name, err)
		}
		got, err := dump(p, scriptNames)
		if err != nil {
			t.Fatal(name, err)
		}
		if d := difference(got, want[len(want)-1]); d != "" {
			t.Errorf("%s: %s", name, d)
		}
		if err := p.SetControl("f", []Change{{Key: "k", Value: []byte("v")}}); err == nil {
			t.Errorf("%s: it was written to", name)
		}
		if err := p.Close(); err != nil {
			t.Fatal(name, err)
		}
		if d := difference(contents(t, fs), before); d != "" {
			t.Errorf("%s: a file has changed: %s", name, d)
		}
	}
	for _, o := range []Options{{FS: vfs.NewMem(), ReadOnly: true}} {
		if _, err := Open("state", o); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("a folder that is not there: %v", err)
		}
	}
}

func contents(t *testing.T, fs vfs.FS) map[string]string {
	t.Helper()
	files, err := fs.List("state")
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]string{}
	for _, f := range files {
		if f != "LOCK" {
			all[f] = string(read(t, fs, f))
		}
	}
	return all
}

// TestAMissingMarkerIsReported takes away what says where the database begins.
// Pebble takes a folder without it for a new one.
func TestAMissingMarkerIsReported(t *testing.T) {
	for _, commits := range []int{1, 12} {
		disk := vfs.NewMem()
		p := open(t, "state", Options{FS: disk, memTable: 64 << 10})
		for _, c := range script(commits) {
			if err := p.Commit(c); err != nil {
				t.Fatal(err)
			}
		}
		if err := p.Close(); err != nil {
			t.Fatal(err)
		}
		files, err := disk.List("state")
		if err != nil {
			t.Fatal(err)
		}
		for _, prefix := range []string{"marker.manifest.", "marker."} {
			fs := clone(t, disk)
			for _, file := range files {
				if strings.HasPrefix(file, prefix) {
					if err := fs.Remove("state/" + file); err != nil {
						t.Fatal(err)
					}
				}
			}
			for _, readOnly := range []bool{true, false} {
				if p, err := Open("state", Options{FS: fs, ReadOnly: readOnly}); !errors.Is(err, ErrDamaged) || !strings.Contains(err.Error(), "marker.manifest") {
					t.Errorf("behind %d commits, without %s*, read-only %v: %v", commits, prefix, readOnly, err)
					if err == nil {
						_ = p.Close()
					}
				}
			}
		}
	}
}

// TestAMissingFileIsReported takes each file away, and gives the folder the
// list of tables of another store. It must be said, or nothing must be missing
// but the last commits of a log.
func TestAMissingFileIsReported(t *testing.T) {
	whole := vfs.NewMem()
	want := fill(t, whole)
	files, err := whole.List("state")
	if err != nil {
		t.Fatal(err)
	}
	reported := 0
	look := func(what string, fs vfs.FS, mayLose bool) {
		t.Helper()
		got, err := reopen(fs)
		if err != nil {
			reported++
			if !strings.Contains(err.Error(), "state folder state") {
				t.Errorf("%s: unclear: %v", what, err)
			}
			return
		}
		if d := difference(got, want[len(want)-1]); d != "" && !(mayLose && afterCommits(want, got) >= 0) {
			t.Errorf("%s: not reported: %s", what, d)
		}
	}
	for _, file := range files {
		if file == "LOCK" {
			continue
		}
		fs := clone(t, whole)
		if err := fs.Remove("state/" + file); err != nil {
			t.Fatal(err)
		}
		look("without "+file, fs, strings.HasSuffix(file, ".log"))
	}
	other := vfs.NewMem()
	p := open(t, "state", Options{FS: other})
	if err := p.SetControl("g", []Change{{Key: "k", Value: []byte("v")}}); err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		if strings.HasPrefix(file, "MANIFEST") {
			fs := clone(t, whole)
			write(t, fs, file, read(t, other, "MANIFEST-000001"))
			look("with the manifest of another store as "+file, fs, false)
		}
	}
	t.Logf("%d reports on %d files", reported, len(files))
	if reported == 0 {
		t.Error("nothing was reported at all")
	}
}
