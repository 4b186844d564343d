package expr

import (
	"errors"
	"math"
	"time"

	"github.com/expr-lang/expr/ast"
	bytecode "github.com/expr-lang/expr/compiler"
	"github.com/expr-lang/expr/conf"
	"github.com/expr-lang/expr/file"
	"github.com/expr-lang/expr/parser"
	"github.com/expr-lang/expr/types"
	"github.com/expr-lang/expr/vm"
	"github.com/telluride-stream/telluride/engine/record"
)

// memoryBudget bounds what one evaluation on the virtual machine makes, in
// elements of lists and characters of text.
const memoryBudget = 1_000_000

// machine is an expression, or a part of one, as a program of expr-lang's
// virtual machine.
type machine struct {
	text    *text
	span    span
	program *vm.Program
	reads   []*source
}

// build compiles a patched tree.
func (m *machine) build(t *text, s span, root ast.Node, reads []*source, functions conf.FunctionsTable) error {
	m.text, m.span, m.reads = t, s, reads
	env := types.Map{}
	for _, src := range reads {
		env[src.name] = types.Any
		if src.kind == nowSource {
			env[src.name] = types.TypeOf(time.Time{})
		}
	}
	config := conf.CreateNew()
	config.WithEnv(env)
	config.Functions = functions
	if err := checkMachine(t, root, config); err != nil {
		return err
	}
	program, err := bytecode.Compile(&parser.Tree{Node: root, Source: file.NewSource(t.src)}, config)
	m.program = program
	return err
}

// value runs the program. A panic in it is an error.
func (m *machine) value(s *Scope) (record.Value, error) {
	if s.env == nil {
		s.env = map[string]any{}
	}
	clear(s.env)
	for _, src := range m.reads {
		if src.kind == nowSource {
			s.env[src.name] = time.Unix(0, s.Now).UTC()
			continue
		}
		s.env[src.name] = toMachine(src.read(s))
	}
	s.vm.MemoryBudget = memoryBudget
	out, err := s.vm.Run(m.program, s.env)
	if err != nil {
		return record.Value{}, m.wrap(err)
	}
	v, err := fromMachine(out)
	if err != nil {
		return record.Value{}, m.text.problem(m.span, `"`+m.text.quote(m.span)+`": `+err.Error(), "")
	}
	return v, nil
}

// wrap puts an error of the virtual machine into plain words. The operations
// of this package have done so already.
func (m *machine) wrap(err error) error {
	var plain *Error
	if errors.As(err, &plain) {
		return plain
	}
	message, at := err.Error(), m.span
	var e *file.Error
	if errors.As(err, &e) {
		message = e.Message
		if s := m.text.span(e.Location); s.to > s.from {
			at = s
		}
	}
	return m.text.problem(at, `"`+m.text.quote(m.span)+`": `+plainRuntime(message), "")
}

// toMachine is a value as the virtual machine knows it.
func toMachine(v record.Value) any { return v.Go() }

// scalar is a value of the virtual machine that is nil, a bool, a number or
// text; false for any other.
func scalar(x any) (record.Value, bool) {
	switch x := x.(type) {
	case nil:
		return record.Value{}, true
	case bool:
		return record.BoolValue(x), true
	case int:
		return record.IntValue(int64(x)), true
	case float64:
		return record.FloatValue(x), true
	case string:
		return record.StringValue(x), true
	case int64:
		return record.IntValue(x), true
	case uint8:
		return record.IntValue(int64(x)), true
	}
	return record.Value{}, false
}

// fromMachine is a result of the virtual machine as a value.
func fromMachine(x any) (record.Value, error) {
	if v, ok := scalar(x); ok && v.Kind() != record.Missing {
		if f := v.Float(); f-f != 0 {
			return record.Value{}, errNotFinite
		}
		return v, nil
	}
	budget := memoryBudget
	x, err := plainData(x, &budget, 0)
	if err != nil {
		return record.Value{}, err
	}
	return record.FromGo(x)
}

var (
	errNotFinite = errors.New("the result is too large for a number")
	errTooLarge  = errors.New("the result is too large")
	errTooDeep   = errors.New("the result is nested too deeply")
)

func notFinite(f float64) bool { return math.IsInf(f, 0) || math.IsNaN(f) }
