package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// supervised runs flows like a supervisor does that starts the process again
// whenever it ends without order.
type supervised struct {
	t    *testing.T
	dir  string
	log  bytes.Buffer
	ends int // without order
}

func (s *supervised) write(name, text string) string {
	s.t.Helper()
	path := filepath.Join(s.dir, name)
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		s.t.Fatal(err)
	}
	return path
}

func (s *supervised) command(args ...string) *exec.Cmd {
	cmd := exec.Command("telluride-mortal", append(args, "--state-dir", filepath.Join(s.dir, "state"))...)
	cmd.Dir = s.dir
	cmd.Env = append(os.Environ(), "GORACE=atexit_sleep_ms=0")
	cmd.Stdout, cmd.Stderr = io.Discard, &s.log
	return cmd
}

// untilItEnds runs until the input ends, but no more often than most times.
func (s *supervised) untilItEnds(most int, flows ...string) {
	s.t.Helper()
	for ; s.ends < most; s.ends++ {
		cmd := s.command(append([]string{"run", "--http", "off"}, flows...)...)
		switch err := cmd.Run(); {
		case err == nil:
			return
		case !errors.As(err, new(*exec.ExitError)):
			s.t.Fatal(err)
		}
	}
	s.t.Fatalf("the process has ended %d times; the end of what it said:\n%s", s.ends, s.tail())
}

func (s *supervised) tail() string {
	text := s.log.String()
	return text[max(0, len(text)-6000):]
}

// lines are the objects of a file, each line with how often it is there.
func (s *supervised) lines(name string) map[string]int {
	s.t.Helper()
	text, err := os.ReadFile(filepath.Join(s.dir, name))
	if err != nil {
		s.t.Fatal(err)
	}
	all := map[string]int{}
	for line := range strings.Lines(string(text)) {
		all[strings.TrimSpace(line)]++
	}
	return all
}

// poisoned are records of which some end the process; the dead are those.
func poisoned(n int, deadly map[int]string) (all, good, dead []string) {
	for i := range n {
		r := fmt.Sprintf(`{"n":%d,"key":"k%d","at":"%s"}`, i, i%7, time.Unix(int64(1714564800+i/50), 0).UTC().Format(time.RFC3339))
		if how := deadly[i]; how != "" {
			r = fmt.Sprintf(`{"n":%d,"key":"k%d","at":"2024-05-01T12:00:00Z","how":"%s"}`, i, i%7, how)
			dead = append(dead, r)
		} else {
			good = append(good, r)
		}
		all = append(all, r)
	}
	return all, good, dead
}

const poisonFile = `name: poisoned
source:
  file: {path: in.ndjson}
  time: {field: at, out_of_order: 1h}
stages:
  - mortal: {}
  - route:
      match: all
      branches:
        - name: each
          when: "n >= 0"
          sink: {name: each, file: {path: each.ndjson, mode: append}}
        - name: sums
          when: "n >= 0"
          stages:
            - partition: {by: key, lanes: 3}
            - window: {by: key, tumbling: 1d, aggregate: {count: "count()", sum: "sum(n)"}}
sink: {name: sums, file: {path: sums.ndjson}}
dead_letter: {file: {path: dead.ndjson, mode: append}}
checkpoint: {interval: 100ms}
`

// TestRecordsThatEndTheProcessAreDeadLetters: the first record, neighbours, one
// in the middle and the last, each in another way.
func TestRecordsThatEndTheProcessAreDeadLetters(t *testing.T) {
	if testing.Short() {
		t.Skip("it ends some twenty processes")
	}
	s := &supervised{t: t, dir: t.TempDir()}
	all, good, dead := poisoned(3000, map[int]string{0: "killed", 1200: "exits", 1201: "panics", 2999: "overflow"})
	s.write("in.ndjson", strings.Join(all, "\n")+"\n")
	s.untilItEnds(60, s.write("poisoned.yaml", poisonFile))
	t.Logf("the process ended %d times", s.ends)
	s.checkLetters("dead.ndjson", dead)
	// Results may repeat where a process ended; none may be missing or foreign.
	got := s.lines("each.ndjson")
	if keys := slices.Sorted(maps.Keys(got)); !slices.Equal(keys, slices.Sorted(slices.Values(good))) {
		t.Errorf("%d different records came through, want %d", len(keys), len(good))
	}
	counts, sums := map[string]int{}, map[string]int{}
	for _, r := range good {
		v := parsed(t, r)
		counts[v.Key]++
		sums[v.Key] += v.N
	}
	results := s.lines("sums.ndjson")
	if len(results) != len(counts) {
		t.Errorf("%d results, want %d: %v", len(results), len(counts), results)
	}
	for line := range results {
		if v := parsed(t, line); v.Count != counts[v.Key] || v.Sum != sums[v.Key] {
			t.Errorf("%s, want count %d and sum %d", line, counts[v.Key], sums[v.Key])
		}
	}
}

type poisonRecord struct {
	N          int
	Key        string
	Count, Sum int
}

func parsed(t *testing.T, line string) (r poisonRecord) {
	t.Helper()
	if err := json.Unmarshal([]byte(line), &r); err != nil {
		t.Fatalf("%s: %v", line, err)
	}
	return r
}

// checkLetters checks that the dead letters of a file are those records, each
// once, with the reason.
func (s *supervised) checkLetters(name string, want []string) {
	s.t.Helper()
	var got []string
	for line, n := range s.lines(name) {
		var l struct {
			Payload, Reason, Stage string
			Attempts               int
		}
		if err := json.Unmarshal([]byte(line), &l); err != nil {
			s.t.Fatalf("%s: %v", line, err)
		}
		if n != 1 || l.Attempts != 3 || l.Reason != "the process ended 3 times while this record was alone in flight" {
			s.t.Errorf("%d times, %d attempts: %s", n, l.Attempts, line)
		}
		got = append(got, l.Payload)
	}
	slices.Sort(got)
	want = slices.Sorted(slices.Values(want))
	if !slices.Equal(got, want) {
		s.t.Errorf("dead letters\n%v, want\n%v\n%s", got, want, s.tail())
	}
}
