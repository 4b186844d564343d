package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/telluride-stream/telluride/engine/inspect"
)

func newState(p *program) *cobra.Command {
	c := &cobra.Command{
		Use:   "state",
		Short: "Look at the state of flows, export, import and drop it",
		Long: `Looks into what flows keep: open windows and aggregates, what dedupe remembers,
and where their sources go on. A flow that runs is asked through its process;
otherwise its store is opened, and locked meanwhile. What is shown is the state
of the last checkpoint.

On a terminal it is shown as tables, in a pipe as JSON. State may hold personal
data: keys, and values of fields.`,
		Example: `  telluride state list
  telluride state show sensors per_sensor a
  telluride state export sensors --out sensors.ndjson
  telluride state drop sensors per_sensor a`,
		Args: cobra.ArbitraryArgs,
	}
	c.RunE = func(_ *cobra.Command, args []string) error {
		if len(args) == 0 {
			return c.Help()
		}
		return unknownVerb(c, args[0])
	}
	c.AddCommand(newStateList(p), newStateShow(p), newStateExport(p), newStateImport(p), newStateDrop(p))
	return c
}

const stateDirHere = "state `folder` of the run; default: $" + stateVariable + ", else the one below ~/.local/state/telluride with the flow"

// stateVerb makes a verb out of what it does with the state of a flow.
func (p *program) stateVerb(c *cobra.Command, how use, flow func(args []string) string, do func(ctx context.Context, s states, args []string) error) *cobra.Command {
	var dir string
	c.Flags().StringVar(&dir, "state-dir", "", stateDirHere)
	count := c.Args
	c.Args = func(c *cobra.Command, args []string) error {
		if count(c, args) == nil {
			return nil
		}
		example, _, _ := strings.Cut(strings.TrimSpace(c.Example), "\n")
		return fmt.Errorf("expected %s %s, as in: %s", c.Parent().CommandPath(), c.Use, example)
	}
	c.RunE = func(_ *cobra.Command, args []string) (err error) {
		ctx, stop := p.interruptible()
		defer stop()
		s, err := p.places(ctx, dir, flow(args), how)
		if err != nil {
			return err
		}
		defer func() {
			if closing := s.Close(); closing != nil {
				err = errors.Join(err, failed(closing))
			}
		}()
		if err := do(ctx, s, args); err != nil {
			var exit *exitError
			if errors.As(err, &exit) {
				return err
			}
			return failed(err)
		}
		return nil
	}
	return c
}

func first(args []string) string {
	if len(args) == 0 {
		return ""
	}
	return args[0]
}

// asTable says whether people are to read it.
func (p *program) asTable(format string) bool {
	return format == "text" || format == "auto" && p.console().outTerm
}

func formatFlag(c *cobra.Command, format *string) {
	c.Flags().StringVar(format, "format", "auto", "text, json, or auto: text on a terminal")
	c.PreRunE = func(*cobra.Command, []string) error { return oneOf("format", *format, "auto", "text", "json") }
}

func newStateList(p *program) *cobra.Command {
	var format string
	c := &cobra.Command{
		Use:   "list [FLOW]",
		Short: "List what is kept of flows",
		Long: `Lists, for each flow, the last checkpoint, the stages with state and how many
keys each has, and the sources and where they go on. It reads all of the state.`,
		Example: `  telluride state list
  telluride state list sensors --format json | jq '.[].stages'`,
		Args: cobra.MaximumNArgs(1),
	}
	formatFlag(c, &format)
	return p.stateVerb(c, reads, first, func(ctx context.Context, s states, args []string) error {
		all, err := s.States(ctx, first(args))
		if err != nil {
			return err
		}
		if !p.asTable(format) {
			return p.writeJSON(all)
		}
		_, err = io.WriteString(p.stdout, stateTables(all, time.Now()))
		return err
	})
}

func (p *program) writeJSON(what any) error {
	enc := json.NewEncoder(p.stdout)
	enc.SetEscapeHTML(false)
	return enc.Encode(what)
}

// stateTables shows flows for people.
func stateTables(all []inspect.Flow, now time.Time) string {
	var b strings.Builder
	for i, f := range all {
		if i > 0 {
			b.WriteString("\n")
		}
		b.WriteString(f.Name)
		if f.Time != nil {
			fmt.Fprintf(&b, "  last checkpoint %s (%s ago)", f.Time.Local().Format(time.DateTime), lasting(max(0, now.Sub(*f.Time))))
		} else {
			b.WriteString("  no checkpoint")
		}
		b.WriteString("\n")
		var rows [][]string
		for _, s := range f.Stages {
			rows = append(rows, []string{s.Kind, s.Name, plural(s.Keys, "key"), sizeOf(s.Bytes)})
		}
		for _, s := range f.Sources {
			at := "no position of its own"
			if s.Position {
				at = "goes on at its position"
			}
			if s.Watermark != nil {
				at += ", watermark " + s.Watermark.Format(time.RFC3339)
			}
			rows = append(rows, []string{"source", s.Name, at})
		}
		b.WriteString(columns("  ", rows))
	}
	return b.String()
}

// sizeOf is a number of bytes for people.
func sizeOf(n int64) string {
	switch {
	case n < 10<<10:
		return thousands(uint64(n)) + " B"
	case n < 10<<20:
		return thousands(uint64(n>>10)) + " KiB"
	}
	return thousands(uint64(n>>20)) + " MiB"
}

func newStateShow(p *program) *cobra.Command {
	var format string
	var limit int
	c := &cobra.Command{
		Use:   "show FLOW STAGE [KEY]",
		Short: "Show what a stage keeps of its keys",
		Long: `Shows what a stage keeps, key by key: of a window the aggregates as they are
now, of dedupe when an id came first. A KEY of several parts is written as a
JSON list; one that looks like a number finds the number and the text.

JSON has one object a line: the key as a list of its parts, and the value.`,
		Example: `  telluride state show sensors per_sensor
  telluride state show sensors per_sensor a
  telluride state show sensors per_line '["line_1", 7]'
  telluride state show sensors per_sensor --limit 0 --format json | jq .value.mean`,
		Args: cobra.RangeArgs(2, 3),
	}
	formatFlag(c, &format)
	c.Flags().IntVar(&limit, "limit", 20, "the most keys to show; 0: all")
	return p.stateVerb(c, reads, first, func(ctx context.Context, s states, args []string) error {
		if limit < 0 {
			return fmt.Errorf("--limit %d: cannot be negative", limit)
		}
		q := inspect.Query{Limit: limit}
		if len(args) == 3 {
			q.Key = &args[2]
		}
		out := bufio.NewWriter(p.stdout)
		write := func(e inspect.Entry) error {
			enc := json.NewEncoder(out)
			enc.SetEscapeHTML(false)
			return enc.Encode(e)
		}
		if p.asTable(format) {
			write = func(e inspect.Entry) error { return writeEntry(out, e) }
		}
		more, err := s.ShowState(ctx, args[0], args[1], q, write)
		if err = errors.Join(err, out.Flush()); err != nil {
			return err
		}
		if more {
			fmt.Fprintf(p.stderr, "telluride: there are more keys than %d: see --limit\n", limit)
		}
		return nil
	})
}

// writeEntry shows a key for people: indented, in the order in which the
// stage tells it.
func writeEntry(w io.Writer, e inspect.Entry) error {
	var b bytes.Buffer
	key := strings.TrimSuffix(strings.TrimPrefix(string(e.Key), "["), "]")
	if key == "" {
		key = "(everything)"
	}
	b.WriteString(key + "\n")
	if e.Value != nil {
		b.WriteString("  ")
		if err := json.Indent(&b, e.Value, "  ", "  "); err != nil {
			return err
		}
		b.WriteString("\n")
	} else {
		fmt.Fprintf(&b, "  %s (%s)\n", plural(len(e.Raw), "byte"), e.Problem)
	}
	_, err := w.Write(b.Bytes())
	return err
}

func newStateExport(p *program) *cobra.Command {
	var stage, out string
	c := &cobra.Command{
		Use:   "export FLOW",
		Short: "Write the state of a flow as lines of JSON",
		Long: `Writes the state of a flow, or of one stage, as of its last checkpoint: one
JSON object a line, in a format that import reads (see docs/durability.md). The
positions of the sources are part of it, unless --stage is given. For moving a
flow, end it first.`,
		Example: `  telluride state export sensors --out sensors.ndjson
  telluride state export sensors --stage per_sensor | jq -c 'select(.key) | .shown'`,
		Args: cobra.ExactArgs(1),
	}
	c.Flags().StringVar(&stage, "stage", "", "only the state of this stage")
	c.Flags().StringVar(&out, "out", "", "the file to write; default: standard output")
	return p.stateVerb(c, reads, first, func(ctx context.Context, s states, args []string) error {
		if out == "" {
			return s.ExportState(ctx, args[0], stage, p.stdout)
		}
		f, err := os.OpenFile(out, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
		if err != nil {
			return err
		}
		if err := s.ExportState(ctx, args[0], stage, f); err != nil {
			return errors.Join(err, f.Close(), os.Remove(out))
		}
		return errors.Join(f.Sync(), f.Close())
	})
}

func newStateImport(p *program) *cobra.Command {
	var stage string
	var merge, replace bool
	c := &cobra.Command{
		Use:   "import FLOW FILE",
		Short: "Take over state that was exported",
		Long: `Takes over what export has written; FILE may be - for standard input. A stage
takes it only when it is of the same kind and signature: key, window and
aggregates. Where state is kept already, say --merge or --replace.

A flow that runs is parked for a moment, as for a change, and goes on with the
new state; positions are then not taken over, hence --stage is needed. Of a
flow that does not run, positions are taken over with --replace, or when nothing
was kept of it.`,
		Example: `  telluride state import sensors sensors.ndjson
  telluride state import sensors sensors.ndjson --stage per_sensor --merge`,
		Args: cobra.ExactArgs(2),
	}
	c.Flags().StringVar(&stage, "stage", "", "only the state of this stage")
	c.Flags().BoolVar(&merge, "merge", false, "keep the keys that are not in the file")
	c.Flags().BoolVar(&replace, "replace", false, "drop the keys that are not in the file")
	c.MarkFlagsMutuallyExclusive("merge", "replace")
	none := func([]string) string { return "" } // it may be new
	return p.stateVerb(c, creates, none, func(ctx context.Context, s states, args []string) error {
		how := inspect.Importing{Stage: stage}
		switch {
		case merge:
			how.How = inspect.Merge
		case replace:
			how.How = inspect.Replace
		}
		from := p.stdin
		if args[1] != "-" {
			f, err := os.Open(args[1])
			if err != nil {
				return err
			}
			defer func() { _ = f.Close() }()
			from = f
		}
		done, err := s.ImportState(ctx, args[0], from, how)
		if err != nil {
			return err
		}
		return p.tellDone(done)
	})
}

func newStateDrop(p *program) *cobra.Command {
	var yes bool
	c := &cobra.Command{
		Use:   "drop FLOW [STAGE [KEY]]",
		Short: "Forget the state of a key, a stage or a flow",
		Long: `Drops the state of a key; of a stage; or all that is kept of a flow, with
the positions of its sources and what was applied to it, so that it begins anew.
A flow that runs is parked for a moment and goes on without the state; all of a
flow can only be dropped when it does not run.`,
		Example: `  telluride state drop sensors per_sensor a
  telluride state drop sensors per_sensor --yes
  telluride state drop sensors --yes`,
		Args: cobra.RangeArgs(1, 3),
	}
	c.Flags().BoolVar(&yes, "yes", false, "drop more than one key, without being asked")
	return p.stateVerb(c, changing, first, func(ctx context.Context, s states, args []string) error {
		stage, key := "", (*string)(nil)
		if len(args) > 1 {
			stage = args[1]
		}
		if len(args) > 2 {
			key = &args[2]
		}
		if key == nil && !yes {
			return p.whatWouldGo(ctx, s, args[0], stage)
		}
		done, err := s.DropState(ctx, args[0], stage, key)
		if err != nil {
			return err
		}
		return p.tellDone(done)
	})
}

// whatWouldGo says what a drop without --yes would drop.
func (p *program) whatWouldGo(ctx context.Context, s states, flow, stage string) error {
	all, err := s.States(ctx, flow)
	if err != nil {
		return err
	}
	keys, found := 0, stage == ""
	for _, f := range all {
		for _, one := range f.Stages {
			if stage == "" || one.Name == stage {
				keys, found = keys+one.Keys, true
			}
		}
	}
	what := fmt.Sprintf("flow %q: %s of state, positions, and what was applied to it", flow, plural(keys, "key"))
	if stage != "" {
		what = fmt.Sprintf("stage %q: %s of state", stage, plural(keys, "key"))
	}
	if !found {
		return fmt.Errorf("there is no state of a stage %q; see telluride state list %s", stage, flow)
	}
	return &exitError{exitInvalid, fmt.Errorf("nothing was dropped; with --yes this would go of %s", what)}
}

// tellDone says what was changed: as JSON in a pipe.
func (p *program) tellDone(done inspect.Done) error {
	if !p.console().outTerm {
		return p.writeJSON(done)
	}
	for _, s := range done.Stages {
		line := fmt.Sprintf("%s: %s written, %s dropped", s.Stage, plural(s.Written, "key"), strconv.Itoa(s.Dropped))
		if _, err := fmt.Fprintln(p.stdout, line); err != nil {
			return err
		}
	}
	if done.Positions {
		fmt.Fprintln(p.stdout, "positions of the sources: changed too")
	}
	if done.PausedMS > 0 {
		fmt.Fprintf(p.stdout, "%s in flight finished; nothing was read for %.0fms\n", plural(int(done.Drained), "record"), done.PausedMS)
	}
	return nil
}
