// Command mutants puts bugs into Telluride, one at a time, and runs the flow
// tests: at least one has to fail for each. The bugs are the patches of this
// folder, each of which begins with a line that says what is wrong. A patch
// that no longer applies is an error. The sources are not touched: the
// compiler is given the changed files in their place.
//
//	go run ./mutants                  all of them; writes testdata/suite/MUTANTS.md
//	go run ./mutants window-end …     some of them
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// limit is how long the tests may take with one bug. A bug may well make a flow
// hang; that is a failure of its test, which has a deadline of its own.
const limit = 5 * time.Minute

// tests are what has to notice the bugs.
var tests = []string{"testdata/suite", "flows"}

const table = "testdata/suite/MUTANTS.md"

// mutant is one bug.
type mutant struct {
	name, what string
	patch      string // the file
	files      []string
	caught     []string // the tests that failed
	problem    string
}

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "mutants:", err)
		os.Exit(1)
	}
}

func run(names []string) error {
	root, err := filepath.Abs("..") // the folder of this module is tools
	if err != nil {
		return err
	}
	if err := os.Chdir(root); err != nil {
		return err
	}
	all, err := mutants(names)
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "mutants-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	// The tests have to pass without a bug, or their failing would say nothing.
	sound := &mutant{name: "sound"}
	if sound.try(root, dir); sound.problem == "" && len(sound.caught) > 0 {
		sound.problem = fmt.Sprintf("the tests fail without any bug: %s", strings.Join(sound.caught, "; "))
	}
	if sound.problem != "" && sound.problem != survives {
		return errors.New(sound.problem)
	}
	var bad []string
	for _, m := range all {
		if m.try(root, dir); m.problem != "" {
			bad = append(bad, m.name)
			fmt.Printf("FAIL    %s: %s (%s)\n", m.name, m.problem, m.what)
			continue
		}
		fmt.Printf("caught  %s: %s by %d: %s\n", m.name, m.what, len(m.caught), m.caught[0])
	}
	if len(bad) > 0 {
		return fmt.Errorf("%d of %d were not caught: %s", len(bad), len(all), strings.Join(bad, ", "))
	}
	fmt.Printf("all %d were caught\n", len(all))
	if len(names) > 0 {
		return nil
	}
	return os.WriteFile(table, report(all), 0o644)
}

// mutants reads the patches.
func mutants(names []string) ([]*mutant, error) {
	patches, err := filepath.Glob("tools/mutants/*.patch")
	if err != nil {
		return nil, err
	}
	var all []*mutant
	for _, patch := range patches {
		m := &mutant{name: strings.TrimSuffix(filepath.Base(patch), ".patch"), patch: patch}
		if len(names) > 0 && !slices.Contains(names, m.name) {
			continue
		}
		text, err := os.ReadFile(patch)
		if err != nil {
			return nil, err
		}
		lines := strings.Split(string(text), "\n")
		m.what = strings.TrimSuffix(lines[0], ".")
		for _, line := range lines {
			if file, ok := strings.CutPrefix(line, "+++ b/"); ok {
				m.files = append(m.files, file)
			}
		}
		if len(m.files) == 0 {
			return nil, fmt.Errorf("%s changes no file", patch)
		}
		all = append(all, m)
	}
	if len(all) == 0 || len(names) > 0 && len(all) != len(names) {
		return nil, fmt.Errorf("there are no such patches in tools/mutants: %s", strings.Join(names, ", "))
	}
	return all, nil
}

const survives = "no test notices it"

// try builds the program with the bug and runs the tests.
func (m *mutant) try(root, dir string) {
	dir = filepath.Join(dir, m.name)
	program := filepath.Join(dir, "telluride")
	overlay, err := m.overlay(root, dir)
	if err != nil {
		m.problem = err.Error()
		return
	}
	if out, err := exec.Command("go", "build", "-ldflags=-s -w", "-overlay", overlay, "-o", program, "./cmd/telluride").CombinedOutput(); err != nil {
		m.problem = fmt.Sprintf("it does not compile; make the patch anew: %s", out)
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	var stderr bytes.Buffer
	c := exec.CommandContext(ctx, program, append([]string{"test", "--format", "json"}, tests...)...)
	c.Stderr = &stderr
	out, err := c.Output()
	var exit *exec.ExitError
	switch {
	case ctx.Err() != nil:
		m.caught = []string{fmt.Sprintf("the tests do not end within %v", limit)}
		return
	case err != nil && (!errors.As(err, &exit) || exit.ExitCode() != 1):
		m.problem = fmt.Sprintf("telluride test: %v: %s", err, stderr.String())
		return
	}
	m.caught, err = failures(out)
	switch {
	case err != nil:
		m.problem = fmt.Sprintf("the report of telluride test: %v", err)
	case len(m.caught) == 0:
		m.problem = survives
	}
}

// overlay patches copies of the files, and says so to the compiler.
func (m *mutant) overlay(root, dir string) (string, error) {
	replace := map[string]string{}
	for _, file := range m.files {
		to := filepath.Join(dir, file)
		text, err := os.ReadFile(file)
		if err == nil {
			err = os.MkdirAll(filepath.Dir(to), 0o755)
		}
		if err == nil {
			err = os.WriteFile(to, text, 0o644)
		}
		if err != nil {
			return "", fmt.Errorf("the patch no longer applies; make it anew: %w", err)
		}
		replace[filepath.Join(root, file)] = to
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", err
	}
	if m.patch != "" {
		c := exec.Command("git", "apply", filepath.Join(root, m.patch))
		c.Dir = dir
		c.Env = append(os.Environ(), "GIT_CEILING_DIRECTORIES="+filepath.Dir(dir))
		if out, err := c.CombinedOutput(); err != nil {
			return "", fmt.Errorf("the patch no longer applies; make it anew: %s", out)
		}
	}
	text, err := json.Marshal(map[string]any{"Replace": replace})
	if err != nil {
		return "", err
	}
	overlay := filepath.Join(dir, "overlay.json")
	return overlay, os.WriteFile(overlay, text, 0o644)
}

// failures are the names of the tests that failed.
func failures(report []byte) ([]string, error) {
	var r struct {
		Tests []struct{ File, Name, Status string }
	}
	if err := json.Unmarshal(report, &r); err != nil {
		return nil, err
	}
	if len(r.Tests) == 0 {
		return nil, errors.New("it lists no tests")
	}
	var names []string
	for _, t := range r.Tests {
		if t.Status != "passed" {
			names = append(names, strings.TrimSuffix(filepath.Base(t.File), "_test.yaml")+": "+t.Name)
		}
	}
	return names, nil
}

// report is the table of what was caught, and by what.
func report(all []*mutant) []byte {
	var b bytes.Buffer
	b.WriteString("<!-- Written by `make mutants`. -->\n\n# Mutants\n\n" +
		"A test that cannot fail is worse than none. `make mutants` puts these bugs into the engine and its stages, one at a time\n" +
		"([tools/mutants](../../tools/mutants)), and runs the flow tests of `testdata/suite` and `flows`: at least one of them has to fail.\n\n" +
		"| bug | what is wrong | tests that fail | one of them |\n|---|---|---|---|\n")
	for _, m := range all {
		fmt.Fprintf(&b, "| `%s` | %s | %d | %s |\n", m.name, m.what, len(m.caught), m.caught[0])
	}
	return b.Bytes()
}
