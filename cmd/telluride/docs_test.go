package main

import (
	"bufio"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode"

	"github.com/telluride-stream/telluride/engine/conf"
	"github.com/telluride-stream/telluride/engine/stage"
	"github.com/telluride-stream/telluride/stages"
)

// The blocks of README.md and of the guides are tested by what stands behind
// their language:
//
//	yaml flow     a complete flow
//	yaml part     keys of the top level; a missing source or sink is added
//	yaml stages   entries of stages:, which read readings.ndjson
//	yaml timed    the same, in event time: field at, up to 5s out of order
//	yaml wrong    a complete flow with mistakes; a text error follows
//	json FILE     a file for the flows below; likewise csv and text
//	json output   what the flow above prints
//	json dead     its dead letters, with ID, TIME and VERSION instead of theirs
//	text error    what validate says of the flow above
//
// With -update, what flows give is written into the documents.

// example is a flow of the documentation and what is said of it.
type example struct {
	file  string
	line  int
	kind  string // flow, part, …
	yaml  string
	files map[string]string
	said  map[string]block // output, dead, error
}

// block is a text between fences, and the line behind the first of them.
type block struct {
	line int
	text string
}

const fence = "```"

// examples reads the flows of a Markdown file.
func examples(t *testing.T, path string) []*example {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var all []*example
	files := map[string]string{}
	lines := bufio.NewScanner(f)
	for n := 1; lines.Scan(); n++ {
		info, ok := strings.CutPrefix(lines.Text(), fence)
		if !ok {
			continue
		}
		place, start := fmt.Sprintf("%s:%d", filepath.Base(path), n), n
		var body strings.Builder
		for n++; ; n++ {
			if !lines.Scan() {
				t.Fatalf("%s: the block is not closed", place)
			}
			if lines.Text() == fence {
				break
			}
			body.WriteString(lines.Text() + "\n")
		}
		language, word, _ := strings.Cut(info, " ")
		switch {
		case word == "" && language == "yaml":
			t.Errorf("%s: say how to test the block: yaml flow, part, stages, timed or wrong", place)
		case word == "":
		case language != "go" && strings.Contains(word, "."):
			files = maps.Clone(files)
			files[word] = body.String()
		case slices.Contains([]string{"output", "dead", "error"}, word):
			if len(all) == 0 || all[len(all)-1].said[word].line != 0 {
				t.Fatalf("%s: the %s of no flow", place, word)
			}
			all[len(all)-1].said[word] = block{start, body.String()}
		case slices.Contains([]string{"flow", "part", "stages", "timed", "wrong"}, word):
			all = append(all, &example{file: path, line: start, kind: word, yaml: body.String(), files: files, said: map[string]block{}})
		default:
			t.Errorf("%s: %q says nothing to the test", place, info)
		}
	}
	return all
}

const (
	plainSource = "source: {file: {path: readings.ndjson}}\n"
	timedSource = "source: {file: {path: readings.ndjson}, time: {field: at, out_of_order: 5s}}\n"
	plainSink   = "sink: {stdout: {}}\n"
)

// flow is the example as a complete flow.
func (e *example) flow() string {
	has := func(keys ...string) bool {
		return slices.ContainsFunc(keys, func(k string) bool { return strings.Contains("\n"+e.yaml, "\n"+k+":") })
	}
	switch e.kind {
	case "stages":
		return plainSource + "stages:\n" + e.yaml + plainSink
	case "timed":
		return timedSource + "stages:\n" + e.yaml + plainSink
	case "part":
		text := e.yaml
		if !has("source", "sources") {
			text += plainSource
		}
		if !has("sink", "sinks") {
			text += plainSink
		}
		return text
	}
	return e.yaml
}

// TestTheExamplesOfTheDocumentation checks every flow of the documentation
// with validate, and runs those of which it says what they give.
func TestTheExamplesOfTheDocumentation(t *testing.T) {
	root, err := filepath.Abs(filepath.Join("..", ".."))
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range append([]string{"README.md"}, guides(t)...) {
		all := examples(t, filepath.Join(root, path))
		if len(all) == 0 {
			t.Errorf("%s has no examples", path)
		}
		for _, e := range all {
			t.Run(fmt.Sprintf("%s:%d", filepath.Base(path), e.line), func(t *testing.T) { e.check(t, root) })
		}
		if *update {
			rewrite(t, filepath.Join(root, path), all)
		}
	}
}

// check validates the example and compares what it gives with what the
// documentation says; with -update it takes that over instead.
func (e *example) check(t *testing.T, root string) {
	dir := t.TempDir()
	for _, name := range []string{"flows", "testdata"} {
		if err := os.Symlink(filepath.Join(root, name), filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	t.Chdir(dir)
	files := maps.Clone(e.files)
	if _, ok := files["readings.ndjson"]; !ok {
		files["readings.ndjson"] = "" // which most examples read; that it is missing is another story
	}
	files["flow.yaml"] = e.flow()
	for name, text := range files {
		if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	f := newFake()
	code := f.execute("validate", "flow.yaml")
	if e.kind == "wrong" {
		e.same(t, "error", f.out.String())
		return
	}
	if code != exitFine {
		t.Fatalf("%s\n%s", e.flow(), &f.out)
	}
	if len(e.said) == 0 {
		return
	}
	f = newFake()
	if code := f.execute("run", "flow.yaml", "--lanes", "1", "--quiet", "--log-level", "warn"); code != exitFine {
		t.Fatalf("exit code %d: %s", code, &f.err)
	}
	if e.said["output"].line != 0 {
		e.same(t, "output", f.out.String())
	}
	if e.said["dead"].line != 0 {
		e.same(t, "dead", deadLetters(t))
	}
}

func (e *example) same(t *testing.T, what, got string) {
	t.Helper()
	if strings.Contains(e.yaml, "route:") && sortedLines(got) == sortedLines(e.said[what].text) {
		return // branches keep no order among each other
	}
	if *update {
		e.said[what] = block{e.said[what].line, got}
	} else if want := e.said[what].text; got != want {
		t.Errorf("the %s is\n%s\nand not\n%s", what, got, want)
	}
}

func sortedLines(s string) string {
	return strings.Join(slices.Sorted(strings.Lines(s)), "")
}

// rewrite puts what the examples give into the document.
func rewrite(t *testing.T, path string, all []*example) {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	lines := slices.Collect(strings.Lines(string(text)))
	for _, e := range slices.Backward(all) {
		said := slices.SortedFunc(maps.Values(e.said), func(a, b block) int { return b.line - a.line })
		for _, b := range said {
			length := slices.Index(lines[b.line:], fence+"\n")
			lines = slices.Replace(lines, b.line, b.line+length, b.text)
		}
	}
	if err := os.WriteFile(path, []byte(strings.Join(lines, "")), 0o644); err != nil {
		t.Fatal(err)
	}
}

// deadLetters are those of the working directory, without what is another in every run.
func deadLetters(t *testing.T) string {
	t.Helper()
	names, err := filepath.Glob("*.dead.ndjson")
	if err != nil || len(names) != 1 {
		t.Fatalf("files of dead letters: %v (%v)", names, err)
	}
	text, err := os.ReadFile(names[0])
	if err != nil {
		t.Fatal(err)
	}
	for key, what := range map[string]string{"time": "TIME", "id": "ID", "version": "VERSION"} {
		text = regexp.MustCompile(`(?m)^([^\n]*?"`+key+`":)"[^"]*"`).ReplaceAll(text, []byte(`${1}"`+what+`"`))
	}
	return string(text)
}

// guides are the documents that explain the language by example.
func guides(t *testing.T) (paths []string) {
	t.Helper()
	for _, name := range []string{"flows.md", "rabbitmq.md", "reload.md", "dead_letters.md"} {
		path := filepath.Join("docs", name)
		if _, err := os.Stat(filepath.Join("..", "..", path)); err == nil {
			paths = append(paths, path)
		}
	}
	if len(paths) < 2 {
		t.Fatalf("only these guides are there: %v", paths)
	}
	return paths
}

// TestTheGuideNamesEveryKey says that docs/flows.md leaves out no kind of
// source, stage, step, sink or feed, and none of their keys; those of RabbitMQ
// and of feeds may be in another guide.
func TestTheGuideNamesEveryKey(t *testing.T) {
	guide, all := map[string]bool{}, map[string]bool{}
	for _, path := range guides(t) {
		words := wordsOf(t, filepath.Join("..", "..", path))
		maps.Copy(all, words)
		if filepath.Base(path) == "flows.md" {
			guide = words
		}
	}
	for _, k := range stages.All().Kinds() {
		if !guide[k.Name] {
			t.Errorf("%s %s is missing", k.Role, k.Name)
		}
		words := guide
		if k.Name == "rabbitmq" || k.Role == stage.RoleFeed {
			words = all
		}
		for _, key := range keys(k.Doc().Fields) {
			if !words[key] {
				t.Errorf("%s %s: key %s is missing", k.Role, k.Name, key)
			}
		}
	}
}

func wordsOf(t *testing.T, path string) map[string]bool {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	words := map[string]bool{}
	for _, w := range strings.FieldsFunc(string(text), func(r rune) bool {
		return r != '_' && !unicode.IsLetter(r) && !unicode.IsDigit(r)
	}) {
		words[w] = true
	}
	return words
}

func keys(fields []*conf.FieldDoc) []string {
	var all []string
	for _, f := range fields {
		all = append(append(all, f.Name), keys(f.Fields)...)
	}
	return all
}
