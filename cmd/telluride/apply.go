package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/telluride-stream/telluride/engine/change"
	"github.com/telluride-stream/telluride/engine/diag"
	"github.com/telluride-stream/telluride/engine/plan"
)

// asked is a change as the command line gives it.
type asked struct {
	set, unset []string
	flow       string
	base       string
	dir        string
	format     string
}

func (a *asked) flags(c *cobra.Command) {
	f := c.Flags()
	f.StringArrayVar(&a.set, "set", nil, "set a param: `name=value`; may be repeated")
	f.StringArrayVar(&a.unset, "unset", nil, "leave a param to its default again: `name`; may be repeated")
	f.StringVar(&a.flow, "flow", "", "`name` of the flow; default: that of FILE, or the only one that runs")
	f.StringVar(&a.format, "format", "text", "text or json")
	stateDirFlag(c, &a.dir)
}

// change reads the command line, and the flow file if one is named.
func (a *asked) change(args []string) (change.Change, error) {
	c := change.Change{Flow: a.flow, Unset: a.unset, BaseVersion: a.base}
	if err := oneOf("format", a.format, "text", "json"); err != nil {
		return c, err
	}
	if len(args) == 0 && len(a.set)+len(a.unset) == 0 {
		return c, errors.New("there is nothing to change: name a flow file, or use --set or --unset")
	}
	for _, text := range a.set {
		name, value, ok := strings.Cut(text, "=")
		if !ok || name == "" {
			return c, fmt.Errorf("--set %s: expected name=value", text)
		}
		if c.Set == nil {
			c.Set = map[string]string{}
		}
		c.Set[name] = value
	}
	for _, name := range a.unset {
		if _, both := c.Set[name]; both {
			return c, fmt.Errorf("param %q cannot be set and unset at once", name)
		}
	}
	if len(args) == 0 {
		return c, nil
	}
	src, err := os.ReadFile(args[0])
	if err != nil {
		return c, fmt.Errorf("read %s: %w%s", args[0], reason(err), nearMiss(args[0]))
	}
	if len(src) == 0 {
		src = []byte("\n") // none at all would mean: leave the file as it is
	}
	c.Source, c.File = src, args[0]
	return c, nil
}

// called is the name of the flow that a change is for, as far as it can be told.
func called(c change.Change) string {
	if c.Flow != "" || c.Source == nil {
		return c.Flow
	}
	name, _ := (&loaded{file: c.File, src: c.Source}).declares()
	return name
}

func newApply(p *program) *cobra.Command {
	var a asked
	var timeout time.Duration
	var via viaQueue
	c := &cobra.Command{
		Use:   "apply [FILE]",
		Short: "Change a flow while it runs",
		Long: `Has a running flow take over another version of its file, other params, or
both, and waits for the receipt: what was kept, carried or flushed, and for how
long nothing was read. Nothing is lost by a change. One that is wrong is
refused, and one that cannot start is rolled back; the flow runs on as it was.
A flow that does not run yet is started.

With --via-queue the change goes to the flow's config queue in RabbitMQ, so
that the process may run anywhere: a flow file as it is, params as JSON. There
a value that is a number, true or false is sent as that, and anything else as
text; a text that looks like a number is quoted: --set 'line="7"'.

A change that is pending, since a broker is away, is waited for as well.

The exit code is 1 when the change was rejected or rolled back, when its last
receipt did not come in time, and when no process runs.`,
		Example: `  telluride apply flows/sensor_health.yaml
  telluride apply --set lanes=8 --set rate_limit_allowed=200
  telluride apply --unset lanes --flow sensor-health
  telluride apply flow.yaml --base-version 3fa9c1d2ab40   refused if another one runs by now
  telluride apply flow.yaml --via-queue amqp://user:password@broker/
  telluride apply --set lanes=8 --via-queue amqp://user:password@broker/ --queue broadway_config_queue`,
		Args:              cobra.MaximumNArgs(1),
		ValidArgsFunction: completeFlows,
		RunE: func(_ *cobra.Command, args []string) error {
			if timeout <= 0 {
				return fmt.Errorf("--timeout %v: must be positive", timeout)
			}
			ch, err := a.change(args)
			if err != nil {
				return err
			}
			switch {
			case via.url != "":
				return p.applyViaQueue(ch, a, via, timeout)
			case via.queue != "":
				return errors.New("--queue belongs to --via-queue")
			}
			return p.apply(ch, a, timeout)
		},
	}
	a.flags(c)
	c.Flags().StringVar(&a.base, "base-version", "", "`version` that the change was made from: it is refused when another one runs")
	c.Flags().StringVar(&via.url, "via-queue", "", "send the change to the flow's config queue, at the broker with this `URL`")
	c.Flags().StringVar(&via.queue, "queue", "", "the config queue's `name`, for --via-queue; default: the one that FILE names")
	c.Flags().DurationVar(&timeout, "timeout", 2*time.Minute, "how long to wait for the receipt; the change goes on without it")
	return c
}

func (p *program) apply(c change.Change, a asked, timeout time.Duration) error {
	ctx, cancel := p.interruptible()
	defer cancel()
	process, err := p.reach(ctx, a.dir, called(c))
	if err != nil {
		return err
	}
	// The process says when the time is up; this is for one that says nothing.
	ctx, stop := context.WithTimeout(ctx, timeout+askTimeout)
	defer stop()
	began := time.Now()
	r, ok, err := process.Apply(ctx, c, timeout)
	if err != nil {
		return failed(err)
	}
	if !ok {
		return failed(fmt.Errorf("no receipt after %v: the change goes on, and telluride status will show what became of it (id %s)", timeout, r.ID))
	}
	if r.Outcome == change.Pending {
		p.tellPending(r)
		if r, err = last(ctx, process, r, timeout-time.Since(began)); err != nil {
			return failed(err)
		}
	}
	if r.Outcome == change.Pending {
		return p.stillPending(c, r, a.format)
	}
	return p.answered(c, r, a.format)
}

// answered writes the receipt of a change. A change that was not made is an error.
func (p *program) answered(c change.Change, r change.Receipt, format string) (err error) {
	if format == "json" {
		err = writeJSON(p.stdout, r)
	} else {
		err = p.printReceipt(c, r)
	}
	if err != nil {
		return failed(err)
	}
	if r.Outcome == change.Rejected || r.Outcome == change.RolledBack {
		return &exitError{code: exitFailed}
	}
	return nil
}

// printReceipt writes a receipt for people.
func (p *program) printReceipt(c change.Change, r change.Receipt) error {
	diag.Print(p.stdout, diagnostics(r.Diagnostics), map[string][]byte{c.File: c.Source}, p.colour(p.stdout))
	var b strings.Builder
	name := r.Flow
	if name == "" {
		name = called(c)
	}
	if name != "" {
		b.WriteString(name + ": ")
	}
	b.WriteString(strings.ReplaceAll(string(r.Outcome), "_", " "))
	if r.Reason != "" {
		b.WriteString(": " + r.Reason)
	}
	b.WriteString("\n")
	if r.Before != "" || r.After != "" {
		fmt.Fprintf(&b, "  version %s\n", versionsText(r))
	}
	b.WriteString(differences(r.Sources, r.Stages))
	if r.Outcome == change.Applied && r.Before != "" {
		fmt.Fprintf(&b, "  %s in flight finished; nothing was read for %s\n", plural(int(r.Drained), "record"),
			lasting(time.Duration(r.PausedMS*float64(time.Millisecond))))
	}
	if !r.Running && r.After != "" {
		b.WriteString("  the flow does not run: see telluride status\n")
	}
	_, err := io.WriteString(p.stdout, b.String())
	return err
}

// differences lists what becomes of sources, and of stages with state.
func differences(sources, stages []plan.Difference) string {
	var rows [][]string
	for _, d := range sources {
		rows = append(rows, []string{"source", d.Name, string(d.Outcome), d.Why})
	}
	for _, d := range stages {
		rows = append(rows, []string{d.Kind, d.Name, string(d.Outcome), d.Why})
	}
	return columns("  ", rows)
}
