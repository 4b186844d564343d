package flowtest

import (
	"encoding/json"
	"encoding/xml"
	"fmt"
	"io"
	"strings"
	"time"
)

// jsonReport is the form of --format json. It is stable: fields are added,
// none is renamed or removed.
type jsonReport struct {
	Passed    int           `json:"passed"`
	Failed    int           `json:"failed"`
	Skipped   int           `json:"skipped"`
	ElapsedMS float64       `json:"elapsed_ms"`
	Seed      int64         `json:"seed"`
	Tests     []jsonTest    `json:"tests"`
	Coverage  *jsonCoverage `json:"coverage,omitempty"`
}

type jsonTest struct {
	File      string        `json:"file"`
	Line      int           `json:"line"`
	Name      string        `json:"name"`
	Flow      string        `json:"flow"`
	Variant   string        `json:"variant,omitempty"`
	Status    string        `json:"status"` // passed, failed or skipped
	ElapsedMS float64       `json:"elapsed_ms"`
	Failures  []jsonFailure `json:"failures,omitempty"`
}

type jsonFailure struct {
	File        string           `json:"file"`
	Line        int              `json:"line,omitempty"`
	Column      int              `json:"column,omitempty"`
	Message     string           `json:"message"`
	Differences []jsonDifference `json:"differences,omitempty"`
}

type jsonDifference struct {
	File    string   `json:"file"`
	Line    int      `json:"line,omitempty"`
	Column  int      `json:"column,omitempty"`
	Title   string   `json:"title,omitempty"`
	Lines   []string `json:"lines"` // "- expected", "+ came", "  as expected"
	Comment string   `json:"comment,omitempty"`
}

type jsonCoverage struct {
	Flows []FlowCoverage `json:"flows"`
}

func milliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

func (r *Result) status() string {
	switch {
	case r.Skipped:
		return "skipped"
	case r.Failed():
		return "failed"
	}
	return "passed"
}

// WriteJSON writes results for programs.
func WriteJSON(w io.Writer, all []*Result, o Options, elapsed time.Duration, coverage []FlowCoverage) error {
	c := CountResults(all)
	report := jsonReport{Passed: c.Passed, Failed: c.Failed, Skipped: c.Skipped, ElapsedMS: milliseconds(elapsed), Seed: o.Seed, Tests: []jsonTest{}}
	for _, r := range all {
		t := jsonTest{
			File: r.Test.File(), Line: r.Test.Span.Start.Line, Name: r.Test.Name, Flow: r.Test.Flow, Variant: r.Variant.String(),
			Status: r.status(), ElapsedMS: milliseconds(r.Elapsed),
		}
		for i := range r.Failures {
			t.Failures = append(t.Failures, failureJSON(&r.Failures[i]))
		}
		report.Tests = append(report.Tests, t)
	}
	if coverage != nil {
		report.Coverage = &jsonCoverage{coverage}
	}
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	return enc.Encode(report)
}

func failureJSON(f *Failure) jsonFailure {
	out := jsonFailure{File: f.Span.File, Line: f.Span.Start.Line, Column: f.Span.Start.Col, Message: f.Message}
	for _, d := range f.Differences {
		one := jsonDifference{File: d.Span.File, Line: d.Span.Start.Line, Column: d.Span.Start.Col, Title: d.Title, Comment: d.Comment, Lines: []string{}}
		for _, l := range d.Lines {
			one.Lines = append(one.Lines, fmt.Sprintf("%c %s", l.Sign, l.Text))
		}
		out.Differences = append(out.Differences, one)
	}
	return out
}

// The form of JUnit reports, as the Jenkins xUnit schema has it
// (https://github.com/jenkinsci/xunit-plugin, junit-10.xsd).
type junitSuites struct {
	XMLName xml.Name     `xml:"testsuites"`
	Name    string       `xml:"name,attr"`
	Time    string       `xml:"time,attr"`
	Tests   int          `xml:"tests,attr"`
	Fails   int          `xml:"failures,attr"`
	Errors  int          `xml:"errors,attr"`
	Suites  []junitSuite `xml:"testsuite"`
}

type junitSuite struct {
	Name    string      `xml:"name,attr"`
	Tests   int         `xml:"tests,attr"`
	Fails   int         `xml:"failures,attr"`
	Errors  int         `xml:"errors,attr"`
	Skipped int         `xml:"skipped,attr"`
	Time    string      `xml:"time,attr"`
	Cases   []junitCase `xml:"testcase"`

	elapsed time.Duration
}

type junitCase struct {
	Name    string        `xml:"name,attr"`
	Class   string        `xml:"classname,attr"`
	Time    string        `xml:"time,attr"`
	Skipped *struct{}     `xml:"skipped"`
	Failure *junitFailure `xml:"failure"`
}

type junitFailure struct {
	Message string `xml:"message,attr"`
	Type    string `xml:"type,attr"`
	Text    string `xml:",chardata"`
}

// WriteJUnit writes results in the form of JUnit: a suite for each file.
func WriteJUnit(w io.Writer, all []*Result, elapsed time.Duration) error {
	c := CountResults(all)
	report := junitSuites{Name: "telluride", Time: seconds(elapsed), Tests: len(all), Fails: c.Failed}
	for _, r := range all {
		n := len(report.Suites)
		if n == 0 || report.Suites[n-1].Name != clean(r.Test.File()) {
			report.Suites = append(report.Suites, junitSuite{Name: clean(r.Test.File())})
		}
		report.Suites[len(report.Suites)-1].add(r)
	}
	for i := range report.Suites {
		report.Suites[i].Time = seconds(report.Suites[i].elapsed)
	}
	if _, err := io.WriteString(w, xml.Header); err != nil {
		return err
	}
	enc := xml.NewEncoder(w)
	enc.Indent("", "  ")
	if err := enc.Encode(report); err != nil {
		return err
	}
	_, err := io.WriteString(w, "\n")
	return err
}

func (s *junitSuite) add(r *Result) {
	one := junitCase{Name: clean(r.Test.Name), Class: clean(r.Test.File()), Time: seconds(r.Elapsed)}
	if v := r.Variant.String(); v != "" {
		one.Name += " (" + v + ")"
	}
	s.Tests++
	s.elapsed += r.Elapsed
	switch {
	case r.Skipped:
		s.Skipped++
		one.Skipped = &struct{}{}
	case r.Failed():
		s.Fails++
		var text strings.Builder
		(&TextReport{W: &text}).Result(r)
		one.Failure = &junitFailure{Message: clean(r.Failures[0].Span.String() + ": " + r.Failures[0].Message), Type: "expectation", Text: clean(text.String())}
	}
	s.Cases = append(s.Cases, one)
}

func seconds(d time.Duration) string { return fmt.Sprintf("%.3f", d.Seconds()) }

// clean leaves out what XML 1.0 cannot say.
func clean(s string) string {
	return strings.Map(func(r rune) rune {
		if r == '\t' || r == '\n' || r == '\r' || r >= 0x20 && r <= 0xd7ff || r >= 0xe000 && r <= 0xfffd || r >= 0x10000 {
			return r
		}
		return '\ufffd'
	}, s)
}
