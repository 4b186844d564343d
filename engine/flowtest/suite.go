package flowtest

import (
	"context"
	"fmt"
	"os"
	"runtime"
	"slices"
	"sync"
	"time"

	"github.com/telluride-stream/telluride/engine/diag"
	"github.com/telluride-stream/telluride/engine/flow"
	"github.com/telluride-stream/telluride/engine/plan"
	"github.com/telluride-stream/telluride/engine/stage"
)

// Options say how tests are run.
type Options struct {
	Registry *stage.Registry
	// Match says which tests run, by "FILE: NAME"; nil: all.
	Match func(name string) bool
	// Update writes golden files anew.
	Update bool
	// Parallel is how many tests run at a time; 0: one per CPU.
	Parallel int
	// FailFast ends the run behind the first test that fails.
	FailFast bool
	// Seed is for messages that are generated without a seed of their own.
	Seed int64
	// Matrix runs every test in each of [Variants].
	Matrix bool
	// Timeout bounds the real time of one test; 0: a minute.
	Timeout time.Duration
	// Done is told of every result, in the order of the tests; nil: nobody is.
	Done func(*Result)
}

// Variant is a way to run a flow which must not show in what comes of it.
type Variant struct {
	Lanes, Batch int // 0: as the flow says, and the default
}

func (v Variant) String() string {
	if v == (Variant{}) {
		return ""
	}
	return fmt.Sprintf("%s, %s", plural(v.Lanes, "lane"), "batches of "+fmt.Sprint(v.Batch))
}

// Variants are those of a matrix.
var Variants = []Variant{{1, 1}, {1, 1000}, {8, 1}, {8, 1000}}

// lanes is the number of lanes of a partition that names none, on any machine.
const lanes = 4

// Result is how one test went, in one variant.
type Result struct {
	Test    *Test
	Variant Variant
	// Skipped says that it was not run: another has failed before.
	Skipped  bool
	Failures []Failure
	Elapsed  time.Duration
	// Passes is the ledger of the flow, that of every life of it and taps
	// included, and Plan the flow as it was compiled; for coverage.
	Passes []Count
	Plan   *plan.Plan

	edits []edit // of [File.Update]
}

// Failed says whether anything was not as expected.
func (r *Result) Failed() bool { return len(r.Failures) > 0 }

// Name is the test's name, with its file.
func (t *Test) FullName() string { return t.file.Path + ": " + t.Name }

// File is the path of the test's file.
func (t *Test) File() string { return t.file.Path }

// RunAll runs the tests of files that are free of problems, and returns the
// results in the order of the tests.
func RunAll(ctx context.Context, files []*File, o Options) []*Result {
	var all []*Result
	for _, f := range files {
		for _, t := range f.Tests {
			if o.Match != nil && !o.Match(t.FullName()) {
				continue
			}
			variants := []Variant{{}}
			if o.Matrix && t.Matrix {
				variants = Variants
			}
			for _, v := range variants {
				all = append(all, &Result{Test: t, Variant: v})
			}
		}
	}
	if o.Timeout == 0 {
		o.Timeout = time.Minute
	}
	newRunner(o, all).run(ctx)
	return all
}

// runner runs results, several at a time, and tells of them in their order.
type runner struct {
	Options
	all     []*Result
	sources sync.Map // flow files by path

	mu     sync.Mutex
	next   int // to be begun
	told   int // told of
	done   []bool
	failed bool
}

func newRunner(o Options, all []*Result) *runner {
	return &runner{Options: o, all: all, done: make([]bool, len(all))}
}

func (r *runner) run(ctx context.Context) {
	n := r.Parallel
	if n <= 0 {
		n = runtime.GOMAXPROCS(0)
	}
	var wg sync.WaitGroup
	for range min(n, len(r.all)) {
		wg.Go(func() {
			for {
				i, ok := r.take()
				if !ok {
					return
				}
				if ctx.Err() != nil || r.stopped() {
					r.all[i].Skipped = true
				} else {
					r.one(r.all[i])
				}
				r.finish(i)
			}
		})
	}
	wg.Wait()
}

func (r *runner) take() (int, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.next++
	return r.next - 1, r.next <= len(r.all)
}

func (r *runner) stopped() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.FailFast && r.failed
}

func (r *runner) finish(i int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.done[i] = true
	r.failed = r.failed || r.all[i].Failed()
	for ; r.told < len(r.all) && r.done[r.told]; r.told++ {
		if r.Done != nil {
			r.Done(r.all[r.told])
		}
	}
}

// one runs one test. Real time bounds it, for a flow that never comes to rest.
func (r *runner) one(res *Result) {
	began := time.Now()
	src, err := r.source(res.Test.Flow)
	if err != nil {
		res.Failures = []Failure{{Span: res.Test.Span, Message: err.Error()}}
		return
	}
	done := make(chan *Result, 1) // of its own, which a test that hangs may go on to change
	go func() { done <- r.play(res, src) }()
	timer := time.NewTimer(r.Timeout)
	defer timer.Stop()
	select {
	case played := <-done:
		*res = *played
	case <-timer.C:
		res.Failures = []Failure{{Span: res.Test.Span, Message: fmt.Sprintf("the test has not come to its end within %v of real time", r.Timeout)}}
	}
	res.Elapsed = time.Since(began)
}

// play runs a test, and returns what res is to become.
func (r *runner) play(res *Result, src []byte) *Result {
	out := &Result{Test: res.Test, Variant: res.Variant}
	one := &run{test: res.Test, src: src, seed: r.Seed, update: r.Update, write: writeFile}
	err := Run(res.Test.setup(src, r.compile(res)), func(b *Bench) error {
		err := one.script(b)
		out.Passes, out.Plan = b.passes(), b.Plan()
		return err
	})
	out.Failures, out.edits = one.failures, one.edits
	if err != nil {
		out.Failures = append(out.Failures, Failure{Span: res.Test.Span, Message: one.restarted(err).Error()})
	}
	return out
}

func (r *runner) source(path string) ([]byte, error) {
	if src, ok := r.sources.Load(path); ok {
		return src.([]byte), nil
	}
	src, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("the flow %s: %w%s", path, cause(err), nearFile(path))
	}
	r.sources.Store(path, src)
	return src, nil
}

// compile compiles flows for one run of a test.
func (r *runner) compile(res *Result) Compile {
	env := func(name string) (string, bool) {
		v, ok := res.Test.Env[name]
		return v, ok
	}
	return func(file string, src []byte, set map[string]string) (*plan.Plan, diag.List) {
		return flow.Compile(file, src, flow.Options{
			Env: env, Params: set, Registry: r.Registry, Lanes: lanes, LanesOverride: res.Variant.Lanes, BatchSize: res.Variant.Batch,
		})
	}
}

// CheckFlows compiles the flow of every test, and adds to the file's problems
// what keeps it from running. It returns the flow files, for printing.
func CheckFlows(files []*File, o Options) map[string][]byte {
	r := newRunner(o, nil)
	sources := map[string][]byte{}
	for _, f := range files {
		for _, t := range f.Tests {
			src, err := r.source(t.Flow)
			if err != nil {
				f.Diags.Add(diag.Diagnostic{Span: t.Span, Message: err.Error(), Advice: "name the flow file with flow:"})
				continue
			}
			sources[t.Flow] = src
			_, list := r.compile(&Result{Test: t})(t.Flow, src, t.Params)
			for _, d := range list {
				if d.Severity == diag.Error && !slices.Contains(f.Diags, d) {
					f.Diags.Add(d)
				}
			}
		}
		f.Diags.Sort()
	}
	return sources
}
