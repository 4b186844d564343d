package change

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fsnotify/fsnotify"
	"go.uber.org/goleak"
)

// noEvents is a system that cannot watch.
func noEvents(w *watcher) {
	w.notify = func() (*fsnotify.Watcher, error) { return nil, errors.New("too many open files") }
}

// both runs a test with events of the system and with polling.
func both(t *testing.T, test func(t *testing.T, how func(*watcher))) {
	t.Run("events", func(t *testing.T) { test(t, nil) })
	t.Run("polling", func(t *testing.T) { test(t, noEvents) })
}

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestAWriteIsAChange(t *testing.T) {
	both(t, func(t *testing.T, how func(*watcher)) {
		s := watch(t, how, "a.yaml")
		s.write("a.yaml", "1")
		s.host.expect(t, "a=1")
		s.write("a.yaml", "2")
		s.host.expect(t, "a=1 a=2")
		if c := s.host.changes[0]; c.File != s.path("a.yaml") || c.From != "file" {
			t.Errorf("change %+v", c)
		}
	})
}

func TestARenameOverTheFileIsAChange(t *testing.T) {
	s := watch(t, nil, "a.yaml")
	for i := 1; i <= 3; i++ {
		// As vim does it: the old file steps aside, a new one takes its place.
		s.must(os.Rename(s.path("a.yaml"), s.path("a.yaml~")))
		s.write("a.yaml", fmt.Sprint(i))
		s.must(os.Remove(s.path("a.yaml~")))
		s.host.expect(t, "a=1 a=2 a=3"[:4*i-1])
	}
	// As many other editors do it: a new file is renamed over it.
	s.write(".a.yaml.swp", "4")
	s.must(os.Rename(s.path(".a.yaml.swp"), s.path("a.yaml")))
	s.host.expect(t, "a=1 a=2 a=3 a=4")
}

func TestAFileThatIsWrittenInPiecesIsOneChange(t *testing.T) {
	both(t, func(t *testing.T, how func(*watcher)) {
		s := watch(t, how, ".")
		f, err := os.Create(s.path("a.yaml"))
		s.must(err)
		for _, piece := range []string{"half", ": ", "done"} {
			_, err := f.WriteString(piece)
			s.must(err)
		}
		s.must(f.Close())
		s.host.expect(t, "a=half: done")
	})
}

// A writer that pauses longer than the quiet time is given until AtMost.
func TestWhatLooksHalfWrittenIsGivenTime(t *testing.T) {
	both(t, func(t *testing.T, how func(*watcher)) {
		s := watch(t, how, ".")
		s.write("a.yaml", "half")
		s.write("b.yaml", "1")
		// b has been quiet for long enough, and so has a.
		s.host.expect(t, "b=1")
		s.write("a.yaml", "whole")
		s.host.expect(t, "b=1 a=whole")
	})
}

func TestWhatStaysHalfWrittenIsSubmittedAtLast(t *testing.T) {
	s := watch(t, func(w *watcher) { w.o.AtMost = 300 * time.Millisecond }, ".")
	s.write(".half", "half") // and then the whole write at once
	s.must(os.Rename(s.path(".half"), s.path("a.yaml")))
	s.host.expect(t, "a=half")
}

func TestASwappedLinkIsAChange(t *testing.T) {
	both(t, func(t *testing.T, how func(*watcher)) {
		// What Kubernetes makes of a config map.
		s := &scene{t: t, folder: t.TempDir(), host: &host{}, log: &lines{}}
		s.must(os.Mkdir(s.path("..1"), 0o755))
		s.write("..1/a.yaml", "0")
		s.must(os.Symlink("..1", s.path("..data")))
		s.must(os.Symlink("..data/a.yaml", s.path("a.yaml")))
		s.run(how, ".")
		for i := 2; i <= 4; i++ {
			s.must(os.Mkdir(s.path(fmt.Sprintf("..%d", i)), 0o755))
			s.write(fmt.Sprintf("..%d/a.yaml", i), fmt.Sprint(i))
			s.must(os.Symlink(fmt.Sprintf("..%d", i), s.path("..tmp")))
			s.must(os.Rename(s.path("..tmp"), s.path("..data")))
			s.must(os.RemoveAll(s.path(fmt.Sprintf("..%d", i-1))))
			s.host.expect(t, "a=2 a=3 a=4"[:4*(i-1)-1])
		}
	})
}

func TestAFolderThatIsALinkMaySwap(t *testing.T) {
	s := &scene{t: t, folder: t.TempDir(), host: &host{}, log: &lines{}}
	for _, rev := range []string{"1", "2"} {
		s.must(os.Mkdir(s.path(rev), 0o755))
		s.write(rev+"/a.yaml", rev)
	}
	s.write("2/b.yaml", "2")
	s.must(os.Symlink("1", s.path("flows")))
	s.run(nil, "flows")
	s.must(os.Symlink("2", s.path("next")))
	s.must(os.Rename(s.path("next"), s.path("flows")))
	s.host.expect(t, "a=2 b=2")
	// The new folder is watched, and the old one is not any more.
	s.write("1/a.yaml", "old")
	s.write("2/a.yaml", "3")
	s.host.expect(t, "a=2 b=2 a=3")
}

func TestTheTargetOfALinkIsWatched(t *testing.T) {
	s := &scene{t: t, folder: t.TempDir(), host: &host{}, log: &lines{}}
	s.must(os.Mkdir(s.path("far"), 0o755))
	s.must(os.Mkdir(s.path("near"), 0o755))
	s.write("far/real.yaml", "0")
	s.must(os.Symlink("../far/real.yaml", s.path("near/a.yaml")))
	s.run(nil, "near/a.yaml")
	s.write("far/real.yaml", "1")
	s.host.expect(t, "a=1")
}

func TestFilesComeAndGoInAFolder(t *testing.T) {
	both(t, func(t *testing.T, how func(*watcher)) {
		s := watch(t, how, ".")
		s.write("notes.txt", "no flow")
		s.write(".hidden.yaml", "no flow")
		s.write("a_test.yaml", "no flow")
		s.must(os.Mkdir(s.path("folder.yaml"), 0o755))
		s.write("b.yaml", "1")
		s.host.expect(t, "b=1")
		s.must(os.Remove(s.path("a.yaml")))
		s.host.expect(t, "b=1 -a")
		s.write("a.yaml", "0")
		s.host.expect(t, "b=1 -a a=0")
		s.must(os.Rename(s.path("b.yaml"), s.path("c.yaml")))
		s.host.expect(t, "b=1 -a a=0 c=1 -b")
		s.settle("b=1 -a a=0 c=1 -b")
	})
}

func TestARenamedFileKeepsItsFlow(t *testing.T) {
	both(t, func(t *testing.T, how func(*watcher)) {
		s := &scene{t: t, folder: t.TempDir(), host: &host{}, log: &lines{}}
		s.write("a.yaml", "name: x")
		s.run(how, ".")
		s.must(os.Rename(s.path("a.yaml"), s.path("b.yaml")))
		s.host.expect(t, "b=name: x")
		s.settle("b=name: x")
		s.must(os.Remove(s.path("b.yaml")))
		s.host.expect(t, "b=name: x zz=end -b")
		if c := s.host.changes[2]; c.Flow != "x" {
			t.Errorf("change %+v", c)
		}
	})
}

func TestASecondFileForAFlowIsLeftOut(t *testing.T) {
	s := &scene{t: t, folder: t.TempDir(), host: &host{}, log: &lines{}}
	s.write("a.yaml", "name: x")
	s.run(nil, ".")
	s.write("b.yaml", "name: x")
	s.settle("")
	s.write("a.yaml", "1") // flow x has no file now
	s.host.expect(t, "zz=end a=1 b=name: x")
	if want := `path=` + s.path("b.yaml") + ` error="flow \"x\" is that of ` + s.path("a.yaml"); strings.Count(s.log.String(), want) != 1 {
		t.Errorf("said %s", s.log)
	}
}

func TestAFileThatNeverBecameAFlowEndsNone(t *testing.T) {
	s := watch(t, nil, ".")
	s.write("b.yaml", "bad")
	s.host.expect(t, "b=bad")
	s.must(os.Remove(s.path("b.yaml")))
	s.write("a.yaml", "bad")
	s.host.expect(t, "b=bad a=bad")
	s.must(os.Remove(s.path("a.yaml")))
	s.host.expect(t, "b=bad a=bad -a")
}

func TestAFileThatComesBackWasEdited(t *testing.T) {
	s := watch(t, func(w *watcher) { w.o.Quiet = time.Second }, ".")
	s.must(os.Remove(s.path("a.yaml")))
	s.write("a.yaml", "1")
	s.host.expect(t, "a=1")
	s.must(os.Remove(s.path("a.yaml")))
	s.write("a.yaml", "1")
	s.settle("a=1")
}

func TestAFileThatWasNamedMayGo(t *testing.T) {
	both(t, func(t *testing.T, how func(*watcher)) {
		s := watch(t, how, "a.yaml")
		s.must(os.Remove(s.path("a.yaml")))
		for end := time.Now().Add(patience); !strings.Contains(s.log.String(), "the file is gone"); {
			if time.Now().After(end) {
				t.Fatalf("said %q", s.log)
			}
			time.Sleep(2 * time.Millisecond)
		}
		s.write("a.yaml", "1")
		s.host.expect(t, "a=1")
	})
}

// A mount that is away for a while is no reason to end every flow.
func TestAFolderThatIsAwayEndsNoFlow(t *testing.T) {
	both(t, func(t *testing.T, how func(*watcher)) {
		s := &scene{t: t, folder: t.TempDir(), host: &host{}, log: &lines{}}
		s.must(os.Mkdir(s.path("flows"), 0o755))
		s.write("flows/a.yaml", "0")
		s.run(how, "flows")
		s.must(os.Rename(s.path("flows"), s.path("away")))
		for end := time.Now().Add(patience); !strings.Contains(s.log.String(), "folder cannot be read"); {
			if time.Now().After(end) {
				t.Fatalf("said %q", s.log)
			}
			time.Sleep(2 * time.Millisecond)
		}
		s.write("away/b.yaml", "1")
		s.must(os.Rename(s.path("away"), s.path("flows")))
		s.host.expect(t, "b=1")
		s.write("flows/a.yaml", "1")
		s.host.expect(t, "b=1 a=1")
		if n := strings.Count(s.log.String(), "folder cannot be read"); n != 1 {
			t.Errorf("said %d times: %s", n, s.log)
		}
	})
}

func TestTheSameContentIsNoChange(t *testing.T) {
	both(t, func(t *testing.T, how func(*watcher)) {
		s := watch(t, how, ".")
		s.write("a.yaml", "0")
		s.must(os.Chtimes(s.path("a.yaml"), time.Time{}, time.Now()))
		s.settle("")
	})
}

func TestTheLastOfManyWritesWins(t *testing.T) {
	both(t, func(t *testing.T, how func(*watcher)) {
		s := watch(t, how, ".")
		for i := range 100 {
			s.write("a.yaml", fmt.Sprintf("write %d", i))
		}
		for end := time.Now().Add(patience); !strings.HasSuffix(s.host.said(), "a=write 99"); {
			if time.Now().After(end) {
				t.Fatalf("submitted %q", s.host.said())
			}
			time.Sleep(2 * time.Millisecond)
		}
		s.settle(s.host.said())
	})
}

func TestOneChangeOfAFileIsOnItsWay(t *testing.T) {
	s := &scene{t: t, folder: t.TempDir(), host: &host{hold: make(chan struct{})}, log: &lines{}}
	s.write("a.yaml", "0")
	s.run(nil, ".")
	s.write("a.yaml", "1")
	s.host.expect(t, "a=1")
	s.write("a.yaml", "2")
	s.write("b.yaml", "1")
	s.host.expect(t, "a=1 b=1")
	s.write("a.yaml", "3")
	s.write("c.yaml", "1")
	s.host.expect(t, "a=1 b=1 c=1")
	close(s.host.hold)
	s.host.expect(t, "a=1 b=1 c=1 a=3")
}

func TestWhatIsWrittenBeforeTheWatchBeginsIsNoticed(t *testing.T) {
	s := &scene{t: t, folder: t.TempDir(), host: &host{}, log: &lines{}}
	s.write("a.yaml", "0")
	s.run(func(*watcher) {
		s.write("a.yaml", "1")
		s.write("b.yaml", "1")
	}, ".")
	s.host.expect(t, "a=1 b=1")
}

func TestABigFileIsCut(t *testing.T) {
	s := watch(t, nil, ".")
	s.write("a.yaml", strings.Repeat("x", 200))
	s.host.expect(t, "a="+strings.Repeat("x", 101))
}

func TestPipesAndUnreadableFilesAreLeftAlone(t *testing.T) {
	s := watch(t, nil, ".")
	s.must(os.Symlink("/dev/zero", s.path("b.yaml")))
	s.must(os.Symlink("nowhere", s.path("c.yaml")))
	s.must(os.Symlink("d.yaml", s.path("d.yaml")))
	s.settle("")
}

func TestPollingIsSaidOnce(t *testing.T) {
	s := watch(t, noEvents, ".")
	s.write("a.yaml", "1")
	s.host.expect(t, "a=1")
	if n := strings.Count(s.log.String(), "does not tell of writes"); n != 1 {
		t.Errorf("said %d times: %s", n, s.log)
	}
}

// The quiet time and its bound, to the millisecond: writes every 100 ms keep
// a change back for a second, and no longer.
func TestAChangeWaitsForQuietButNotForLong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		w := newWatcher(nil, WatchOptions{Quiet: 150 * time.Millisecond, AtMost: time.Second})
		w.touch(began)
		if got := w.due().Sub(began); got != 150*time.Millisecond {
			t.Errorf("one write is due after %v", got)
		}
		for range 9 {
			time.Sleep(100 * time.Millisecond)
			w.touch(time.Now())
		}
		if got := w.due().Sub(began); got != time.Second {
			t.Errorf("many writes are due after %v", got)
		}
	})
}
