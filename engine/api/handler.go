package api

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/telluride-stream/telluride/engine/change"
	"github.com/telluride-stream/telluride/engine/diag"
)

const (
	// maxBody bounds a request: a flow file of 1 MiB grows by a third as base64.
	maxBody = 2 << 20
	// maxWait bounds how long a request waits for a receipt.
	maxWait = 10 * time.Minute
)

// API serves a host. Its handlers share what is known of changes that came
// over any of them.
type API struct {
	host    Host
	log     *slog.Logger
	changes *ledger
	url     string
	monitor *monitor
	streams chan struct{}
}

// SetURL says where the dashboard is. It is to be called before a handler serves.
func (a *API) SetURL(url string) { a.url = url }

// New makes the API of a host.
func New(host Host, log *slog.Logger) *API {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	return &API{host: host, log: log, changes: newLedger(), monitor: newMonitor(host), streams: make(chan struct{}, maxStreams)}
}

// Handler serves what [API.routes] lists, which openapi.json describes. A
// change is answered with its receipt, whatever its outcome is. ?wait=30s
// bounds the wait, and with ?wait=0 there is none: then the answer is 202, and
// the receipt comes later. What is refused is answered with an [Error].
func (a *API) Handler() http.Handler { return a.handler(false) }

// ReadOnly is Handler without what changes anything.
func (a *API) ReadOnly() http.Handler { return a.handler(true) }

// route is one method of one path.
type route struct {
	method, path string
	serve        http.HandlerFunc
	// changes says that it is not served read-only.
	changes bool
}

func (a *API) routes() []route {
	return []route{
		{"GET", "/api/openapi.json", a.openAPI, false},
		{"GET", "/v1/flows", a.flows, false},
		{"GET", "/v1/ready", a.ready, false},
		{"GET", "/v1/metrics", a.metrics, false},
		{"GET", "/v1/events", a.events, false},
		{"GET", "/v1/flows/{flow}", a.flow, false},
		{"GET", "/v1/flows/{flow}/graph", a.of(func(f *Flow) any { d, _ := a.host.Drawing(f.Name); return d }), false},
		{"GET", "/v1/flows/{flow}/metrics", a.of(func(f *Flow) any { return a.measured(f) }), false},
		{"GET", "/v1/flows/{flow}/stages", a.of(func(f *Flow) any { return a.measured(f).Stages }), false},
		{"GET", "/v1/flows/{flow}/history", a.of(func(f *Flow) any { return a.monitor.past(f.Name) }), false},
		{"GET", "/v1/flows/{flow}/receipts", a.of(func(f *Flow) any { return f.Receipts }), false},
		{"GET", "/v1/flows/{flow}/params", a.of(func(f *Flow) any { return f.Params }), false},
		{"PATCH", "/v1/flows/{flow}/params", a.patchParams, true},
		{"GET", "/v1/flows/{flow}/file", a.file, false},
		{"PUT", "/v1/flows/{flow}/file", a.putFile, true},
		{"POST", "/v1/flows/{flow}/file/validate", a.validateFile, false},
		{"POST", "/v1/flows/{flow}/file/plan", a.planFile, false},
		{"GET", "/v1/flows/{flow}/versions", a.versions, false},
		{"GET", "/v1/flows/{flow}/values/{stage}", a.values, false},
		{"GET", "/v1/flows/{flow}/tap", a.tap, false},
		{"POST", "/v1/flows/{flow}/pause", a.pause, true},
		{"POST", "/v1/flows/{flow}/resume", a.resume, true},
		{"POST", "/v1/flows/{flow}/drain", a.drain, true},
		{"POST", "/v1/plan", a.plan, false},
		{"POST", "/v1/changes", a.change, true},
		{"GET", "/v1/receipts/{id}", a.receipt, false},
	}
}

func (a *API) handler(readOnly bool, more ...route) http.Handler {
	mux := http.NewServeMux()
	byPath := map[string]methods{}
	for _, r := range slices.Concat(a.routes(), a.deadRoutes(), more) {
		m := byPath[r.path]
		if m == nil {
			m = methods{}
			byPath[r.path] = m
			mux.Handle(r.path, m)
		}
		m[r.method] = r.serve
		if readOnly && r.changes {
			m[r.method] = onlyRead
		}
	}
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		refuse(w, &Error{http.StatusNotFound, fmt.Sprintf("there is nothing at %s", r.URL.Path), "begin at /v1/flows; all of it is in /api/openapi.json"})
	})
	return mux
}

// methods serves the methods of one path, GET with HEAD.
type methods map[string]http.HandlerFunc

func (m methods) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	method := r.Method
	if method == http.MethodHead {
		method = http.MethodGet
	}
	if serve := m[method]; serve != nil {
		serve(w, r)
		return
	}
	allowed := strings.Join(slices.Sorted(maps.Keys(m)), ", ")
	w.Header().Set("Allow", allowed)
	refuse(w, &Error{http.StatusMethodNotAllowed, fmt.Sprintf("%s is not possible here", r.Method), "use " + allowed})
}

func onlyRead(w http.ResponseWriter, _ *http.Request) {
	refuse(w, &Error{http.StatusForbidden, "this address is read-only", "the process was started with --http-read-only; telluride apply still changes it"})
}

func (a *API) flows(w http.ResponseWriter, _ *http.Request) {
	answer(w, http.StatusOK, Process{PID: os.Getpid(), URL: a.url, Flows: append([]Flow{}, a.host.Status()...)})
}

func (a *API) flow(w http.ResponseWriter, r *http.Request) {
	if f := a.one(w, r); f != nil {
		answer(w, http.StatusOK, f)
	}
}

// known is advice for a name that is none of the known ones.
func known(name string, names []string) string {
	switch near := diag.Suggest(name, names); {
	case near != "":
		return fmt.Sprintf("did you mean %q?", near)
	case len(names) == 0:
		return "no flow runs"
	}
	return "flows: " + strings.Join(names, ", ")
}

func (a *API) plan(w http.ResponseWriter, r *http.Request) {
	c, problem := readChange(w, r)
	if problem != nil {
		refuse(w, problem)
		return
	}
	answer(w, http.StatusOK, a.host.Plan(c))
}

func (a *API) change(w http.ResponseWriter, r *http.Request) {
	c, problem := readChange(w, r)
	if problem != nil {
		refuse(w, problem)
		return
	}
	a.submit(w, r, c)
}

// submit makes a change and answers with its receipt.
func (a *API) submit(w http.ResponseWriter, r *http.Request, c change.Change) {
	wait, problem := waitOf(r.URL.Query())
	if problem != nil {
		refuse(w, problem)
		return
	}
	if c.ID == "" {
		c.ID = newID()
	}
	a.log.Debug("change over the API", "id", c.ID, "flow", c.Flow, "file", c.File, "params", slices.Sorted(maps.Keys(c.Set)))
	entry := a.changes.add(c.ID, a.host.Submit(c))
	// The server's limits are for clients that send or read slowly.
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(wait + writeTimeout))
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-entry.done:
		answer(w, http.StatusOK, entry.receipt)
		return
	default:
	}
	select {
	case <-entry.done:
		answer(w, http.StatusOK, entry.receipt)
	case <-timer.C:
		later(w, c.ID)
	case <-r.Context().Done():
		// Nobody reads this but a client of a process that ends.
		refuse(w, &Error{http.StatusServiceUnavailable, "the process is ending", "the change may or may not have been made; ask again when it runs"})
	}
}

func (a *API) receipt(w http.ResponseWriter, r *http.Request) {
	id := r.PathValue("id")
	entry := a.changes.find(id)
	if entry != nil {
		select {
		case <-entry.done:
		default:
			later(w, id)
			return
		}
		if entry.receipt.Outcome != change.Pending { // there may be a later one
			answer(w, http.StatusOK, entry.receipt)
			return
		}
	}
	for _, f := range a.host.Status() {
		for _, receipt := range f.Receipts {
			if receipt.ID == id {
				answer(w, http.StatusOK, receipt)
				return
			}
		}
	}
	if entry != nil {
		answer(w, http.StatusOK, entry.receipt)
		return
	}
	refuse(w, &Error{http.StatusNotFound, fmt.Sprintf("there is no receipt %q", id), "only the last ones are kept: see /v1/flows"})
}

// later says that the receipt of a change is not there yet.
func later(w http.ResponseWriter, id string) {
	at := "/v1/receipts/" + url.PathEscape(id)
	w.Header().Set("Location", at)
	answer(w, http.StatusAccepted, accepted{ID: id, Receipt: at})
}

func waitOf(query url.Values) (time.Duration, *Error) {
	text := query.Get("wait")
	switch text {
	case "":
		return maxWait, nil
	case "0":
		return 0, nil
	}
	wait, err := time.ParseDuration(text)
	if err != nil || wait < 0 {
		return 0, &Error{http.StatusBadRequest, fmt.Sprintf("wait=%s: expected a duration", text), "write wait=30s, or wait=0 for no wait"}
	}
	return min(wait, maxWait), nil
}

// readChange reads the change of a request. Where it comes from is not the
// client's to say.
func readChange(w http.ResponseWriter, r *http.Request) (change.Change, *Error) {
	var c change.Change
	problem := readJSON(w, r, &c)
	c.From = "api"
	return c, problem
}

// readJSON reads the one JSON value of a request.
func readJSON(w http.ResponseWriter, r *http.Request, into any) *Error {
	dec := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxBody))
	dec.DisallowUnknownFields()
	err := dec.Decode(into)
	if err == nil {
		if _, err = dec.Token(); errors.Is(err, io.EOF) {
			err = nil
		} else if err == nil {
			err = errors.New("more than one value")
		}
	}
	var big *http.MaxBytesError
	switch {
	case errors.As(err, &big):
		return &Error{http.StatusRequestEntityTooLarge, fmt.Sprintf("the request is larger than %d bytes", big.Limit), "a flow file may have 1 MiB"}
	case errors.Is(err, io.EOF):
		return &Error{http.StatusBadRequest, "the request is empty", `send a change as JSON, such as {"set": {"lanes": "8"}}`}
	case err != nil:
		return &Error{http.StatusBadRequest, fmt.Sprintf("the request is no change: %v", err), `send a change as JSON, such as {"set": {"lanes": "8"}}, with "source" as base64`}
	}
	return nil
}

func answer(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	_ = enc.Encode(body) // a client that has gone is told nothing
}

func refuse(w http.ResponseWriter, e *Error) { answer(w, e.Status, e) }
