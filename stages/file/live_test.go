package file

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/telluride-stream/telluride/engine/clock"
	"github.com/telluride-stream/telluride/engine/stage"
)

// within returns what one Read brings; it waits for nothing else.
func within(t *testing.T, r *reader) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	in, err := r.Read(ctx)
	if err != nil {
		t.Fatal(err)
	}
	return payloads([]step{take(in)})
}

func piped(in io.Reader) *reader {
	r := source(config(stdin), 100, io.Discard)
	r.rt.Stdin = in
	return r
}

func TestStandardInputGivesEachLineAsItComes(t *testing.T) {
	in, out, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	r := piped(in)
	if err := r.Open(context.Background(), nil); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ write, want string }{
		{"{\"n\":1}\n", `{"n":1}`},
		{"{\"n\":2}\n{\"n\":3}\n{\"n\"", `{"n":2}{"n":3}`},
		{":4}\n", `{"n":4}`},
	} {
		if _, err := io.WriteString(out, c.write); err != nil {
			t.Fatal(err)
		}
		// The pipe stays open: Read must not wait for more.
		if have := within(t, r); have != c.want {
			t.Errorf("got %s, want %s", have, c.want)
		}
	}
	if _, err := io.WriteString(out, "{\"last\":1}"); err != nil {
		t.Fatal(err)
	}
	out.Close()
	if have := within(t, r); have != `{"last":1}` {
		t.Errorf("got %s", have)
	}
	if _, err := r.Read(context.Background()); !errors.Is(err, io.EOF) {
		t.Errorf("got %v", err)
	}
}

func TestAReadOfStandardInputEndsWithItsContextAndLosesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		in, out := io.Pipe()
		r := piped(in)
		if err := r.Open(t.Context(), nil); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		if _, err := r.Read(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Fatalf("got %v", err)
		}
		// The read that was left behind gets this, and the next session has it.
		if err := r.Close(); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(out, "{\"n\":1}\n"); err != nil {
			t.Fatal(err)
		}
		if err := r.Open(t.Context(), nil); err != nil {
			t.Fatal(err)
		}
		if have := within(t, r); have != `{"n":1}` {
			t.Errorf("got %s", have)
		}
		out.Close()
	})
}

func TestANamedPipeIsWaitedForByReadAndNotByOpen(t *testing.T) {
	path := filepath.Join(t.TempDir(), "pipe")
	if err := mkfifo(path); err != nil {
		t.Skip("no named pipes here:", err)
	}
	r := source(config(path), 10, io.Discard)
	if err := r.Open(context.Background(), nil); err != nil {
		t.Fatal(err)
	}
	var writer sync.WaitGroup
	writer.Go(func() {
		if err := os.WriteFile(path, []byte("{}\n"), 0o600); err != nil {
			t.Error(err)
		}
	})
	if have := within(t, r); have != "{}" {
		t.Errorf("got %s", have)
	}
	writer.Wait()
	if _, err := r.Read(context.Background()); !errors.Is(err, io.EOF) {
		t.Errorf("got %v", err)
	}
}

// follow starts a source on a file, under scripted time.
func follow(t *testing.T, path string, log io.Writer) *reader {
	c := config(path)
	c.Follow = true
	r := source(c, 100, log)
	r.rt.Clock = clock.System{} // synctest's
	if err := r.Open(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	})
	return r
}

func appendTo(t *testing.T, path, text string) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteString(text); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestFollowReadsOnAsTheFileGrows(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		path := write(t, filepath.Join(t.TempDir(), "a.ndjson"), "{\"n\":1}\n{\"n\"")
		r := follow(t, path, io.Discard)
		if have := within(t, r); have != `{"n":1}` {
			t.Errorf("got %s", have)
		}
		go func() {
			time.Sleep(10 * time.Second)
			appendTo(t, path, ":2}\n")
		}()
		begin := time.Now()
		if have := within(t, r); have != `{"n":2}` {
			t.Errorf("got %s", have)
		}
		if waited := time.Since(begin); waited < 10*time.Second || waited > 11*time.Second {
			t.Errorf("it came after %s", waited)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		if _, err := r.Read(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v", err)
		}
	})
}

func TestFollowNoticesRotationAndTruncation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		path := write(t, filepath.Join(dir, "a.ndjson"), "{\"n\":1}\n")
		var log bytes.Buffer
		r := follow(t, path, &log)
		if have := within(t, r); have != `{"n":1}` {
			t.Errorf("got %s", have)
		}

		// Renamed, written to once more, and made anew a while later.
		old := filepath.Join(dir, "a.1")
		if err := os.Rename(path, old); err != nil {
			t.Fatal(err)
		}
		go func() {
			time.Sleep(time.Minute / 2)
			appendTo(t, old, "{\"n\":2}\n")
			write(t, path, "{\"n\":3}\n")
		}()
		if have := within(t, r) + within(t, r); have != `{"n":2}{"n":3}` {
			t.Errorf("got %s", have)
		}
		if !strings.Contains(log.String(), "another file has taken the name") {
			t.Errorf("log: %s", log.String())
		}

		if err := os.Truncate(path, 0); err != nil {
			t.Fatal(err)
		}
		go func() {
			time.Sleep(time.Second)
			appendTo(t, path, "{\"n\":4}\n")
		}()
		if have := within(t, r); have != `{"n":4}` {
			t.Errorf("got %s", have)
		}
		if !strings.Contains(log.String(), "truncated") {
			t.Errorf("log: %s", log.String())
		}
	})
}

func TestFollowNoticesAFileThatWasTruncatedAndHasGrownBeyondItsOldEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		path := write(t, filepath.Join(t.TempDir(), "a.ndjson"), "{\"n\":1}\n{\"n\":2}\n")
		var log bytes.Buffer
		r := follow(t, path, &log)
		if have := within(t, r); have != `{"n":1}{"n":2}` {
			t.Errorf("got %s", have)
		}
		go func() {
			time.Sleep(time.Second / 2)
			write(t, path, "{\"n\":13}\n{\"n\":14}\n{\"n\":15}\n") // of one piece, and of the same file
		}()
		if have := within(t, r); have != `{"n":13}{"n":14}{"n":15}` {
			t.Errorf("got %s", have)
		}
		if !strings.Contains(log.String(), "truncated and written to again") {
			t.Errorf("log: %s", log.String())
		}
	})
}

func TestFollowWaitsForAFileThatIsBeingRotatedWhenItResumes(t *testing.T) {
	path := write(t, filepath.Join(t.TempDir(), "a.ndjson"), "{\"n\":1}\n")
	position := readAll(t, config(path), 10, nil)[0].position
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	c := config(path)
	c.Follow = true
	if err := source(c, 10, io.Discard).Open(context.Background(), position); !stage.IsTransient(err) {
		t.Errorf("got %v", err)
	}
	if err := source(c, 10, io.Discard).Open(context.Background(), nil); err == nil || stage.IsTransient(err) {
		t.Errorf("a new run: got %v", err)
	}
}
