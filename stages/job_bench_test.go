package stages_test

import (
	"bufio"
	"bytes"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"runtime/metrics"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/valyala/fastjson"

	"github.com/telluride-stream/telluride/engine"
	"github.com/telluride-stream/telluride/engine/flow"
	"github.com/telluride-stream/telluride/stages"
)

// The job: an NDJSON file of readings, partitioned by sensor, into one-second
// event-time windows with count, min, max and mean, into a file.
const jobFlow = `
name: job
params: {in: "", out: ""}
source:
  file: {path: "${params.in}"}
  time: {field: timestamp, out_of_order: 1s}
stages:
  - partition: {by: sensor_id}
  - window:
      tumbling: 1s
      aggregate:
        count: "count()"
        min: "min(reading)"
        max: "max(reading)"
        mean: "mean(reading)"
sink:
  file: {path: "${params.out}"}
`

// writeReadings writes n readings of about 130 bytes, of the given number of
// sensors, one each 50 µs of event time, out of order by up to half a second.
func writeReadings(tb testing.TB, path string, n, sensors int) {
	tb.Helper()
	f, err := os.Create(path)
	if err != nil {
		tb.Fatal(err)
	}
	w := bufio.NewWriterSize(f, 1<<20)
	rnd := rand.New(rand.NewPCG(1, 2))
	base := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	for i := range n {
		at := base.Add(time.Duration(i)*50*time.Microsecond - time.Duration(rnd.IntN(500))*time.Millisecond)
		s := rnd.IntN(sensors)
		fmt.Fprintf(w, `{"device_id":"device_%d","line_id":"line_%d","reading":%.3f,"sensor_id":"sensor_%06d","timestamp":"%s"}`+"\n",
			s%7, s%3, 70+rnd.NormFloat64()*5, s, at.Format("2006-01-02T15:04:05.000Z"))
	}
	if err := w.Flush(); err != nil {
		tb.Fatal(err)
	}
	if err := f.Close(); err != nil {
		tb.Fatal(err)
	}
}

func runJob(tb testing.TB, in, out string) {
	tb.Helper()
	p, problems := flow.Compile("job.yaml", []byte(jobFlow), flow.Options{
		Registry: stages.All(), Params: map[string]string{"in": in, "out": out},
		Env: func(string) (string, bool) { return "", false },
	})
	if p == nil {
		tb.Fatal(problems.Err())
	}
	f := engine.New(engine.Config{}).Start(p)
	if err := f.Wait(); err != nil {
		tb.Fatal(err)
	}
}

// byHand is the same job as somebody would write it for this one purpose: one
// goroutine reads and parses with fastjson, the other keeps the windows in maps.
func byHand(tb testing.TB, in, out string) {
	tb.Helper()
	type reading struct {
		sensor string
		value  float64
		at     int64
	}
	src, err := os.Open(in)
	if err != nil {
		tb.Fatal(err)
	}
	defer src.Close()
	batches := make(chan []reading, 4)
	go func() {
		defer close(batches)
		var parser fastjson.Parser
		lines := bufio.NewScanner(src)
		lines.Buffer(make([]byte, 1<<20), 1<<20)
		batch := make([]reading, 0, 512)
		for lines.Scan() {
			v, err := parser.ParseBytes(lines.Bytes())
			if err != nil {
				continue
			}
			at, err := time.Parse(time.RFC3339Nano, string(v.GetStringBytes("timestamp")))
			if err != nil {
				continue
			}
			batch = append(batch, reading{string(v.GetStringBytes("sensor_id")), v.GetFloat64("reading"), at.UnixNano()})
			if len(batch) == cap(batch) {
				batches <- batch
				batch = make([]reading, 0, 512)
			}
		}
		batches <- batch
	}()
	dst, err := os.Create(out)
	if err != nil {
		tb.Fatal(err)
	}
	w := bufio.NewWriterSize(dst, 256<<10)
	type window struct {
		n             int
		min, max, sum float64
	}
	const second = int64(time.Second)
	open := map[int64]map[string]*window{}
	var newest, closed int64
	emit := func(start int64) {
		from, to := time.Unix(0, start).UTC().Format(time.RFC3339Nano), time.Unix(0, start+second).UTC().Format(time.RFC3339Nano)
		for sensor, win := range open[start] {
			line := append([]byte(`{"sensor_id":"`), sensor...)
			line = append(append(append(line, `","window_start":"`...), from...), `","window_end":"`...)
			line = append(append(line, to...), `","count":`...)
			line = strconv.AppendInt(line, int64(win.n), 10)
			line = strconv.AppendFloat(append(line, `,"min":`...), win.min, 'g', -1, 64)
			line = strconv.AppendFloat(append(line, `,"max":`...), win.max, 'g', -1, 64)
			line = strconv.AppendFloat(append(line, `,"mean":`...), win.sum/float64(win.n), 'g', -1, 64)
			w.Write(append(line, "}\n"...))
		}
		delete(open, start)
	}
	for batch := range batches {
		for _, r := range batch {
			start := r.at / second * second
			if start+second <= closed {
				continue
			}
			windows := open[start]
			if windows == nil {
				windows = map[string]*window{}
				open[start] = windows
			}
			win := windows[r.sensor]
			if win == nil {
				win = &window{min: r.value, max: r.value}
				windows[r.sensor] = win
			}
			win.n++
			win.sum += r.value
			win.min, win.max = min(win.min, r.value), max(win.max, r.value)
			if r.at > newest {
				newest = r.at
				closed = newest - second
			}
		}
		for start := range open {
			if start+second <= closed {
				emit(start)
			}
		}
	}
	for start := range open {
		emit(start)
	}
	if err := w.Flush(); err != nil {
		tb.Fatal(err)
	}
	if err := dst.Close(); err != nil {
		tb.Fatal(err)
	}
}

// row is a line of a result, with the mean apart: the order of additions, and
// hence its last digits, may differ.
type row struct {
	text string
	mean float64
}

func sortedRows(tb testing.TB, path string) []row {
	tb.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		tb.Fatal(err)
	}
	var rows []row
	for line := range bytes.Lines(text) {
		text, digits, _ := strings.Cut(strings.TrimRight(string(line), "}\n"), `"mean":`)
		mean, err := strconv.ParseFloat(digits, 64)
		if err != nil {
			tb.Fatalf("%s: %v", line, err)
		}
		rows = append(rows, row{text, mean})
	}
	slices.SortFunc(rows, func(a, b row) int { return strings.Compare(a.text, b.text) })
	return rows
}

func TestTheJobGivesWhatTheHandWrittenLoopGives(t *testing.T) {
	dir := t.TempDir()
	in, out, hand := filepath.Join(dir, "in.ndjson"), filepath.Join(dir, "out.ndjson"), filepath.Join(dir, "hand.ndjson")
	writeReadings(t, in, 60_000, 50)
	runJob(t, in, out)
	byHand(t, in, hand)
	same := func(a, b row) bool { return a.text == b.text && math.Abs(a.mean-b.mean) < 1e-9*math.Abs(b.mean) }
	if a, b := sortedRows(t, out), sortedRows(t, hand); !slices.EqualFunc(a, b, same) {
		t.Fatalf("%d rows, %d by hand; the first are\n%+v\n%+v", len(a), len(b), a[0], b[0])
	}
}

// BenchmarkJob runs the job and the hand-written loop in turn and prints how
// many records per second each does, and the ratio.
func BenchmarkJob(b *testing.B) {
	const n, sensors = 1_000_000, 1_000
	dir := b.TempDir()
	in := filepath.Join(dir, "in.ndjson")
	writeReadings(b, in, n, sensors)
	var ours, theirs time.Duration
	timed := func(job func(testing.TB, string, string), name string) time.Duration {
		runtime.GC()
		start := time.Now()
		job(b, in, filepath.Join(dir, name))
		return time.Since(start)
	}
	timed(runJob, "warm.ndjson")
	for b.Loop() {
		ours += timed(runJob, "out.ndjson")
		theirs += timed(byHand, "hand.ndjson")
	}
	perSecond := func(d time.Duration) float64 { return float64(n) * float64(b.N) / d.Seconds() }
	b.ReportMetric(perSecond(ours), "records/s")
	b.ReportMetric(perSecond(theirs), "byhand-records/s")
	b.ReportMetric(theirs.Seconds()/ours.Seconds(), "ratio")
}

// BenchmarkJobMemory runs the job over two million readings and prints the
// most memory that the Go runtime had from the system meanwhile.
func BenchmarkJobMemory(b *testing.B) {
	dir := b.TempDir()
	in := filepath.Join(dir, "in.ndjson")
	writeReadings(b, in, 2_000_000, 1_000)
	peak := uint64(0)
	for b.Loop() {
		stop, done := make(chan struct{}), make(chan struct{})
		go func() {
			defer close(done)
			s := []metrics.Sample{{Name: "/memory/classes/total:bytes"}, {Name: "/memory/classes/heap/released:bytes"}}
			for {
				metrics.Read(s)
				peak = max(peak, s[0].Value.Uint64()-s[1].Value.Uint64())
				select {
				case <-stop:
					return
				case <-time.After(5 * time.Millisecond):
				}
			}
		}()
		runJob(b, in, filepath.Join(dir, "out.ndjson"))
		close(stop)
		<-done
	}
	b.ReportMetric(float64(peak)/(1<<20), "peak-MiB")
}
