package main

import (
	"encoding/json"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/telluride-stream/telluride/engine/diag"
	"github.com/telluride-stream/telluride/engine/plan"
)

func newValidate(p *program) *cobra.Command {
	var s settings
	var format string
	var strict bool
	c := &cobra.Command{
		Use:   "validate PATH…",
		Short: "Check flow files without running them",
		Long: `Checks flow files, or all flow files (*.yaml) of folders, and reports every
problem with its line. Nothing is opened and nothing runs.

The exit code is 2 when a flow is invalid.`,
		Example: `  telluride validate flows/
  telluride validate --strict --format json flows/a.yaml`,
		Args:              atLeastOnePath,
		ValidArgsFunction: completeFlows,
		RunE: func(_ *cobra.Command, args []string) error {
			if err := oneOf("format", format, "text", "json"); err != nil {
				return err
			}
			flows, err := p.load(args, s)
			if err != nil {
				return err
			}
			if format == "json" {
				err = writeDiagnostics(p.stdout, flows)
			} else {
				err = p.printChecks(flows)
			}
			if err != nil {
				return failed(err)
			}
			if errs, warnings := tally(flows); errs > 0 || strict && warnings > 0 {
				return &exitError{code: exitInvalid}
			}
			return nil
		},
	}
	c.Flags().StringArrayVar(&s.set, "set", nil, "set a param for this check: `name=value`, or flow.name=value")
	c.Flags().StringVar(&format, "format", "text", "text or json")
	c.Flags().BoolVar(&strict, "strict", false, "warnings are errors")
	return c
}

func oneOf(flag, value string, choices ...string) error {
	known := ""
	for i, c := range choices {
		if c == value {
			return nil
		}
		if i > 0 {
			known += ", "
		}
		known += c
	}
	if near := diag.Suggest(value, choices); near != "" {
		return fmt.Errorf("--%s %s: did you mean %q?", flag, value, near)
	}
	return fmt.Errorf("--%s %s: expected one of %s", flag, value, known)
}

func (p *program) printChecks(flows []loaded) error {
	for _, f := range flows {
		diag.Print(p.stdout, f.diags, map[string][]byte{f.file: f.src}, p.colour(p.stdout))
		if f.plan == nil {
			continue
		}
		if _, err := fmt.Fprintf(p.stdout, "%s: ok (%s)\n", f.file, plural(countStages(f.plan), "stage")); err != nil {
			return err
		}
	}
	errs, warnings := tally(flows)
	if errs+warnings == 0 && len(flows) == 1 {
		return nil
	}
	_, err := fmt.Fprintln(p.stdout, verdict(len(flows), errs, warnings))
	return err
}

// verdict sums up a check: 2 files, 7 errors.
func verdict(files, errs, warnings int) string {
	line := plural(files, "file")
	switch {
	case errs+warnings == 0:
		return line + ", no problems"
	case errs > 0:
		line += ", " + plural(errs, "error")
	}
	if warnings > 0 {
		line += ", " + plural(warnings, "warning")
	}
	return line
}

// countStages counts what the file calls stages, those in branches included.
func countStages(p *plan.Plan) int {
	n := 0
	plan.Walk(p.Nodes, func(node plan.Node) {
		if part, ok := node.(*plan.Partition); ok && part.Implied {
			return
		}
		n++
	})
	return n
}

// diagnostic is one problem as JSON. Its fields are stable.
type diagnostic struct {
	File      string `json:"file"`
	Line      int    `json:"line,omitempty"`
	Column    int    `json:"column,omitempty"`
	EndLine   int    `json:"end_line,omitempty"`
	EndColumn int    `json:"end_column,omitempty"`
	Severity  string `json:"severity"`
	Message   string `json:"message"`
	Advice    string `json:"advice,omitempty"`
}

type checkedFile struct {
	File   string `json:"file"`
	Flow   string `json:"flow,omitempty"`
	OK     bool   `json:"ok"`
	Stages int    `json:"stages,omitempty"`
}

func writeDiagnostics(w io.Writer, flows []loaded) error {
	report := struct {
		Errors      int           `json:"errors"`
		Warnings    int           `json:"warnings"`
		Files       []checkedFile `json:"files"`
		Diagnostics []diagnostic  `json:"diagnostics"`
	}{Files: []checkedFile{}, Diagnostics: []diagnostic{}}
	report.Errors, report.Warnings = tally(flows)
	for _, f := range flows {
		c := checkedFile{File: f.file, OK: f.plan != nil}
		if f.plan != nil {
			c.Flow, c.Stages = f.plan.Name, countStages(f.plan)
		}
		report.Files = append(report.Files, c)
		for _, d := range f.diags {
			report.Diagnostics = append(report.Diagnostics, diagnostic{
				File: d.Span.File, Line: d.Span.Start.Line, Column: d.Span.Start.Col,
				EndLine: d.Span.End.Line, EndColumn: d.Span.End.Col,
				Severity: d.Severity.String(), Message: d.Message, Advice: d.Advice,
			})
		}
	}
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	return enc.Encode(report)
}
