package api

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/telluride-stream/telluride/engine/change"
	"github.com/telluride-stream/telluride/engine/deadletter"
	"github.com/telluride-stream/telluride/engine/plan"
)

// whole is a host that answers everything.
type whole struct{}

func (whole) Status() []Flow {
	return []Flow{{Name: "f", Params: []Param{}, Stages: []Stage{}, Receipts: []change.Receipt{}, State: "running", Ready: true}}
}
func (whole) Plan(change.Change) Preview { return Preview{OK: true} }
func (whole) Submit(change.Change) <-chan change.Receipt {
	c := make(chan change.Receipt, 1)
	c <- change.Receipt{ID: "r"}
	return c
}
func (whole) Measure() []Measured { return []Measured{{Name: "f", State: "running"}} }
func (whole) Drawing(string) (*plan.Drawing, bool) {
	return plan.Draw(&plan.Plan{Name: "f"}), true
}
func (whole) Files(string) []File                       { return []File{{Flow: "f", Version: "v"}} }
func (whole) Pause(context.Context, string) error       { return nil }
func (whole) Continue(string) error                     { return nil }
func (whole) Tap(string, []string, string) (Tap, error) { return nil, errors.New("none") }
func (whole) Values(context.Context, string, string, ValuesQuery) (Values, error) {
	return Values{Rows: []Row{}}, nil
}
func (whole) ListDead(context.Context, string, deadletter.Filter) (DeadList, error) {
	return DeadList{}, nil
}
func (whole) ReplayDead(context.Context, string, deadletter.Filter, bool, int) (deadletter.Result, error) {
	return deadletter.Result{}, nil
}
func (whole) DropDead(context.Context, string, deadletter.Filter) (deadletter.Result, error) {
	return deadletter.Result{}, nil
}

type described struct {
	Paths map[string]map[string]struct {
		Summary     string
		RequestBody *struct{ Content map[string]any }
		Responses   map[string]struct {
			Content map[string]struct {
				Schema struct {
					Ref   string `json:"$ref"`
					Type  string
					Items struct {
						Ref string `json:"$ref"`
					}
				}
			}
		}
	}
	Components struct {
		Schemas map[string]struct{ Required []string }
	}
}

// Every route is described, and nothing else is; what it answers has the
// fields that the description promises.
func TestTheDescriptionIsThatOfTheRoutes(t *testing.T) {
	var d described
	if err := json.Unmarshal(openAPIText, &d); err != nil {
		t.Fatal(err)
	}
	a := New(whole{}, nil)
	a.monitor.sample(time.Now())
	h := a.Handler()
	served := map[string]bool{}
	for _, r := range append(a.routes(), a.deadRoutes()...) {
		key := strings.ToLower(r.method) + " " + r.path
		if served[key] {
			continue
		}
		served[key] = true
		op, ok := d.Paths[r.path][strings.ToLower(r.method)]
		if !ok || op.Summary == "" {
			t.Errorf("%s is not described", key)
			continue
		}
		answer := op.Responses["200"].Content["application/json"].Schema
		if answer.Ref == "" {
			continue // a stream, a list, or the description itself
		}
		body := "{}"
		if op.RequestBody != nil && op.RequestBody.Content["application/yaml"] != nil {
			body = "name: f\n"
		} else if strings.Contains(r.path, "/dead/") {
			body = `{"all": true}`
		}
		path := strings.NewReplacer("{flow}", "f", "{id}", "r", "{stage}", "s").Replace(r.path)
		if strings.HasPrefix(path, "/v1/receipts") {
			h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodPost, "/v1/changes", strings.NewReader(`{"id": "r"}`)))
		}
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest(r.method, path, strings.NewReader(body)))
		var fields map[string]any
		if err := json.Unmarshal(w.Body.Bytes(), &fields); err != nil || w.Code != http.StatusOK {
			t.Errorf("%s answered %d %s", key, w.Code, w.Body)
			continue
		}
		for _, name := range d.Components.Schemas[answer.Ref[strings.LastIndex(answer.Ref, "/")+1:]].Required {
			if _, ok := fields[name]; !ok {
				t.Errorf("%s: the answer has no %q: %s", key, name, w.Body)
			}
		}
	}
	for path, methods := range d.Paths {
		for method := range methods {
			if !served[method+" "+path] {
				t.Errorf("%s %s is described, and not served", method, path)
			}
		}
	}
}
