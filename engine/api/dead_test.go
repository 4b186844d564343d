package api_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/telluride-stream/telluride/engine/api"
	"github.com/telluride-stream/telluride/engine/deadletter"
)

// deadHost is a host with one dead letter.
type deadHost struct {
	host
	asked  deadletter.Filter
	origin bool
	rate   int
	err    error
}

func (h *deadHost) ListDead(_ context.Context, _ string, f deadletter.Filter) (api.DeadList, error) {
	h.asked = f
	return api.DeadList{Letters: []*deadletter.Letter{{ID: "0a", Stage: "assert", Line: -1, Offset: -1, Payload: []byte("{}")}}}, h.err
}

func (h *deadHost) ReplayDead(_ context.Context, _ string, f deadletter.Filter, origin bool, rate int) (deadletter.Result, error) {
	h.asked, h.origin, h.rate = f, origin, rate
	return deadletter.Result{Done: 1}, h.err
}

func (h *deadHost) DropDead(_ context.Context, _ string, f deadletter.Filter) (deadletter.Result, error) {
	h.asked = f
	return deadletter.Result{Done: 1}, h.err
}

func TestDeadLettersAreServed(t *testing.T) {
	h := &deadHost{}
	ask := func(method, path, body string) (int, string) {
		w := httptest.NewRecorder()
		api.New(h, nil).Handler().ServeHTTP(w, httptest.NewRequest(method, path, strings.NewReader(body)))
		return w.Code, w.Body.String()
	}
	code, body := ask("GET", "/v1/flows/orders/dead?id=0a&stage=assert&reason=hot&since=2026-01-31T12:00:00Z&limit=5000", "")
	if f := h.asked; code != 200 || !strings.Contains(body, `"letters":[{"letter":1,"id":"0a"`) || len(f.IDs) != 1 || f.Stage != "assert" ||
		f.Reason != "hot" || f.Since.IsZero() || f.Limit != 1000 {
		t.Errorf("answered %d %s, asked %+v", code, body, f)
	}
	code, body = ask("POST", "/v1/flows/orders/dead/replay", `{"ids":["0a"],"to":"origin","rate":7}`)
	if code != 200 || body != "{\"done\":1}\n" || h.asked.IDs[0] != "0a" || !h.origin || h.rate != 7 {
		t.Errorf("answered %d %s, asked %+v", code, body, h)
	}
	if code, _ = ask("POST", "/v1/flows/orders/dead/drop", `{"all":true}`); code != 200 || !h.asked.Empty() {
		t.Errorf("answered %d, asked %+v", code, h.asked)
	}
	for _, c := range []struct{ path, body, says string }{
		{"drop", "", "does not say which"},
		{"replay", `{"to":"moon","all":true}`, "neither source nor origin"},
		{"replay", `{"stages":"x"}`, "unknown field"},
		{"replay", `{"all":true,"rate":-1}`, "negative"},
	} {
		if code, body := ask("POST", "/v1/flows/orders/dead/"+c.path, c.body); code != 400 || !strings.Contains(body, c.says) {
			t.Errorf("%s %s: answered %d %s", c.path, c.body, code, body)
		}
	}
	h.err = errors.New("the queue is away")
	if code, body := ask("POST", "/v1/flows/orders/dead/replay", `{"all":true}`); code != 502 || !strings.Contains(body, "away") || !strings.Contains(body, "1 are done") {
		t.Errorf("answered %d %s", code, body)
	}
	w := httptest.NewRecorder()
	api.New(h, nil).ReadOnly().ServeHTTP(w, httptest.NewRequest(http.MethodPost, "/v1/flows/orders/dead/drop", strings.NewReader(`{"all":true}`)))
	if w.Code != 403 {
		t.Errorf("read-only: answered %d", w.Code)
	}
}
