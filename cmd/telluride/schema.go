package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"github.com/telluride-stream/telluride/engine/flow"
	"github.com/telluride-stream/telluride/stages"
)

// schemaFile is the name under which the schema is written beside flows.
const schemaFile = "flow.schema.json"

func newSchema(p *program) *cobra.Command {
	var out string
	c := &cobra.Command{
		Use:   "schema",
		Short: "Print the JSON Schema of flow files, for editors",
		Long: `Prints the JSON Schema (draft 2020-12) of flow files. Editors with a YAML
language server complete and check a flow whose first line names it:

  # yaml-language-server: $schema=flow.schema.json`,
		Example: "  telluride schema --out flow.schema.json",
		Args:    cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			text, err := schemaText()
			if err != nil {
				return failed(err)
			}
			if out == "" {
				_, err = p.stdout.Write(text)
			} else {
				err = os.WriteFile(out, text, 0o644)
			}
			if err != nil {
				return failed(fmt.Errorf("write the schema: %w", err))
			}
			return nil
		},
	}
	c.Flags().StringVar(&out, "out", "", "write it to this `file` instead of standard output")
	return c
}

// schemaText is the schema, byte for byte the same at every call.
func schemaText() ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(flow.Schema(stages.All())); err != nil {
		return nil, fmt.Errorf("encode the schema: %w", err)
	}
	return b.Bytes(), nil
}
