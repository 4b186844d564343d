package topology

import (
	"context"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/telluride-stream/telluride/engine/record"
)

func documents(n int) []record.Record {
	all := make([]record.Record, n)
	for i := range all {
		all[i] = record.Record{Payload: []byte(`{"id":1,"card":{"number":"4711","name":"x"},"mail":"a@b"}`), Key: `"k"`, Time: 1}
	}
	return all
}

func TestNobodyIsShownWhatNobodyLooksAt(t *testing.T) {
	taps := NewTaps()
	s := taps.spot("w")
	records := documents(100)
	if n := testing.AllocsPerRun(100, func() { s.batch(records) }); n > 0 {
		t.Errorf("%v allocations a batch that nobody looks at", n)
	}
	var none *Taps
	none.spot("w").batch(records)
	none.setMask(nil)
	tap := taps.Open([]string{"w"})
	tap.Allow(5)
	s.batch(records)
	tap.Close()
	s.batch(records)
	if tap.Passed() != 100 || tap.Taken() != 5 || s.looked() {
		t.Errorf("%d passed, %d taken, looked at: %v", tap.Passed(), tap.Taken(), s.looked())
	}
}

// A tap takes no more than it is allowed, never waits for who looks, and
// counts what passes.
func TestATapIsBounded(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		taps := NewTaps()
		tap := taps.Open([]string{"a", "b"})
		passed, allowed, read := 0, 0, 0
		for range rapid.IntRange(1, 50).Draw(t, "steps") {
			n := rapid.IntRange(0, 300).Draw(t, "budget")
			tap.Allow(n)
			allowed += n
			for _, name := range []string{"a", "b"} {
				m := rapid.IntRange(0, 200).Draw(t, "records")
				taps.spot(name).batch(documents(m))
				passed += m
			}
			for range rapid.IntRange(0, 100).Draw(t, "reads") {
				ctx, cancel := context.WithCancel(context.Background())
				cancel()
				if len(tap.out) > 0 {
					if _, err := tap.Next(context.Background()); err == nil {
						read++
					}
				} else if _, err := tap.Next(ctx); err == nil {
					t.Fatal("a sample from nowhere")
				}
			}
		}
		if int(tap.Passed()) != passed || int(tap.Taken()) > allowed || int(tap.Taken()) != read+len(tap.out) {
			t.Fatalf("%d of %d passed, %d taken of %d allowed, %d read", tap.Passed(), passed, tap.Taken(), allowed, read)
		}
	})
}

func TestMaskedFieldsAreHidden(t *testing.T) {
	path := func(text string) record.Path {
		p, err := record.ParsePath(text)
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	for _, c := range []struct {
		doc  string
		mask []string
		want string
	}{
		{`{"a":1,"b":2}`, nil, `{"a":1,"b":2}`},
		{`{"a":1,"b":2}`, []string{"b"}, `{"a":1,"b":"***"}`},
		{`{"a":{"b":{"c":1}},"d":[1,{"e":2}]}`, []string{"a.b", "d[1].e", "gone", "a.gone"}, `{"a":{"b":"***"},"d":[1,{"e":"***"}]}`},
		{`{"sensor":"s","reads":3,"mean":null,"more":{"z":1,"a":1}}`, []string{"reads"}, `{"sensor":"s","reads":"***","mean":null,"more":{"a":1,"z":1}}`},
		{`{"a":1,"a":2}`, []string{"a"}, `{"a":"***"}`},
		{`{"b":1,"a":2,"b":3}`, []string{"a"}, `{"b":3,"a":"***"}`},
		{`{"\u0062":1,"a":12345678901234567890}`, []string{"b"}, `{"b":"***","a":12345678901234567890}`},
		{`{}`, []string{"a"}, `{}`},
		{`null`, []string{"a"}, `"***"`},
		{`no json`, nil, `"no json"`},
		{`secret, no json`, []string{"a"}, `"***"`},
		{`["secret"]`, []string{"a"}, `"***"`},
	} {
		var mask []record.Path
		for _, m := range c.mask {
			mask = append(mask, path(m))
		}
		got := string(masked([]byte(c.doc), mask))
		if c.want != "" && got != c.want || c.want == "" && (strings.Contains(got, "1") || strings.Contains(got, "2")) {
			t.Errorf("%s without %v is %s", c.doc, c.mask, got)
		}
	}
	taps := NewTaps()
	taps.setMask([]record.Path{path("card.number"), path("mail")})
	tap := taps.Open([]string{"w"})
	defer tap.Close()
	tap.Allow(1)
	taps.spot("w").batch(documents(1))
	s, err := tap.Next(t.Context())
	if err != nil || string(s.Record) != `{"id":1,"card":{"name":"x","number":"***"},"mail":"***"}` || s.Key != hidden {
		t.Errorf("sample %+v %s, %v", s, s.Record, err)
	}
	w, err := NewWhere(`mail == "a@b"`)
	if err != nil || w.Holds(s) {
		t.Errorf("a condition sees what is hidden (%v)", err)
	}
}

func TestConditions(t *testing.T) {
	s := Sample{Time: time.Unix(1, 0), Record: []byte(`{"n":3,"s":"x"}`)}
	for text, want := range map[string]bool{`n > 2`: true, `n > 3`: false, `s == "x" && n == 3`: true, `gone > 2`: false} {
		w, err := NewWhere(text)
		if err != nil || w.Holds(s) != want {
			t.Errorf("%s: %v, want %v", text, err, want)
		}
	}
	for _, bad := range []string{"", "n >", "n + 1 > ", "1 + 2"} {
		if _, err := NewWhere(bad); err == nil {
			t.Errorf("%q is taken", bad)
		}
	}
}

func BenchmarkBatchThatNobodyLooksAt(b *testing.B) {
	s := NewTaps().spot("w")
	records := documents(512)
	for b.Loop() {
		s.batch(records)
	}
}
