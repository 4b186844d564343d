package main

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/telluride-stream/telluride/engine/diag"
	"github.com/telluride-stream/telluride/engine/plan"
)

func newGraph(p *program) *cobra.Command {
	var s settings
	var format string
	c := &cobra.Command{
		Use:   "graph FLOW",
		Short: "Draw a flow, as Mermaid or DOT",
		Long: `Draws the plan of a flow: its sources, stages, partitions with their lanes,
routes with their branches, and sinks. Dead letters and late records are dashed.

Mermaid is shown by GitHub and GitLab in Markdown; DOT is for Graphviz.`,
		Example: `  telluride graph flows/quickstart.yaml
  telluride graph --format dot flows/quickstart.yaml | dot -Tsvg > quickstart.svg`,
		Args: func(c *cobra.Command, args []string) error {
			if len(args) != 1 {
				return fmt.Errorf("graph needs one flow file, as in: %s hello.yaml", c.CommandPath())
			}
			return nil
		},
		ValidArgsFunction: completeFlows,
		RunE: func(_ *cobra.Command, args []string) error {
			if err := oneOf("format", format, "mermaid", "dot"); err != nil {
				return err
			}
			flows, err := p.load(args, s)
			if err != nil {
				return err
			}
			if len(flows) != 1 {
				return fmt.Errorf("%s holds %s; graph draws one", args[0], plural(len(flows), "flow"))
			}
			f := flows[0]
			diag.Print(p.stderr, f.diags, map[string][]byte{f.file: f.src}, p.colour(p.stderr))
			if f.plan == nil {
				return &exitError{code: exitInvalid}
			}
			write := writeMermaid
			if format == "dot" {
				write = writeDOT
			}
			if _, err := io.WriteString(p.stdout, write(plan.Draw(f.plan))); err != nil {
				return failed(err)
			}
			return nil
		},
	}
	c.Flags().StringVar(&format, "format", "mermaid", "mermaid or dot")
	c.Flags().StringArrayVar(&s.set, "set", nil, "set a param: `name=value`")
	c.Flags().IntVar(&s.lanes, "lanes", 0, "lanes of every partition with a key; 0: what the flow says")
	return c
}
