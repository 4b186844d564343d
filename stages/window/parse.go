package window

import (
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/telluride-stream/telluride/engine/conf"
	"github.com/telluride-stream/telluride/engine/diag"
	"github.com/telluride-stream/telluride/engine/expr"
	"github.com/telluride-stream/telluride/engine/record"
	"github.com/telluride-stream/telluride/engine/stage"
)

// function is one aggregate that a flow file may name.
type function struct {
	name string
	op   op
	// args are the names of the arguments. The first is an expression over
	// the record, the second a constant; optional ones are in brackets.
	usage    string
	min, max int
	kinds    uint16
	needs    string
	typ      expr.Type // Any: that of the argument
}

const (
	aNumber = "a finite number"
	aText   = "a finite number or text"
)

// functions lists the aggregates.
func functions() []function {
	return []function{
		{"count", opCount, "count() or count(x)", 0, 1, anyKind, "", expr.Int},
		{"sum", opSum, "sum(x)", 1, 1, numberKinds, aNumber, expr.Number},
		{"mean", opSum, "mean(x)", 1, 1, numberKinds, aNumber, expr.Float},
		{"min", opMin, "min(x)", 1, 1, orderKinds, aText, expr.Any},
		{"max", opMax, "max(x)", 1, 1, orderKinds, aText, expr.Any},
		{"variance", opSpread, "variance(x)", 1, 1, numberKinds, aNumber, expr.Float},
		{"stddev", opSpread, "stddev(x)", 1, 1, numberKinds, aNumber, expr.Float},
		{"first", opFirst, "first(x)", 1, 1, anyKind, "", expr.Any},
		{"last", opLast, "last(x)", 1, 1, anyKind, "", expr.Any},
		{"sma", opSMA, "sma(x, n)", 2, 2, numberKinds, aNumber, expr.Float},
		{"quantile", opQuantile, "quantile(x, q)", 2, 2, numberKinds, aNumber, expr.Float},
		{"distinct", opDistinct, "distinct(x)", 1, 1, anyKind, "", expr.Int},
		{"top", opTop, "top(x, k)", 2, 2, anyKind, "", expr.List},
		{"collect", opCollect, "collect(x) or collect(x, max)", 1, 2, anyKind, "", expr.List},
	}
}

// Bounds of the constants.
const (
	maxSMA         = 10_000
	maxTop         = 1_000
	maxCollect     = 100_000
	defaultCollect = 1_000
)

// aggregateConfig is one entry of `aggregate`.
type aggregateConfig struct {
	Name  conf.Text
	Value conf.Expr
	Where conf.Expr
}

// parser compiles the entries of `aggregate`.
type parser struct {
	b   *stage.Builder
	set *aggregates
}

func compile(b *stage.Builder, configs []aggregateConfig) *aggregates {
	p := parser{b: b, set: &aggregates{bins: newBins()}}
	for _, c := range configs {
		if c.Value.Given() {
			p.aggregate(c)
		}
	}
	return p.set
}

func (p *parser) fail(span diag.Span, c aggregateConfig, message, advice string) {
	p.b.Diags.Add(diag.Diagnostic{Span: span, Message: fmt.Sprintf("%s: aggregate: %s: %s", p.b.Name, c.Name.Value, message), Advice: advice})
}

func (p *parser) aggregate(c aggregateConfig) {
	name, args, err := expr.ParseCall(c.Value.Value)
	if err != nil {
		var bad *expr.Error
		if errors.As(err, &bad) {
			p.fail(at(c.Value.Text, bad.Offset, bad.Len), c, bad.Message, bad.Advice)
		} else {
			p.fail(c.Value.Span, c, err.Error(), "")
		}
		return
	}
	f, ok := p.function(c, name, args)
	if !ok {
		return
	}
	spec := cellSpec{op: f.op, arg: -1, mask: always, kinds: f.kinds, needs: f.needs, label: c.Value.Value}
	out := output{name: c.Name.Value, fn: f.name, typ: f.typ}
	ok = true
	var argument *expr.Program
	if len(args) > 0 {
		if argument = p.b.Expr(part(c.Value, args[0])); argument == nil {
			return
		}
		ok = p.fits(c, f, args[0], argument)
		if f.typ == expr.Any {
			out.typ = argument.Type()
		}
		if f.name == "sum" && argument.Type() == expr.Float {
			out.typ = expr.Float
		}
	}
	ok = p.constants(c, f, args, &spec, &out) && p.where(c, &spec) && ok
	if !ok {
		return
	}
	if argument != nil {
		spec.arg = p.argument(argument, args[0].Text, spec.mask)
	}
	out.cell = p.cell(spec)
	p.set.outputs = append(p.set.outputs, out)
}

// function finds the function and checks the number of its arguments.
func (p *parser) function(c aggregateConfig, name string, args []expr.Arg) (function, bool) {
	var names []string
	for _, f := range functions() {
		if f.name != name {
			names = append(names, f.name)
			continue
		}
		if len(args) < f.min || len(args) > f.max {
			p.fail(c.Value.Span, c, fmt.Sprintf("%s takes %s, not %d", name, arguments(f), len(args)), "write "+f.usage)
			return f, false
		}
		return f, true
	}
	advice := "the aggregates are " + strings.Join(names, ", ")
	if near := diag.Suggest(name, append(names, "avg", "average", "median", "std")); near != "" {
		advice = fmt.Sprintf("did you mean %q?", near)
	}
	for _, alias := range [][2]string{{"avg", "mean(x)"}, {"average", "mean(x)"}, {"median", "quantile(x, 0.5)"}, {"std", "stddev(x)"}, {"percentile", "quantile(x, q)"}} {
		if name == alias[0] {
			advice = "write " + alias[1]
		}
	}
	p.fail(at(c.Value.Text, strings.Index(c.Value.Value, name), len(name)), c, fmt.Sprintf("unknown aggregate %q", name), advice)
	return function{}, false
}

func arguments(f function) string {
	switch {
	case f.min != f.max:
		return fmt.Sprintf("%d or %d arguments", f.min, f.max)
	case f.min == 1:
		return "1 argument"
	}
	return fmt.Sprintf("%d arguments", f.min)
}

// fits checks the argument's type as far as it is known.
func (p *parser) fits(c aggregateConfig, f function, arg expr.Arg, program *expr.Program) bool {
	kinds := anyKind
	switch program.Type() {
	case expr.Bool:
		kinds = 1 << record.Bool
	case expr.String:
		kinds = 1 << record.String
	case expr.List:
		kinds = 1 << record.List
	case expr.Map:
		kinds = 1 << record.Map
	}
	if kinds&f.kinds != 0 {
		return true
	}
	p.fail(at(c.Value.Text, arg.Offset, len(arg.Text)), c, fmt.Sprintf("%s takes %s, but %s is a %s", f.name, f.needs, arg.Text, program.Type()), "")
	return false
}

// constants reads the second argument.
func (p *parser) constants(c aggregateConfig, f function, args []expr.Arg, spec *cellSpec, out *output) bool {
	switch f.op {
	case opQuantile:
		return p.quantile(c, args[1], out)
	case opSMA:
		return p.whole(c, f, args[1], maxSMA, &spec.size)
	case opTop:
		ok := p.whole(c, f, args[1], maxTop, &out.k)
		spec.size = topRoom(out.k)
		return ok
	case opCollect:
		spec.size = defaultCollect
		if len(args) > 1 {
			return p.whole(c, f, args[1], maxCollect, &spec.size)
		}
	}
	return true
}

func (p *parser) quantile(c aggregateConfig, arg expr.Arg, out *output) bool {
	v, ok := p.constant(c, arg, "q")
	if !ok {
		return false
	}
	if !v.IsNumber() || !(v.Float() >= 0 && v.Float() <= 1) {
		p.fail(at(c.Value.Text, arg.Offset, len(arg.Text)), c, "the quantile must be a number from 0 to 1, not "+arg.Text, "the median is quantile(x, 0.5), the 99th percentile quantile(x, 0.99)")
		return false
	}
	out.q = v.Float()
	return true
}

func (p *parser) whole(c aggregateConfig, f function, arg expr.Arg, limit int, to *int) bool {
	v, ok := p.constant(c, arg, "the number")
	if !ok {
		return false
	}
	if v.Kind() != record.Int || v.Int() < 1 || v.Int() > int64(limit) {
		p.fail(at(c.Value.Text, arg.Offset, len(arg.Text)), c, fmt.Sprintf("the second argument of %s must be a whole number from 1 to %d, not %s", f.name, limit, arg.Text), "")
		return false
	}
	*to = int(v.Int())
	return true
}

func (p *parser) constant(c aggregateConfig, arg expr.Arg, what string) (record.Value, bool) {
	program := p.b.Expr(part(c.Value, arg))
	if program == nil {
		return record.Value{}, false
	}
	v, ok := program.Const()
	if !ok {
		p.fail(at(c.Value.Text, arg.Offset, len(arg.Text)), c, fmt.Sprintf("%s must be a constant, but %s depends on the record", what, arg.Text), "write a number, or params.x")
	}
	return v, ok
}

// where sets the condition of a cell.
func (p *parser) where(c aggregateConfig, spec *cellSpec) bool {
	if !c.Where.Given() {
		return true
	}
	program := p.b.Condition(c.Where)
	if program == nil {
		return false
	}
	for i, w := range p.set.wheres {
		if w.String() == program.String() {
			spec.mask = 1 << i
			return true
		}
	}
	if len(p.set.wheres) == maxWheres {
		p.fail(c.Where.Span, c, fmt.Sprintf("there are more than %d different conditions", maxWheres), "split the aggregates into two windows")
		return false
	}
	spec.mask = 1 << len(p.set.wheres)
	p.set.wheres = append(p.set.wheres, program)
	return true
}

// argument is the place of an argument, which aggregates may share.
func (p *parser) argument(program *expr.Program, text string, mask uint64) int {
	for i := range p.set.args {
		if p.set.args[i].text == text {
			p.set.args[i].mask |= mask
			return i
		}
	}
	slot, field := program.Slot()
	p.set.args = append(p.set.args, argument{program: program, slot: slot, field: field, mask: mask, text: text})
	return len(p.set.args) - 1
}

// cell is the place of a cell, which aggregates that collect the same share.
func (p *parser) cell(spec cellSpec) int {
	for i := range p.set.cells {
		have := p.set.cells[i]
		have.label = spec.label
		if have == spec {
			return i
		}
	}
	p.set.cells = append(p.set.cells, spec)
	return len(p.set.cells) - 1
}

// part is an argument as an expression of its own. Blanks stand for what is
// in front of it, so that positions in it are positions in the whole.
func part(e conf.Expr, arg expr.Arg) conf.Expr {
	blank := strings.Map(func(r rune) rune {
		if r == '\n' {
			return r
		}
		return ' '
	}, e.Value[:arg.Offset])
	e.Value = blank + arg.Text
	return e
}

// at is the place of some bytes of a text.
func at(t conf.Text, offset, length int) diag.Span {
	if offset < 0 || offset > len(t.Value) {
		return t.Span
	}
	from := utf8.RuneCountInString(t.Value[:offset])
	return t.At(from, from+utf8.RuneCountInString(t.Value[offset:min(offset+length, len(t.Value))]))
}
