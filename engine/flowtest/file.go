package flowtest

import (
	"fmt"
	"maps"
	"path/filepath"
	"strings"
	"time"

	"gopkg.in/yaml.v3"

	"github.com/telluride-stream/telluride/engine/conf"
	"github.com/telluride-stream/telluride/engine/diag"
	"github.com/telluride-stream/telluride/engine/record"
)

// Test is one test of a file, checked.
type Test struct {
	Name string
	Span diag.Span // of its name
	// Flow is the file of the flow that it tests.
	Flow   string
	Params map[string]string
	Env    map[string]string
	Base   time.Time
	Mocks  map[string]*Mock
	// Matrix says that it gives the same result with any number of lanes and
	// size of batches.
	Matrix bool

	file  *File
	mocks map[string]diag.Span
	steps []step
}

// File is a file of tests: NAME_test.yaml, or a flow file with tests: in it.
type File struct {
	Path  string
	Src   []byte
	Tests []*Test
	Diags diag.List

	scope *conf.Scope
}

// Suffix is what names of files of tests end in, without .yaml or .yml.
const Suffix = "_test"

// Parse checks a file of tests. Problems are in its Diags.
func Parse(path string, src []byte) *File {
	f := &File{Path: path, Src: src}
	f.scope = &conf.Scope{File: path, Source: src, Diags: &f.Diags}
	if root := conf.Parse(path, src, conf.Limits{}, &f.Diags); root != nil {
		f.decode(root)
	}
	f.Diags.Sort()
	return f
}

// IsTests says whether a file has the name of a file of tests.
func IsTests(path string) bool {
	base := filepath.Base(path)
	name := strings.TrimSuffix(base, filepath.Ext(base))
	return strings.HasSuffix(name, Suffix)
}

// common is what a file says for all of its tests, and a test for itself.
type common struct {
	flow        conf.Text
	params, env []conf.Pair
	base        conf.Text
	mock        *yaml.Node
}

func (c *common) bind(f *conf.Fields) {
	f.Text(&c.flow, "flow", "", "The flow file, relative to the folder of this file. Default: the file of this name without _test.")
	f.StringMap(&c.params, "params", "Values of the flow's params.")
	f.StringMap(&c.env, "env", "Environment variables, as ${NAME} finds them. Those of the process are not seen.")
	f.Text(&c.base, "base", "2026-01-01T00:00:00Z", "The time at which the script begins.")
	f.Node(&c.mock, "mock", "Stages that are replaced, by name: set: {field: value} passes every record on with these fields, output: [records] makes these of every record, error: text makes a dead letter of it.").Schema(mockSchema())
}

// document is the top level of a file of tests.
type document struct {
	common
	tests *yaml.Node
}

func (d *document) bind(f *conf.Fields) {
	d.common.bind(f)
	if f.Describing() {
		var items []testEntry
		conf.Objects(f, "tests", "The tests. Each has a name and steps, and may say for itself what the file says for all.", &items, (*testEntry).bind).NotEmpty()
		return
	}
	f.Node(&d.tests, "tests", "The tests.").Required()
}

type testEntry struct {
	common
	name   conf.Text
	matrix bool
	steps  *yaml.Node
}

func (t *testEntry) bind(f *conf.Fields) {
	f.Text(&t.name, "name", "", "What the flow is to do, in a few words.").Required().NotEmpty()
	t.common.bind(f)
	f.Bool(&t.matrix, "matrix", true, "Whether --matrix runs the test with other lanes and batch sizes, too. false is for a flow whose results depend on them.")
	f.Node(&t.steps, "steps", "What happens, in order.").Required().Schema(stepsSchema())
}

func (f *File) decode(root *yaml.Node) {
	var d document
	if IsTests(f.Path) {
		fields := conf.NewFields(f.scope, root, "")
		d.bind(fields)
		fields.Finish()
	} else {
		d.tests = child(root, "tests")
		d.common.bind(conf.NewFields(f.scope, nil, ""))
	}
	if d.tests == nil {
		return
	}
	if d.tests.Kind != yaml.SequenceNode || len(d.tests.Content) == 0 {
		f.fail(d.tests, "tests: expected a list of tests", `write "- name: …" and "steps:" for each`)
		return
	}
	names := map[string]bool{}
	for _, n := range d.tests.Content {
		t := f.test(n, d.common)
		if names[t.Name] {
			f.fail(n, fmt.Sprintf("a test is named %q already", t.Name), "give it another name")
		}
		names[t.Name] = true
		f.Tests = append(f.Tests, t)
	}
}

func (f *File) test(n *yaml.Node, all common) *Test {
	var e testEntry
	fields := conf.NewFields(f.scope, n, "")
	e.bind(fields)
	fields.Finish()
	t := &Test{Name: e.name.Value, Span: e.name.Span, Matrix: e.matrix, file: f, Params: map[string]string{}, Env: map[string]string{}}
	for _, c := range []*common{&all, &e.common} {
		maps.Copy(t.Params, pairs(c.params))
		maps.Copy(t.Env, pairs(c.env))
		t.mock(f, c.mock)
	}
	t.Flow = f.flowFile(e.flow, all.flow)
	t.Base = f.time(all.base)
	if e.base.Value != "" && fields.Given("base") {
		t.Base = f.time(e.base)
	}
	if e.steps == nil {
		return t
	}
	t.steps = f.steps(e.steps)
	if len(t.steps) > 0 && !asserts(t.steps) {
		f.Diags.Add(diag.Diagnostic{
			Span: t.Span, Message: fmt.Sprintf("test %q expects nothing, so it cannot fail", t.Name), Advice: "add a step expect:",
		})
	}
	return t
}

func pairs(list []conf.Pair) map[string]string {
	all := map[string]string{}
	for _, p := range list {
		all[p.Key.Value] = p.Value.Value
	}
	return all
}

// flowFile is the flow that a test is for.
func (f *File) flowFile(own, all conf.Text) string {
	for _, t := range []conf.Text{own, all} {
		if t.Value != "" {
			return f.beside(t.Value)
		}
	}
	if !IsTests(f.Path) {
		return f.Path
	}
	ext := filepath.Ext(f.Path)
	return strings.TrimSuffix(strings.TrimSuffix(f.Path, ext), Suffix) + ext
}

// beside is a path that is relative to the folder of the file.
func (f *File) beside(path string) string {
	if filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(filepath.Dir(f.Path), path)
}

func (f *File) time(t conf.Text) time.Time {
	ns, err := record.ParseTime(record.StringValue(t.Value), "rfc3339")
	if err != nil {
		f.Diags.Add(diag.Diagnostic{Span: t.Span, Message: "base: " + err.Error(), Advice: "write a time such as 2026-01-01T00:00:00Z"})
	}
	return time.Unix(0, ns).UTC()
}

func (f *File) fail(n *yaml.Node, message, advice string) {
	f.Diags.Add(diag.Diagnostic{Span: f.scope.Span(n), Message: message, Advice: advice})
}

func child(n *yaml.Node, name string) *yaml.Node {
	for i := 0; n != nil && n.Kind == yaml.MappingNode && i+1 < len(n.Content); i += 2 {
		if n.Content[i].Value == name {
			return n.Content[i+1]
		}
	}
	return nil
}

// mock decodes the stages that are replaced.
func (t *Test) mock(f *File, n *yaml.Node) {
	if n == nil {
		return
	}
	if n.Kind != yaml.MappingNode {
		f.fail(n, "mock: expected a mapping of stages", "write mock: {STAGE: {error: away}}")
		return
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		var set, output *yaml.Node
		var reason string
		fields := conf.NewFields(f.scope, value, "mock: "+key.Value)
		fields.Node(&set, "set", "")
		fields.Node(&output, "output", "")
		fields.String(&reason, "error", "", "").NotEmpty()
		fields.OneOf("set", "output", "error")
		fields.Finish()
		if t.Mocks == nil {
			t.Mocks, t.mocks = map[string]*Mock{}, map[string]diag.Span{}
		}
		t.Mocks[key.Value], t.mocks[key.Value] = f.mock(set, output, reason), f.scope.Span(key)
	}
}

func (f *File) mock(set, output *yaml.Node, reason string) *Mock {
	m := &Mock{Error: reason}
	for i := 0; set != nil && i+1 < len(set.Content); i += 2 {
		m.Set = append(m.Set, Field{set.Content[i].Value, f.json(set.Content[i+1])})
	}
	if output != nil {
		m.Output = [][]byte{}
		list := output.Content
		if output.Kind == yaml.MappingNode {
			list = []*yaml.Node{output}
		}
		for _, n := range list {
			if n.Kind != yaml.MappingNode {
				f.fail(n, "output: expected a record", "write {field: value, …}")
				continue
			}
			m.Output = append(m.Output, f.json(n))
		}
	}
	return m
}
