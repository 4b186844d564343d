package file

import (
	"bytes"
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"runtime"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// chunks is an input that gives so many bytes at a time.
type chunks struct {
	data  []byte
	sizes []int
	n     int
}

func (c *chunks) read(_ context.Context, b []byte) (int, error) {
	if len(c.data) == 0 {
		return 0, io.EOF
	}
	size := len(b)
	if len(c.sizes) > 0 {
		size = c.sizes[c.n%len(c.sizes)]
		c.n++
	}
	n := copy(b[:min(size, len(b))], c.data)
	c.data = c.data[n:]
	return n, nil
}

// pieces cuts a whole input. The pieces own their data.
func pieces(t interface{ Fatal(...any) }, s *splitter) (out []piece) {
	defer s.close()
	for {
		for p, ok := s.next(); ok; p, ok = s.next() {
			p.data = bytes.Clone(p.data)
			out = append(out, p)
		}
		if err := s.fill(context.Background()); errors.Is(err, io.EOF) {
			return out
		} else if err != nil {
			t.Fatal(err)
		}
	}
}

// naiveLines cuts a text into lines, as slowly and plainly as possible.
func naiveLines(text string, limit int) (out []piece) {
	offset := 0
	if strings.HasPrefix(text, "\ufeff") {
		text, offset = text[3:], 3
	}
	for line := int64(1); text != ""; line++ {
		content, rest, _ := strings.Cut(text, "\n")
		size := len(text) - len(rest)
		p := piece{offset: int64(offset), line: line, data: []byte(strings.TrimSuffix(content, "\r"))}
		if len(p.data) > limit {
			p.long = int64(len(p.data))
			if content = content[:min(len(content), headSize)]; len(content) < len(p.data) {
				p.data = []byte(content)
			}
		}
		out = append(out, p)
		text, offset = rest, offset+size
	}
	return out
}

func same(got, want []piece) string {
	for i := range max(len(got), len(want)) {
		switch {
		case i >= len(got):
			return fmt.Sprintf("piece %d is missing: %s", i, show(want[i]))
		case i >= len(want):
			return fmt.Sprintf("piece %d is too many: %s", i, show(got[i]))
		case show(got[i]) != show(want[i]):
			return fmt.Sprintf("piece %d is\n%s, want\n%s", i, show(got[i]), show(want[i]))
		}
	}
	return ""
}

func show(p piece) string {
	return fmt.Sprintf("line %d, offset %d: %.60q of %d bytes, long %d, open %v", p.line, p.offset, p.data, len(p.data), p.long, p.open)
}

func drawSplitter(t *rapid.T, text string, csv bool, limit int) *splitter {
	sizes := rapid.SliceOfN(rapid.IntRange(1, 40), 0, 5).Draw(t, "chunks")
	s := newSplitter(&chunks{data: []byte(text), sizes: sizes}, limit, csv, ',')
	s.size = rapid.IntRange(8, 64).Draw(t, "block")
	s.least = rapid.IntRange(1, 8).Draw(t, "least")
	return s
}

func TestLinesAreThoseOfANaiveSplit(t *testing.T) {
	part := rapid.SampledFrom([]string{"a", "bc", "\n", "\r\n", "\r", "\n\n", "a rather long line of text", "\ufeff", "\xef", strings.Repeat("x", 1500)})
	rapid.Check(t, func(t *rapid.T) {
		text := strings.Join(rapid.SliceOf(part).Draw(t, "parts"), "")
		limit := rapid.IntRange(1, 1400).Draw(t, "limit")
		got := pieces(t, drawSplitter(t, text, false, limit))
		if diff := same(got, naiveLines(text, limit)); diff != "" {
			t.Fatal(diff)
		}
	})
}

func TestRowsAreThoseOfEncodingCSV(t *testing.T) {
	field := rapid.SampledFrom([]string{"", "a", "1.5", `say "hi"`, "two\nlines", "three\n\nlines\n", "crlf\r\nhere", "a,b", `"`, "\n", "ü"})
	rapid.Check(t, func(t *rapid.T) {
		rows := rapid.SliceOf(rapid.SliceOfN(field, 2, 4)).Draw(t, "rows")
		var text bytes.Buffer
		w := csv.NewWriter(&text)
		w.UseCRLF = rapid.Bool().Draw(t, "crlf")
		if err := w.WriteAll(rows); err != nil {
			t.Fatal(err)
		}
		whole := text.String()
		if rapid.Bool().Draw(t, "open end") {
			whole = strings.TrimSuffix(strings.TrimSuffix(whole, "\n"), "\r")
		}
		got := pieces(t, drawSplitter(t, whole, true, 1<<20))
		if len(got) != len(rows) {
			t.Fatalf("%d rows, want %d: %+v", len(got), len(rows), got)
		}
		r := csv.NewReader(strings.NewReader(whole))
		r.FieldsPerRecord = -1
		for i, p := range got {
			before := r.InputOffset()
			want, err := r.Read()
			if err != nil {
				t.Fatal(err)
			}
			line, _ := r.FieldPos(0)
			one := csv.NewReader(bytes.NewReader(p.data))
			one.FieldsPerRecord = -1
			have, err := one.Read()
			if err != nil || fmt.Sprintf("%q", have) != fmt.Sprintf("%q", want) {
				t.Fatalf("row %d is %q (%v), want %q", i, have, err, want)
			}
			if p.line != int64(line) || p.offset != before {
				t.Fatalf("row %d is at line %d, offset %d; want %d, %d", i, p.line, p.offset, line, before)
			}
		}
	})
}

func TestEveryByteOfBrokenCSVIsInAPiece(t *testing.T) {
	part := rapid.SampledFrom([]string{"a", ",", `"`, `""`, "\n", "x,\"y", "\"\n", "long enough for the limit"})
	rapid.Check(t, func(t *rapid.T) {
		text := strings.Join(rapid.SliceOf(part).Draw(t, "parts"), "")
		limit := rapid.IntRange(1, 60).Draw(t, "limit")
		got := pieces(t, drawSplitter(t, text, true, limit))
		at, line := int64(0), int64(1)
		for i, p := range got {
			if p.offset != at || p.line != line {
				t.Fatalf("piece %d is at line %d, offset %d; want %d, %d", i, p.line, p.offset, line, at)
			}
			size := int64(len(p.data))
			if p.long > 0 {
				size = p.long
			}
			raw := text[at:min(at+size, int64(len(text)))]
			if !strings.HasPrefix(raw, string(p.data)) {
				t.Fatalf("piece %d is %q, want %q", i, p.data, raw)
			}
			line += int64(strings.Count(raw, "\n"))
			if at += size; at < int64(len(text)) {
				if text[at] != '\n' {
					t.Fatalf("piece %d %+v ends inside of a line of %q", i, p, text)
				}
				at++
				line++
			}
		}
		if at != int64(len(text)) {
			t.Fatalf("the pieces end at %d of %d: %q", at, len(text), text)
		}
		whole := pieces(t, newSplitter(&chunks{data: []byte(text)}, limit, true, ','))
		if diff := same(got, whole); diff != "" {
			t.Fatalf("it depends on the blocks: %s", diff)
		}
	})
}

func TestAStrayQuoteCostsOneLine(t *testing.T) {
	for name, text := range map[string]string{
		"to the end of the file": "a,b\n1,\"2\n3,4\n5,6\n",
		"above the limit":        "a,b\n1,\"2\n3,4\n5,6\n" + strings.Repeat("7,8\n", 50),
	} {
		got := pieces(t, newSplitter(&chunks{data: []byte(text)}, 100, true, ','))
		if len(got) != strings.Count(text, "\n") {
			t.Errorf("%s: %d pieces", name, len(got))
		}
		for i, p := range got {
			if p.open != (i == 1) || p.line != int64(i+1) {
				t.Errorf("%s: piece %d: %+v", name, i, p)
			}
		}
	}
}

var filling = bytes.Repeat([]byte("x"), 4<<20)

// endless is a line of so many bytes, and then a short one.
type endless struct {
	left int
	tail string
}

func (e *endless) read(_ context.Context, b []byte) (int, error) {
	if e.left == 0 {
		n := copy(b, e.tail)
		if e.tail = e.tail[n:]; n == 0 {
			return 0, io.EOF
		}
		return n, nil
	}
	n := min(len(b), e.left, len(filling))
	copy(b[:n], filling)
	e.left -= n
	return n, nil
}

func TestALongLineIsSkippedInBoundedMemory(t *testing.T) {
	const size, limit = 100 << 20, 1 << 20
	for _, csv := range []bool{false, true} {
		s := newSplitter(&endless{left: size, tail: "\r\nshort\n"}, limit, csv, ',')
		var before, now runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&before)
		most := uint64(0)
		var got []piece
		for {
			for p, ok := s.next(); ok; p, ok = s.next() {
				got = append(got, piece{data: bytes.Clone(p.data), offset: p.offset, line: p.line, long: p.long})
			}
			if s.offset%(8<<20) < blockSize {
				runtime.GC()
				runtime.ReadMemStats(&now)
				most = max(most, now.HeapAlloc)
			}
			if err := s.fill(context.Background()); err != nil {
				break
			}
		}
		s.close()
		want := []piece{
			{data: bytes.Repeat([]byte("x"), headSize), line: 1, long: size},
			{data: []byte("short"), offset: size + 2, line: 2},
		}
		if diff := same(got, want); diff != "" {
			t.Error(diff)
		}
		if grown := int64(most) - int64(before.HeapAlloc); grown > 8*limit {
			t.Errorf("csv %v: the heap grew by %d bytes over a line of %d with a limit of %d", csv, grown, size, limit)
		}
	}
}

func FuzzSplitter(f *testing.F) {
	f.Add([]byte("a,b\r\n\"x\ny\",2\n\n"), true, uint8(5), uint8(40))
	f.Add([]byte("\ufeff{\"a\":1}\n{}"), false, uint8(1), uint8(200))
	f.Fuzz(func(t *testing.T, text []byte, csv bool, chunk, limit uint8) {
		s := newSplitter(&chunks{data: text, sizes: []int{int(chunk) + 1}}, int(limit)+1, csv, ',')
		s.size, s.least = 16, 4
		got := pieces(t, s)
		if diff := same(got, pieces(t, newSplitter(&chunks{data: text}, int(limit)+1, csv, ','))); diff != "" {
			t.Error(diff)
		}
		if !csv {
			if diff := same(got, naiveLines(string(text), int(limit)+1)); diff != "" {
				t.Error(diff)
			}
		}
	})
}
