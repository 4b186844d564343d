package main

import (
	"bytes"
	"runtime/debug"
	"strings"
	"testing"
	"time"

	"github.com/telluride-stream/telluride/engine/stage"

	"github.com/telluride-stream/telluride/engine/plan"
)

// screen is what a terminal of one line per \n shows after it was sent text.
func screen(text string) string {
	var lines []string
	for line := range strings.SplitSeq(text, "\n") {
		if i := strings.LastIndex(line, eraseLine); i >= 0 {
			line = line[i+len(eraseLine):]
		}
		lines = append(lines, line)
	}
	return strings.Join(lines, "\n")
}

func TestTheProgressLineStaysBelow(t *testing.T) {
	var b bytes.Buffer
	c := &console{out: &b, err: &b, outTerm: true, errTerm: true}
	put := func(s string) {
		if n, err := c.Stdout().Write([]byte(s)); n != len(s) || err != nil {
			t.Fatalf("wrote %d of %q: %v", n, s, err)
		}
	}
	check := func(want string) {
		t.Helper()
		if got := screen(b.String()); got != want {
			t.Errorf("the screen shows\n%q, want\n%q", got, want)
		}
	}
	c.Progress("one")
	check("one")
	put("result 1\nresult 2\n")
	check("result 1\nresult 2\none")
	c.Progress("two")
	_, _ = c.Stderr().Write([]byte("a message\n"))
	check("result 1\nresult 2\na message\ntwo")
	put("half")
	check("result 1\nresult 2\na message\nhalf")
	c.Progress("three")
	check("result 1\nresult 2\na message\nhalf")
	put(" and half\n")
	c.Progress("four")
	check("result 1\nresult 2\na message\nhalf and half\nfour")
	c.Progress("")
	check("result 1\nresult 2\na message\nhalf and half\n")
}

func TestWhatIsNoTerminalIsLeftAlone(t *testing.T) {
	var out, errs bytes.Buffer
	c := &console{out: &out, err: &errs}
	c.Progress("50%")
	_, _ = c.Stdout().Write([]byte("{}\n"))
	if out.String() != "{}\n" || errs.Len() != 0 {
		t.Errorf("wrote %q and %q", &out, &errs)
	}
	if c.Stdout() != c.out {
		t.Error("writes to standard output take a detour")
	}
}

func TestRates(t *testing.T) {
	var p progress
	at := time.Unix(1000, 0)
	p.note(0, at)
	for i := 1; i <= 50; i++ {
		p.note(uint64(i*200), at.Add(time.Duration(i)*progressEvery))
	}
	if p.rate < 999 || p.rate > 1001 {
		t.Errorf("rate %v of 1000 records a second", p.rate)
	}
	// Counts never go back, but if they did there would be no rate of 2^64.
	p.note(0, at.Add(time.Minute))
	if p.rate < 0 || p.rate > 1001 {
		t.Errorf("rate %v behind a count that went back", p.rate)
	}
}

func TestNumbers(t *testing.T) {
	for _, c := range []struct{ got, want string }{
		{thousands(0), "0"}, {thousands(999), "999"}, {thousands(1000), "1,000"}, {thousands(1234567), "1,234,567"},
		{perSecond(0), "0/s"}, {perSecond(0.44), "0.4/s"}, {perSecond(12299.6), "12,300/s"},
		{lasting(596 * time.Microsecond), "596µs"}, {lasting(81 * time.Millisecond), "81ms"},
		{lasting(4230 * time.Millisecond), "4.2s"}, {lasting(90 * time.Second), "1m30s"},
		{plural(1, "record"), "1 record"}, {plural(0, "record"), "0 records"}, {plural(5120, "record"), "5,120 records"},
		{cut("seattle", 7), "seattle"}, {cut("seattle", 4), "sea…"}, {cut("±±±±", 3), "±±…"},
	} {
		if c.got != c.want {
			t.Errorf("got %q, want %q", c.got, c.want)
		}
	}
}

func TestAnUnbalancedRowIsMarked(t *testing.T) {
	good := stage.Counts{In: 3, Passed: 2, Dead: 1}
	bad := stage.Counts{In: 3, Passed: 1}
	r := flowReport{Flow: "x", Outcome: ended}
	for name, c := range map[string]stage.Counts{"good": good, "bad": bad} {
		r.Stages = append(r.Stages, stageReport{Kind: "filter", Name: name, In: c.In, Passed: c.Passed, Dead: c.Dead, Balanced: c.Balanced()})
	}
	var b bytes.Buffer
	writeSummary(&b, []flowReport{r}, "line", false)
	for line := range strings.Lines(b.String()) {
		if marked := strings.HasPrefix(line, "! "); marked != strings.Contains(line, "filter bad") {
			t.Errorf("marked %v: %s", marked, line)
		}
	}
	if !strings.Contains(b.String(), "does not balance") {
		t.Errorf("not said: %s", &b)
	}
}

func TestTheSummaryIsShortOfWhatSaysLittle(t *testing.T) {
	for _, c := range []struct {
		name string
		r    flowReport
		want string
	}{
		{
			"a run that is too short for a rate", flowReport{Elapsed: 0.099, elapsed: "99ms", Records: 80, Results: 4, Rate: 808},
			"x: ended after 99ms: 80 records in, 4 records out\n",
		},
		{
			"a longer one", flowReport{Elapsed: 0.1, elapsed: "100ms", Records: 80, Results: 4, Rate: 800},
			"x: ended after 100ms: 80 records in (800/s), 4 records out\n",
		},
		{
			"late records among the dead letters", flowReport{elapsed: "9ms", DeadLetters: 3, DeadTo: "x.dead.ndjson", Late: 2},
			"x: ended after 9ms: 0 records in, 0 records out\n  3 dead letters (2 of them late) → x.dead.ndjson\n",
		},
		{
			"late records elsewhere", flowReport{elapsed: "9ms", DeadLetters: 1, DeadTo: "d", Late: 2, LateTo: "l"},
			"x: ended after 9ms: 0 records in, 0 records out\n  1 dead letter → d\n  2 late records → l\n",
		},
	} {
		c.r.Flow, c.r.Outcome, c.r.Balanced = "x", ended, true
		var b bytes.Buffer
		if writeSummary(&b, []flowReport{c.r}, "line", false); b.String() != c.want {
			t.Errorf("%s: got %q, want %q", c.name, &b, c.want)
		}
	}
}

func TestVersions(t *testing.T) {
	info := &debug.BuildInfo{Settings: []debug.BuildSetting{
		{Key: "vcs.revision", Value: "0123456789abcdef"}, {Key: "vcs.modified", Value: "true"},
	}}
	info.Main.Version = "v1.2.3"
	if got := describeBuild(info).String(); !strings.HasPrefix(got, "telluride v1.2.3 (0123456789ab, modified) go1") {
		t.Error(got)
	}
	if got := describeBuild(nil).String(); !strings.HasPrefix(got, "telluride (devel) go1") {
		t.Error(got)
	}
}

func TestGraphTextsAreEscaped(t *testing.T) {
	d := &plan.Drawing{Name: `a"b`, Boxes: []plan.Box{{ID: "n1", Look: plan.LookStage, Title: "filter", Text: "x < \"1\" || y\n#2"}}}
	if got := writeMermaid(d); strings.Count(got, `"`) != 4 || strings.Contains(got, "||") || strings.Contains(got, "x <") {
		t.Error(got)
	}
	if got := writeDOT(d); !strings.Contains(got, `digraph "a\"b"`) || !strings.Contains(got, `x < \"1\" || y\n#2`) {
		t.Error(got)
	}
}
