package record

import (
	"reflect"
	"testing"

	"pgregory.net/rapid"
)

func TestParsePath(t *testing.T) {
	for text, want := range map[string]Path{
		`a`:                 {{Key: "a"}},
		`a.b`:               {{Key: "a"}, {Key: "b"}},
		`tags[0].x`:         {{Key: "tags"}, {Index: 0, List: true}, {Key: "x"}},
		`["odd name"].x`:    {{Key: "odd name"}, {Key: "x"}},
		`a["odd.name"]`:     {{Key: "a"}, {Key: "odd.name"}},
		`a['it\'s "odd"']`:  {{Key: "a"}, {Key: `it's "odd"`}},
		`a["\u00e9\n"][12]`: {{Key: "a"}, {Key: "é\n"}, {Index: 12, List: true}},
		`größe.sensor-1.$x`: {{Key: "größe"}, {Key: "sensor-1"}, {Key: "$x"}},
		`[""]`:              {{Key: ""}},
	} {
		if got, err := ParsePath(text); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: got %v (%v), want %v", text, got, err, want)
		}
	}
}

func TestPathErrorsNameTheCharacter(t *testing.T) {
	for text, want := range map[string]string{
		``:                        `path "": it is empty`,
		`a..b`:                    `path "a..b": character 3: expected a field name, got '.'`,
		`a.`:                      `path "a.": character 3: expected a field name, got the end`,
		`.a`:                      `path ".a": character 1: expected a field name, got '.'`,
		`é b`:                     `path "é b": character 2: expected '.' or '[', got ' '`,
		`a[0]b`:                   `path "a[0]b": character 5: expected '.' or '[', got 'b'`,
		`a[`:                      `path "a[": character 3: expected a list position or a quoted name, got the end`,
		`a[x]`:                    `path "a[x]": character 3: expected a list position or a quoted name, got 'x'`,
		`a[-1]`:                   `path "a[-1]": character 3: a list position counts from 0 and is not negative`,
		`a[1`:                     `path "a[1": character 4: expected ']' for the '[' at character 2, got the end`,
		`a["b]`:                   `path "a[\"b]": character 3: the quoted name does not end`,
		`a["\x"]`:                 `path "a[\"\\x\"]": character 3: the quoted name is not a JSON string: unknown escape in a string`,
		`a[99999999999999999999]`: `path "a[99999999999999999999]": character 3: the list position is too large`,
	} {
		if _, err := ParsePath(text); err == nil || err.Error() != want {
			t.Errorf("got  %v\nwant %s", err, want)
		}
	}
}

func TestPathsRoundTrip(t *testing.T) {
	step := rapid.Custom(func(t *rapid.T) Step {
		if rapid.Bool().Draw(t, "list") {
			return Step{List: true, Index: rapid.IntRange(0, 1<<31-1).Draw(t, "index")}
		}
		return Step{Key: rapid.OneOf(genKey, rapid.String()).Draw(t, "key")}
	})
	rapid.Check(t, func(t *rapid.T) {
		want := Path(rapid.SliceOfN(step, 1, 4).Draw(t, "path"))
		if got, err := ParsePath(want.String()); err != nil || !reflect.DeepEqual(got, want) {
			t.Fatalf("%s: got %v (%v), want %v", want, got, err, want)
		}
	})
}

func FuzzParsePath(f *testing.F) {
	for _, p := range watched {
		f.Add(p)
	}
	f.Fuzz(func(t *testing.T, text string) {
		p, err := ParsePath(text)
		if err != nil {
			return
		}
		if again, err := ParsePath(p.String()); err != nil || !reflect.DeepEqual(again, p) {
			t.Fatalf("%q: %v is written as %s and reads back as %v (%v)", text, p, p, again, err)
		}
	})
}
