package flow

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"

	"gopkg.in/yaml.v3"

	"github.com/telluride-stream/telluride/engine/conf"
	"github.com/telluride-stream/telluride/engine/diag"
	"github.com/telluride-stream/telluride/engine/plan"
	"github.com/telluride-stream/telluride/engine/record"
	"github.com/telluride-stream/telluride/engine/stage"
	"github.com/telluride-stream/telluride/engine/telemetry/wire"
)

// Options are what a flow is compiled with besides its file.
type Options struct {
	// Env looks up ${NAME}; nil: no variable is set.
	Env func(name string) (string, bool)
	// Params are values that replace the defaults of declared params, as text.
	Params map[string]string
	// Registry holds the kinds of sources, stages, steps and sinks.
	Registry *stage.Registry
	// Lanes is the number of lanes of a partition that names none; 0: the
	// number of CPUs.
	Lanes int
	// BatchSize is the number of records that a batch aims at; 0: 512.
	BatchSize int
	// LanesOverride replaces the lanes of every partition that has a key, for
	// tests that run one flow at several numbers of lanes; 0: none.
	LanesOverride int
}

const (
	defaultBatch = 512
	maxLanes     = 1024
	maxName      = 100
)

// namePattern is what names of flows, stages, sources, sinks and branches look like.
var namePattern = regexp.MustCompile(`^[a-z0-9_-]+$`)

// Compile checks a flow file and makes its plan. The list is sorted by
// position and holds every problem and warning; the plan is nil if and only
// if the list has errors. Compile opens nothing, starts nothing, and may be
// called from several goroutines.
func Compile(file string, src []byte, o Options) (*plan.Plan, diag.List) {
	c := newCompiler(file, src, o)
	if root := conf.Parse(file, src, conf.Limits{}, c.diags); root != nil {
		c.compile(root)
	}
	c.diags.Sort()
	if c.diags.HasErrors() {
		return nil, *c.diags
	}
	return c.plan, *c.diags
}

// compiler is one run of Compile.
type compiler struct {
	file     string
	src      []byte
	options  Options
	registry *stage.Registry
	diags    *diag.List
	scope    *conf.Scope
	layout   *record.Layout
	params   map[string]record.Value
	plan     *plan.Plan

	// sources are the names of the sources, in their order.
	sources []string

	stageNames, sinkNames, sourceNames *names
	// stateful lists the built stages that keep state, for the rule that
	// several of one kind need names.
	stateful []*node
	// retries counts the stages that try records again.
	retries int
	// lateness is where event time is declared without out_of_order.
	lateness []diag.Span
}

func newCompiler(file string, src []byte, o Options) *compiler {
	if o.Registry == nil {
		o.Registry = stage.NewRegistry()
	}
	if o.Lanes <= 0 {
		o.Lanes = runtime.GOMAXPROCS(0)
	}
	if o.BatchSize <= 0 {
		o.BatchSize = defaultBatch
	}
	diags := &diag.List{}
	return &compiler{
		file: file, src: src, options: o, registry: o.Registry, diags: diags,
		scope:  &conf.Scope{File: file, Source: src, Env: o.Env, Diags: diags},
		layout: record.NewLayout(), params: map[string]record.Value{},
		plan:       &plan.Plan{File: file, Batch: o.BatchSize},
		stageNames: newNames("stage"), sinkNames: newNames("sink"), sourceNames: newNames("source"),
	}
}

func (c *compiler) compile(root *yaml.Node) {
	// Params come first, since everything else may name them.
	c.readParams(root)

	var d document
	f := conf.NewFields(c.scope, root, "")
	d.bind(f)
	f.Finish()
	if root.Kind != yaml.MappingNode {
		return
	}
	t := c.decode(&d)
	c.name(t)

	c.plan.Name, c.plan.Description = c.flowName(&d), d.description.Value
	c.plan.StateFrom = d.from.Value
	if d.from.Value != "" && d.from.Value == c.plan.Name {
		c.fail(d.from.Span, fmt.Sprintf("state_from: %q is the name of the flow itself", d.from.Value), "name what it was called before, or remove it")
	}
	c.plan.Layout = c.layout
	c.plan.Checkpoint = d.checkpoint
	c.plan.Durability = d.durability
	c.plan.Attempts = d.poison
	c.mask(&d, root)
	c.plan.Version = c.version()
	c.build(t, c.scope.Span(root))
	c.derive()
}

// mask reads the paths that mask: lists.
func (c *compiler) mask(d *document, root *yaml.Node) {
	list := child(root, "mask")
	for i, text := range d.mask {
		path, err := record.ParsePath(text)
		if err != nil {
			span := c.scope.Span(list)
			if list.Kind == yaml.SequenceNode && i < len(list.Content) {
				span = c.scope.Span(list.Content[i])
			}
			c.fail(span, "mask: "+err.Error(), "write the name of a field, such as email or card.number")
			continue
		}
		c.plan.Mask = append(c.plan.Mask, path)
	}
}

// tree is a decoded flow file.
type tree struct {
	sources []*sourceNode
	stages  []*node
	sinks   []*sinkNode
	dead    *sinkNode
	late    *sinkNode
	feeds   []*feedNode
	// nodes and throughput are sinks of telemetry.
	nodes, throughput *telemetryNode
	telemetry         *telemetryConfig
	// hasSource and hasSink say that the keys are there, be they wrong.
	hasSource, hasSink bool
}

func (c *compiler) decode(d *document) *tree {
	t := &tree{hasSource: d.source != nil || d.sources != nil, hasSink: d.sink != nil || d.sinks != nil}
	switch {
	case d.source != nil:
		t.sources = c.decodeSources([]*yaml.Node{d.source})
	case d.sources != nil:
		t.sources = c.decodeSources(c.list(d.sources, "sources", `"- file: {path: …}"`))
	}
	if d.stages != nil {
		t.stages = c.decodeStages(d.stages, "stages")
	}
	t.sinks = c.decodeSinks(d.sink, d.sinks)
	if d.dead != nil {
		t.dead = c.decodeSink(d.dead, "dead_letter")
	}
	if d.late != nil {
		t.late = c.decodeSink(d.late, "late")
	}
	if d.configQueue != nil {
		t.feeds = append(t.feeds, c.decodeFeed(d.configQueue, "config_queue"))
	}
	t.telemetry = &d.telemetry
	t.nodes = c.decodeTelemetry(d.telemetry.nodes, "telemetry.nodes", wire.Nodes)
	t.throughput = c.decodeTelemetry(d.telemetry.throughput, "telemetry.throughput", wire.Throughput)
	return t
}

// name gives every part of the flow its name: first those that the file
// gives, so that no default takes them away.
func (c *compiler) name(t *tree) {
	c.nameSources(t.sources)
	c.explicitStageNames(t.stages)
	c.defaultStageNames(t.stages, "")
	c.nameSinks(t)
}

func (c *compiler) build(t *tree, root diag.Span) {
	if !t.hasSource {
		c.fail(root, "the flow has no source", "add source: {file: {path: readings.ndjson}}")
	}
	at := c.buildSources(t.sources)
	c.plan.Dead = c.sideSink(t.dead)
	c.plan.Late = c.sideSink(t.late)
	c.plan.Nodes, at = c.buildNodes(t.stages, at)
	switch {
	case at.ended != "" && len(t.sinks) > 0:
		c.unreachable(t.sinks[0].span, "sink "+quoted(t.sinks[0].name), at.ended)
	case at.ended == "" && !t.hasSink:
		c.fail(root, "the flow has no sink", "add sink: {stdout: {}}")
	}
	c.plan.Sinks = c.buildSinks(t.sinks, at)
	c.buildFeeds(t.feeds)
	c.buildTelemetry(t.telemetry, t.nodes, t.throughput)
}

// flowName is the flow's name: what the file says, or the file's own.
func (c *compiler) flowName(d *document) string {
	if d.name.Value != "" {
		if message, advice := badName(d.name.Value); message != "" {
			c.fail(d.name.Span, "name: "+message, advice)
		}
		return d.name.Value
	}
	base := filepath.Base(c.file)
	for _, ext := range []string{".yaml", ".yml"} {
		base = strings.TrimSuffix(base, ext)
	}
	if message, _ := badName(base); message != "" {
		c.fail(diag.Span{File: c.file, Start: diag.Pos{Line: 1, Col: 1}},
			"the flow has no name, and that of its file cannot be one: "+message, "add name: my_flow")
	}
	return base
}

// badName says what is wrong with a name, "" if nothing.
func badName(name string) (message, advice string) {
	switch {
	case len(name) > maxName:
		return fmt.Sprintf("the name has %d characters, more than %d", len(name), maxName), "shorten it"
	case !namePattern.MatchString(name):
		return fmt.Sprintf("%q is not a name", name), "use lower-case letters, digits, _ and -"
	}
	return "", ""
}

// version names the file's content together with the values of its params.
func (c *compiler) version() string {
	h := sha256.New()
	h.Write(c.src)
	values := map[string]string{}
	for _, p := range c.plan.Params {
		values[p.Name] = p.Value.Kind().String() + ":" + p.Value.Text()
	}
	for _, name := range slices.Sorted(maps.Keys(values)) {
		fmt.Fprintf(h, "\x00%s=%s", name, values[name])
	}
	return hex.EncodeToString(h.Sum(nil))[:12]
}

func (c *compiler) fail(span diag.Span, message, advice string) {
	c.diags.Add(diag.Diagnostic{Span: span, Message: message, Advice: advice})
}

func (c *compiler) warn(span diag.Span, message, advice string) {
	c.diags.Add(diag.Diagnostic{Severity: diag.Warning, Span: span, Message: message, Advice: advice})
}

func quoted(s string) string { return fmt.Sprintf("%q", s) }

// builder makes the builder of one part of the flow. Its problems go to a
// list of their own.
func (c *compiler) builder(name string, span diag.Span, at place) *stage.Builder {
	return &stage.Builder{
		Flow: c.plan.Name, Name: name, Span: span, Diags: &diag.List{}, Dir: filepath.Dir(c.file),
		Layout: c.layout, Schema: at.schema, Params: c.params, Key: at.key, Opaque: at.opaque != "",
		Meta: at.meta, Sources: c.sources,
	}
}

// settle takes over the problems of a builder, and what it reads from
// payloads. It says whether there were no errors.
func (c *compiler) settle(b *stage.Builder, at place) bool {
	if !at.made {
		c.plan.Reads = max(c.plan.Reads, b.Reads())
	}
	if b.Diags.HasErrors() && at.opaque != "" {
		c.fail(b.Span, fmt.Sprintf("sink %q reads fields, but the records of %q are whole messages without fields", b.Name, at.opaque),
			"write them as they are, or let "+quoted(at.opaque)+" pass records")
		return false
	}
	c.diags.Add(*b.Diags...)
	return !b.Diags.HasErrors()
}
