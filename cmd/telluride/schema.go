package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"github.com/telluride-stream/telluride/engine/flow"
	"github.com/telluride-stream/telluride/engine/flowtest"
	"github.com/telluride-stream/telluride/stages"
)

// schemaFile is the name under which the schema is written beside flows.
const schemaFile = "flow.schema.json"

func newSchema(p *program) *cobra.Command {
	var out string
	var tests bool
	c := &cobra.Command{
		Use:   "schema",
		Short: "Print the JSON Schema of flow files, for editors",
		Long: `Prints the JSON Schema (draft 2020-12) of flow files. Editors with a YAML
language server complete and check a flow whose first line names it:

  # yaml-language-server: $schema=flow.schema.json

With --tests it is the schema of files of flow tests (*_test.yaml).`,
		Example: "  telluride schema --out flow.schema.json\n  telluride schema --tests --out flow_test.schema.json",
		Args:    cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			schema := flow.Schema(stages.All())
			if tests {
				schema = flowtest.Schema()
			}
			text, err := schemaOf(schema)
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
	c.Flags().BoolVar(&tests, "tests", false, "the schema of flow tests instead")
	c.Flags().StringVar(&out, "out", "", "write it to this `file` instead of standard output")
	return c
}

// schemaText is the schema of flow files.
func schemaText() ([]byte, error) { return schemaOf(flow.Schema(stages.All())) }

// schemaOf writes a schema, byte for byte the same at every call.
func schemaOf(schema map[string]any) ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(schema); err != nil {
		return nil, fmt.Errorf("encode the schema: %w", err)
	}
	return b.Bytes(), nil
}
