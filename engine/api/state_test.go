package api_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"

	"github.com/telluride-stream/telluride/engine/api"
	"github.com/telluride-stream/telluride/engine/inspect"
)

// keeping is a host whose state is in the test.
type keeping struct {
	entries int
	fails   error // in the middle of what it sends
	got     inspect.Importing
	dropped string
}

func (k *keeping) States(flow string) ([]inspect.Flow, error) {
	if flow == "gone" {
		return nil, &inspect.Error{Message: `there is no flow "gone"`, Advice: "flows: f", Missing: true}
	}
	return []inspect.Flow{{Name: "f", Epoch: 3}}, nil
}

func (k *keeping) ShowState(_, stage string, q inspect.Query, each func(inspect.Entry) error) (bool, error) {
	for i := range k.entries {
		if q.Limit > 0 && i == q.Limit {
			return true, nil
		}
		if err := each(inspect.Entry{Key: []byte(`["` + stage + `"]`), Value: []byte(`{}`)}); err != nil {
			return false, err
		}
	}
	return false, k.fails
}

func (k *keeping) ExportState(_, _ string, to io.Writer) error {
	_, err := io.WriteString(to, strings.Repeat("line\n", 50_000))
	return errors.Join(err, k.fails)
}

func (k *keeping) ImportState(_ string, file *inspect.File, how inspect.Importing) (inspect.Done, error) {
	k.got = how
	return inspect.Done{Flow: file.Flow}, k.fails
}

func (k *keeping) DropState(_, stage string, key *string) (inspect.Done, error) {
	k.dropped = stage
	if key != nil {
		k.dropped += "/" + *key
	}
	return inspect.Done{Flow: "f"}, k.fails
}

// onSocket is a client of a process that serves the state.
func onSocket(t *testing.T, k *keeping) *api.Client {
	t.Helper()
	path := filepath.Join(t.TempDir(), "s")
	ln, err := api.Listen(path)
	if err != nil {
		t.Fatal(err)
	}
	s := httptest.NewUnstartedServer(api.New(&host{}, nil).Local(k))
	s.Listener.Close()
	s.Listener = ln
	s.Start()
	t.Cleanup(s.Close)
	return api.Dial(path)
}

func TestStateIsServedAsTheHostHasIt(t *testing.T) {
	k := &keeping{entries: 5}
	c, ctx := onSocket(t, k), context.Background()
	if all, err := c.States(ctx, "f"); err != nil || len(all) != 1 || all[0].Epoch != 3 {
		t.Errorf("%+v, %v", all, err)
	}
	var e *inspect.Error
	if _, err := c.States(ctx, "gone"); !errors.As(err, &e) || !e.Missing || e.Advice != "flows: f" {
		t.Errorf("a flow that is not there: %v", err)
	}
	for limit, want := range map[int]int{0: 5, 3: 3, 5: 5} {
		n := 0
		more, err := c.ShowState(ctx, "f", "a/b", inspect.Query{Limit: limit}, func(e inspect.Entry) error {
			n++
			if string(e.Key) != `["a/b"]` {
				t.Errorf("key %s", e.Key)
			}
			return nil
		})
		if err != nil || n != want || more != (limit == 3) {
			t.Errorf("limit %d: %d entries, more: %v, %v", limit, n, more, err)
		}
	}
	var out bytes.Buffer
	if err := c.ExportState(ctx, "f", "", &out); err != nil || out.Len() != 250_000 {
		t.Errorf("%d bytes, %v", out.Len(), err)
	}
	key := "k?&/"
	if _, err := c.DropState(ctx, "f", "w", &key); err != nil || k.dropped != "w/k?&/" {
		t.Errorf("dropped %s, %v", k.dropped, err)
	}
	file := "{\"telluride_state\":1,\"flow\":\"f\"}\n{\"end\":true,\"lines\":1}\n"
	if done, err := c.ImportState(ctx, "f", strings.NewReader(file), inspect.Importing{Stage: "w", How: inspect.Merge}); err != nil || done.Flow != "f" || k.got.Stage != "w" || k.got.How != inspect.Merge {
		t.Errorf("%+v, %+v, %v", done, k.got, err)
	}
	if _, err := c.ImportState(ctx, "f", strings.NewReader(file[:33]), inspect.Importing{}); err == nil || !strings.Contains(err.Error(), "cut off") {
		t.Errorf("half a file: %v", err)
	}
}

// TestHalfAnAnswerIsNotTakenForAWholeOne: an export that fails on its way is an
// error, whether it has begun or not.
func TestHalfAnAnswerIsNotTakenForAWholeOne(t *testing.T) {
	k := &keeping{entries: 3, fails: errors.New("the disk is gone")}
	c, ctx := onSocket(t, k), context.Background()
	if err := c.ExportState(ctx, "f", "", io.Discard); err == nil {
		t.Error("an export that failed looks whole")
	}
	if _, err := c.ShowState(ctx, "f", "w", inspect.Query{}, func(inspect.Entry) error { return nil }); err == nil {
		t.Error("entries that were cut off look whole")
	}
	c = onSocket(t, &keeping{fails: k.fails})
	if _, err := c.ShowState(ctx, "f", "w", inspect.Query{}, nil); err == nil || !strings.Contains(err.Error(), "the disk is gone") {
		t.Errorf("what fails before the first byte: %v", err)
	}
}

// TestStateIsForTheSocketAlone: what is served over TCP does not have it.
func TestStateIsForTheSocketAlone(t *testing.T) {
	for name, h := range map[string]http.Handler{"all": api.New(&host{}, nil).Handler(), "read-only": api.New(&host{}, nil).ReadOnly()} {
		for _, path := range []string{"/v1/state", "/v1/state/f", "/v1/state/f/export", "/v1/state/f/entries?stage=w&limit=0"} {
			w := httptest.NewRecorder()
			h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, nil))
			if w.Code != http.StatusNotFound {
				t.Errorf("%s: %s is answered with %d", name, path, w.Code)
			}
		}
	}
}
