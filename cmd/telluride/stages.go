package main

import (
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/telluride-stream/telluride/engine/diag"
)

func newStages(p *program) *cobra.Command {
	var folder string
	c := &cobra.Command{
		Use:   "stages [KIND]",
		Short: "List what flows are made of, or explain one kind",
		Long: `Lists the sources, stages, steps and sinks that a flow can be made of, or
explains one: its keys with their defaults, and an example. "telluride stages
flow" explains the top level of a flow file.`,
		Example: `  telluride stages
  telluride stages window`,
		Args:              cobra.MaximumNArgs(1),
		ValidArgsFunction: completeKinds,
		RunE: func(_ *cobra.Command, args []string) error {
			pages := referencePages()
			switch {
			case folder != "" && len(args) > 0:
				return fmt.Errorf("--write writes every page; leave %s out", args[0])
			case folder != "":
				return writeReference(folder, pages)
			case len(args) == 0:
				return listPages(p.stdout, pages)
			}
			return explain(p.stdout, pages, args[0])
		},
	}
	c.Flags().StringVar(&folder, "write", "", "write all pages and the JSON Schema to this `folder`")
	return c
}

func listPages(w io.Writer, pages []page) error {
	width := 0
	for _, pg := range pages {
		width = max(width, len(pg.name))
	}
	var b strings.Builder
	group := ""
	for _, pg := range pages {
		if pg.group != group {
			if group != "" {
				b.WriteString("\n")
			}
			group = pg.group
			b.WriteString(groupTitles[group] + "\n")
		}
		fmt.Fprintf(&b, "  %-*s  %s\n", width, pg.name, pg.summary)
	}
	b.WriteString("\ntelluride stages KIND explains one of them.\n")
	_, err := io.WriteString(w, b.String())
	return err
}

// explain prints the pages of a name; a file, say, is a source and a sink.
func explain(w io.Writer, pages []page, name string) error {
	var known []string
	found := 0
	for _, pg := range pages {
		known = append(known, pg.name)
		if pg.name != name {
			continue
		}
		if found > 0 {
			fmt.Fprintln(w)
		}
		found++
		if _, err := io.WriteString(w, pg.text); err != nil {
			return failed(err)
		}
	}
	if found > 0 {
		return nil
	}
	if near := diag.Suggest(name, known); near != "" {
		return fmt.Errorf("unknown kind %q; did you mean %q?", name, near)
	}
	return fmt.Errorf("unknown kind %q; telluride stages lists them", name)
}
