package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/telluride-stream/telluride/engine/diag"
	"github.com/telluride-stream/telluride/engine/stage"
	"github.com/telluride-stream/telluride/stages"
)

// Exit codes.
const (
	exitFine    = 0
	exitFailed  = 1 // something failed while it ran
	exitInvalid = 2 // a flow is invalid, or the command line is
)

// program is what a verb needs of its process.
type program struct {
	stdin          io.Reader
	stdout, stderr io.Writer
	env            func(name string) (string, bool)
	signals        func() (signals <-chan os.Signal, stop func())
	kinds          *stage.Registry // of the flows that it runs; nil: all of ours
	// grace is how long an aborted flow may take to end. Only a source or sink
	// that does not let go takes any.
	grace time.Duration
}

// exitError is an error with an exit code. Without an error in it, everything
// that is to be said has been said.
type exitError struct {
	code int
	err  error
}

func (f *exitError) Error() string {
	if f.err == nil {
		return fmt.Sprintf("exit code %d", f.code)
	}
	return f.err.Error()
}

func (f *exitError) Unwrap() error { return f.err }

func failed(err error) error { return &exitError{exitFailed, err} }

// execute runs the command line and returns the exit code.
func execute(args []string, p program) int {
	root := newRoot(&p)
	root.SetArgs(args)
	root.SetIn(p.stdin)
	root.SetOut(p.stdout)
	root.SetErr(p.stderr)
	err := root.Execute()
	if err == nil {
		return exitFine
	}
	var f *exitError
	if !errors.As(err, &f) {
		// cobra's own errors are about the command line.
		f = &exitError{exitInvalid, err}
	}
	if hungUp(f.err) {
		return exitFine
	}
	if f.err != nil {
		fmt.Fprintf(p.stderr, "telluride: %v\n", f.err)
	}
	return f.code
}

// hungUp says whether an error means that whoever read standard output, such
// as head, has seen enough.
func hungUp(err error) bool {
	var written *fs.PathError
	return errors.As(err, &written) && written.Op == "write" && written.Path == os.Stdout.Name() && errors.Is(written, syscall.EPIPE)
}

func newRoot(p *program) *cobra.Command {
	root := &cobra.Command{
		Use:   "telluride",
		Short: "Stream processing from YAML files",
		Long: `Telluride runs flows: YAML files that say where records come from, what
happens to them, and where the results go.

Exit codes: 0 fine, 1 failed while running, 2 invalid flow or command line.`,
		Example: `  telluride init                      write a first flow
  telluride run hello.yaml            run it; Ctrl-C ends it
  telluride validate flows/           check every flow of a folder
  telluride test flows/               run their tests
  telluride status                    what runs, and with which params
  telluride top                       watch it
  telluride tap hello                 see records that pass
  telluride apply --set lanes=8       change it while it runs
  telluride record flow.yaml          save live messages as a fixture
  telluride stages window             what a window can do`,
		Args:          cobra.ArbitraryArgs,
		SilenceErrors: true,
		SilenceUsage:  true,
	}
	root.RunE = func(_ *cobra.Command, args []string) error {
		if len(args) == 0 {
			return root.Help()
		}
		return unknownVerb(root, args[0])
	}
	root.SetFlagErrorFunc(unknownFlag)
	root.AddCommand(
		newRun(p), newTest(p), newStatus(p), newTop(p), newTap(p), newPlan(p), newApply(p), newDead(p), newState(p), newValidate(p), newGraph(p), newRecord(p), newSchema(p), newStages(p), newInit(p), newVersion(p),
	)
	root.InitDefaultHelpCmd()
	root.InitDefaultCompletionCmd()
	return root
}

func unknownVerb(root *cobra.Command, verb string) error {
	var names []string
	for _, c := range root.Commands() {
		if c.IsAvailableCommand() {
			names = append(names, c.Name())
		}
	}
	if near := diag.Suggest(verb, names); near != "" {
		return fmt.Errorf("unknown command %q; did you mean %q?", verb, near)
	}
	if strings.HasSuffix(verb, ".yaml") || strings.HasSuffix(verb, ".yml") {
		return fmt.Errorf("unknown command %q; to run a flow: telluride run %s", verb, verb)
	}
	return fmt.Errorf("unknown command %q; known: %s", verb, strings.Join(names, ", "))
}

// unknownFlag adds a suggestion to pflag's error.
func unknownFlag(c *cobra.Command, err error) error {
	see := fmt.Sprintf("see %s --help", c.CommandPath())
	var missing *pflag.NotExistError
	if errors.As(err, &missing) {
		var names []string
		visit := func(f *pflag.Flag) { names = append(names, f.Name) }
		c.Flags().VisitAll(visit)
		if near := diag.Suggest(missing.GetSpecifiedName(), names); near != "" {
			return fmt.Errorf("%w; did you mean --%s?", err, near)
		}
	}
	return fmt.Errorf("%w; %s", err, see)
}

// atLeastOnePath asks for paths in words that help.
func atLeastOnePath(c *cobra.Command, args []string) error {
	if len(args) == 0 {
		return fmt.Errorf("%s needs a flow file or a folder of them, as in: %s hello.yaml", c.Name(), c.CommandPath())
	}
	return nil
}

// completeFlows completes the names of flow files.
func completeFlows(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
	return []string{"yaml", "yml"}, cobra.ShellCompDirectiveFilterFileExt
}

// completeKinds completes the names of stages.
func completeKinds(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	var names []string
	if len(args) == 0 {
		for _, k := range stages.All().Kinds() {
			names = append(names, k.Name+"\t"+k.Summary)
		}
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}
