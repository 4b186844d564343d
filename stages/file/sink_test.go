package file

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"pgregory.net/rapid"

	"github.com/telluride-stream/telluride/engine/conf"
	"github.com/telluride-stream/telluride/engine/diag"
	"github.com/telluride-stream/telluride/engine/record"
	"github.com/telluride-stream/telluride/engine/stage"
)

func docs(list ...string) []record.Record {
	out := make([]record.Record, len(list))
	for i, d := range list {
		out[i].Payload = []byte(d)
	}
	return out
}

func sink(path, mode string, resumed bool) *writer {
	return newWriter(SinkConfig{Path: conf.Text{Value: path}, Format: formatJSON, Mode: mode},
		stage.Runtime{Name: "file", Resumed: resumed, Log: slog.New(slog.DiscardHandler)})
}

// run writes records as one run does.
func run(t *testing.T, w *writer, records ...record.Record) {
	t.Helper()
	if err := w.Open(context.Background()); err != nil {
		t.Fatal(err)
	}
	if n, err := w.Write(context.Background(), records); n != len(records) || err != nil {
		t.Fatalf("took %d: %v", n, err)
	}
	w.Flush(func(err error) {
		if err != nil {
			t.Fatal(err)
		}
	})
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
}

func content(t fataler, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestModesSayWhatHappensToAFileThatIsThere(t *testing.T) {
	for _, c := range []struct {
		mode    string
		resumed bool
		before  string
		want    string // "": Open fails
	}{
		{modeTruncate, false, "old\n", "{}\n"},
		{modeTruncate, true, "old\n", "old\n{}\n"},
		{modeTruncate, true, "old\nhal", "old\n{}\n"},
		{modeAppend, false, "old\n", "old\n{}\n"},
		{modeAppend, false, "no line end", "no line end\n{}\n"},
		{modeAppend, true, "old\n" + strings.Repeat("half", 5000), "old\n{}\n"},
		{modeFail, false, "old\n", ""},
		{modeFail, true, "old\n", "old\n{}\n"},
	} {
		path := write(t, filepath.Join(t.TempDir(), "x"), c.before)
		w := sink(path, c.mode, c.resumed)
		if c.want == "" {
			err := w.Open(context.Background())
			if !stage.IsPermanent(err) || !strings.Contains(err.Error(), "exists already") || content(t, path) != c.before {
				t.Errorf("%s: got %v", c.mode, err)
			}
			continue
		}
		if run(t, w, docs("{}")...); content(t, path) != c.want {
			t.Errorf("%s, resumed %v, on %.20q: got %q", c.mode, c.resumed, c.before, content(t, path))
		}
	}
}

func TestASecondOpenKeepsWhatTheFirstWrote(t *testing.T) {
	path := filepath.Join(t.TempDir(), "made", "on the way", "x.ndjson")
	w := sink(path, modeTruncate, false)
	run(t, w, docs(`{"n":1}`)...)
	run(t, w, docs(`{"n":2}`)...)
	if have := content(t, path); have != "{\"n\":1}\n{\"n\":2}\n" {
		t.Errorf("got %q", have)
	}
}

// bound binds a config as the flow file does, but for the YAML.
func bound(c SinkConfig, l *record.Layout) SinkConfig {
	c.Mode = modeTruncate
	b := &stage.Builder{Name: "file", Layout: l, Diags: new(diag.List)}
	buildSink(&c, b)
	if b.Diags.HasErrors() {
		panic(b.Diags.Err())
	}
	return c
}

func TestFormats(t *testing.T) {
	made := record.NewShape(record.ShapeField{Name: "a", Slot: 0})
	records := []record.Record{
		{Payload: []byte("{\"a\" : 12345678901234567890,\n\"b\":\"x\"}"), Fields: []record.Value{record.ProjectValue("12345678901234567890", nil), record.StringValue("x")}},
		{Payload: []byte(`{"b":"say \"hi\", twice\nplease"}`), Fields: []record.Value{{}, record.StringValue("say \"hi\", twice\nplease")}},
		{Shape: made, Fields: []record.Value{record.FloatValue(1.5)}},
	}
	for _, c := range []struct {
		name   string
		config SinkConfig
		want   string
	}{
		{"json", SinkConfig{Format: formatJSON}, "{\"a\" : 12345678901234567890,\"b\":\"x\"}\n{\"b\":\"say \\\"hi\\\", twice\\nplease\"}\n{\"a\":1.5}\n"},
		{"csv", SinkConfig{Format: formatCSV, Columns: []conf.Text{{Value: "a"}, {Value: "b"}}, Header: true, Delimiter: ';'}, "a;b\n12345678901234567890;x\n;\"say \"\"hi\"\", twice\nplease\"\n1.5;\n"},
		{"lines", SinkConfig{Format: formatLines, Field: conf.Text{Value: "b"}}, "x\nsay \"hi\", twice please\n\n"},
	} {
		layout := record.NewLayout()
		layout.Slot(record.Path{{Key: "a"}})
		layout.Slot(record.Path{{Key: "b"}})
		path := filepath.Join(t.TempDir(), "x")
		c.config.Path.Value = path
		w := newWriter(bound(c.config, layout), stage.Runtime{Log: slog.New(slog.DiscardHandler)})
		run(t, w, records...)
		if have := content(t, path); have != c.want {
			t.Errorf("%s: got %q, want %q", c.name, have, c.want)
		}
		if c.name == "csv" { // a file that is not empty gets no second header
			if run(t, w, records[2]); content(t, path) != c.want+"1.5;\n" {
				t.Errorf("again: got %q", content(t, path))
			}
		}
	}
}

// full is a disk that is full now and then: a write fails after some bytes.
type full struct {
	*os.File
	room  func(want int) int // how much of a write goes through
	fixed bool               // it cannot be truncated
	sync  error
}

func (f *full) Write(p []byte) (int, error) {
	n := f.room(len(p))
	if n >= len(p) {
		return f.File.Write(p)
	}
	n, err := f.File.Write(p[:n])
	if err == nil {
		err = syscall.ENOSPC
	}
	return n, err
}

func (f *full) Truncate(size int64) error {
	if f.fixed {
		return syscall.EINVAL
	}
	return f.File.Truncate(size)
}

func (f *full) Sync() error { return f.sync }

func TestAFullDiskNeverLeavesHalfALineNorLosesOne(t *testing.T) {
	dir := t.TempDir()
	rapid.Check(t, func(t *rapid.T) {
		path := filepath.Join(dir, "x.ndjson")
		fixed := rapid.Bool().Draw(t, "fixed")
		disk := &full{fixed: fixed, room: func(want int) int {
			if rapid.Bool().Draw(t, "full") {
				return rapid.IntRange(0, want).Draw(t, "room")
			}
			return want
		}}
		w := sink(path, modeTruncate, false)
		w.openAs = func(path string, flag int) (handle, error) {
			f, err := os.OpenFile(path, flag, 0o600)
			disk.File = f
			return disk, err
		}
		if err := w.Open(context.Background()); err != nil {
			t.Fatal(err)
		}
		want := ""
		pad := strings.Repeat("x", rapid.SampledFrom([]int{1, 100, 100_000}).Draw(t, "pad"))
		for i := range rapid.IntRange(1, 5).Draw(t, "batches") {
			var list []string
			for j := range rapid.IntRange(1, 6).Draw(t, "records") {
				list = append(list, fmt.Sprintf(`{"n":%d,"pad":"%s"}`, 10*i+j, pad))
			}
			records := docs(list...)
			for tries := 0; len(records) > 0; tries++ {
				n, err := w.Write(context.Background(), records)
				if (err == nil) != (n == len(records)) || stage.IsPermanent(err) || err != nil && !errors.Is(err, syscall.ENOSPC) {
					t.Fatalf("took %d of %d: %v", n, len(records), err)
				}
				records = records[n:]
				if have := content(t, path); !fixed && !strings.HasSuffix("\n"+have, "\n") {
					t.Fatalf("half a line at the end: %q", have[max(0, len(have)-50):])
				}
			}
			want += strings.Join(list, "\n") + "\n"
			for flushed := false; !flushed; {
				w.Flush(func(err error) { flushed = err == nil })
				if have := content(t, path); !fixed && !strings.HasSuffix("\n"+have, "\n") {
					t.Fatalf("half a line at the end: %q", have[max(0, len(have)-50):])
				}
			}
			if have := content(t, path); have != want {
				t.Fatalf("flushed is %d bytes, want %d", len(have), len(want))
			}
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
	})
}

func TestAFailedFsyncIsFinal(t *testing.T) {
	w := sink(filepath.Join(t.TempDir(), "x"), modeTruncate, false)
	w.config.Sync = true
	disk := &full{room: func(n int) int { return n }}
	w.openAs = func(path string, flag int) (handle, error) {
		f, err := os.OpenFile(path, flag, 0o600)
		disk.File = f
		return disk, err
	}
	run(t, w, docs("{}")...)
	disk.sync = syscall.EIO
	if err := w.Open(context.Background()); err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	var got error
	w.Flush(func(err error) { got = err })
	if !stage.IsPermanent(got) || !errors.Is(got, syscall.EIO) {
		t.Errorf("got %v", got)
	}
}

func TestOpenErrorsThatNoWaitingCuresAreFinal(t *testing.T) {
	dir := t.TempDir()
	file := write(t, filepath.Join(dir, "file"), "")
	for _, path := range []string{dir, filepath.Join(file, "below")} {
		if err := sink(path, modeTruncate, false).Open(context.Background()); !stage.IsPermanent(err) {
			t.Errorf("%s: got %v", path, err)
		}
	}
}

func TestMessagesAreWrittenAsTheyAre(t *testing.T) {
	c := bound(SinkConfig{Path: conf.Text{Value: filepath.Join(t.TempDir(), "x")}, Format: formatJSON}, record.NewLayout())
	c.opaque = true
	w := newWriter(c, stage.Runtime{Log: slog.New(slog.DiscardHandler)})
	run(t, w, docs("{\"a\":1}\n{\"a\":2}", "[1]")...)
	if have := content(t, c.Path.Value); have != "{\"a\":1}\n{\"a\":2}\n[1]\n" {
		t.Errorf("got %q", have)
	}
}

func TestWhatASourceReadsASinkWritesByteForByte(t *testing.T) {
	text := "{\"a\" : 1.50}\n{\"id\":1234567890123456789}\n{ }\n"
	dir := t.TempDir()
	in := write(t, filepath.Join(dir, "in.ndjson"), text)
	r := source(config(in), 2, io.Discard)
	if err := r.Open(context.Background(), nil); err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	w := sink(filepath.Join(dir, "out.ndjson"), modeTruncate, false)
	for {
		in, err := r.Read(context.Background())
		if errors.Is(err, io.EOF) {
			break
		}
		run(t, w, in.Batch.Records...)
		in.Batch.Release()
	}
	if have := content(t, w.config.Path.Value); have != text {
		t.Errorf("got %q", have)
	}
}
