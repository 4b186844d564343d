package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"regexp"
	"time"

	"github.com/spf13/cobra"

	"github.com/telluride-stream/telluride/engine/diag"
	"github.com/telluride-stream/telluride/engine/flowtest"
	"github.com/telluride-stream/telluride/stages"
)

// testFlags are the flags of test.
type testFlags struct {
	flowtest.Options
	pattern, format string
	watch, coverage bool
}

func newTest(p *program) *cobra.Command {
	var fl testFlags
	c := &cobra.Command{
		Use:   "test [PATH…]",
		Short: "Run the tests of flows",
		Long: `Runs the tests of flows: files *_test.yaml beside the flows, and tests: inside
of flow files. PATH is a folder, which is searched with all its subfolders, a
file of tests, or a flow file, whose tests run; default: the working directory.

A test runs the flow as it is, with memory in place of its sources and sinks and
with scripted time: no broker is needed, and nothing waits. It feeds messages,
moves time, breaks things, and says what is to come of it. docs/testing.md
teaches how tests are written.

The exit code is 1 when a test failed, and 2 when a test file, its flow or the
command line is invalid; then none was run.`,
		Example: `  telluride test flows/
  telluride test flows/sensor_health.yaml --run 'late|crash'
  telluride test --matrix                      with 1 and 8 lanes, batches of 1 and 1000
  telluride test --watch                       again at every change of a file
  telluride test --format junit > report.xml   for CI
  telluride test --update                      take over what came as what is expected`,
		ValidArgsFunction: completeFlows,
		RunE: func(c *cobra.Command, args []string) error {
			return p.test(c.Context(), args, &fl)
		},
	}
	f := c.Flags()
	f.StringVar(&fl.pattern, "run", "", "run only tests whose \"FILE: NAME\" matches this `regexp`")
	f.BoolVar(&fl.Update, "update", false, "write what came into the tests as what is expected, inline and in golden files; read the difference")
	f.BoolVar(&fl.watch, "watch", false, "run again whenever a file changes, until interrupted")
	f.StringVar(&fl.format, "format", "text", "text, json or junit")
	f.BoolVar(&fl.coverage, "coverage", false, "list the stages, branches and conditions that no test exercised")
	f.IntVar(&fl.Parallel, "parallel", 0, "how many tests run at a time; 0: one per CPU")
	f.BoolVar(&fl.FailFast, "fail-fast", false, "skip what follows a test that fails")
	f.Int64Var(&fl.Seed, "seed", 1, "for messages that are generated without a seed of their own")
	f.BoolVar(&fl.Matrix, "matrix", false, "run each test with 1 and 8 lanes, and batches of 1 and 1000: its result must be the same")
	return c
}

// check refuses flags that make no sense.
func (fl *testFlags) check() error {
	if err := oneOf("format", fl.format, "text", "json", "junit"); err != nil {
		return err
	}
	switch {
	case fl.Parallel < 0:
		return fmt.Errorf("--parallel %d: cannot be negative", fl.Parallel)
	case fl.watch && fl.format != "text":
		return errors.New("--watch writes text; remove --format")
	case fl.coverage && fl.format == "junit":
		return errors.New("--coverage: a JUnit report has no place for it; use --format json")
	case fl.Update && fl.Matrix:
		return errors.New("--update takes over one result; remove --matrix")
	}
	if fl.pattern == "" {
		return nil
	}
	match, err := regexp.Compile(fl.pattern)
	if err != nil {
		return fmt.Errorf("--run: %w", err)
	}
	fl.Match = match.MatchString
	return nil
}

func (p *program) test(ctx context.Context, paths []string, fl *testFlags) error {
	if err := fl.check(); err != nil {
		return err
	}
	fl.Registry = stages.All()
	if fl.watch {
		return p.watchTests(ctx, paths, fl)
	}
	return p.testOnce(ctx, paths, fl)
}

// testOnce finds the tests, checks all of them, and runs them.
func (p *program) testOnce(ctx context.Context, paths []string, fl *testFlags) error {
	files, err := flowtest.Find(paths)
	if err != nil {
		return err
	}
	if err := p.checkTests(files, fl); err != nil {
		return err
	}
	o := fl.Options
	report := &flowtest.TextReport{W: p.stdout, Colour: p.colour(p.stdout)}
	if fl.format == "text" {
		o.Done = report.Result
	}
	began := time.Now()
	results := flowtest.RunAll(ctx, files, o)
	elapsed := time.Since(began)
	if len(results) == 0 {
		return fmt.Errorf("--run %s: no test has a name like that", fl.pattern)
	}
	if fl.Update {
		if err := p.takeOver(files, results); err != nil {
			return failed(err)
		}
	}
	if err := fl.report(p.stdout, report, results, elapsed); err != nil {
		return failed(fmt.Errorf("write the report: %w", err))
	}
	if flowtest.CountResults(results).Failed > 0 {
		return &exitError{code: exitFailed}
	}
	return nil
}

// checkTests reports every problem of the tests and of their flows.
func (p *program) checkTests(files []*flowtest.File, fl *testFlags) error {
	sources := flowtest.CheckFlows(files, fl.Options)
	var list diag.List
	for _, f := range files {
		list.Add(f.Diags...)
		sources[f.Path] = f.Src
	}
	list.Sort()
	if !list.HasErrors() {
		return nil
	}
	diag.Print(p.stderr, list, sources, p.colour(p.stderr))
	errs := 0
	for _, d := range list {
		if d.Severity == diag.Error {
			errs++
		}
	}
	return &exitError{exitInvalid, fmt.Errorf("no test was run: %s", verdict(len(files), errs, 0))}
}

func (fl *testFlags) report(w io.Writer, text *flowtest.TextReport, results []*flowtest.Result, elapsed time.Duration) error {
	var coverage []flowtest.FlowCoverage
	if fl.coverage {
		coverage = flowtest.Coverage(results)
	}
	switch fl.format {
	case "json":
		return flowtest.WriteJSON(w, results, fl.Options, elapsed, coverage)
	case "junit":
		return flowtest.WriteJUnit(w, results, elapsed)
	}
	text.Summary(results, elapsed)
	if coverage != nil {
		flowtest.WriteCoverage(w, coverage)
	}
	return nil
}

// takeOver writes what came into the files of the tests.
func (p *program) takeOver(files []*flowtest.File, results []*flowtest.Result) error {
	for _, f := range files {
		changed, err := f.Update(results)
		if err != nil {
			return err
		}
		if changed {
			fmt.Fprintf(p.stdout, "updated %s\n", f.Path)
		}
	}
	return nil
}
