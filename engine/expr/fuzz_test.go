package expr

import (
	"errors"
	"testing"

	"github.com/telluride-stream/telluride/engine/record"
)

// FuzzCompile: no source makes the compiler or a program panic, errors lie
// inside the source, and closures agree with the virtual machine on whether
// there is a result.
func FuzzCompile(f *testing.F) {
	for _, source := range []string{
		`reading > 10 && line_id == "line_1"`, `(reading - 32) / 1.8`, `a?.b["c d"][0] ?? nil`, `let x = 1; x + y`, `map(items, .p * 2)`,
		`if a { 1 } else { 2 }`, `a ?: b ?: c`, `1 < a < 3`, `x | upper() | trim("a")`, "name matches `a(`", `"ë" + 'ö'`, `date(x).Unix()`,
		`{"a": [1, 2..5], (b): #}`, `reduce(l, #acc + #index)`, `b"x" == c`, `$env[a]`, `::len(x)`, `1_000 + 0x1F`, `/* c */ a // d`, `x[1:][:2]`,
	} {
		f.Add(source)
	}
	payload := `{"a":1,"b":"x","c":[1,2],"d":{"e":null},"x":2.5,"items":[{"p":1}],"name":"ab","reading":50}`
	f.Fuzz(func(t *testing.T, source string) {
		_, args, err := ParseCall(source)
		if err == nil {
			for _, a := range args {
				if source[a.Offset:a.Offset+len(a.Text)] != a.Text {
					t.Errorf("argument %q is not at %d", a.Text, a.Offset)
				}
			}
		}
		l := record.NewLayout()
		p, err := Compile(source, Env{Layout: l, Params: params()})
		if err != nil {
			var e *Error
			if !errors.As(err, &e) || e.Offset < 0 || e.Len < 0 || e.Offset+e.Len > len(source) || e.Message == "" {
				t.Errorf("%#v", err)
			}
			return
		}
		s := scope(t, l, payload)
		a, errC := p.Eval(s)
		b, errM := p.onMachine().Eval(s)
		if (errC == nil) != (errM == nil) {
			t.Errorf("closures %s, %v; machine %s, %v", shown(a), errC, shown(b), errM)
		}
		_, _ = p.Bool(s)
	})
}
