package checkpoint

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"
)

var scriptNames = []string{"f", "w", "s", "k0", "k1", "k2", "k3"}

// script is a run of commits of one flow. Each changes something of every
// kind, so that half of one shows. Some are larger than the memtable of the
// tests.
func script(n int) []Commit {
	r := rand.New(rand.NewPCG(1, uint64(n)))
	var all []Commit
	for i := range n {
		d := &Delta{Stage: "w"}
		for k := range 4 {
			value := make([]byte, 1+r.IntN(6000))
			if i%5 == 3 {
				value = make([]byte, 30_000)
			}
			for b := range value {
				value[b] = byte(r.Uint32())
			}
			d.Put(fmt.Sprintf("k%d", k), value)
		}
		if i%3 == 2 {
			d.Delete("k1")
		}
		all = append(all, Commit{
			Flow: "f", Epoch: uint64(i + 1), Now: int64(i), Deltas: []*Delta{d},
			Positions: map[string]Position{"s": {Bytes: []byte{byte(i)}, Watermark: int64(i)}},
			Verdicts:  []Verdict{{Source: "s", ID: fmt.Sprintf("k%d", i%4), At: int64(i), Rejected: i%2 == 0}},
			Control:   []Change{{Key: "version", Value: []byte{byte(i)}}},
		})
	}
	return all
}

// expected is what a store keeps after 0, 1, 2, … commits.
func expected(t *testing.T, commits []Commit) []map[string]string {
	t.Helper()
	m := NewMemory()
	var all []map[string]string
	for i := range len(commits) + 1 {
		d, err := dump(m, scriptNames)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, d)
		if i < len(commits) {
			m.Commit(commits[i])
		}
	}
	return all
}

// afterCommits says after how many commits a store keeps this, -1 if never.
func afterCommits(want []map[string]string, got map[string]string) int {
	return slices.IndexFunc(want, func(w map[string]string) bool { return difference(got, w) == "" })
}

// TestACrashLosesNothingThatWasCommitted takes a picture of the disk before
// every write of a run, as a power failure would leave it: of what was not
// synced, nothing, some or all of it is there.
func TestACrashLosesNothingThatWasCommitted(t *testing.T) {
	commits := script(16)
	want := expected(t, commits)
	type picture struct {
		fs       *vfs.MemFS
		from, to int // commits that had returned before, and after
	}
	var (
		mu       sync.Mutex
		pictures []picture
		returned atomic.Int64
		done     atomic.Bool
	)
	disk := vfs.NewCrashableMem()
	fs := errorfs.Wrap(disk, errorfs.InjectorFunc(func(op errorfs.Op) error {
		if op.Kind.ReadOrWrite() != errorfs.OpIsWrite || done.Load() {
			return nil
		}
		mu.Lock()
		defer mu.Unlock()
		n := len(pictures)
		p := picture{from: int(returned.Load())}
		p.fs = disk.CrashClone(vfs.CrashCloneCfg{
			UnsyncedDataPercent: []int{0, 30, 70, 100}[n%4], RNG: rand.New(rand.NewPCG(2, uint64(n))),
		})
		p.to = int(returned.Load()) + 1
		pictures = append(pictures, p)
		return nil
	}))
	for half := range 2 { // with a restart between
		p, err := Open("state", Options{FS: fs, memTable: 64 << 10})
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range commits[half*8 : half*8+8] {
			if err := p.Commit(c); err != nil {
				t.Fatal(err)
			}
			returned.Add(1)
		}
		if err := p.Close(); err != nil {
			t.Fatal(err)
		}
	}
	done.Store(true)
	for i, p := range pictures {
		got, err := reopen(p.fs)
		if err != nil {
			t.Fatalf("write %d: %v", i, err)
		}
		if n := afterCommits(want, got); n < p.from || n > p.to {
			t.Fatalf("write %d: the folder is as after commit %d, want %d to %d", i, n, p.from, p.to)
		}
	}
	t.Logf("%d pictures", len(pictures))
}

// TestAFaultNeverLeavesHalfACommit lets operation i of the file system fail,
// for i = 0, 1, 2, … until a run is clean: once, or from then on as with a
// full disk. A commit returned an error or is there, after opening the folder
// again in the same process and after a crash.
func TestAFaultNeverLeavesHalfACommit(t *testing.T) {
	commits := script(8)
	want := expected(t, commits)
	for _, lasting := range []bool{false, true} {
		t.Run(fmt.Sprintf("lasting=%v", lasting), func(t *testing.T) {
			step := 1
			if testing.Short() {
				step = 7
			}
			for i := 0; ; i += step {
				if !faultAt(t, i, lasting, commits, want) {
					t.Logf("%d operations", i)
					return
				}
			}
		})
	}
}

// faultAt runs the script with a fault at operation i and says whether there
// was one.
func faultAt(t *testing.T, i int, lasting bool, commits []Commit, want []map[string]string) bool {
	t.Helper()
	disk := vfs.NewCrashableMem()
	var ops, faults atomic.Int64
	var on atomic.Bool
	on.Store(true)
	fs := errorfs.Wrap(disk, errorfs.InjectorFunc(func(op errorfs.Op) error {
		n := int(ops.Add(1)) - 1
		if !on.Load() || n < i || n > i && (!lasting || op.Kind.ReadOrWrite() == errorfs.OpIsRead) {
			return nil
		}
		faults.Add(1)
		return fmt.Errorf("operation %d: %w", i, errorfs.ErrInjected)
	}))
	committed, failed := 0, error(nil)
	p, err := Open("state", Options{FS: fs, memTable: 64 << 10})
	if err == nil {
		for _, c := range commits {
			if failed = p.Commit(c); failed != nil {
				break
			}
			committed++
		}
		if err := p.Close(); err == nil && failed != nil {
			t.Fatalf("fault at %d: Close returned nothing after %v", i, failed)
		}
	} else if failed = err; !errors.Is(err, errorfs.ErrInjected) {
		t.Fatalf("fault at %d: Open hides the cause: %v", i, err)
	}
	on.Store(false)
	most := committed
	if failed != nil {
		most++
	}
	crashed := disk.CrashClone(vfs.CrashCloneCfg{})
	for name, fs := range map[string]vfs.FS{"the same process": disk, "a crash": crashed} {
		got, err := reopen(fs)
		if err != nil {
			t.Fatalf("fault at %d, then %s: %v (the run ended with %v)", i, name, err, failed)
		}
		if n := afterCommits(want, got); n < committed || n > most {
			t.Fatalf("fault at %d, then %s: as after commit %d, want %d to %d (the run ended with %v)",
				i, name, n, committed, most, failed)
		}
	}
	return faults.Load() > 0
}

func TestAStoppedStoreSaysWhyAndUnlocksItsFolder(t *testing.T) {
	disk := vfs.NewMem()
	full := errors.New("no space left on device")
	var broken atomic.Bool
	fs := errorfs.Wrap(disk, errorfs.InjectorFunc(func(op errorfs.Op) error {
		if broken.Load() && op.Kind.ReadOrWrite() == errorfs.OpIsWrite {
			return full
		}
		return nil
	}))
	p, err := Open("state", Options{FS: fs})
	if err != nil {
		t.Fatal(err)
	}
	control := []Change{{Key: "k", Value: []byte("v")}}
	if err := p.SetControl("f", control); err != nil {
		t.Fatal(err)
	}
	broken.Store(true)
	err = p.Commit(Commit{Flow: "f", Control: control})
	if !errors.Is(err, ErrStopped) || !errors.Is(err, full) {
		t.Fatal(err)
	}
	broken.Store(false)
	if _, err := p.Control("f"); !errors.Is(err, ErrStopped) || !errors.Is(err, full) {
		t.Fatalf("a stopped store reads: %v", err)
	}
	if err := p.Close(); !errors.Is(err, full) {
		t.Fatalf("Close hides it: %v", err)
	}
	again := open(t, "state", Options{FS: fs})
	if c, err := again.Control("f"); err != nil || string(c["k"]) != "v" {
		t.Fatal(c, err)
	}
}
