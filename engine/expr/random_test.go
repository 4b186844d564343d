package expr

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	lang "github.com/expr-lang/expr"
	"github.com/telluride-stream/telluride/engine/record"
	"pgregory.net/rapid"
)

// writer writes random expressions.
type writer struct {
	t    *rapid.T
	pure bool // only what means the same in expr-lang itself
}

func (w writer) pick(of ...string) string { return rapid.SampledFrom(of).Draw(w.t, "pick") }

func (w writer) number(depth int) string {
	if depth == 0 {
		return w.pick("a", "b", "o.c", "0", "1", "2", "7", "2.5", "0.1", "20", "l[0]")
	}
	x, y := func() string { return w.number(depth - 1) }, func() string { return w.any(depth - 1) }
	switch rapid.IntRange(0, 11).Draw(w.t, "number") {
	case 0, 1, 2:
		return "(" + x() + w.pick(" + ", " - ", " * ", " / ", " % ") + x() + ")"
	case 3:
		return "(" + y() + w.pick(" + ", " - ", " * ", " / ", " % ") + x() + ")"
	case 4:
		return "(" + x() + " ** " + w.pick("2", "0.5", "a") + ")"
	case 5:
		return "-" + x()
	case 6:
		return w.pick("abs", "round", "floor", "ceil", "int", "float") + "(" + x() + ")"
	case 7:
		return w.pick("min", "max") + "(" + x() + ", " + x() + ")"
	case 8:
		return "len(" + w.text(depth-1) + ")"
	case 9:
		return "(" + w.bool(depth-1) + " ? " + x() + " : " + x() + ")"
	case 10:
		return "(" + y() + " ?? " + x() + ")"
	}
	return w.pick("len(l)", "min(l)", "max(a, l)", "sum(l)", "count(l, # == a)")
}

func (w writer) text(depth int) string {
	if depth == 0 {
		return w.pick("s", "u", `""`, `"a"`, `"line_1"`, `"ë"`)
	}
	switch rapid.IntRange(0, 4).Draw(w.t, "text") {
	case 0:
		return "(" + w.text(depth-1) + " + " + w.text(depth-1) + ")"
	case 1:
		return w.pick("lower", "upper", "trim") + "(" + w.text(depth-1) + ")"
	case 2:
		return "string(" + w.pick("a", "p", "s", "1", "2.5") + ")"
	case 3:
		return "(" + w.any(depth-1) + " ?? " + w.text(depth-1) + ")"
	}
	return "(" + w.bool(depth-1) + " ? " + w.text(depth-1) + " : " + w.text(depth-1) + ")"
}

func (w writer) bool(depth int) string {
	if depth == 0 {
		return w.pick("p", "q", "true", "false", "a == nil", "s != nil")
	}
	switch rapid.IntRange(0, 9).Draw(w.t, "bool") {
	case 0, 1:
		return "(" + w.number(depth-1) + w.pick(" < ", " <= ", " > ", " >= ", " == ", " != ") + w.number(depth-1) + ")"
	case 2:
		return "(" + w.text(depth-1) + w.pick(" < ", " == ", " != ", " contains ", " startsWith ", " endsWith ") + w.text(depth-1) + ")"
	case 3:
		return "(" + w.bool(depth-1) + w.pick(" and ", " || ") + w.bool(depth-1) + ")"
	case 4:
		return "not " + w.bool(depth-1)
	case 5:
		return "(" + w.any(depth-1) + w.pick(" == ", " != ") + w.any(depth-1) + ")"
	case 6:
		return "(" + w.any(depth-1) + " in [" + w.any(depth-1) + ", " + w.any(0) + "])"
	case 7:
		return "(" + w.number(depth-1) + " in " + w.pick("0..7", "1..len(s)", "l", "[1, 2, 2.5]") + ")"
	case 8:
		return "(" + w.text(depth-1) + " matches " + w.pick(`"^l"`, `"[a-z]+$"`, "s") + ")"
	}
	return "(" + w.any(depth-1) + w.pick(" < ", " >= ", " and ") + w.any(depth-1) + ")"
}

func (w writer) any(depth int) string {
	if w.pure {
		// Without nil behind a dot and other documented differences.
		return rapid.SampledFrom([]func(int) string{w.number, w.text, w.bool}).Draw(w.t, "any")(depth)
	}
	switch rapid.IntRange(0, 5).Draw(w.t, "any") {
	case 0, 1:
		return w.number(depth)
	case 2:
		return w.text(depth)
	case 3:
		return w.bool(depth)
	}
	return w.pick("nil", "absent", "absent.x", "l", "o", "l[5]", "o?.c", "meta.queue", "x", "[1, 2]")
}

func randomRecord(t *rapid.T) string {
	field := func(name string, of ...string) string {
		if v := rapid.SampledFrom(append(of, "")).Draw(t, name); v != "" {
			return fmt.Sprintf("%q:%s,", name, v)
		}
		return ""
	}
	numbers := []string{"0", "1", "-1", "7", "20", "2.5", "-0.5", "1e3", "1.0"}
	return "{" + field("a", append(numbers, "null", `"1"`)...) + field("b", numbers...) + field("s", `"line_1"`, `"a"`, `" Ab "`, `"\u00eb\n"`, "null", "3") +
		field("u", `""`, `"a"`) + field("p", "true", "false", "null", "1") + field("q", "true", "false") +
		field("l", "[1,2.5]", "[]", `["a",1]`, "null") + field("o", `{"c":2}`, `{"c":null}`, "{}") + field("x", "1", `"a"`, "true", `{"c":2.0}`, "[1,2]", "9223372036854775807") + `"end":0}`
}

// The closures and the virtual machine are one language.
func TestClosuresAgreeWithTheMachine(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		source := writer{t: rt}.any(rapid.IntRange(1, 4).Draw(rt, "depth"))
		l := record.NewLayout()
		p, err := Compile(source, Env{Layout: l})
		if err != nil {
			var e *Error
			if !errors.As(err, &e) || e.Offset < 0 || e.Offset+e.Len > len(source) {
				rt.Fatalf("%s: %#v", source, err)
			}
			return
		}
		payload := randomRecord(rt)
		s := scope(t, l, payload)
		closures, errC := p.Eval(s)
		machine, errM := p.onMachine().Eval(s)
		if (errC == nil) != (errM == nil) {
			rt.Fatalf("%s over %s:\nclosures %s, %v\nmachine  %s, %v", source, payload, shown(closures), errC, shown(machine), errM)
		}
		if errC == nil && !alike(closures, machine) {
			rt.Fatalf("%s over %s:\nclosures %v %s\nmachine  %v %s", source, payload, closures.Kind(), shown(closures), machine.Kind(), shown(machine))
		}
	})
}

// alike is Equal and of the same kind; missing and null are both nil.
func alike(a, b record.Value) bool {
	return record.Equal(a, b) && (a.Kind() == b.Kind() || a.IsNil() && b.IsNil())
}

// What expr-lang can evaluate means what it means there, but for what the
// package comment lists.
func TestTheLanguageIsExprLangs(t *testing.T) {
	documented := []string{
		"division by zero", "too large", "is not a number", "string cannot take", "min cannot take", "max cannot take", "sum cannot take",
		"integers, not numbers with decimals", "is not an integer", "min needs", "max needs", "sum needs", "cannot be counted from", "cannot be searched", "cannot be looked into",
		"used as a condition", "needs true or false", "used as a number",
	}
	rapid.Check(t, func(rt *rapid.T) {
		source := writer{t: rt, pure: true}.any(rapid.IntRange(1, 3).Draw(rt, "depth"))
		l := record.NewLayout()
		p, err := Compile(source, Env{Layout: l})
		if err != nil {
			return
		}
		payload := randomRecord(rt)
		ours, errO := p.Eval(scope(t, l, payload))
		theirs, errT := evalLang(source, payload)
		switch {
		case errO != nil && errT == nil:
			for _, d := range documented {
				if strings.Contains(errO.Error(), d) {
					return
				}
			}
			rt.Fatalf("%s over %s: %v; expr-lang has %s", source, payload, errO, shown(theirs))
		case errO == nil && errT == nil:
			if !alike(ours, theirs) {
				rt.Fatalf("%s over %s: %v %s; expr-lang has %v %s", source, payload, ours.Kind(), shown(ours), theirs.Kind(), shown(theirs))
			}
		}
	})
}

func evalLang(source, payload string) (record.Value, error) {
	program, err := lang.Compile(source, lang.Env(map[string]any{}), lang.AllowUndefinedVariables(), lang.Optimize(false))
	if err != nil {
		return record.Value{}, err
	}
	decoder := json.NewDecoder(strings.NewReader(payload))
	decoder.UseNumber()
	var env map[string]any
	if err := decoder.Decode(&env); err != nil {
		return record.Value{}, err
	}
	out, err := lang.Run(program, goNumbers(env))
	if err != nil {
		return record.Value{}, err
	}
	return record.FromGo(out)
}

// goNumbers makes an int of what is written as one.
func goNumbers(x any) any {
	switch x := x.(type) {
	case json.Number:
		if i, err := x.Int64(); err == nil {
			return int(i)
		}
		f, _ := x.Float64()
		return f
	case []any:
		for i := range x {
			x[i] = goNumbers(x[i])
		}
	case map[string]any:
		for k := range x {
			x[k] = goNumbers(x[k])
		}
	}
	return x
}
