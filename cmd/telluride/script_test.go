package main

import (
	"bytes"
	"cmp"
	"crypto/tls"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
	"github.com/rogpeppe/go-internal/testscript"
)

var update = flag.Bool("update", false, "rewrite golden files in the scripts")

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"telluride": main, "telluride-mortal": mortal})
}

// TestScripts runs the command line as users do. Each script has a working
// directory of its own, in which flows and testdata are those of the repository.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 filepath.Join("..", "..", "testdata", "script"),
		UpdateScripts:       *update,
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Setup: func(e *testscript.Env) error {
			e.Setenv("XDG_STATE_HOME", filepath.Join(e.WorkDir, ".state"))
			// A program under the race detector sleeps a second before it exits, if it is let.
			e.Setenv("GORACE", "atexit_sleep_ms=0")
			e.Setenv("RABBITMQ_URL", brokerURL())
			e.Setenv("QUEUE", fmt.Sprintf("telluride-script-%x", rand.Uint64()))
			for _, name := range []string{"flows", "testdata"} {
				target, err := filepath.Abs(filepath.Join("..", "..", name))
				if err != nil {
					return err
				}
				if err := os.Symlink(target, filepath.Join(e.WorkDir, name)); err != nil {
					return err
				}
			}
			return nil
		},
		Condition: func(name string) (bool, error) {
			if name != "broker" {
				return false, fmt.Errorf("unknown condition %q", name)
			}
			connection, err := amqp.Dial(brokerURL())
			if err == nil {
				err = connection.Close()
			}
			return err == nil, nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"exits":    scriptExits,
			"ndjson":   scriptNDJSON,
			"ledger":   scriptLedger,
			"appears":  scriptAppears,
			"unescape": scriptUnescape,
			"fetch":    scriptFetch,
		},
	})
}

// brokerURL is the broker of tests.
func brokerURL() string {
	return cmp.Or(os.Getenv("RABBITMQ_URL"), "amqp://guest:guest@localhost:5672/")
}

// dialBroker connects to the broker of tests. Where RABBITMQ_URL says that there
// is one, its absence is a failure.
func dialBroker(t *testing.T) *amqp.Connection {
	t.Helper()
	connection, err := amqp.Dial(brokerURL())
	switch {
	case err != nil && os.Getenv("RABBITMQ_URL") != "":
		t.Fatalf("RABBITMQ_URL is set, but it does not answer: %v", err)
	case err != nil:
		t.Skipf("no RabbitMQ at localhost; `tools/broker ensure` starts one: %v", err)
	}
	t.Cleanup(func() { _ = connection.Close() })
	return connection
}

// scriptExits runs a command and checks its exit code: exits 2 telluride run.
func scriptExits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits code command…")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	got := 0
	var exit *exec.ExitError
	switch err := ts.Exec(args[1], args[2:]...); {
	case errors.As(err, &exit):
		got = exit.ExitCode()
	case err != nil:
		ts.Fatalf("%v", err)
	}
	if got != want {
		ts.Fatalf("exit code %d, want %d", got, want)
	}
}

// scriptNDJSON checks that every line of a file is a JSON object, and how many
// there are: ndjson stdout 365.
func scriptNDJSON(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 1 || len(args) > 2 {
		ts.Fatalf("usage: ndjson file [lines]")
	}
	text := ts.ReadFile(args[0])
	lines := strings.Split(strings.TrimSuffix(text, "\n"), "\n")
	if text == "" {
		lines = nil
	}
	for i, line := range lines {
		var object map[string]any
		if err := json.Unmarshal([]byte(line), &object); err != nil {
			ts.Fatalf("%s:%d: not a JSON object: %q: %v", args[0], i+1, line, err)
		}
	}
	if len(args) == 2 && strconv.Itoa(len(lines)) != args[1] {
		ts.Fatalf("%s has %d lines, want %s", args[0], len(lines), args[1])
	}
}

// scriptLedger checks a summary in JSON (the last line of the file): every row
// balances, and counts of rows are as given: ledger stderr source.in=7 filter.filtered=2.
// A row is found by its kind or its name.
func scriptLedger(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 1 {
		ts.Fatalf("usage: ledger file [row.count=n…]")
	}
	lines := strings.Split(strings.TrimSpace(ts.ReadFile(args[0])), "\n")
	var summary struct {
		Flows []struct {
			Flow, Outcome string
			Balanced      bool
			Stages        []map[string]any
		}
	}
	if err := json.Unmarshal([]byte(lines[len(lines)-1]), &summary); err != nil {
		ts.Fatalf("%s does not end with a JSON summary: %v", args[0], err)
	}
	counts := map[string]string{}
	for _, f := range summary.Flows {
		if !f.Balanced {
			ts.Fatalf("flow %s: the ledger does not balance: %v", f.Flow, f.Stages)
		}
		counts["outcome"] = f.Outcome
		for _, s := range f.Stages {
			for key, v := range s {
				counts[fmt.Sprintf("%v.%s", s["kind"], key)] = fmt.Sprint(v)
				counts[fmt.Sprintf("%v.%s", s["name"], key)] = fmt.Sprint(v)
			}
		}
	}
	for _, want := range args[1:] {
		key, n, _ := strings.Cut(want, "=")
		if counts[key] != n {
			ts.Fatalf("%s is %q, want %s", key, counts[key], n)
		}
	}
}

// scriptAppears waits until a file holds a match: appears out.ndjson sensor_1.
// It is for files that a command in the background writes.
func scriptAppears(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: appears file regexp")
	}
	re, err := regexp.Compile(args[1])
	ts.Check(err)
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		if text, err := os.ReadFile(ts.MkAbs(args[0])); err == nil && re.Match(text) {
			return
		}
	}
	ts.Fatalf("%s does not hold a match of %q", args[0], args[1])
}

// scriptUnescape replaces \xNN in a file by that byte, since a script cannot
// hold every byte.
func scriptUnescape(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: unescape file")
	}
	text := []byte(ts.ReadFile(args[0]))
	text = regexp.MustCompile(`\\x[0-9a-f]{2}`).ReplaceAllFunc(text, func(b []byte) []byte {
		n, _ := strconv.ParseUint(string(b[2:]), 16, 8)
		return []byte{byte(n)}
	})
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), text, 0o644))
}

// scriptFetch asks a run for a path, checks the status, and leaves the answer
// in the file answer: fetch err.txt 200 /v1/flows 'Authorization: Bearer x'.
// The first file is what the run wrote to standard error, with its URL. It asks
// again while the answer is 503 and another is expected: a flow takes time to
// start.
func scriptFetch(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 3 {
		ts.Fatalf("usage: fetch stderr status path [header…]")
	}
	m := regexp.MustCompile(`msg=serving url=(\S+)/`).FindStringSubmatch(ts.ReadFile(args[0]))
	if m == nil {
		ts.Fatalf("%s names no URL", args[0])
	}
	method, path, some := strings.Cut(args[2], " ")
	if !some {
		method, path = "GET", args[2]
	}
	req, err := http.NewRequest(method, m[1]+path, nil)
	ts.Check(err)
	for _, h := range args[3:] {
		key, value, _ := strings.Cut(h, ": ")
		if key == "Host" {
			req.Host = value
		}
		req.Header.Set(key, value)
	}
	client := &http.Client{Timeout: patience, Transport: &http.Transport{
		TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, DisableKeepAlives: true,
	}}
	for end := time.Now().Add(patience); ; time.Sleep(20 * time.Millisecond) {
		resp, err := client.Do(req)
		ts.Check(err)
		body, err := io.ReadAll(resp.Body)
		ts.Check(errors.Join(err, resp.Body.Close()))
		ts.Check(os.WriteFile(ts.MkAbs("answer"), body, 0o644))
		if strconv.Itoa(resp.StatusCode) == args[1] {
			return
		}
		if resp.StatusCode != http.StatusServiceUnavailable || time.Now().After(end) {
			ts.Fatalf("%s %s answered %d, want %s: %s", method, path, resp.StatusCode, args[1], body)
		}
	}
}

// TestReferenceIsCurrent says that docs/reference is what the declarations make.
func TestReferenceIsCurrent(t *testing.T) {
	folder := filepath.Join("..", "..", "docs", "reference")
	files, err := referenceFiles(referencePages())
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range files {
		got, err := os.ReadFile(filepath.Join(folder, name))
		if err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s is not current (%v): run make generate", name, err)
		}
	}
	stale, err := stalePages(folder, files)
	if err != nil || len(stale) > 0 {
		t.Errorf("pages of kinds that are no more: %v (%v)", stale, err)
	}
}
