package main

import (
	_ "embed"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/spf13/cobra"

	"github.com/telluride-stream/telluride/engine/flowtest"
)

//go:embed hello.yaml
var firstFlow string

//go:embed hello_test.yaml
var firstTest string

var flowName = regexp.MustCompile(`^[a-z0-9_-]+$`)

func newInit(p *program) *cobra.Command {
	return &cobra.Command{
		Use:   "init [NAME]",
		Short: "Write a first flow that runs at once",
		Long: `Writes a commented flow to NAME.yaml (hello.yaml without a name) and, beside
it, a test of it and the JSON Schema with which editors complete and check it.
Files that are there are never overwritten.`,
		Example: "  telluride init\n  telluride init flows/sensors",
		Args:    cobra.MaximumNArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			name := "hello"
			if len(args) > 0 {
				name = args[0]
			}
			return p.writeFirstFlow(name)
		},
	}
}

func (p *program) writeFirstFlow(name string) error {
	file := strings.TrimSuffix(strings.TrimSuffix(name, ".yaml"), ".yml") + ".yaml"
	called := strings.TrimSuffix(filepath.Base(file), ".yaml")
	if !flowName.MatchString(called) {
		return fmt.Errorf("init %s: a flow's name has only a-z, 0-9, _ and -", name)
	}
	fill := strings.NewReplacer("{{file}}", file, "{{name}}", called)
	if err := writeNew(file, []byte(fill.Replace(firstFlow))); err != nil {
		if errors.Is(err, fs.ErrExist) {
			return fmt.Errorf("%s is there already; give another name: telluride init NAME", file)
		}
		return failed(err)
	}
	fmt.Fprintf(p.stdout, "wrote %s\n", file)
	test := strings.TrimSuffix(file, ".yaml") + flowtest.Suffix + ".yaml"
	switch err := writeNew(test, []byte(fill.Replace(firstTest))); {
	case err == nil:
		fmt.Fprintf(p.stdout, "wrote %s, its test\n", test)
	case !errors.Is(err, fs.ErrExist):
		return failed(err)
	}
	schema, err := schemaText()
	if err != nil {
		return failed(err)
	}
	beside := filepath.Join(filepath.Dir(file), schemaFile)
	switch err := writeNew(beside, schema); {
	case err == nil:
		fmt.Fprintf(p.stdout, "wrote %s, for completion and checks in editors\n", beside)
	case !errors.Is(err, fs.ErrExist):
		return failed(err)
	}
	fmt.Fprint(p.stdout, "\nnext:\n")
	width := len("telluride validate ") + len(file)
	for _, next := range [][2]string{
		{"run " + file, "Ctrl-C ends it"},
		{"validate " + file, "after a change"},
		{"test " + file, "what it does with which records"},
		{"stages", "what a flow can be made of"},
	} {
		fmt.Fprintf(p.stdout, "  %-*s   %s\n", width, "telluride "+next[0], next[1])
	}
	return nil
}

// writeNew writes a file that must not be there yet.
func writeNew(file string, text []byte) error {
	f, err := os.OpenFile(file, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return fmt.Errorf("write %s: %w", file, reason(err))
	}
	_, err = f.Write(text)
	if err := errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("write %s: %w", file, err)
	}
	return nil
}
