package main

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"io"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"
)

// leaksNothing returns a function that waits until every goroutine has ended
// that was started meanwhile. Those of tests before may still be about to end.
func leaksNothing(t *testing.T) func() {
	before := goleak.IgnoreCurrent()
	return func() {
		t.Helper()
		err := goleak.Find(before) // which waits for less than half a second
		for end := time.Now().Add(patience); err != nil && time.Now().Before(end); {
			err = goleak.Find(before)
		}
		if err != nil {
			t.Error(err)
		}
	}
}

// fake is a process for tests: no terminal, and signals come from the test.
type fake struct {
	out, err buffer
	signals  chan os.Signal
	grace    time.Duration
}

func newFake() *fake { return &fake{signals: make(chan os.Signal, 2), grace: 5 * time.Second} }

func (f *fake) execute(args ...string) int {
	return execute(args, program{
		stdin: strings.NewReader(""), stdout: &f.out, stderr: &f.err,
		env:     func(string) (string, bool) { return "", false },
		signals: func() (<-chan os.Signal, func()) { return f.signals, func() {} },
		grace:   f.grace,
	})
}

// buffer may be written and read at once. It calls wrote, if set, behind every write.
type buffer struct {
	mu    sync.Mutex
	b     bytes.Buffer
	wrote func(all string)
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	b.b.Write(p)
	all := b.b.String()
	b.mu.Unlock()
	if b.wrote != nil {
		b.wrote(all)
	}
	return len(p), nil
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

func write(t *testing.T, text string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "flow.yaml")
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return file
}

const endless = `
source:
  generate: {rows: {index: "index"}, every: 1ms}
stages:
  - partition: {by: index, lanes: 3}
sink:
  stdout: {}
`

func TestAFiniteFlowEndsByItself(t *testing.T) {
	defer leaksNothing(t)()
	f := newFake()
	file := write(t, strings.Replace(endless, "every: 1ms", "every: 1ms, count: 50, realtime: false", 1))
	if code := f.execute("run", file, "--summary", "json"); code != exitFine {
		t.Fatalf("exit code %d: %s", code, &f.err)
	}
	if n := strings.Count(f.out.String(), "\n"); n != 50 {
		t.Errorf("%d results, want 50", n)
	}
	if s := summaryOf(t, f); s.Outcome != ended || s.Records != 50 || s.Results != 50 || !s.Balanced {
		t.Errorf("summary %+v", s)
	}
}

func TestTheFirstSignalDrains(t *testing.T) {
	defer leaksNothing(t)()
	for _, sig := range []os.Signal{syscall.SIGINT, syscall.SIGTERM} {
		f := newFake()
		var once sync.Once
		f.out.wrote = func(string) { once.Do(func() { f.signals <- sig }) }
		if code := f.execute("run", write(t, endless), "--summary", "json"); code != exitFine {
			t.Fatalf("%v: exit code %d: %s", sig, code, &f.err)
		}
		s := summaryOf(t, f)
		if n := strings.Count(f.out.String(), "\n"); s.Outcome != drained || uint64(n) != s.Records || s.Unsaved != 0 {
			t.Errorf("%v: %d results of summary %+v", sig, n, s)
		}
		if !strings.Contains(f.err.String(), sig.String()+": draining (up to 30s; again to abort)…") {
			t.Errorf("%v: said %s", sig, &f.err)
		}
	}
}

// A sink that never takes anything: no drain can end.
const stuck = `
source:
  generate: {rows: {index: "index"}, every: 1ms}
sink:
  file: {path: /dev/full}
`

func TestTheSecondSignalAborts(t *testing.T) {
	defer leaksNothing(t)()
	f := newFake()
	var first, second sync.Once
	f.err.wrote = func(all string) {
		if strings.Contains(all, "trying again") {
			first.Do(func() { f.signals <- syscall.SIGINT })
		}
		if strings.Contains(all, "draining") {
			second.Do(func() { f.signals <- syscall.SIGINT })
		}
	}
	if code := f.execute("run", write(t, stuck), "--summary", "json"); code != exitFailed {
		t.Fatalf("exit code %d: %s", code, &f.err)
	}
	if s := summaryOf(t, f); s.Outcome != aborted || s.Unsaved == 0 {
		t.Errorf("summary %+v", s)
	}
}

func TestTheDrainTimeoutAborts(t *testing.T) {
	defer leaksNothing(t)()
	f := newFake()
	var first sync.Once
	f.err.wrote = func(all string) {
		if strings.Contains(all, "trying again") {
			first.Do(func() { f.signals <- syscall.SIGTERM })
		}
	}
	if code := f.execute("run", write(t, stuck), "--drain-timeout", "50ms"); code != exitFailed {
		t.Fatalf("exit code %d: %s", code, &f.err)
	}
	for _, want := range []string{"flow: not drained after 50ms", "flow: aborted after", "read and not acknowledged"} {
		if !strings.Contains(f.err.String(), want) {
			t.Errorf("not said: %s\n%s", want, &f.err)
		}
	}
}

// A write that never returns cannot be interrupted: the program ends all the
// same, and says what it leaves behind.
func TestAFlowThatDoesNotEndIsGivenUp(t *testing.T) {
	defer leaksNothing(t)()
	f := newFake()
	f.grace = 10 * time.Millisecond
	release, released := make(chan struct{}), make(chan struct{})
	var once sync.Once
	f.out.wrote = func(string) {
		once.Do(func() {
			f.signals <- syscall.SIGINT
			f.signals <- syscall.SIGINT
			<-release
			close(released)
		})
	}
	if code := f.execute("run", write(t, endless)); code != exitFailed {
		t.Fatalf("exit code %d: %s", code, &f.err)
	}
	if !strings.Contains(f.err.String(), "flow: a source or sink does not let go") {
		t.Errorf("said %s", &f.err)
	}
	close(release)
	<-released
}

func summaryOf(t *testing.T, f *fake) flowReport {
	t.Helper()
	lines := strings.Split(strings.TrimSpace(f.err.String()), "\n")
	var s struct{ Flows []flowReport }
	if err := json.Unmarshal([]byte(lines[len(lines)-1]), &s); err != nil || len(s.Flows) != 1 {
		t.Fatalf("no summary of one flow (%v): %s", err, &f.err)
	}
	return s.Flows[0]
}

// day is a row of the result of flows/seattle_weather.yaml.
type day struct {
	Start string `json:"window_start"`
	Hours int
	Mean  float64
	Min   float64
	Max   float64
}

// TestSeattleWeather compares the shipped flow with a plain computation.
func TestSeattleWeather(t *testing.T) {
	t.Chdir(filepath.Join("..", ".."))
	f := newFake()
	if code := f.execute("run", "flows/seattle_weather.yaml", "--summary", "json"); code != exitFine {
		t.Fatalf("exit code %d: %s", code, &f.err)
	}
	if s := summaryOf(t, f); s.Records != 8759 || s.DeadLetters != 0 || s.Late != 0 || !s.Balanced {
		t.Errorf("summary %+v", s)
	}
	var got []day
	for dec := json.NewDecoder(strings.NewReader(f.out.String())); ; {
		var d day
		if err := dec.Decode(&d); err == io.EOF {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		got = append(got, d)
	}
	want := daysOf(t, "testdata/seattle-weather-hourly-normals.csv")
	if len(got) != len(want) || len(want) != 365 {
		t.Fatalf("%d days, want %d, and those to be 365", len(got), len(want))
	}
	for i, w := range want {
		g := got[i]
		if g.Start != w.Start || g.Hours != w.Hours || g.Min != w.Min || g.Max != w.Max || math.Abs(g.Mean-w.Mean) > 1e-9 {
			t.Errorf("day %d is %+v, want %+v", i, g, w)
		}
	}
}

func daysOf(t *testing.T, file string) []day {
	t.Helper()
	src, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer src.Close()
	rows, err := csv.NewReader(src).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	var days []day
	for _, row := range rows[1:] {
		start := row[0][:len("2010-01-01")] + "T00:00:00Z"
		x, err := strconv.ParseFloat(row[2], 64)
		if err != nil {
			t.Fatal(err)
		}
		if len(days) == 0 || days[len(days)-1].Start != start {
			days = append(days, day{Start: start, Min: x, Max: x})
		}
		d := &days[len(days)-1]
		d.Hours++
		d.Mean += x
		d.Min, d.Max = min(d.Min, x), max(d.Max, x)
	}
	for i := range days {
		days[i].Mean /= float64(days[i].Hours)
	}
	return days
}

// TestReadingsFile compares the shipped flow with a plain computation.
func TestReadingsFile(t *testing.T) {
	t.Chdir(filepath.Join("..", ".."))
	type window struct{ sensor, start string }
	type values struct {
		Readings       int
		Min, Max, Mean float64
	}
	want := map[window]values{}
	src, err := os.ReadFile("testdata/readings.ndjson")
	if err != nil {
		t.Fatal(err)
	}
	lines := 0
	for line := range strings.Lines(string(src)) {
		var r struct {
			ID        string    `json:"sensor_id"`
			Reading   float64   `json:"reading"`
			Timestamp time.Time `json:"timestamp"`
		}
		if err := json.Unmarshal([]byte(line), &r); err != nil {
			t.Fatal(err)
		}
		key := window{r.ID, r.Timestamp.UTC().Truncate(10 * time.Second).Format(time.RFC3339)}
		v, seen := want[key]
		if !seen {
			v.Min, v.Max = r.Reading, r.Reading
		}
		v.Readings++
		v.Mean += r.Reading
		v.Min, v.Max = min(v.Min, r.Reading), max(v.Max, r.Reading)
		want[key] = v
		lines++
	}
	for _, lanes := range []string{"1", "3"} {
		f := newFake()
		if code := f.execute("run", "flows/readings_file.yaml", "--summary", "json", "--lanes", lanes); code != exitFine {
			t.Fatalf("exit code %d: %s", code, &f.err)
		}
		if s := summaryOf(t, f); s.Records != uint64(lines) || s.DeadLetters != 0 || s.Late != 0 || !s.Balanced {
			t.Errorf("summary %+v", s)
		}
		n := 0
		for line := range strings.Lines(f.out.String()) {
			var r struct {
				ID    string `json:"sensor_id"`
				Start string `json:"window_start"`
				values
			}
			if err := json.Unmarshal([]byte(line), &r); err != nil {
				t.Fatal(err)
			}
			w := want[window{r.ID, r.Start}]
			if r.Readings != w.Readings || r.Min != w.Min || r.Max != w.Max || math.Abs(r.Mean-w.Mean/float64(w.Readings)) > 1e-9 {
				t.Errorf("%s, want %+v", line, w)
			}
			n++
		}
		if n != len(want) {
			t.Errorf("%d windows, want %d", n, len(want))
		}
	}
}

// TestAnEditIsTakenOver edits the file of a flow while it runs, wrongly and
// then well.
func TestAnEditIsTakenOver(t *testing.T) {
	defer leaksNothing(t)()
	f := newFake()
	file := write(t, strings.Replace(endless, "index: \"index\"", "index: \"index\", edit: \"'first'\"", 1))
	edit := func(old, text string) {
		src, err := os.ReadFile(file)
		if err == nil {
			err = os.WriteFile(file, []byte(strings.Replace(string(src), old, text, 1)), 0o644)
		}
		if err != nil {
			t.Error(err)
		}
	}
	var first, wrong, right sync.Once
	f.out.wrote = func(all string) {
		if strings.Contains(all, "first") {
			first.Do(func() { edit("lanes", "lnaes") })
		}
		if strings.Contains(all, "second") {
			right.Do(func() { f.signals <- syscall.SIGINT })
		}
	}
	f.err.wrote = func(all string) {
		if strings.Contains(all, "change was rejected") && strings.Contains(all, `did you mean "lanes"?`) {
			wrong.Do(func() {
				edit("lnaes", "lanes")
				edit("first", "second")
			})
		}
	}
	if code := f.execute("run", file, "--summary", "json"); code != exitFine {
		t.Fatalf("exit code %d: %s", code, &f.err)
	}
	if s := summaryOf(t, f); s.Outcome != drained || !s.Balanced || s.DeadLetters != 0 {
		t.Errorf("summary %+v", s)
	}
	n := 0
	for line := range strings.Lines(f.out.String()) {
		if !strings.Contains(line, `"edit":"first"`) && !strings.Contains(line, `"edit":"second"`) {
			t.Errorf("result %s", line)
		}
		n++
	}
	if n == 0 {
		t.Error("no results")
	}
}

func TestARunEndsWithItsLastFile(t *testing.T) {
	defer leaksNothing(t)()
	f := newFake()
	file := write(t, endless)
	var once sync.Once
	f.out.wrote = func(string) {
		once.Do(func() {
			if err := os.Remove(file); err != nil {
				t.Error(err)
			}
		})
	}
	if code := f.execute("run", filepath.Dir(file), "--summary", "json"); code != exitFine {
		t.Fatalf("exit code %d: %s", code, &f.err)
	}
	if s := summaryOf(t, f); s.Outcome != drained || s.Unsaved != 0 {
		t.Errorf("summary %+v", s)
	}
}
