package file

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"go.uber.org/goleak"
	"pgregory.net/rapid"

	"github.com/telluride-stream/telluride/engine/clock"
	"github.com/telluride-stream/telluride/engine/conf"
	"github.com/telluride-stream/telluride/engine/record"
	"github.com/telluride-stream/telluride/engine/stage"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// got is what a source made of one line.
type got struct {
	text   string // the payload
	reason string // of a dead letter
	seq    uint64
	file   string
	line   int64
	offset int64
}

func (g got) String() string {
	return fmt.Sprintf("#%d %s:%d @%d %.80q %s", g.seq, filepath.Base(g.file), g.line, g.offset, g.text, g.reason)
}

func lookup(m record.Meta, name string, seq uint64) record.Value {
	return m.Lookup(record.Path{{Key: name}}, seq)
}

func gotOf(r *record.Record, reason string) got {
	seq := r.Origin.Seq
	return got{
		text: string(r.Payload), reason: reason, seq: seq,
		file:   lookup(r.Meta, "file", seq).Str(),
		line:   lookup(r.Meta, "line", seq).Int(),
		offset: lookup(r.Meta, "offset", seq).Int(),
	}
}

// step is one Read.
type step struct {
	got      []got
	position []byte
	in       stage.Input
}

func take(in stage.Input) (s step) {
	s.position, s.in = in.Position, in
	for i := range in.Batch.Records {
		s.got = append(s.got, gotOf(&in.Batch.Records[i], ""))
	}
	for i := range in.Batch.Side {
		s.got = append(s.got, gotOf(&in.Batch.Side[i].Record, in.Batch.Side[i].Reason))
	}
	slices.SortFunc(s.got, func(a, b got) int { return int(a.seq) - int(b.seq) })
	in.Batch.Release()
	return s
}

func config(path string) Config {
	return Config{Path: conf.Text{Value: path}, Delimiter: ',', Header: true, Field: "line", MaxRecord: 1 << 20}
}

func source(c Config, batch int, log io.Writer) *reader {
	return newReader(c, stage.Runtime{Name: "file", Clock: clock.System{}, MaxBatch: batch, Log: slog.New(slog.NewTextHandler(log, nil))})
}

type fataler interface {
	Fatal(...any)
	Fatalf(string, ...any)
	Helper()
}

// readAll reads from a position to the end.
func readAll(t fataler, c Config, batch int, position []byte) (steps []step) {
	t.Helper()
	r := source(c, batch, io.Discard)
	if err := r.Open(context.Background(), position); err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	seq := uint64(0)
	for {
		in, err := r.Read(context.Background())
		if errors.Is(err, io.EOF) {
			return steps
		}
		if err != nil {
			t.Fatal(err)
		}
		s := take(in)
		if len(s.got) == 0 || len(s.got) > batch {
			t.Fatalf("a batch of %d, at most %d wanted", len(s.got), batch)
		}
		for _, g := range s.got {
			if seq++; g.seq != seq {
				t.Fatalf("sequence number %d, want %d", g.seq, seq)
			}
		}
		steps = append(steps, s)
	}
}

func all(steps []step) (out []got) {
	for _, s := range steps {
		out = append(out, s.got...)
	}
	return out
}

// texts leaves the sequence numbers out, which begin anew in each session.
func texts(list []got) string {
	var b strings.Builder
	for _, g := range list {
		g.seq = 0
		fmt.Fprintln(&b, g)
	}
	return b.String()
}

func write(t fataler, path, text string) string {
	t.Helper()
	data := []byte(text)
	if strings.HasSuffix(path, ".gz") {
		var z bytes.Buffer
		w := gzip.NewWriter(&z)
		if _, err := w.Write(data); err != nil {
			t.Fatal(err)
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		data = z.Bytes()
	}
	if err := os.WriteFile(path, data, 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestEveryLineIsARecordOrADeadLetter(t *testing.T) {
	dir := t.TempDir()
	long := strings.Repeat("x", 3000)
	for _, c := range []struct {
		name, file, text string
		edit             func(*Config)
		want             []string // payload, or "dead: reason"
	}{
		{"JSON", "a.ndjson", "\ufeff{\"a\":1}\r\n\n{\"a\" : 2}", nil,
			[]string{`{"a":1}`, "dead: line 2: empty line", `{"a" : 2}`}},
		{"lines", "a.log", "one\n\ntwo \"2\"\n\xff\n", nil,
			[]string{`{"line":"one"}`, `{"line":""}`, `{"line":"two \"2\""}`, "dead: line 4: the line is not UTF-8"}},
		{"lines with a field", "a.txt", "one", func(c *Config) { c.Field = "text" },
			[]string{`{"text":"one"}`}},
		{"CSV", "a.csv", "id,name,zip\n1,\"a\nb\",01234\n\n2,c\n3,d,5\n", func(c *Config) { c.Types = map[string]string{"zip": "string"} },
			[]string{`{"id":1,"name":"a\nb","zip":"01234"}`, "dead: line 4: empty line", "dead: line 5: the row has 2 fields and the header 3", `{"id":3,"name":"d","zip":"5"}`}},
		{"CSV without a header", "b.csv", "1;2\n", func(c *Config) { c.Header, c.Columns, c.Delimiter = false, []string{"a", "b"}, ';' },
			[]string{`{"a":1,"b":2}`}},
		{"CSV with a header to skip", "c.csv", "x,y\n1,2\n", func(c *Config) { c.Columns = []string{"a", "b"} },
			[]string{`{"a":1,"b":2}`}},
		{"an open quote", "d.csv", "a,b\n1,\"2\n3,4\n", nil,
			[]string{"dead: line 2: a quoted field begins here and is not closed within max_record 1MiB", `{"a":3,"b":4}`}},
		{"a format against the name", "e.csv", "{}\n", func(c *Config) { c.Format = formatJSON }, []string{`{}`}},
		{"a long line", "b.ndjson", "{}\n" + long + "\n{}\n", func(c *Config) { c.MaxRecord = 2048 },
			[]string{`{}`, "dead: line 2: 3000 bytes is above max_record 2KiB", `{}`}},
		{"gzip", "a.csv.gz", "a\n1\n", nil, []string{`{"a":1}`}},
		{"nothing", "c.ndjson", "", nil, nil},
		{"only a header", "f.csv", "a,b\n", nil, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			config := config(write(t, filepath.Join(dir, c.file), c.text))
			if c.edit != nil {
				c.edit(&config)
			}
			var have []string
			for _, g := range all(readAll(t, config, 100, nil)) {
				if g.reason != "" {
					g.text = "dead: " + g.reason
				}
				have = append(have, g.text)
			}
			if !slices.Equal(have, c.want) {
				t.Errorf("got\n%q\nwant\n%q", have, c.want)
			}
		})
	}
}

func TestADeadLetterKeepsTheBytes(t *testing.T) {
	long := strings.Repeat("0123456789", 500)
	c := config(write(t, filepath.Join(t.TempDir(), "x.csv"), "a\n1,2\n"+long+"\n"))
	c.MaxRecord = 100
	list := all(readAll(t, c, 100, nil))
	if len(list) != 2 || list[0].text != "1,2" || list[1].text != long[:1024] {
		t.Errorf("got %v", list)
	}
	if want := "line 3: 5000 bytes is above max_record 100"; list[1].reason[:len(want)] != want {
		t.Errorf("got %q", list[1].reason)
	}
}

func TestMetaSaysWhereARecordStood(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "a.csv"), "id,text\n1,\"x\ny\nz\"\n2,b\n")
	write(t, filepath.Join(dir, "b.csv"), "id,text\r\n3,c\r\n")
	for batch := 1; batch < 4; batch++ {
		list := all(readAll(t, config(filepath.Join(dir, "*.csv")), batch, nil))
		for i := range list {
			list[i].file, list[i].text = filepath.Base(list[i].file), ""
		}
		want := []got{
			{seq: 1, file: "a.csv", line: 2, offset: 8},
			{seq: 2, file: "a.csv", line: 5, offset: 18},
			{seq: 3, file: "b.csv", line: 2, offset: 9},
		}
		if !slices.Equal(list, want) {
			t.Errorf("batches of %d: got %v, want %v", batch, list, want)
		}
	}
}

func TestReadingGoesOnExactlyAtAnyPosition(t *testing.T) {
	dir := t.TempDir()
	rapid.Check(t, func(t *rapid.T) {
		format := rapid.SampledFrom([]string{".ndjson", ".log", ".csv", ".ndjson.gz", ".csv.gz"}).Draw(t, "format")
		old, _ := filepath.Glob(filepath.Join(dir, "*"))
		for _, path := range old {
			os.Remove(path)
		}
		line := rapid.SampledFrom([]string{`{"a":1}`, `1,2`, "\"a\nb\",2", "", "\r", `"open`, strings.Repeat("long", 20)})
		for i := range rapid.IntRange(1, 3).Draw(t, "files") {
			text := strings.Join(rapid.SliceOfN(line, 0, 6).Draw(t, "lines"), "\n")
			if strings.HasPrefix(format, ".csv") {
				text = rapid.SampledFrom([]string{"x,y\n", "\ufeff\"x\nz\",y\r\n"}).Draw(t, "header") + text
			}
			write(t, filepath.Join(dir, fmt.Sprint(i)+format), text)
		}
		c := config(filepath.Join(dir, "*"+format))
		c.MaxRecord = 50
		steps := readAll(t, c, rapid.IntRange(1, 4).Draw(t, "batch"), nil)
		want := all(steps)
		seen := 0
		for i, s := range steps {
			seen += len(s.got)
			rest := all(readAll(t, c, rapid.IntRange(1, 4).Draw(t, "batch"), s.position))
			if texts(rest) != texts(want[seen:]) {
				t.Fatalf("from position %d:\n%swant\n%s", i, texts(rest), texts(want[seen:]))
			}
		}
	})
}

func TestFilesThatComeAndGoBetweenRuns(t *testing.T) {
	dir := t.TempDir()
	path := func(name string) string { return filepath.Join(dir, name) }
	write(t, path("b.ndjson"), "{\"b\":1}\n{\"b\":2}\n")
	write(t, path("c.ndjson"), "{\"c\":1}\n{\"c\":2}\n")
	write(t, path("d.ndjson"), "{\"d\":1}\n")
	c := config(path("*.ndjson"))
	steps := readAll(t, c, 1, nil)
	position := steps[2].position // behind the first line of c

	write(t, path("a.ndjson"), "{\"a\":1}\n") // new, before those that are done
	if err := os.Remove(path("b.ndjson")); err != nil {
		t.Fatal(err)
	}
	want := "{\"c\":2}{\"a\":1}{\"d\":1}"
	if have := payloads(readAll(t, c, 10, position)); have != want {
		t.Errorf("got %s, want %s", have, want)
	}
	if err := os.Remove(path("c.ndjson")); err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	r := source(c, 10, &log)
	if err := r.Open(context.Background(), position); err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if !strings.Contains(log.String(), "is not there any more") {
		t.Errorf("no warning: %s", log.String())
	}
	if have := payloads(readAll(t, c, 10, position)); have != "{\"a\":1}{\"d\":1}" {
		t.Errorf("got %s", have)
	}
}

func payloads(steps []step) (text string) {
	for _, g := range all(steps) {
		text += g.text
	}
	return text
}

func TestAFileThatIsNotTheOneBeforeIsReadFromItsBeginning(t *testing.T) {
	for name, now := range map[string]string{
		"truncated":             "{\"n\":1}\n",
		"written anew, longer":  "{\"n\":7}\n{\"n\":8}\n{\"n\":9}\n{\"n\":10}\n",
		"empty":                 "",
		"edited before the end": "{\"n\":1}\n{\"n\":9}\n{\"n\":3}\n",
	} {
		t.Run(name, func(t *testing.T) {
			c := config(write(t, filepath.Join(t.TempDir(), "a.ndjson"), "{\"n\":1}\n{\"n\":2}\n{\"n\":3}\n"))
			steps := readAll(t, c, 2, nil)
			write(t, c.Path.Value, now)
			var log bytes.Buffer
			r := source(c, 10, &log)
			if err := r.Open(context.Background(), steps[0].position); err != nil {
				t.Fatal(err)
			}
			defer r.Close()
			have := ""
			if in, err := r.Read(context.Background()); err == nil {
				have = payloads([]step{take(in)})
			} else if !errors.Is(err, io.EOF) {
				t.Fatal(err)
			}
			if want := strings.ReplaceAll(now, "\n", ""); have != want {
				t.Errorf("got %s, want %s", have, want)
			}
			if !strings.Contains(log.String(), "level=WARN") || !strings.Contains(log.String(), "from its beginning") {
				t.Errorf("no warning: %s", log.String())
			}
		})
	}
}

func TestAFileThatGrewIsReadOnWithoutAWarning(t *testing.T) {
	const begin = "{\"n\":1}\n{\"n\":2}\n"
	c := config(write(t, filepath.Join(t.TempDir(), "a.ndjson"), begin))
	steps := readAll(t, c, 10, nil)
	write(t, c.Path.Value, begin+"{\"n\":3}\n")
	var log bytes.Buffer
	r := source(c, 10, &log)
	if err := r.Open(context.Background(), steps[0].position); err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	in, err := r.Read(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	if s := take(in); payloads([]step{s}) != `{"n":3}` || s.got[0].line != 3 || log.Len() > 0 {
		t.Errorf("got %v; log: %s", s.got, log.String())
	}
}

func TestWhatCannotBeReadIsSaidBeforeAnythingRuns(t *testing.T) {
	dir := t.TempDir()
	for _, c := range []struct {
		path string
		want []string
	}{
		{"no/such.ndjson", []string{`open "no/such.ndjson": file does not exist; paths are relative to the working directory /`}},
		{"no/*.ndjson", []string{`no file matches "no/*.ndjson"; paths are relative to the working directory /`}},
		{dir, []string{"it is a folder", filepath.Join(dir, "*.ndjson")}},
		{write(t, filepath.Join(dir, "a.gz")+"x", "plain"), nil},
	} {
		err := source(config(c.path), 1, io.Discard).Open(context.Background(), nil)
		if c.want == nil {
			if err != nil {
				t.Errorf("%s: %v", c.path, err)
			}
			continue
		}
		for _, want := range c.want {
			if err == nil || !strings.Contains(err.Error(), want) || stage.IsTransient(err) {
				t.Errorf("%s: got %v, want %q", c.path, err, want)
			}
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "b.gz"), []byte("not gzip at all"), 0o644); err != nil {
		t.Fatal(err)
	}
	err := source(config(filepath.Join(dir, "b.gz")), 1, io.Discard).Open(context.Background(), nil)
	if !errors.Is(err, gzip.ErrHeader) {
		t.Errorf("got %v", err)
	}
}

func TestABadHeaderEndsTheFlow(t *testing.T) {
	dir := t.TempDir()
	for text, want := range map[string]string{
		"a,a\n1,2\n":  `x.csv: line 1: two columns are called "a"`,
		"\n1,2\n":     "x.csv: line 1: the header is empty",
		"\"a\n1,2\n":  "x.csv: line 1: the header is longer than max_record, or a quote in it is not closed",
		"a,\xff\n1\n": "x.csv: line 1: the header is not UTF-8",
	} {
		r := source(config(write(t, filepath.Join(dir, "x.csv"), text)), 1, io.Discard)
		if err := r.Open(context.Background(), nil); err != nil {
			t.Fatal(err)
		}
		_, err := r.Read(context.Background())
		if err == nil || !strings.HasSuffix(err.Error(), want) {
			t.Errorf("%q: got %v", text, err)
		}
		if err := r.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

func TestProgressIsCountedInBytesOfTheFiles(t *testing.T) {
	dir := t.TempDir()
	size := int64(0)
	for _, name := range []string{"a.ndjson", "b.ndjson.gz", "c.ndjson"} {
		path := write(t, filepath.Join(dir, name), strings.Repeat("{\"a\":1}\n", 100))
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		size += info.Size()
	}
	steps := readAll(t, config(filepath.Join(dir, "*")), 30, nil)
	before := int64(0)
	for _, s := range steps {
		if s.in.Size != size || s.in.Seen < before || s.in.Seen > size {
			t.Errorf("seen %d of %d, after %d; the files are %d", s.in.Seen, s.in.Size, before, size)
		}
		before = s.in.Seen
	}
	if before != size {
		t.Errorf("seen %d of %d at the end", before, size)
	}
}

func TestDamagedPositionsAreRefused(t *testing.T) {
	done := doneList{}
	done.add("a")
	done.add("b")
	p := position{path: "c", offset: 300, line: 7, tail: 200, sum: 42}
	good := p.append(nil, &done)
	back, err := parsePosition(good)
	if err != nil || fmt.Sprint(back) != fmt.Sprint(position{"c", 300, 7, 200, 42, []string{"a", "b"}}) {
		t.Fatalf("got %+v, %v", back, err)
	}
	for n := range good {
		if _, err := parsePosition(good[:n]); err == nil {
			t.Errorf("the first %d bytes pass", n)
		}
	}
	if _, err := parsePosition(append(good, 0)); err == nil {
		t.Error("a byte too many passes")
	}
	c := config(write(t, filepath.Join(t.TempDir(), "c"), "{}\n"))
	if err := source(c, 1, io.Discard).Open(context.Background(), []byte("{}")); !errors.Is(err, errPosition) {
		t.Errorf("got %v", err)
	}
}
