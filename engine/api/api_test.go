package api_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/telluride-stream/telluride/engine/api"
	"github.com/telluride-stream/telluride/engine/change"
	"github.com/telluride-stream/telluride/engine/plan"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// host answers a change when release is closed, or at once.
type host struct {
	api.Host // what these tests do not ask
	mu       sync.Mutex
	changes  []change.Change
	release  chan struct{}
}

func (h *host) Status() []api.Flow {
	return []api.Flow{{
		Name: "orders", Version: "v1", State: "running", Since: time.Unix(1000, 0).UTC(),
		Params:   []api.Param{{Name: "lanes", Value: "4", From: "default"}},
		Receipts: []change.Receipt{{ID: "old", Outcome: change.Applied}},
	}}
}

func (h *host) Plan(c change.Change) api.Preview {
	return api.Preview{Flow: "orders", OK: true, Stages: []plan.Difference{{Name: c.Flow, Kind: "window", Outcome: plan.Kept}}}
}

func (h *host) Submit(c change.Change) <-chan change.Receipt {
	h.mu.Lock()
	h.changes = append(h.changes, c)
	h.mu.Unlock()
	answer := make(chan change.Receipt, 1)
	r := change.Receipt{ID: c.ID, Flow: "orders", Outcome: change.Applied, From: c.From}
	if c.ID == "old" { // the receipt that the status has came later
		r.Outcome = change.Pending
	}
	if h.release == nil {
		answer <- r
		return answer
	}
	go func() {
		<-h.release
		answer <- r
	}()
	return answer
}

// serve serves a host on a socket until the test ends, or stop is called.
func serve(t *testing.T, h *host) (client *api.Client, stop func()) {
	t.Helper()
	socket := filepath.Join(t.TempDir(), "telluride.sock")
	ln, err := api.Listen(socket)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	log := slog.New(slog.DiscardHandler)
	go func() { done <- api.Serve(ctx, ln, api.New(h, log).Handler(), log) }()
	var once sync.Once
	stop = func() {
		once.Do(func() {
			cancel()
			if err := <-done; err != nil {
				t.Errorf("Serve: %v", err)
			}
			if _, err := os.Stat(socket); !errors.Is(err, os.ErrNotExist) {
				t.Errorf("the socket is still there: %v", err)
			}
		})
	}
	t.Cleanup(stop)
	return api.Dial(socket), stop
}

func TestAClientSeesWhatTheHostTells(t *testing.T) {
	h := &host{}
	client, _ := serve(t, h)
	p, err := client.Process(t.Context())
	if err != nil || p.PID != os.Getpid() || len(p.Flows) != 1 || p.Flows[0].Params[0].Value != "4" {
		t.Errorf("process %+v, %v", p, err)
	}
	f, err := client.Flow(t.Context(), "orders")
	if err != nil || f.Version != "v1" || !f.Since.Equal(time.Unix(1000, 0)) {
		t.Errorf("flow %+v, %v", f, err)
	}
	preview, err := client.Plan(t.Context(), change.Change{Flow: "w"})
	if err != nil || !preview.OK || preview.Stages[0].Name != "w" {
		t.Errorf("preview %+v, %v", preview, err)
	}
	src := []byte("name: orders\n\x00\xff")
	r, ok, err := client.Apply(t.Context(), change.Change{ID: "a/1", Source: src, Set: map[string]string{"lanes": "8"}, From: "file"}, time.Minute)
	if err != nil || !ok || r.ID != "a/1" || r.From != "api" {
		t.Errorf("receipt %+v, %v, %v", r, ok, err)
	}
	if c := h.changes[0]; !bytes.Equal(c.Source, src) || c.Set["lanes"] != "8" {
		t.Errorf("change %+v", c)
	}
	for _, id := range []string{"a/1", "old"} {
		if r, ok, err := client.Receipt(t.Context(), id); err != nil || !ok || r.Outcome != change.Applied {
			t.Errorf("receipt %+v, %v, %v", r, ok, err)
		}
	}
	r, _, err = client.Apply(t.Context(), change.Change{}, time.Minute)
	if err != nil || r.ID == "" {
		t.Errorf("a change without an ID got none: %+v, %v", r, err)
	}
}

func TestErrorsSayWhatToDo(t *testing.T) {
	client, _ := serve(t, &host{})
	_, err := client.Flow(t.Context(), "order")
	var e *api.Error
	if !errors.As(err, &e) || e.Status != http.StatusNotFound || e.Error() != `there is no flow "order"; did you mean "orders"?` {
		t.Errorf("error %v", err)
	}
	if _, _, err := client.Receipt(t.Context(), "none"); err == nil || !strings.Contains(err.Error(), `there is no receipt "none"`) {
		t.Errorf("error %v", err)
	}
}

func TestBadRequestsAreRefused(t *testing.T) {
	h := api.New(&host{}, nil).Handler()
	for _, c := range []struct {
		method, path, body string
		status             int
		says               string
	}{
		{"GET", "/", "", 404, "begin at /v1/flows"},
		{"GET", "/v2/flows", "", 404, "there is nothing at /v2/flows"},
		{"POST", "/v1/flows", "{}", 405, "use GET"},
		{"GET", "/v1/changes", "", 405, "use POST"},
		{"DELETE", "/v1/receipts/x", "", 405, "use GET"},
		{"POST", "/v1/changes", "", 400, "is empty"},
		{"POST", "/v1/changes", "{", 400, "is no change"},
		{"POST", "/v1/changes", "[]", 400, "is no change"},
		{"POST", "/v1/changes", `{"sett": {}}`, 400, `unknown field \"sett\"`},
		{"POST", "/v1/changes", `{} {}`, 400, "more than one value"},
		{"POST", "/v1/changes", `{"source": "not base64!"}`, 400, "is no change"},
		{"POST", "/v1/changes?wait=soon", `{}`, 400, "expected a duration"},
		{"POST", "/v1/changes?wait=-1s", `{}`, 400, "expected a duration"},
		{"POST", "/v1/plan", `{"id": "` + strings.Repeat("x", 2<<20) + `"}`, 413, "a flow file may have 1 MiB"},
	} {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest(c.method, c.path, strings.NewReader(c.body)))
		var e map[string]string
		if err := json.Unmarshal(w.Body.Bytes(), &e); err != nil || e["error"] == "" {
			t.Errorf("%s %s %.20s: answered %q (%v)", c.method, c.path, c.body, w.Body, err)
		}
		if w.Code != c.status || !strings.Contains(w.Body.String(), c.says) || w.Header().Get("Content-Type") != "application/json" {
			t.Errorf("%s %s %.20s: answered %d %s", c.method, c.path, c.body, w.Code, w.Body)
		}
	}
}

func TestAReceiptMayComeLater(t *testing.T) {
	h := &host{release: make(chan struct{})}
	client, _ := serve(t, h)
	for _, wait := range []time.Duration{0, time.Millisecond} {
		r, ok, err := client.Apply(t.Context(), change.Change{ID: "slow"}, wait)
		if err != nil || ok || r.ID != "slow" {
			t.Fatalf("receipt %+v, %v, %v", r, ok, err)
		}
	}
	if _, ok, err := client.Receipt(t.Context(), "slow"); ok || err != nil {
		t.Fatalf("the receipt is there before it is (%v)", err)
	}
	close(h.release)
	r, ok, err := client.Apply(t.Context(), change.Change{ID: "slow"}, time.Minute)
	if err != nil || !ok || r.Outcome != change.Applied {
		t.Errorf("receipt %+v, %v, %v", r, ok, err)
	}
	for end := time.Now().Add(10 * time.Second); !ok; {
		if _, ok, err = client.Receipt(t.Context(), "slow"); err != nil || time.Now().After(end) {
			t.Fatalf("no receipt: %v", err)
		}
	}
}

// A change that waited when it was answered has another receipt in the end.
func TestTheLastReceiptIsTold(t *testing.T) {
	client, _ := serve(t, &host{})
	r, ok, err := client.Apply(t.Context(), change.Change{ID: "old"}, time.Minute)
	if err != nil || !ok || r.Outcome != change.Pending {
		t.Fatalf("receipt %+v, %v, %v", r, ok, err)
	}
	if r, ok, err = client.Receipt(t.Context(), "old"); err != nil || !ok || r.Outcome != change.Applied {
		t.Errorf("in the end it is %+v, %v, %v", r, ok, err)
	}
}

func TestAProcessThatEndsAnswersWhoWaits(t *testing.T) {
	h := &host{release: make(chan struct{})}
	client, stop := serve(t, h)
	failed := make(chan error)
	go func() {
		_, _, err := client.Apply(context.Background(), change.Change{}, time.Minute)
		failed <- err
	}()
	for submitted := false; !submitted; {
		h.mu.Lock()
		submitted = len(h.changes) > 0
		h.mu.Unlock()
	}
	stop()
	if err := <-failed; err == nil || !strings.Contains(err.Error(), "the process is ending") {
		t.Errorf("error %v", err)
	}
	close(h.release)
	if _, err := client.Process(t.Context()); !errors.Is(err, api.ErrNoProcess) {
		t.Errorf("error %v", err)
	}
}

// Receipts of old changes are forgotten, so that a process that is asked for
// ever holds a bounded number.
func TestOldReceiptsAreForgotten(t *testing.T) {
	client, _ := serve(t, &host{})
	apply := func(id string) {
		if _, _, err := client.Apply(t.Context(), change.Change{ID: id}, time.Minute); err != nil {
			t.Fatal(err)
		}
	}
	apply("first")
	for range 256 {
		apply("")
	}
	if _, _, err := client.Receipt(t.Context(), "first"); err == nil {
		t.Error("the first receipt is kept")
	}
}

func TestOnlyItsUserMayConnect(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "s")
	ln, err := api.Listen(socket)
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	info, err := os.Stat(socket)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
}

func TestASocketIsReplacedOnlyWhenNobodyAnswers(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "s")
	killed, err := net.ListenUnix("unix", &net.UnixAddr{Name: socket, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	killed.SetUnlinkOnClose(false) // as kill -9 leaves it
	killed.Close()
	ln, err := api.Listen(socket)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := api.Listen(socket); !errors.Is(err, api.ErrInUse) {
		t.Errorf("a socket on which somebody answers was replaced: %v", err)
	}
	ln.Close()
	if err := os.WriteFile(socket, []byte("mine"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := api.Listen(socket); err == nil {
		t.Error("a file was replaced")
	}
	if text, err := os.ReadFile(socket); string(text) != "mine" {
		t.Errorf("a file was changed: %v", err)
	}
}

func TestALongPathIsRefused(t *testing.T) {
	if _, err := api.Listen("/tmp/" + strings.Repeat("x", 100)); err == nil || !strings.Contains(err.Error(), "may have 103") {
		t.Errorf("error %v", err)
	}
}

// A client that sends nothing holds no process.
func TestASilentClientKeepsNoProcess(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "s")
	ln, err := api.Listen(socket)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	log := slog.New(slog.NewTextHandler(io.Discard, nil))
	go func() { done <- api.Serve(ctx, ln, api.New(&host{}, log).Handler(), log) }()
	conn, err := net.Dial("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := io.WriteString(conn, "POST /v1/plan HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n{"); err != nil {
		t.Fatal(err)
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}
