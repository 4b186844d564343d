package generate

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"io"
	"math"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/telluride-stream/telluride/engine/clock"
	"github.com/telluride-stream/telluride/engine/conf"
	"github.com/telluride-stream/telluride/engine/diag"
	"github.com/telluride-stream/telluride/engine/expr"
	"github.com/telluride-stream/telluride/engine/record"
	"github.com/telluride-stream/telluride/engine/stage"
)

var update = flag.Bool("update", false, "write the files of testdata anew")

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// compile builds a source from YAML; problems are the text of what is wrong.
func compile(t testing.TB, yaml string) (spec stage.SourceSpec, problems string) {
	t.Helper()
	list := new(diag.List)
	node := conf.Parse("f.yaml", []byte(yaml), conf.Limits{}, list)
	f := conf.NewFields(&conf.Scope{File: "f.yaml", Diags: list}, node, "")
	c := Source().Decode(f)
	f.Finish()
	if !list.HasErrors() {
		b := &stage.Builder{Name: "generate", Diags: list, Layout: record.NewLayout(), Schema: &expr.Schema{Open: true}}
		spec = Source().Source(c, b)
	}
	list.Sort()
	for _, d := range *list {
		problems += d.String() + "\n"
	}
	return spec, problems
}

func open(t testing.TB, yaml string, batch int, position []byte) stage.Source {
	t.Helper()
	spec, problems := compile(t, yaml)
	if problems != "" {
		t.Fatal(problems)
	}
	s := spec.New(stage.Runtime{Name: "generate", Clock: clock.System{}, MaxBatch: batch})
	if err := s.Open(t.Context(), position); err != nil {
		t.Fatal(err)
	}
	return s
}

// line is one record and what came with it.
type line struct {
	text     string
	dead     string
	index    int64
	position []byte // behind its batch
}

// read reads n records, or to the end.
func read(t testing.TB, s stage.Source, n int) (lines []line) {
	t.Helper()
	for len(lines) < n {
		in, err := s.Read(t.Context())
		if errors.Is(err, io.EOF) {
			return lines
		}
		if err != nil {
			t.Fatal(err)
		}
		var out []line
		add := func(r *record.Record, dead string) {
			text := string(record.AppendJSON(nil, r))
			index := r.Meta.Lookup(record.Path{{Key: "index"}}, r.Origin.Seq).Int()
			out = append(out, line{text, dead, index, in.Position})
		}
		for i := range in.Batch.Records {
			add(&in.Batch.Records[i], "")
		}
		for i := range in.Batch.Side {
			add(&in.Batch.Side[i].Record, in.Batch.Side[i].Reason)
		}
		sort.SliceStable(out, func(i, j int) bool { return out[i].index < out[j].index })
		lines = append(lines, out...)
		in.Batch.Release()
	}
	return lines
}

func join(lines []line) string {
	var b strings.Builder
	for _, l := range lines {
		b.WriteString(l.text + l.dead + "\n")
	}
	return b.String()
}

const repeatable = `generate: {sensors: {}, seed: 7, start: "2024-05-01T00:00:00Z", realtime: false, count: 100}`

func TestASeedMakesARunRepeatableAtAnyBatchSize(t *testing.T) {
	want := join(read(t, open(t, repeatable, 100, nil), 1000))
	for _, batch := range []int{1, 7, 1000} {
		if have := join(read(t, open(t, repeatable, batch, nil), 1000)); have != want {
			t.Errorf("batches of %d:\n%s\nwant\n%s", batch, have, want)
		}
	}
	other := strings.Replace(repeatable, "seed: 7", "seed: 8", 1)
	if have := join(read(t, open(t, other, 100, nil), 1000)); have == want {
		t.Error("another seed makes the same readings")
	}
	first := strings.SplitN(want, "\n", 2)[0]
	if !strings.HasPrefix(first, `{"device_id":"device_1","line_id":"line_1","reading":`) ||
		!strings.HasSuffix(first, `,"sensor_id":"temperature_001","timestamp":"2024-05-01T00:00:00Z"}`) {
		t.Errorf("the first reading is %s", first)
	}
}

func TestAnyPositionGoesOnWithTheSameSequence(t *testing.T) {
	for _, yaml := range []string{
		repeatable,
		`generate: {sensors: {lines: 1}, realtime: false, count: 50}`, // seed and start are in the position
		`generate: {rows: {n: "index", x: "random", y: "normal + x", at: "now()"}, realtime: false, count: 50}`,
	} {
		all := read(t, open(t, yaml, 3, nil), 1000)
		for i := 2; i < len(all); i += 3 {
			rest := join(read(t, open(t, yaml, 5, all[i].position), 1000))
			if want := join(all[i+1:]); rest != want {
				t.Fatalf("%s: behind record %d:\n%s\nwant\n%s", yaml, i, rest, want)
			}
		}
	}
	err := open(t, repeatable, 1, nil).Open(t.Context(), []byte("x"))
	if err == nil || !strings.Contains(err.Error(), "damaged") {
		t.Errorf("got %v", err)
	}
}

func TestReadingsHaveTheMeanAndVarianceOfTheirType(t *testing.T) {
	const yaml = `generate: {sensors: {lines: 1, devices: 1, sensors: 2, types: [{name: a, mean: 71, variance: 4}, {name: b, mean: -1000, variance: 0.25}]}, seed: 1, realtime: false, count: 200000}`
	s := open(t, yaml, 1000, nil)
	sum, square := map[string]float64{}, map[string]float64{}
	for {
		in, err := s.Read(t.Context())
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		for i := range in.Batch.Records {
			r := &in.Batch.Records[i]
			id, x := r.Fields[3].Str(), r.Fields[2].Float()
			sum[id] += x
			square[id] += x * x
		}
		in.Batch.Release()
	}
	const n = 100_000
	for id, want := range map[string][2]float64{"a_001": {71, 4}, "b_002": {-1000, 0.25}} {
		mean := sum[id] / n
		variance := square[id]/n - mean*mean
		// Five standard errors of the mean, and of the variance.
		if math.Abs(mean-want[0]) > 5*math.Sqrt(want[1]/n) || math.Abs(variance-want[1]) > 5*want[1]*math.Sqrt(2.0/n) {
			t.Errorf("%s: mean %g, variance %g; want %v", id, mean, variance, want)
		}
	}
}

func TestRandomIsEvenAndInItsRange(t *testing.T) {
	const n = 100_000
	var buckets [10]int
	for i := range uint64(n) {
		x := chance{42, i}.uniform()
		if x < 0 || x >= 1 {
			t.Fatalf("random is %g", x)
		}
		buckets[int(10*x)]++
	}
	for i, have := range buckets { // five standard deviations of a binomial distribution
		if math.Abs(float64(have-n/10)) > 5*math.Sqrt(n*0.1*0.9) {
			t.Errorf("bucket %d has %d of %d", i, have, n)
		}
	}
}

func TestRowsAreMadeByTheirExpressions(t *testing.T) {
	const yaml = `generate:
  rows:
    n: "index"
    even: "n % 2 == 0"
    half: "n / 2"
    name: "'row ' + string(n)"
    bad: "10 / (n - 2)"
  start: "2024-05-01T00:00:00Z"
  realtime: false
  count: 4
`
	lines := read(t, open(t, yaml, 10, nil), 10)
	want := `{"n":0,"even":true,"half":0,"name":"row 0","bad":-5}
{"n":1,"even":false,"half":0.5,"name":"row 1","bad":-10}
{"n":3,"even":false,"half":1.5,"name":"row 3","bad":10}
`
	good := append(append([]line(nil), lines[:2]...), lines[3:]...)
	if have := join(good); have != want {
		t.Errorf("got\n%s\nwant\n%s", have, want)
	}
	if dead := lines[2].dead; !strings.HasPrefix(dead, `row 2: field "bad": `) || !strings.Contains(dead, "division by zero") {
		t.Errorf("got %q", dead)
	}
	spec, _ := compile(t, yaml)
	if typ, ok := spec.Schema.Lookup("name"); !ok || typ != expr.String || spec.Schema.Open {
		t.Errorf("name is of type %s; the schema is open: %v", typ, spec.Schema.Open)
	}
}

func TestRealtimeKeepsToTheClock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const yaml = `generate: {sensors: {lines: 1, devices: 1, sensors: 3}, every: 50ms, seed: 1}`
		s := open(t, yaml, 100, nil)
		begin := time.Now()
		for tick := range 3 {
			in, err := s.Read(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if past := time.Since(begin); past != time.Duration(tick)*50*time.Millisecond || len(in.Batch.Records) != 3 {
				t.Errorf("tick %d: %d records after %s", tick, len(in.Batch.Records), past)
			}
			at := in.Batch.Records[0].Fields[4].Str()
			if at != time.Now().UTC().Format(time.RFC3339Nano) {
				t.Errorf("tick %d has the time %s", tick, at)
			}
			in.Batch.Release()
		}
		// A slow reader gets all that is due at once.
		time.Sleep(time.Second)
		lines := read(t, s, 1)
		if len(lines) != 60 {
			t.Errorf("%d records after a second", len(lines))
		}
		// After a break values go on, and times are those of the clock.
		time.Sleep(time.Hour)
		s = open(t, yaml, 100, lines[59].position)
		again := read(t, s, 1)
		if len(again) != 3 || again[0].index != 69 || !strings.Contains(again[0].text, time.Now().UTC().Format(time.RFC3339Nano)) {
			t.Errorf("after the break: %+v", again)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		if _, err := s.Read(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v", err)
		}
	})
}

func TestProblemsAreReportedWhereTheyStand(t *testing.T) {
	for yaml, want := range map[string]string{
		Source().Example: "",
		`generate: {}`:   "one of sensors or rows is needed",
		`generate: {sensors: {}, rows: {a: "1"}}`:                     "cannot be given together",
		`generate: {sensors: {lines: 0}}`:                             "lines 0 is below the minimum 1",
		`generate: {sensors: {lines: 1000, devices: 10000}}`:          "40000000, above the maximum 1000000",
		`generate: {sensors: {types: [{name: a}]}}`:                   "mean is missing",
		`generate: {sensors: {mean: 1, types: [{name: a, mean: 2}]}}`: "mean and variance are for sensors without types",
		`generate: {rows: {a: "indx"}}`:                               `f.yaml:1:23: generate: unknown field "indx"; did you mean "index"?`,
		`generate: {rows: {a: "b", b: "1"}}`:                          `unknown field "b"`,
		`generate: {sensors: {}, start: yesterday}`:                   "f.yaml:1:32: generate: start: ",
	} {
		_, have := compile(t, yaml)
		if want == "" && have != "" || !strings.Contains(have, want) {
			t.Errorf("%s: got %q, want %q", yaml, have, want)
		}
	}
}

// TestTheReadingsOfTestdata makes testdata/readings.ndjson: 20 sensors, read
// every two seconds for 200 seconds. Some readings come up to six seconds
// late.
func TestTheReadingsOfTestdata(t *testing.T) {
	const yaml = `generate:
  sensors: {lines: 2, devices: 2, sensors: 5}
  every: 2s
  seed: 20240501
  start: "2024-05-01T12:00:00Z"
  realtime: false
  count: 2000
`
	lines := read(t, open(t, yaml, 1000, nil), 2000)
	arrival := func(l line) int64 {
		if l.index%17 == 0 {
			return l.index + 5 + l.index%45
		}
		return l.index
	}
	sort.SliceStable(lines, func(i, j int) bool { return arrival(lines[i]) < arrival(lines[j]) })
	path := filepath.Join("..", "..", "testdata", "readings.ndjson")
	made := []byte(join(lines))
	if *update {
		if err := os.WriteFile(path, made, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	kept, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(kept, made) {
		t.Error("testdata/readings.ndjson is not what this test makes; run it with -update")
	}
}

func BenchmarkSensors(b *testing.B) {
	s := open(b, `generate: {sensors: {}, seed: 1, start: "2024-05-01T00:00:00Z", realtime: false}`, 1024, nil)
	b.ReportAllocs()
	n := 0
	for b.Loop() {
		in, err := s.Read(b.Context())
		if err != nil {
			b.Fatal(err)
		}
		n += len(in.Batch.Records)
		in.Batch.Release()
	}
	b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "records/s")
}
