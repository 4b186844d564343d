package stdout

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"pgregory.net/rapid"

	"github.com/telluride-stream/telluride/engine/diag"
	"github.com/telluride-stream/telluride/engine/record"
	"github.com/telluride-stream/telluride/engine/stage"
)

var update = flag.Bool("update", false, "write the golden files anew")

func records(docs ...string) []record.Record {
	out := make([]record.Record, len(docs))
	for i, d := range docs {
		out[i].Payload = []byte(d)
	}
	return out
}

func open(format string, rt stage.Runtime) stage.Sink {
	spec := Sink().Sink(&Config{Format: format}, &stage.Builder{Diags: new(diag.List)})
	return spec.New(rt)
}

func TestTableLooksAsInTheGoldenFiles(t *testing.T) {
	readings := [][]string{{
		`{"device_id":"device_3","line_id":"line_1","reading":71.23412,"sensor_id":"temperature_001","timestamp":"2024-05-01T12:00:00Z"}`,
		`{"device_id":"device_3","line_id":"line_1","reading":-7,"sensor_id":"temperature_002","timestamp":"2024-05-01T12:00:00.05Z"}`,
		`{"device_id":"device_10","line_id":"line_1","reading":null,"sensor_id":"vibration_004","timestamp":"2024-05-01T14:00:00+02:00"}`,
	}, {
		`{"device_id":"device_1","line_id":"line_2","reading":0.000123456,"sensor_id":"vibration_004","timestamp":"2024-05-01T12:00:01Z"}`,
		`{"device_id":"device_1","line_id":"line_2","reading":1234567.891,"sensor_id":"a name that is longer than all before","timestamp":"noon"}`,
	}, {
		`{"sensor":"温度計","took":"1.234567891s","tags":["a","b"],"ok":true}`,
		`{"sensor":"evil \u001b[2J","took":"83ns","tags":[],"ok":false}`,
	}}
	for _, c := range []struct {
		name  string
		width int
		color bool
	}{{"wide", 120, false}, {"narrow", 60, false}, {"tiny", 22, false}, {"color", 0, true}} {
		t.Run(c.name, func(t *testing.T) {
			t.Setenv("NO_COLOR", "")
			var out bytes.Buffer
			sink := open("table", stage.Runtime{Stdout: &out, Terminal: c.color, Width: c.width})
			for _, batch := range readings {
				if n, err := sink.Write(context.Background(), records(batch...)); n != len(batch) || err != nil {
					t.Fatalf("took %d: %v", n, err)
				}
			}
			golden := filepath.Join("testdata", c.name+".txt")
			if *update {
				if err := os.WriteFile(golden, out.Bytes(), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(out.Bytes(), want) {
				t.Errorf("got\n%s\nwant\n%s", out.Bytes(), want)
			}
		})
	}
}

func TestNoLineIsWiderThanTheTerminalAndNothingEscapes(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		limit := rapid.IntRange(20, 200).Draw(t, "width")
		names := rapid.SliceOfNDistinct(rapid.StringMatching(`[a-z]{1,12}`), 1, 12, rapid.ID[string]).Draw(t, "names")
		var docs []string
		for range rapid.IntRange(1, 8).Draw(t, "rows") {
			var fields []string
			for _, name := range names {
				text := rapid.StringN(0, 40, -1).Draw(t, "text")
				field := string(record.AppendValue(nil, record.StringValue(text)))
				fields = append(fields, `"`+name+`":`+field)
			}
			docs = append(docs, "{"+strings.Join(fields, ",")+"}")
		}
		var out bytes.Buffer
		sink := open("table", stage.Runtime{Stdout: &out, Width: limit})
		if _, err := sink.Write(context.Background(), records(docs...)); err != nil {
			t.Fatal(err)
		}
		lines := strings.Split(strings.TrimSuffix(out.String(), "\n"), "\n")
		if len(lines) != len(docs)+1 {
			t.Fatalf("%d lines for a header and %d rows:\n%s", len(lines), len(docs), out.String())
		}
		for _, line := range lines {
			if width(line) > limit {
				t.Fatalf("%d columns on a terminal of %d: %q", width(line), limit, line)
			}
			if harmless(line) != line {
				t.Fatalf("a control character gets through: %q", line)
			}
		}
	})
}

func TestAutoIsATableOnATerminalOnly(t *testing.T) {
	const doc = `{"a" : 19999999999999999999, "b":"x"}`
	for terminal, want := range map[bool]string{false: doc + "\n", true: "a            b\n2e+19        x\n"} {
		var out bytes.Buffer
		t.Setenv("NO_COLOR", "1")
		sink := open("auto", stage.Runtime{Stdout: &out, Terminal: terminal})
		if _, err := sink.Write(context.Background(), records(doc)); err != nil {
			t.Fatal(err)
		}
		got := strings.Join(strings.Fields(out.String()), " ")
		if got != strings.Join(strings.Fields(want), " ") {
			t.Errorf("terminal %v: got %q", terminal, out.String())
		}
	}
}

// failing fails every other write, half way through.
type failing struct {
	bytes.Buffer
	n   int
	err error
}

func (f *failing) Write(p []byte) (int, error) {
	if f.n++; f.n%2 == 1 {
		n, _ := f.Buffer.Write(p[:len(p)/2])
		return n, f.err
	}
	return f.Buffer.Write(p)
}

func TestAWriteThatFailsHalfWayIsCompleted(t *testing.T) {
	out := &failing{err: syscall.EAGAIN}
	sink := open("json", stage.Runtime{Stdout: out})
	want := ""
	for _, doc := range []string{`{"a":1}`, `{"a":2}`, `{"a":3}`} {
		if n, err := sink.Write(context.Background(), records(doc)); n != 1 || err != nil {
			t.Fatalf("took %d: %v", n, err)
		}
		want += doc + "\n"
	}
	for i := 0; ; i++ {
		var failed error
		sink.Flush(func(err error) { failed = err })
		if failed == nil {
			break
		}
		if stage.IsPermanent(failed) || i > 3 {
			t.Fatalf("flush %d: %v", i, failed)
		}
	}
	if out.String() != want {
		t.Errorf("got %q, want %q", out.String(), want)
	}
}

func TestAReaderThatHasGoneEndsTheFlow(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	sink := open("json", stage.Runtime{Stdout: w})
	if _, err := sink.Write(context.Background(), records(`{}`)); err != nil {
		t.Fatal(err)
	}
	r.Close()
	_, err = sink.Write(context.Background(), records(`{}`))
	if !errors.Is(err, ErrClosed) || !stage.IsClosed(err) || !stage.IsPermanent(err) {
		t.Errorf("got %v", err)
	}
}

func TestMessagesAreWrittenAsTheyAre(t *testing.T) {
	var out bytes.Buffer
	spec := Sink().Sink(&Config{Format: "auto"}, &stage.Builder{Diags: new(diag.List), Opaque: true})
	sink := spec.New(stage.Runtime{Stdout: &out, Terminal: true})
	if _, err := sink.Write(context.Background(), records("{\"a\":1}\n{\"a\":2}", "[1]")); err != nil {
		t.Fatal(err)
	}
	if want := "{\"a\":1}\n{\"a\":2}\n[1]\n"; out.String() != want {
		t.Errorf("got %q, want %q", out.String(), want)
	}
}

func TestValuesAreShortenedForReading(t *testing.T) {
	for in, want := range map[string]string{
		`"2024-05-01T12:00:00.123456Z"`:       "2024-05-01 12:00:00.123",
		`"2024-05-01T12:00:00.000Z"`:          "2024-05-01 12:00:00",
		`"2024-05-01T12:00:00+05:30"`:         "2024-05-01 12:00:00 +05:30",
		`"1h23m45.678912s"`:                   "1h23m46s",
		`"1.234567ms"`:                        "1.235ms",
		`"10s"`:                               "10s",
		`"007"`:                               "007",
		`"line\nbreak"`:                       "line break",
		`3.14159`:                             "3.14",
		`-0.5`:                                "-0.50",
		`0.00001234`:                          "1.23e-05",
		`1234567890123456789`:                 "1234567890123456789",
		`1.5e300`:                             "1.5e+300",
		`true`:                                "true",
		`null`:                                "-",
		`{"a":[1,2]}`:                         `{"a":[1,2]}`,
		`"\u202eright to left \u0007 \u009b"`: "·right to left · ·",
	} {
		if got := newCell(record.ProjectValue(in, nil)).text; got != want {
			t.Errorf("%s: got %q, want %q", in, got, want)
		}
	}
}
