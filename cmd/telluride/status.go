package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"github.com/telluride-stream/telluride/engine/api"
	"github.com/telluride-stream/telluride/engine/change"
)

func newStatus(p *program) *cobra.Command {
	var dir, format string
	c := &cobra.Command{
		Use:   "status [FLOW]",
		Short: "Say how the flows of a running process stand",
		Long: `Shows the flows of a process that telluride run started: their versions, how
much went through them, their params and where each value came from (default,
environment, flag, file, queue or api), and what became of the last changes.

The exit code is 1 when no process runs.`,
		Example: `  telluride status
  telluride status sensor-health
  telluride status --format json | jq '.flows[].params'`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			if err := oneOf("format", format, "text", "json"); err != nil {
				return err
			}
			return p.status(strings.Join(args, ""), dir, format)
		},
	}
	stateDirFlag(c, &dir)
	c.Flags().StringVar(&format, "format", "text", "text or json")
	return c
}

func (p *program) status(flow, dir, format string) error {
	ctx, cancel := p.interruptible()
	defer cancel()
	r, err := p.reach(ctx, dir, flow)
	if err != nil {
		return err
	}
	flows := r.process.Flows
	if flow != "" {
		one, err := r.Flow(ctx, flow)
		if err != nil {
			return failed(err)
		}
		if format == "json" {
			return failedOrNil(writeJSON(p.stdout, one))
		}
		flows = []api.Flow{one}
	}
	if format == "json" {
		return failedOrNil(writeJSON(p.stdout, r.process))
	}
	var b strings.Builder
	fmt.Fprintf(&b, "process %d, state in %s\n", r.process.PID, r.dir)
	if r.process.URL != "" {
		fmt.Fprintf(&b, "dashboard at %s\n", r.process.URL)
	}
	for _, f := range flows {
		b.WriteString("\n" + flowText(f, time.Now()))
	}
	_, err = io.WriteString(p.stdout, b.String())
	return failedOrNil(err)
}

func failedOrNil(err error) error {
	if err != nil {
		return failed(err)
	}
	return nil
}

func writeJSON(w io.Writer, v any) error {
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	return enc.Encode(v)
}

// flowText is the status of a flow for people.
func flowText(f api.Flow, now time.Time) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s: %s, version %s since %s (%s)", f.Name, f.State, short(f.Version),
		f.Since.Local().Format(time.DateTime), lasting(now.Sub(f.Since).Round(time.Second)))
	if f.File != "" {
		fmt.Fprintf(&b, ", %s", f.File)
	}
	b.WriteString("\n")
	if f.Reason != "" {
		fmt.Fprintf(&b, "  reason: %s\n", f.Reason)
	}
	fmt.Fprintf(&b, "  %s\n", countsText(f))
	if len(f.Params) > 0 {
		b.WriteString("  params:\n")
		var rows [][]string
		for _, param := range f.Params {
			value := param.Value
			if param.Hidden {
				value = "(hidden)"
			}
			rows = append(rows, []string{param.Name, value, param.From})
		}
		b.WriteString(columns("    ", rows))
	}
	if len(f.Receipts) > 0 {
		b.WriteString("  changes:\n")
		var rows [][]string
		for _, r := range f.Receipts[max(0, len(f.Receipts)-5):] {
			rows = append(rows, []string{r.At.Local().Format(time.DateTime), r.From, string(r.Outcome), versionsText(r), r.Reason})
		}
		b.WriteString(columns("    ", rows))
	}
	return b.String()
}

// countsText is what went through a flow, and where what is not among the
// results went.
func countsText(f api.Flow) string {
	var in, out, dead, late uint64
	for _, s := range f.Stages {
		switch {
		case s.Kind == "source":
			in += s.In
		case s.Kind == "sink" && s.Name != "dead_letter" && s.Name != "late":
			out += s.Passed
		}
		dead += s.Dead
		late += s.Late
	}
	parts := []string{plural(int(in), "record") + " in", plural(int(out), "record") + " out"}
	if dead > 0 {
		parts = append(parts, plural(int(dead), "dead letter"))
	}
	if late > 0 {
		parts = append(parts, plural(int(late), "late record"))
	}
	if f.Unacknowledged > 0 {
		parts = append(parts, thousands(f.Unacknowledged)+" not acknowledged")
	}
	if f.Restarts > 0 {
		parts = append(parts, plural(f.Restarts, "restart"))
	}
	return strings.Join(parts, ", ")
}

// short is as much of a version as tells it from others.
func short(version string) string { return version[:min(len(version), 12)] }

// versionsText is what a change made of the version.
func versionsText(r change.Receipt) string {
	switch {
	case r.Before == r.After || r.After == "":
		return short(r.Before)
	case r.Before == "":
		return short(r.After)
	}
	return short(r.Before) + " → " + short(r.After)
}

// columns sets rows in columns.
func columns(indent string, rows [][]string) string {
	var widths []int
	for _, row := range rows {
		for i, cell := range row {
			if i == len(widths) {
				widths = append(widths, 0)
			}
			widths[i] = max(widths[i], utf8.RuneCountInString(cell))
		}
	}
	var b strings.Builder
	for _, row := range rows {
		line := indent
		for i, cell := range row {
			line += cell + strings.Repeat(" ", widths[i]-utf8.RuneCountInString(cell)+2)
		}
		b.WriteString(strings.TrimRight(line, " ") + "\n")
	}
	return b.String()
}
