package stages_test

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
	"pgregory.net/rapid"

	"github.com/telluride-stream/telluride/engine"
	"github.com/telluride-stream/telluride/engine/conf"
	"github.com/telluride-stream/telluride/engine/flow"
	"github.com/telluride-stream/telluride/engine/record"
	"github.com/telluride-stream/telluride/engine/stage"
	"github.com/telluride-stream/telluride/stages"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// trial is one run of a flow. The flow may use the kinds of All(), and beside
// them `feed: {}`, a source of the trial's lines, and `gather: {into: name}`,
// a sink that collects lines under a name.
type trial struct {
	// feeds are the lines of the sources, by the number in `feed: {n: 0}`.
	feeds [][]string
	// reads are the sizes of the reads of a feed, by turns; a negative one is
	// a pause of that many milliseconds.
	reads   []int
	options flow.Options

	mu  sync.Mutex
	got map[string][]string
}

// drawTrial draws how the lines are cut into batches, and how many lanes there are.
func drawTrial(t *rapid.T, feeds ...[]string) *trial {
	r := &trial{feeds: feeds, got: map[string][]string{}}
	r.options = flow.Options{
		LanesOverride: rapid.IntRange(1, 8).Draw(t, "lanes"),
		BatchSize:     rapid.SampledFrom([]int{1, 2, 3, 7, 20, 100, 1000}).Draw(t, "batch size"),
	}
	r.reads = rapid.SliceOfN(rapid.SampledFrom([]int{1, 1, 2, 5, 30, 1000, -1, -40, -700}), 1, 6).Draw(t, "reads")
	r.reads = append(r.reads, 3)
	return r
}

func (r *trial) registry() *stage.Registry {
	return stage.NewRegistry(append(stages.All().Kinds(),
		stage.DefineSource("feed", "Reads lines of a test.",
			func(n *int, f *conf.Fields) { f.Int(n, "n", 0, "Which lines.") },
			func(n *int, b *stage.Builder) stage.SourceSpec {
				return stage.SourceSpec{Raw: true, New: func(rt stage.Runtime) stage.Source {
					return &feed{lines: r.feeds[*n], reads: r.reads, rt: rt}
				}}
			}),
		stage.DefineSink("gather", "Collects lines for a test.",
			func(into *string, f *conf.Fields) { f.String(into, "into", "out", "The name.") },
			func(into *string, b *stage.Builder) stage.SinkSpec {
				return stage.SinkSpec{New: func(stage.Runtime) stage.Sink { return &gather{r, *into} }}
			}))...)
}

// run runs the flow to the end of its input, in scripted time, and checks the
// ledger. It returns what is wrong.
func (r *trial) run(t *testing.T, source string) (problem string) {
	o := r.options
	o.Registry = r.registry()
	p, list := flow.Compile("trial.yaml", []byte(source), o)
	if p == nil {
		return list.Err().Error()
	}
	synctest.Test(t, func(*testing.T) {
		f := engine.New(engine.Config{Workers: 2}).Start(p)
		select {
		case <-f.Done():
		case <-time.After(time.Hour):
			problem = "the flow does not end"
			f.Stop()
		}
		if err := f.Wait(); err != nil {
			problem += " " + err.Error()
		}
		for _, row := range f.Ledger.Rows() {
			if c := row.Counts(); !c.Balanced() || c.Held != 0 {
				problem += fmt.Sprintf(" the ledger of %s does not balance: %+v", row.Name, c)
			}
		}
	})
	return problem
}

// inFile writes the lines of a feed into a file and returns its path.
func (r *trial) inFile(t *testing.T, n int) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "in.ndjson")
	if err := os.WriteFile(path, []byte(strings.Join(r.feeds[n], "\n")), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

type feed struct {
	lines []string
	reads []int
	rt    stage.Runtime
	at, n int
}

func (s *feed) Open(_ context.Context, position []byte) error {
	s.at = 0
	if position != nil {
		at, err := strconv.Atoi(string(position))
		s.at = at
		return err
	}
	return nil
}

func (s *feed) Read(ctx context.Context) (stage.Input, error) {
	if s.at == len(s.lines) {
		return stage.Input{}, io.EOF
	}
	size := s.reads[s.n%len(s.reads)]
	s.n++
	if size < 0 {
		timer := s.rt.Clock.NewTimer(time.Duration(-size) * time.Millisecond)
		defer timer.Stop()
		select {
		case <-timer.C():
		case <-ctx.Done():
			return stage.Input{}, ctx.Err()
		}
		size = 1
	}
	b := record.NewBatch(size)
	for ; size > 0 && s.at < len(s.lines) && len(b.Records) < s.rt.MaxBatch; size-- {
		payload := b.Arena().Bytes(len(s.lines[s.at]))
		copy(payload, s.lines[s.at])
		s.at++
		b.Append(record.Record{Payload: payload, Origin: record.Origin{Seq: uint64(s.at)}})
	}
	return stage.Input{Batch: b, Position: strconv.AppendInt(nil, int64(s.at), 10)}, nil
}

func (s *feed) Settle(context.Context, stage.Settlement) error { return nil }
func (s *feed) Close() error                                   { return nil }

type gather struct {
	trial *trial
	into  string
}

func (g *gather) Open(context.Context) error { return nil }
func (g *gather) Flush(done func(error))     { done(nil) }
func (g *gather) Close() error               { return nil }

func (g *gather) Write(_ context.Context, records []record.Record) (int, error) {
	g.trial.mu.Lock()
	defer g.trial.mu.Unlock()
	for i := range records {
		line := record.AppendLine(nil, &records[i])
		g.trial.got[g.into] = append(g.trial.got[g.into], strings.TrimSuffix(string(line), "\n"))
	}
	return len(records), nil
}
