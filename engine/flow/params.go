package flow

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"gopkg.in/yaml.v3"

	"github.com/telluride-stream/telluride/engine/conf"
	"github.com/telluride-stream/telluride/engine/diag"
	"github.com/telluride-stream/telluride/engine/plan"
	"github.com/telluride-stream/telluride/engine/record"
)

var (
	paramPattern  = regexp.MustCompile(`^[a-z_][a-z0-9_]*$`)
	numberPattern = regexp.MustCompile(`^-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][-+]?[0-9]+)?$`)
	// usePattern finds params in values and in expressions alike.
	usePattern = regexp.MustCompile(`\bparams\s*(?:\?\.|\.|\[\s*["'])\s*([A-Za-z_][A-Za-z0-9_]*)`)
)

// paramConfig is the long form of a param.
type paramConfig struct {
	def, enum   *yaml.Node
	min, max    float64
	hasMin      bool
	hasMax      bool
	description string
}

func (p *paramConfig) bind(f *conf.Fields) {
	scalar := map[string]any{"type": []any{"string", "number", "boolean"}}
	f.Node(&p.def, "default", "The value when none is set. Without it, a value must be set to run the flow.").Schema(scalar)
	p.hasMin = f.Float(&p.min, "min", 0, "The lowest value that may be set.").Optional().Optional().Given()
	p.hasMax = f.Float(&p.max, "max", 0, "The highest value that may be set.").Optional().Optional().Given()
	f.Node(&p.enum, "enum", "The values that may be set.").Schema(map[string]any{"type": "array", "minItems": 1, "items": scalar})
	f.String(&p.description, "description", "", "What the param is for.")
}

// describeParams declares params: of the top level.
func describeParams(f *conf.Fields, p **yaml.Node) {
	const doc = "Named values that may be changed while the flow runs. Write the default itself (lanes: 4) or a mapping with the keys below. Values name them as ${params.lanes}, expressions as params.lanes."
	if !f.Describing() {
		f.Node(p, "params", doc)
		return
	}
	conf.ObjectMap(f, "params", doc, func(_ conf.Text, f *conf.Fields) { new(paramConfig).bind(f) }).Schema(map[string]any{
		"type":          []any{"object", "null"},
		"propertyNames": map[string]any{"pattern": paramPattern.String()},
		"additionalProperties": map[string]any{"anyOf": []any{
			map[string]any{"type": []any{"string", "number", "boolean"}},
			paramSchema(),
		}},
	})
}

// param is one declared param on its way to a value.
type param struct {
	name    string
	span    diag.Span // of the name
	config  paramConfig
	float   bool // an int where a fraction may be set
	choices []any
	value   any
	at      diag.Span // of the value
	from    string
}

// readParams resolves params: and puts their values where values and
// expressions find them. A param with a problem keeps its default, so that
// nothing is reported of it twice.
func (c *compiler) readParams(root *yaml.Node) {
	c.scope.Params = map[string]any{}
	declared := child(root, "params")
	// The values of the params are read while none is known: a param cannot name another.
	var params []*param
	if declared != nil && !isEmpty(declared) {
		if declared.Kind != yaml.MappingNode {
			c.fail(c.scope.Span(declared), "params: expected a mapping of names to values", "write params: {name: value}")
			return
		}
		for i := 0; i+1 < len(declared.Content); i += 2 {
			params = append(params, c.readParam(declared.Content[i], declared.Content[i+1]))
		}
	}
	for _, p := range params {
		if set, ok := c.options.Params[p.name]; ok {
			c.override(p, set)
		}
		if p.value == nil && p.from == "" {
			c.fail(p.span, fmt.Sprintf("param %q has no value", p.name), fmt.Sprintf("give it a default, or set it with --set %s=…", p.name))
		}
	}
	c.unknownOverrides(params, root)
	for _, p := range params {
		c.scope.Params[p.name] = p.value
		v := paramValue(p.value)
		if p.value == nil {
			v = record.StringValue("") // which an expression takes without a further problem
		}
		c.params[p.name] = v
		c.plan.Params = append(c.plan.Params, p.plan(v))
	}
	c.unusedParams(params, root)
}

// plan is what a plan knows of the param.
func (p *param) plan(v record.Value) plan.Param {
	one := plan.Param{Name: p.name, Value: v, From: p.from, Type: "text", Description: p.config.description}
	switch p.value.(type) {
	case bool:
		one.Type = "true/false"
	case int64:
		one.Type = "whole number"
	case float64:
		one.Type = "number"
	}
	if p.config.hasMin {
		one.Min = &p.config.min
	}
	if p.config.hasMax {
		one.Max = &p.config.max
	}
	for _, choice := range p.choices {
		one.Choices = append(one.Choices, conf.FormatParam(choice))
	}
	return one
}

func (c *compiler) readParam(key, value *yaml.Node) *param {
	p := &param{name: key.Value, span: c.scope.Span(key), at: c.scope.Span(value)}
	context := "params: " + p.name
	if !paramPattern.MatchString(p.name) {
		c.fail(p.span, fmt.Sprintf("params: %q is not the name of a param", p.name), "use lower-case letters, digits and _, and start with no digit")
	}
	p.config.def = value
	if value.Kind == yaml.MappingNode {
		p.config = paramConfig{}
		f := conf.NewFields(c.scope, value, context)
		p.config.bind(f)
		f.Finish()
		p.choices = c.readChoices(p.config.enum, context)
		if p.config.hasMin && p.config.hasMax && p.config.min > p.config.max {
			c.fail(f.SpanOf("min"), context+": min is above max", "swap them")
		}
	}
	def := p.config.def
	if def == nil {
		return p
	}
	p.at = c.scope.Span(def)
	v, env, ok := c.scalar(def, context)
	p.value, p.from = v, "default"
	if env {
		p.from = "environment"
	}
	if i, isInt := v.(int64); isInt && p.fractional() {
		p.value, p.float = float64(i), true
	}
	if message, advice := p.outside(p.value); ok && message != "" {
		c.fail(p.at, context+": "+message, advice)
	}
	return p
}

// fractional says that a param with a whole default may have a fraction.
func (p *param) fractional() bool {
	fraction := func(x float64) bool { return x != float64(int64(x)) }
	if fraction(p.config.min) || fraction(p.config.max) {
		return true
	}
	return slices.ContainsFunc(p.choices, func(v any) bool { _, ok := v.(float64); return ok })
}

// scalar is a value by its own type. A value that is exactly one reference
// takes the type that its text has; every other text with references is text.
func (c *compiler) scalar(n *yaml.Node, context string) (v any, env, ok bool) {
	if n.Kind != yaml.ScalarNode || isEmpty(n) {
		c.fail(c.scope.Span(n), context+": expected a text, a number, true or false", "give it a value")
		return "", false, false
	}
	out, ok := c.scope.Expand(n.Value, c.scope.Span(n), context)
	switch {
	case !ok:
		return "", out.Env, false
	case out.Refs && strings.HasPrefix(n.Value, "${") && strings.IndexByte(n.Value, '}') == len(n.Value)-1:
		return typed(out.Value), out.Env, true
	case out.Refs || n.Style&(yaml.DoubleQuotedStyle|yaml.SingleQuotedStyle|yaml.LiteralStyle|yaml.FoldedStyle) != 0:
		return out.Value, out.Env, true
	}
	return typed(out.Value), false, true
}

// typed is the value that a text has as JSON; what is none is text, such as 007.
func typed(s string) any {
	switch {
	case s == "true":
		return true
	case s == "false":
		return false
	case !numberPattern.MatchString(s):
		return s
	}
	if i, err := strconv.ParseInt(s, 10, 64); err == nil {
		return i
	}
	if x, err := strconv.ParseFloat(s, 64); err == nil {
		return x
	}
	return s
}

// override sets a param to a value from outside, which has the type of the default.
func (c *compiler) override(p *param, text string) {
	flag := fmt.Sprintf(" (set: %s=%s)", p.name, text)
	v, want := p.convert(text)
	if want != "" {
		c.fail(p.span, fmt.Sprintf("param %q: expected %s, got %q%s", p.name, want, text, flag), "set another value")
		p.mark()
		return
	}
	if message, advice := p.outside(v); message != "" {
		c.fail(p.span, fmt.Sprintf("param %q: %s%s", p.name, message, flag), advice)
		p.mark()
		return
	}
	p.value, p.from = v, "flag"
}

// mark notes that a value was set, though it was refused.
func (p *param) mark() {
	if p.from == "" {
		p.from = "flag"
	}
}

// convert reads a text as the type of the default; want says what was
// expected when it is not that.
func (p *param) convert(text string) (v any, want string) {
	v = typed(text)
	switch p.value.(type) {
	case nil:
		return v, ""
	case string:
		return text, ""
	case bool:
		if _, ok := v.(bool); !ok {
			return nil, "true or false"
		}
	case int64:
		if _, ok := v.(int64); !ok {
			return nil, "a whole number"
		}
	case float64:
		switch n := v.(type) {
		case int64:
			return float64(n), ""
		case float64:
		default:
			return nil, "a number"
		}
	}
	return v, ""
}

// outside says why a value may not be set, "" if it may.
func (p *param) outside(v any) (message, advice string) {
	var x float64
	switch n := v.(type) {
	case int64:
		x = float64(n)
	case float64:
		x = n
	default:
		if p.config.hasMin || p.config.hasMax {
			return "min and max are for numbers", "give a number, or remove them"
		}
	}
	shown := "the value"
	if p.from != "environment" {
		shown = conf.FormatParam(v)
	}
	switch {
	case p.config.hasMin && x < p.config.min:
		limit := conf.FormatParam(p.config.min)
		return shown + " is below the minimum " + limit, "use at least " + limit
	case p.config.hasMax && x > p.config.max:
		limit := conf.FormatParam(p.config.max)
		return shown + " is above the maximum " + limit, "use at most " + limit
	}
	if p.choices == nil {
		return "", ""
	}
	var words []string
	for _, choice := range p.choices {
		words = append(words, conf.FormatParam(choice))
	}
	if slices.Contains(words, conf.FormatParam(v)) {
		return "", ""
	}
	advice = "use one of " + strings.Join(words, ", ")
	if near := diag.Suggest(conf.FormatParam(v), words); near != "" && p.from != "environment" {
		advice = fmt.Sprintf("did you mean %q?", near)
	}
	return shown + " is not among its values", advice
}

// readChoices is what enum: lists.
func (c *compiler) readChoices(n *yaml.Node, context string) []any {
	if n == nil {
		return nil
	}
	context += ": enum"
	var choices []any
	for _, item := range c.list(n, context, `"- text"`) {
		if v, _, ok := c.scalar(item, context); ok {
			choices = append(choices, v)
		}
	}
	return choices
}

// unknownOverrides reports values that were set for params that do not exist.
func (c *compiler) unknownOverrides(params []*param, root *yaml.Node) {
	span := c.scope.Span(root)
	var known []string
	for _, p := range params {
		known = append(known, p.name)
	}
	if n := child(root, "params"); n != nil && len(n.Content) > 0 {
		span = c.scope.Span(n)
	}
	for _, name := range slices.Sorted(maps.Keys(c.options.Params)) {
		if slices.Contains(known, name) {
			continue
		}
		advice := "the flow declares no params"
		if len(known) > 0 {
			advice = "known: " + strings.Join(known, ", ")
		}
		if near := diag.Suggest(name, known); near != "" {
			advice = fmt.Sprintf("did you mean %q?", near)
		}
		c.fail(span, fmt.Sprintf("unknown param %q (set: %s=%s)", name, name, c.options.Params[name]), advice)
	}
}

// unusedParams warns of params that nothing in the file names.
func (c *compiler) unusedParams(params []*param, root *yaml.Node) {
	if len(params) == 0 {
		return
	}
	used := map[string]bool{}
	for i := 0; i+1 < len(root.Content); i += 2 {
		if root.Content[i].Value != "params" {
			findUses(root.Content[i+1], used)
		}
	}
	for _, p := range params {
		if !used[p.name] {
			c.warn(p.span, fmt.Sprintf("param %q is never used", p.name), fmt.Sprintf("name it as ${params.%s}, in an expression as params.%s, or remove it", p.name, p.name))
		}
	}
}

func findUses(n *yaml.Node, used map[string]bool) {
	for _, m := range usePattern.FindAllStringSubmatch(n.Value, -1) {
		used[m[1]] = true
	}
	for _, child := range n.Content {
		findUses(child, used)
	}
}

func paramValue(v any) record.Value {
	switch v := v.(type) {
	case bool:
		return record.BoolValue(v)
	case int64:
		return record.IntValue(v)
	case float64:
		return record.FloatValue(v)
	case string:
		return record.StringValue(v)
	}
	return record.NullValue()
}
