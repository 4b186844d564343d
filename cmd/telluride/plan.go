package main

import (
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/telluride-stream/telluride/engine/api"
	"github.com/telluride-stream/telluride/engine/change"
	"github.com/telluride-stream/telluride/engine/diag"
	"github.com/telluride-stream/telluride/engine/plan"
)

func newPlan(p *program) *cobra.Command {
	var a asked
	var against string
	c := &cobra.Command{
		Use:   "plan FILE",
		Short: "Say what a change would do, without making it",
		Long: `Compares a flow file with the version that runs, or with another file, and says
what a change would do: which sources keep their session, and which state is
kept, carried, flushed, discarded or dropped. Nothing is touched.

The exit code is 2 when the flow is invalid, and 1 when the change would be
refused, or when no process runs.`,
		Example: `  telluride plan flows/sensor_health.yaml
  telluride plan --set lanes=8
  telluride plan new.yaml --against old.yaml              no process is needed
  telluride plan flow.yaml --format json | jq .stages`,
		Args:              cobra.MaximumNArgs(1),
		ValidArgsFunction: completeFlows,
		RunE: func(_ *cobra.Command, args []string) error {
			ch, err := a.change(args)
			if err != nil {
				return err
			}
			if against == "" {
				return p.planRunning(ch, a)
			}
			if len(args) == 0 || len(a.unset) > 0 {
				return fmt.Errorf("--against compares two files: name the new one, and leave --unset out")
			}
			return p.planFiles(args[0], against, a, ch)
		},
	}
	a.flags(c)
	c.Flags().StringVar(&against, "against", "", "compare with this `file` instead of what runs")
	return c
}

// planRunning compares with what runs.
func (p *program) planRunning(c change.Change, a asked) error {
	ctx, cancel := p.interruptible()
	defer cancel()
	r, err := p.reach(ctx, a.dir, called(c))
	if err != nil {
		return err
	}
	preview, err := r.Plan(ctx, c)
	if err != nil {
		return failed(err)
	}
	if preview.Flow == "" {
		preview.Flow = called(c)
	}
	return p.printPreview(preview, a.format, map[string][]byte{c.File: c.Source})
}

// planFiles compares two files.
func (p *program) planFiles(file, against string, a asked, c change.Change) error {
	both, err := p.loadApart([]string{against, file}, a.set)
	if err != nil {
		return err
	}
	old, next := both[0], both[1]
	list, sources := all(both)
	preview := api.Preview{Flow: called(c)}
	if old.plan != nil {
		preview.Before = old.plan.Version
	}
	if next.plan != nil {
		preview.Flow, preview.After = next.plan.Name, next.plan.Version
	}
	if old.plan != nil && next.plan != nil {
		d, more := plan.Compare(old.plan, next.plan)
		preview.Sources, preview.Stages = d.Sources, d.Stages
		list.Add(more...)
		if old.plan.Name != next.plan.Name {
			list.Add(diag.Diagnostic{
				Span:    diag.Span{File: file},
				Message: fmt.Sprintf("the file is for flow %q, not for %q", next.plan.Name, old.plan.Name),
				Advice:  "a change keeps the flow's name",
			})
		}
	}
	if old.plan == nil {
		preview.After = "" // an invalid file, whichever it is
	}
	preview.OK = !list.HasErrors()
	preview.Diagnostics = change.Problems(list)
	return p.printPreview(preview, a.format, sources)
}

// printPreview writes what a change would do, and returns the exit code for it.
func (p *program) printPreview(v api.Preview, format string, sources map[string][]byte) error {
	var err error
	if format == "json" {
		err = writeJSON(p.stdout, v)
	} else {
		diag.Print(p.stdout, diagnostics(v.Diagnostics), sources, p.colour(p.stdout))
		_, err = io.WriteString(p.stdout, previewText(v))
	}
	switch {
	case err != nil:
		return failed(err)
	case v.OK:
		return nil
	case v.After == "":
		return &exitError{code: exitInvalid}
	}
	return &exitError{code: exitFailed}
}

func previewText(v api.Preview) string {
	var b strings.Builder
	switch {
	case v.After == "":
		fmt.Fprintf(&b, "%s: invalid: the change would be rejected\n", v.Flow)
		return b.String()
	case v.Before == v.After:
		fmt.Fprintf(&b, "%s: unchanged: version %s runs already\n", v.Flow, short(v.After))
		return b.String()
	case v.Before == "":
		fmt.Fprintf(&b, "%s: would start: version %s\n", v.Flow, short(v.After))
	case v.OK:
		fmt.Fprintf(&b, "%s: would change: version %s → %s\n", v.Flow, short(v.Before), short(v.After))
	default:
		fmt.Fprintf(&b, "%s: would be rejected: version %s → %s\n", v.Flow, short(v.Before), short(v.After))
	}
	b.WriteString(differences(v.Sources, v.Stages))
	if len(v.Stages) == 0 {
		b.WriteString("  no stage has state\n")
	}
	return b.String()
}
