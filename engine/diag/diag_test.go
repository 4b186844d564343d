package diag_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/telluride-stream/telluride/engine/diag"
)

func span(file string, line, col, end int) diag.Span {
	s := diag.Span{File: file, Start: diag.Pos{Line: line, Col: col}}
	if end > 0 {
		s.End = diag.Pos{Line: line, Col: end}
	}
	return s
}

func TestDiagnosticSaysWhereWhatAndWhatToDo(t *testing.T) {
	for _, tt := range []struct {
		d    diag.Diagnostic
		want string
	}{
		{diag.Diagnostic{Span: span("flows/a.yaml", 7, 11, 0), Message: "window: size 0s is below the minimum 1ms", Advice: "use at least 1ms"},
			"flows/a.yaml:7:11: window: size 0s is below the minimum 1ms; use at least 1ms"},
		{diag.Diagnostic{Severity: diag.Warning, Span: span("a", 1, 2, 0), Message: "m"}, "a:1:2: warning: m"},
		{diag.Diagnostic{Span: diag.Span{File: "a"}, Message: "m"}, "a: m"},
		{diag.Diagnostic{Span: span("", 1, 2, 0), Message: "m"}, "1:2: m"},
		{diag.Diagnostic{Message: "m"}, "m"},
	} {
		if got := tt.d.Error(); got != tt.want {
			t.Errorf("got %q, want %q", got, tt.want)
		}
	}
}

func TestListSortsAndRemovesDuplicates(t *testing.T) {
	var l diag.List
	l.Errorf(span("b", 1, 1, 0), "z")
	l.Errorf(span("a", 10, 1, 0), "y")
	l.Errorf(span("a", 9, 2, 0), "x %d", 1)
	l.Warnf(span("a", 9, 2, 0), "a")
	l.Errorf(span("b", 1, 1, 0), "z")
	l.Sort()
	var got []string
	for _, d := range l {
		got = append(got, d.String())
	}
	want := []string{"a:9:2: warning: a", "a:9:2: x 1", "a:10:1: y", "b:1:1: z"}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestWarningsAreNoError(t *testing.T) {
	var l diag.List
	l.Warnf(diag.Span{}, "w")
	if l.HasErrors() || l.Err() != nil {
		t.Error("a warning counts as an error")
	}
	l.Errorf(diag.Span{}, "one")
	l.Errorf(diag.Span{}, "two")
	err := l.Err()
	if err == nil || err.Error() != "one\ntwo" {
		t.Errorf("got %v", err)
	}
	var le *diag.ListError
	var d diag.Diagnostic
	if !errors.As(err, &le) || len(le.List) != 3 || !errors.As(err, &d) || d.Message != "one" {
		t.Errorf("the list is not found in %v", err)
	}
}

func TestPrintShowsTheSourceUnderTheHeader(t *testing.T) {
	long := strings.Repeat("a", 300) + "HERE" + strings.Repeat("b", 300)
	src := map[string][]byte{"f": []byte("ok: 1\n\tsize: 0s\nä: 日本: x\r\nbad: \x1b[31m\u202ered\n" + long + "\nlast")}
	for _, tt := range []struct {
		name string
		d    diag.Diagnostic
		want string
	}{
		{"span", diag.Diagnostic{Span: span("f", 1, 5, 6), Message: "m", Advice: "do"}, "f:1:5: m\n  1 | ok: 1\n    |     ^\n  = help: do\n"},
		{"tab", diag.Diagnostic{Span: span("f", 2, 8, 10), Message: "m"}, "f:2:8: m\n  2 |     size: 0s\n    |           ^~\n"},
		{"wide", diag.Diagnostic{Span: span("f", 3, 4, 6), Message: "m"}, "f:3:4: m\n  3 | ä: 日本: x\n    |    ^~~~\n"},
		{"controls", diag.Diagnostic{Span: span("f", 4, 13, 16), Message: "m\x1b\nx"}, "f:4:13: m� x\n  4 | bad: �[31m�red\n    |            " + " ^~\n"},
		{"end of line", diag.Diagnostic{Span: span("f", 6, 99, 0), Message: "m"}, "f:6:99: m\n  6 | last\n    |     ^\n"},
		{"many lines", diag.Diagnostic{Span: diag.Span{File: "f", Start: diag.Pos{Line: 1, Col: 1}, End: diag.Pos{Line: 2, Col: 3}}, Message: "m"}, "f:1:1: m\n  1 | ok: 1\n    | ^~~~~\n"},
		{"no such line", diag.Diagnostic{Span: span("f", 60, 1, 0), Message: "m"}, "f:60:1: m\n"},
		{"no such file", diag.Diagnostic{Severity: diag.Warning, Span: span("g", 1, 1, 0), Message: "m"}, "g:1:1: warning: m\n"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var b strings.Builder
			diag.Print(&b, diag.List{tt.d}, src, false)
			if b.String() != tt.want {
				t.Errorf("got\n%s\nwant\n%s", b.String(), tt.want)
			}
		})
	}
	t.Run("long", func(t *testing.T) {
		var b strings.Builder
		diag.Print(&b, diag.List{{Span: span("f", 5, 301, 305), Message: "m"}}, src, false)
		lines := strings.Split(b.String(), "\n")
		at := strings.Index(strings.ReplaceAll(lines[1], "…", "."), "HERE")
		if len([]rune(lines[1])) > 120 || at < 0 || at != strings.Index(lines[2], "^~~~") {
			t.Errorf("got\n%s", b.String())
		}
	})
	t.Run("colour", func(t *testing.T) {
		var b strings.Builder
		diag.Print(&b, diag.List{{Span: span("f", 1, 1, 0), Message: "m"}}, src, true)
		if !strings.Contains(b.String(), "\x1b[") {
			t.Error("no colour although it was asked for")
		}
	})
}

func TestSuggestFindsNearMisses(t *testing.T) {
	known := []string{"filter", "set", "window", "batch", "sink"}
	for word, want := range map[string]string{
		"fliter": "filter", "filtr": "filter", "windwo": "window", "sett": "set", "sik": "sink",
		"xyz": "", "": "", "filter": "", "s": "", "bucket": "",
	} {
		if got := diag.Suggest(word, known); got != want {
			t.Errorf("%q: got %q, want %q", word, got, want)
		}
	}
}

func FuzzPrint(f *testing.F) {
	f.Add([]byte("a: b\n"), 1, 2, 1, 4)
	f.Fuzz(func(t *testing.T, src []byte, line, col, endLine, endCol int) {
		var b strings.Builder
		s := diag.Span{File: "f", Start: diag.Pos{Line: line, Col: col}, End: diag.Pos{Line: endLine, Col: endCol}}
		diag.Print(&b, diag.List{{Span: s, Message: string(src)}}, map[string][]byte{"f": src}, false)
		if strings.ContainsAny(b.String(), "\x1b\r\x00\u202e") {
			t.Errorf("control characters in %q", b.String())
		}
	})
}
