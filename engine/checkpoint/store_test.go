package checkpoint

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"pgregory.net/rapid"
)

// names are flows, stages, sources and keys that would run into each other if
// they were written one behind the other.
var names = []string{"a", "a\x00", "\x01a", "\xff\xff", strings.Repeat("n", 200)}

// dump reads all that a store keeps of the given names.
func dump(s Store, names []string) (map[string]string, error) {
	all := map[string]string{}
	flows, err := s.Flows()
	if err != nil {
		return nil, err
	}
	all["flows"] = fmt.Sprintf("%q", flows)
	for _, flow := range names {
		if err := dumpFlow(s, flow, names, all); err != nil {
			return nil, err
		}
	}
	return all, nil
}

func dumpFlow(s Store, flow string, names []string, all map[string]string) error {
	last, ok, err := s.Last(flow)
	if err != nil {
		return err
	}
	if ok {
		all[fmt.Sprintf("last %q", flow)] = fmt.Sprintf("%q %d %d", last.Flow, last.Epoch, last.Now)
		for name, p := range last.Positions {
			all[fmt.Sprintf("position %q %q", flow, name)] = fmt.Sprintf("%v %q %d", p.Bytes == nil, p.Bytes, p.Watermark)
		}
	}
	control, err := s.Control(flow)
	if err != nil {
		return err
	}
	for k, v := range control {
		all[fmt.Sprintf("control %q %q", flow, k)] = fmt.Sprint(v == nil) + string(v)
	}
	for _, name := range names {
		err := s.State(flow, name, func(k string, v []byte) error {
			at := fmt.Sprintf("state %q %q %q", flow, name, k)
			if _, twice := all[at]; twice {
				return fmt.Errorf("%s comes twice", at)
			}
			all[at] = fmt.Sprint(v == nil) + string(v)
			return nil
		})
		if err != nil {
			return err
		}
		for _, id := range names {
			v, ok, err := s.Verdict(flow, name, id)
			if err != nil {
				return err
			}
			if ok {
				all[fmt.Sprintf("verdict %q %q %q", flow, name, id)] = fmt.Sprintf("%+v", v)
			}
		}
	}
	return nil
}

// difference is the first entry in which two dumps differ, "" when none does.
func difference(got, want map[string]string) string {
	keys := slices.Sorted(maps.Keys(want))
	keys = slices.AppendSeq(keys, maps.Keys(got))
	for _, k := range keys {
		g, inGot := got[k]
		w, inWant := want[k]
		if g != w || inGot != inWant {
			return fmt.Sprintf("%s is %.200q, want %.200q", k, g, w)
		}
	}
	return ""
}

func drawChanges(t *rapid.T) []Change {
	return rapid.SliceOfN(rapid.Custom(func(t *rapid.T) Change {
		c := Change{Key: rapid.SampledFrom(names).Draw(t, "key")}
		if rapid.IntRange(0, 3).Draw(t, "delete") > 0 {
			c.Value = []byte(rapid.SampledFrom([]string{"", "x", "\x00\xff", strings.Repeat("v", 5000)}).Draw(t, "value"))
		}
		return c
	}), 0, 6).Draw(t, "changes")
}

func drawCommit(t *rapid.T) Commit {
	name := rapid.SampledFrom(names)
	c := Commit{
		Flow: name.Draw(t, "flow"), Epoch: rapid.Uint64().Draw(t, "epoch"), Now: rapid.Int64().Draw(t, "now"),
		Positions: map[string]Position{}, Restart: rapid.IntRange(0, 9).Draw(t, "restart") == 0,
	}
	for range rapid.IntRange(0, 3).Draw(t, "positions") {
		p := Position{Watermark: rapid.Int64().Draw(t, "watermark")}
		if rapid.Bool().Draw(t, "position") {
			p.Bytes = []byte(rapid.String().Draw(t, "bytes"))
		}
		c.Positions[name.Draw(t, "source")] = p
	}
	for range rapid.IntRange(0, 4).Draw(t, "deltas") {
		d := &Delta{Stage: name.Draw(t, "stage")}
		for _, ch := range drawChanges(t) {
			if ch.Value == nil {
				d.Delete(ch.Key)
			} else {
				d.Put(ch.Key, ch.Value)
			}
		}
		c.Deltas = append(c.Deltas, d)
	}
	for range rapid.IntRange(0, 4).Draw(t, "verdicts") {
		c.Verdicts = append(c.Verdicts, Verdict{
			Source: name.Draw(t, "source"), ID: name.Draw(t, "id"),
			Rejected: rapid.Bool().Draw(t, "rejected"), At: rapid.Int64Range(-3, 3).Draw(t, "at"),
		})
	}
	if rapid.Bool().Draw(t, "control") {
		c.Control = drawChanges(t)
	}
	return c
}

// TestPebbleKeepsWhatMemoryKeeps does the same to both stores, closes and
// opens one of them now and then, and compares everything after every step.
func TestPebbleKeepsWhatMemoryKeeps(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		o := Options{FS: vfs.NewMem(), memTable: 64 << 10}
		dir := "state"
		if rapid.IntRange(0, 4).Draw(t, "disk") == 0 {
			o.FS, dir = nil, tempDir(t)
		}
		want := NewMemory()
		got, err := Open(dir, o)
		if err != nil {
			t.Fatal(err)
		}
		defer func() {
			if got != nil {
				got.Close()
			}
		}()
		for range rapid.IntRange(1, 15).Draw(t, "steps") {
			flow, name := rapid.SampledFrom(names).Draw(t, "flow"), rapid.SampledFrom(names).Draw(t, "name")
			var do func(s Store) error
			switch rapid.IntRange(0, 10).Draw(t, "step") {
			default:
				c := drawCommit(t)
				do = func(s Store) error { return s.Commit(c) }
			case 5:
				changes := drawChanges(t)
				do = func(s Store) error { return s.SetControl(flow, changes) }
			case 6:
				before := rapid.Int64Range(-3, 4).Draw(t, "before")
				do = func(s Store) error { return s.Forget(flow, name, before) }
			case 7:
				do = func(s Store) error { return s.Drop(flow, name) }
			case 8:
				do = func(s Store) error { return s.Drop(flow, "") }
			case 9:
				do = func(s Store) error {
					if err := s.Move(flow, name); !errors.Is(err, ErrKept) {
						return err
					}
					return nil
				}
			case 10:
				if err := got.Close(); err != nil {
					t.Fatal(err)
				}
				if got, err = Open(dir, o); err != nil {
					t.Fatal(err)
				}
				do = func(Store) error { return nil }
			}
			if err := errors.Join(do(got), do(want)); err != nil {
				t.Fatal(err)
			}
			compare(t, got, want)
		}
	})
}

func tempDir(t *rapid.T) string {
	dir, err := os.MkdirTemp("", "telluride-state-*")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

func compare(t *rapid.T, got, want Store) {
	g, err := dump(got, names)
	if err != nil {
		t.Fatal(err)
	}
	w, err := dump(want, names)
	if err != nil {
		t.Fatal(err)
	}
	if d := difference(g, w); d != "" {
		t.Fatal(d)
	}
}

// stores are both kinds, for what the contract says of each.
func stores(t *testing.T, test func(t *testing.T, s Store)) {
	t.Run("memory", func(t *testing.T) { test(t, NewMemory()) })
	t.Run("pebble", func(t *testing.T) {
		s, err := Open("state", Options{FS: vfs.NewMem()})
		if err != nil {
			t.Fatal(err)
		}
		test(t, s)
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	})
}

func TestForgetTakesTheOldestAndComesToAnEnd(t *testing.T) {
	const all = sweep + 500
	stores(t, func(t *testing.T, s Store) {
		c := Commit{Flow: "f", Epoch: 1}
		for i := range all {
			c.Verdicts = append(c.Verdicts, Verdict{Source: "s", ID: fmt.Sprint(i), At: int64(i)})
		}
		if err := s.Commit(c); err != nil {
			t.Fatal(err)
		}
		kept := func(i int) bool {
			_, ok, err := s.Verdict("f", "s", fmt.Sprint(i))
			if err != nil {
				t.Fatal(err)
			}
			return ok
		}
		for call, first := range []int{sweep, all - 1, all - 1} {
			if err := s.Forget("f", "s", all-1); err != nil {
				t.Fatal(err)
			}
			if kept(first-1) || !kept(first) {
				t.Fatalf("after call %d the oldest verdict is not the one of %d", call+1, first)
			}
		}
	})
}

func TestTheErrorOfACallerEndsStateAndIsReturned(t *testing.T) {
	stores(t, func(t *testing.T, s Store) {
		d := &Delta{Stage: "w"}
		d.Put("a", nil)
		d.Put("b", nil)
		if err := s.Commit(Commit{Flow: "f", Deltas: []*Delta{d}}); err != nil {
			t.Fatal(err)
		}
		mine, calls := errors.New("mine"), 0
		err := s.State("f", "w", func(string, []byte) error { calls++; return mine })
		if !errors.Is(err, mine) || calls != 1 {
			t.Fatalf("%v after %d calls", err, calls)
		}
	})
}
