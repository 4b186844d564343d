package expr

import (
	"testing"

	"github.com/telluride-stream/telluride/engine/record"
)

func TestDoubtsAreHints(t *testing.T) {
	for _, c := range []struct {
		source, at, want string
	}{
		{`meta.file + meta.headers.retry`, ``, ``},
		{`meta.headers["x-try"] ?? meta.headers`, ``, ``},
		{`meta.flie == "a" || reading > 1`, `meta.flie`, `meta.flie is always nil: no record here has it; did you mean "meta.file"?`},
		{`meta.zebra`, `meta.zebra`, `meta.zebra is always nil: no record here has it; known: meta.file, meta.headers`},
		{`meta.file.name`, `meta.file.name`, `meta.file.name is always nil: no record here has it; known: meta.file, meta.headers`},
		{`a + b ?? 0`, `a + b ?? 0`, `?? gives a default to b alone, not to all of the calculation; say so with parentheses, as in a + (b ?? 0); every operand that may be nil needs a default of its own`},
		{`upper(name) == "A" && 2 * lower(b) ?? 1 > 3`, `2 * lower(b) ?? 1`, `?? gives a default to lower(b) alone, not to all of the calculation; say so with parentheses, as in 2 * (lower(b) ?? 1); every operand that may be nil needs a default of its own`},
		{`a + (b ?? 0)`, ``, ``},
		{`a + ( (b) ?? (0) )`, ``, ``},
		{`(a ?? 0) + (b ?? 0)`, ``, ``},
		{`a > b ?? 0`, ``, ``},
		{`max(a + 1, b ?? 0)`, ``, ``},
	} {
		p, err := Compile(c.source, Env{Meta: []string{"file", "headers.*"}})
		if err != nil {
			t.Errorf("%s: %v", c.source, err)
			continue
		}
		at, got := "", ""
		for _, h := range p.Hints() {
			at, got = at+c.source[h.Offset:h.Offset+h.Len], got+h.Error()
		}
		if at != c.at || got != c.want {
			t.Errorf("%s:\n got %s at %q\nwant %s at %q", c.source, got, at, c.want, c.at)
		}
	}
}

func TestUnknownMetadataIsNoDoubtWhereNothingIsKnownOfIt(t *testing.T) {
	for _, c := range []struct {
		known []string
		want  int
	}{{nil, 0}, {[]string{}, 1}, {[]string{"x"}, 0}} {
		p, err := Compile("meta.x", Env{Meta: c.known})
		if err != nil || len(p.Hints()) != c.want {
			t.Errorf("known %q: %v (%v)", c.known, p.Hints(), err)
		}
	}
}

func TestMetaSourceIsTheNameOfTheSource(t *testing.T) {
	p, err := Compile("meta.source", Env{Sources: []string{"morning", "evening"}})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		origin record.Origin
		want   string
	}{{record.Origin{Source: 1, Seq: 3}, `"evening"`}, {record.Origin{Seq: 1}, `"morning"`}, {record.Origin{}, "null"}, {record.Origin{Source: 2, Seq: 1}, "null"}} {
		for _, p := range []*Program{p, p.onMachine()} {
			v, err := p.Eval(&Scope{Record: &record.Record{Origin: c.origin}})
			if got := string(record.AppendValue(nil, v)); err != nil || got != c.want {
				t.Errorf("%+v: %s (%v), want %s", c.origin, got, err, c.want)
			}
		}
	}
}
