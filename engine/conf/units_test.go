package conf_test

import (
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/telluride-stream/telluride/engine/conf"
)

func TestDurationsReadBackAsTheyAreWritten(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		d := time.Duration(rapid.Int64Min(0).Draw(t, "ns"))
		// A fraction of a unit is a float64, exact up to its 53 bits.
		d = d.Truncate(time.Millisecond)
		if got, err := conf.ParseDuration(conf.FormatDuration(d)); err != nil || got != d {
			t.Fatalf("%d is written %s and read %d, %v", d, conf.FormatDuration(d), got, err)
		}
	})
	for s, want := range map[string]time.Duration{"500ms": 500 * time.Millisecond, "1w2d": 9 * 24 * time.Hour, "1.5h": 90 * time.Minute, "0s": 0} {
		if got, err := conf.ParseDuration(s); err != nil || got != want {
			t.Errorf("%s: got %v, %v", s, got, err)
		}
	}
	for _, s := range []string{"", "5", "s", "-1s", "1y", "1 s", "1..2s", "+1s", "99999999w"} {
		if got, err := conf.ParseDuration(s); err == nil {
			t.Errorf("%q: got %v, want an error", s, got)
		}
	}
}

func TestSizesReadBackAsTheyAreWritten(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.Int64Min(0).Draw(t, "bytes")
		if got, err := conf.ParseSize(conf.FormatSize(n)); err != nil || got != n {
			t.Fatalf("%d is written %s and read %d, %v", n, conf.FormatSize(n), got, err)
		}
	})
	for s, want := range map[string]int64{"1024": 1024, "64KiB": 65536, "10MB": 10_000_000, "1.5 kib": 1536, "7b": 7} {
		if got, err := conf.ParseSize(s); err != nil || got != want {
			t.Errorf("%s: got %v, %v", s, got, err)
		}
	}
	for _, s := range []string{"", "-1", "KiB", "1 floppy", "99999999TiB"} {
		if got, err := conf.ParseSize(s); err == nil {
			t.Errorf("%q: got %v, want an error", s, got)
		}
	}
}

func TestExactlyOneKeyIsNeeded(t *testing.T) {
	for src, want := range map[string]string{
		"{}":                         `1:1: one of tumbling, hopping or count is needed; give exactly one of them`,
		"{hopping: 1s, tumbling: 1}": `1:15: hopping and tumbling cannot be given together; keep one of them`,
		"{count: 1s}":                "",
	} {
		_, diags, scope := load(t, "{}", nil, nil)
		f := conf.NewFields(scope, conf.Parse("f", []byte(src), conf.Limits{}, &diags), "")
		var a, b, c string
		f.String(&a, "tumbling", "", "")
		f.String(&b, "hopping", "", "")
		f.String(&c, "count", "", "")
		f.OneOf("tumbling", "hopping", "count")
		f.Finish()
		var got string
		for _, d := range texts(*scope.Diags) {
			got += d
		}
		if got != want {
			t.Errorf("%s: got %q, want %q", src, got, want)
		}
	}
}
