package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/telluride-stream/telluride/engine/change"
)

const (
	// pauseTimeout bounds how long a request waits for a flow to come to rest.
	pauseTimeout = 30 * time.Second
	// viewTimeout bounds how long a request waits for the values of a stage.
	viewTimeout = 3 * time.Second
	// maxKeys bounds the keys of a stage that are shown at a time.
	maxKeys = 1000
)

// File is the text of a flow.
type File struct {
	Flow    string `json:"flow"`
	File    string `json:"file"`
	Version string `json:"version"`
	Source  string `json:"source"`
	// FromFile says that it is what the flow's file held; otherwise it came by
	// another way, and the file has something else.
	FromFile bool      `json:"from_file"`
	Since    time.Time `json:"since"`
}

// Checked is what is wrong with the text of a flow.
type Checked struct {
	OK          bool             `json:"ok"`
	Diagnostics []change.Problem `json:"diagnostics"`
}

// Values is what a stage keeps by key now.
type Values struct {
	Stage string `json:"stage"`
	// Keys is how many keys have something open, and Found how many of them
	// were searched for.
	Keys  int `json:"keys"`
	Found int `json:"found"`
	// Rows are in the order of keys, up to 10 of each.
	Rows []Row `json:"rows"`
	// More says that keys follow behind the last row: ask for them with after.
	More bool `json:"more,omitempty"`
}

// Row is a window of one key that is open, or its running aggregate.
type Row struct {
	Key string `json:"key"`
	// Values is what would be emitted now.
	Values json.RawMessage `json:"values"`
	// Records of Of are in a window that is counted.
	Records int `json:"records,omitempty"`
	Of      int `json:"of,omitempty"`
	// More says that the key has more open windows, which close later.
	More bool `json:"more,omitempty"`
}

// ValuesQuery says which keys are meant: those with the text Find, behind the
// key After in the order of keys, and at most Limit of them.
type ValuesQuery struct {
	Find, After string
	Limit       int
}

// Params asks for params to be set, or to be left to their defaults again.
type Params struct {
	Set         map[string]string `json:"set,omitempty"`
	Unset       []string          `json:"unset,omitempty"`
	BaseVersion string            `json:"base_version,omitempty"`
}

// one finds the flow of a request; nil when it was refused.
func (a *API) one(w http.ResponseWriter, r *http.Request) *Flow {
	name := r.PathValue("flow")
	var names []string
	for _, f := range a.host.Status() {
		if f.Name == name {
			return &f
		}
		names = append(names, f.Name)
	}
	refuse(w, &Error{http.StatusNotFound, fmt.Sprintf("there is no flow %q", name), known(name, names)})
	return nil
}

// of serves what is told of one flow.
func (a *API) of(tell func(f *Flow) any) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if f := a.one(w, r); f != nil {
			answer(w, http.StatusOK, tell(f))
		}
	}
}

// measured are the latest metrics of a flow.
func (a *API) measured(f *Flow) FlowMetrics {
	for _, m := range a.monitor.now().Flows {
		if m.Name == f.Name {
			return m
		}
	}
	return FlowMetrics{Name: f.Name, State: f.State, Version: f.Version, Successful: 100, Stages: []StageMetrics{}}
}

func (a *API) metrics(w http.ResponseWriter, _ *http.Request) {
	answer(w, http.StatusOK, brief(a.monitor.now(), ""))
}

// brief leaves the stages out of all flows but one.
func brief(m Metrics, flow string) Metrics {
	flows := slices.Clone(m.Flows)
	for i := range flows {
		if flows[i].Name != flow {
			flows[i].Stages = nil
		}
	}
	if m.Machine.CPU == nil {
		m.Machine.CPU = []float64{}
	}
	m.Flows = flows
	return m
}

func (a *API) versions(w http.ResponseWriter, r *http.Request) {
	if f := a.one(w, r); f != nil {
		answer(w, http.StatusOK, append([]File{}, a.host.Files(f.Name)...))
	}
}

func (a *API) file(w http.ResponseWriter, r *http.Request) {
	f := a.one(w, r)
	if f == nil {
		return
	}
	version := r.URL.Query().Get("version")
	files := a.host.Files(f.Name)
	for _, file := range slices.Backward(files) {
		if version == "" || file.Version == version {
			answer(w, http.StatusOK, file)
			return
		}
	}
	refuse(w, &Error{http.StatusNotFound, fmt.Sprintf("there is no version %q", version), "the last ones that ran are at …/versions"})
}

// text reads a flow file, as it is, from a request.
func (a *API) text(w http.ResponseWriter, r *http.Request) (c change.Change, ok bool) {
	f := a.one(w, r)
	if f == nil {
		return c, false
	}
	src, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	switch {
	case err != nil:
		refuse(w, &Error{http.StatusRequestEntityTooLarge, "the request is too large, or broke off", "a flow file may have 1 MiB"})
		return c, false
	case len(src) == 0:
		src = []byte("\n") // none at all would mean: leave the file as it is
	}
	return change.Change{Flow: f.Name, File: f.File, Source: src, BaseVersion: r.URL.Query().Get("base_version"), From: "api"}, true
}

func (a *API) putFile(w http.ResponseWriter, r *http.Request) {
	if c, ok := a.text(w, r); ok {
		a.submit(w, r, c)
	}
}

func (a *API) planFile(w http.ResponseWriter, r *http.Request) {
	if c, ok := a.text(w, r); ok {
		answer(w, http.StatusOK, a.host.Plan(c))
	}
}

func (a *API) validateFile(w http.ResponseWriter, r *http.Request) {
	if c, ok := a.text(w, r); ok {
		p := a.host.Plan(c)
		answer(w, http.StatusOK, Checked{OK: p.OK, Diagnostics: append([]change.Problem{}, p.Diagnostics...)})
	}
}

func (a *API) patchParams(w http.ResponseWriter, r *http.Request) {
	f := a.one(w, r)
	if f == nil {
		return
	}
	var p Params
	if problem := readJSON(w, r, &p); problem != nil {
		refuse(w, problem)
		return
	}
	a.submit(w, r, change.Change{Flow: f.Name, Set: p.Set, Unset: p.Unset, BaseVersion: p.BaseVersion, From: "api"})
}

func (a *API) pause(w http.ResponseWriter, r *http.Request) {
	a.steer(w, r, func(ctx context.Context, name string) error { return a.host.Pause(ctx, name) })
}

func (a *API) resume(w http.ResponseWriter, r *http.Request) {
	a.steer(w, r, func(_ context.Context, name string) error { return a.host.Continue(name) })
}

// steer answers with how the flow stands afterwards.
func (a *API) steer(w http.ResponseWriter, r *http.Request, do func(context.Context, string) error) {
	f := a.one(w, r)
	if f == nil {
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), pauseTimeout)
	defer cancel()
	if err := do(ctx, f.Name); err != nil && !errors.Is(err, context.DeadlineExceeded) {
		refuse(w, &Error{http.StatusConflict, fmt.Sprintf("flow %q: %v", f.Name, err), "see how it stands: /v1/flows/" + f.Name})
		return
	}
	a.flow(w, r)
}

func (a *API) drain(w http.ResponseWriter, r *http.Request) {
	if f := a.one(w, r); f != nil {
		a.submit(w, r, change.Change{Flow: f.Name, Remove: true, From: "api"})
	}
}

func (a *API) values(w http.ResponseWriter, r *http.Request) {
	f := a.one(w, r)
	if f == nil {
		return
	}
	query := r.URL.Query()
	limit, err := strconv.Atoi(query.Get("limit"))
	if err != nil || limit <= 0 || limit > maxKeys {
		limit = maxKeys
	}
	ctx, cancel := context.WithTimeout(r.Context(), viewTimeout)
	defer cancel()
	v, err := a.host.Values(ctx, f.Name, r.PathValue("stage"), ValuesQuery{query.Get("find"), query.Get("after"), limit})
	if err != nil {
		refuse(w, &Error{http.StatusConflict, err.Error(), "windows have values by key, while their flow runs or is paused"})
		return
	}
	answer(w, http.StatusOK, v)
}
