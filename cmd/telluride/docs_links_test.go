package main

import (
	"cmp"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode"

	"github.com/spf13/pflag"
)

var (
	linkPattern    = regexp.MustCompile(`\]\(([^()\s]+)\)`)
	commandPattern = regexp.MustCompile(`(?m)^\s*(?:[^|\n]*\| )?(?:go run \./cmd/telluride|telluride) ([^|>\n]*)`)
)

// documents are the Markdown files of the repository.
func documents(t *testing.T) map[string]string {
	t.Helper()
	root := filepath.Join("..", "..")
	all := map[string]string{}
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && path != root && (strings.HasPrefix(d.Name(), ".") || d.Name() == "bin"):
			return fs.SkipDir
		case d.IsDir() || filepath.Ext(path) != ".md":
			return nil
		}
		text, err := os.ReadFile(path)
		all[path] = string(text)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// TestEveryLinkOfTheDocumentationLeadsSomewhere looks up files and headings;
// it opens no connection.
func TestEveryLinkOfTheDocumentationLeadsSomewhere(t *testing.T) {
	all := documents(t)
	links := 0
	for path, text := range all {
		for _, match := range linkPattern.FindAllStringSubmatch(withoutBlocks(text), -1) {
			file, heading, _ := strings.Cut(match[1], "#")
			if strings.Contains(file, ":") {
				continue
			}
			links++
			target := path
			if file != "" {
				target = filepath.Join(filepath.Dir(path), filepath.FromSlash(file))
			}
			if _, err := os.Stat(target); err != nil {
				t.Errorf("%s: link to %s: %v", path, match[1], err)
				continue
			}
			if heading != "" && !slices.Contains(headings(all[target]), heading) {
				t.Errorf("%s: link to %s: there is no such heading", path, match[1])
			}
		}
	}
	if links == 0 {
		t.Error("no links found")
	}
}

func withoutBlocks(text string) string {
	return regexp.MustCompile("(?ms)^```.*?^```$").ReplaceAllString(text, "")
}

// headings are the anchors that GitHub makes of a document's headings.
func headings(text string) []string {
	var all []string
	for line := range strings.Lines(withoutBlocks(text)) {
		title := strings.TrimLeft(line, "#")
		if title == line || !strings.HasPrefix(title, " ") {
			continue
		}
		all = append(all, strings.Map(func(r rune) rune {
			switch {
			case r == ' ':
				return '-'
			case r == '-' || r == '_' || unicode.IsLetter(r) || unicode.IsDigit(r):
				return unicode.ToLower(r)
			}
			return -1
		}, strings.TrimSpace(title)))
	}
	return all
}

// TestTheCodeOfTheDocumentationIsTheRepositorys says that a block `go FILE` is a part of that file.
func TestTheCodeOfTheDocumentationIsTheRepositorys(t *testing.T) {
	blocks := regexp.MustCompile("(?ms)^```go (\\S+)\n(.*?)^```$")
	found := 0
	for path, text := range documents(t) {
		for _, match := range blocks.FindAllStringSubmatch(text, -1) {
			found++
			code, err := os.ReadFile(filepath.Join("..", "..", filepath.FromSlash(match[1])))
			if err != nil || !strings.Contains(string(code), match[2]) {
				t.Errorf("%s: the code is not in %s (%v)", path, match[1], err)
			}
		}
	}
	if found == 0 {
		t.Error("no code found")
	}
}

// TestTheCommandsOfTheDocumentationExist parses every command line of
// README.md and docs/flows.md: the verb, its flags, and the shipped flows.
func TestTheCommandsOfTheDocumentationExist(t *testing.T) {
	found := 0
	for path, text := range documents(t) {
		for _, match := range commandPattern.FindAllStringSubmatch(text, -1) {
			found++
			line, _, _ := strings.Cut(match[1], "   ") // what follows is an explanation
			verb, args, err := newRoot(&program{}).Find(strings.Fields(line))
			if err == nil {
				err = verb.ParseFlags(args)
			}
			if err == nil && verb.HasSubCommands() {
				err = errors.New("no verb")
			}
			if err != nil && !isHelp(err) {
				t.Errorf("%s: telluride %s: %v", path, line, err)
				continue
			}
			for _, arg := range verb.Flags().Args() {
				if strings.HasPrefix(arg, "flows/") {
					_, missing := os.Stat(filepath.Join("..", "..", arg))
					err = cmp.Or(err, missing)
				}
			}
			if err != nil && !isHelp(err) {
				t.Errorf("%s: telluride %s: %v", path, line, err)
			}
		}
	}
	if found == 0 {
		t.Error("no commands found")
	}
}

func isHelp(err error) bool { return errors.Is(err, pflag.ErrHelp) }
