package api

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/telluride-stream/telluride/engine/inspect"
)

// States is a host whose state can be looked at and changed by hand. Its
// errors of type [inspect.Error] are for people.
type States interface {
	States(flow string) ([]inspect.Flow, error)
	ShowState(flow, stage string, q inspect.Query, each func(inspect.Entry) error) (more bool, err error)
	ExportState(flow, stage string, to io.Writer) error
	ImportState(flow string, file *inspect.File, how inspect.Importing) (inspect.Done, error)
	DropState(flow, stage string, key *string) (inspect.Done, error)
}

// moreTrailer is the trailer that says whether a list of entries goes on.
const moreTrailer = "Telluride-More"

// Local is Handler with the state of the flows, which may hold personal data:
// it is for the socket that only the user of the process may connect to.
func (a *API) Local(s States) http.Handler {
	l := &stateRoutes{s}
	return a.handler(false,
		route{"GET", "/v1/state", l.list, false},
		route{"GET", "/v1/state/{flow}", l.list, false},
		route{"GET", "/v1/state/{flow}/entries", l.show, false},
		route{"GET", "/v1/state/{flow}/export", l.export, false},
		route{"POST", "/v1/state/{flow}/import", l.take, true},
		route{"DELETE", "/v1/state/{flow}/entries", l.drop, true},
	)
}

type stateRoutes struct{ States }

// patience is how long state may take to be sent, or a flow to be parked.
const patience = time.Hour

func patient(w http.ResponseWriter) {
	c := http.NewResponseController(w)
	_ = c.SetReadDeadline(time.Now().Add(patience))
	_ = c.SetWriteDeadline(time.Now().Add(patience))
}

func (l *stateRoutes) list(w http.ResponseWriter, r *http.Request) {
	patient(w)
	flows, err := l.States.States(r.PathValue("flow"))
	if err != nil {
		refuseState(w, err)
		return
	}
	answer(w, http.StatusOK, flows)
}

// show sends the entries as lines of JSON. What goes wrong in the middle ends
// the answer without its trailer.
func (l *stateRoutes) show(w http.ResponseWriter, r *http.Request) {
	patient(w)
	query := r.URL.Query()
	q := inspect.Query{Key: keyOf(query)}
	limit, err := strconv.Atoi(query.Get("limit"))
	if err != nil || limit < 0 {
		refuse(w, &Error{http.StatusBadRequest, "limit is no number", "write limit=20, or limit=0 for all"})
		return
	}
	q.Limit = limit
	w.Header().Set("Trailer", moreTrailer)
	out := lines{w: w}
	more, err := l.ShowState(r.PathValue("flow"), query.Get("stage"), q, func(e inspect.Entry) error {
		enc := json.NewEncoder(&out)
		enc.SetEscapeHTML(false)
		return enc.Encode(e)
	})
	if err != nil {
		out.fail(err)
		return
	}
	out.begin()
	w.Header().Set(moreTrailer, strconv.FormatBool(more))
}

func (l *stateRoutes) export(w http.ResponseWriter, r *http.Request) {
	patient(w)
	out := lines{w: w}
	buffered := bufio.NewWriterSize(&out, 64<<10)
	err := l.ExportState(r.PathValue("flow"), r.URL.Query().Get("stage"), buffered)
	if err = errors.Join(err, buffered.Flush()); err != nil {
		out.fail(err)
	}
}

func (l *stateRoutes) take(w http.ResponseWriter, r *http.Request) {
	patient(w)
	file, err := inspect.ReadFile(r.Body)
	if err != nil {
		refuse(w, &Error{http.StatusBadRequest, err.Error(), ""})
		return
	}
	query := r.URL.Query()
	done, err := l.ImportState(r.PathValue("flow"), file, inspect.Importing{Stage: query.Get("stage"), How: query.Get("how")})
	if err != nil {
		refuseState(w, err)
		return
	}
	answer(w, http.StatusOK, done)
}

func (l *stateRoutes) drop(w http.ResponseWriter, r *http.Request) {
	patient(w)
	query := r.URL.Query()
	done, err := l.DropState(r.PathValue("flow"), query.Get("stage"), keyOf(query))
	if err != nil {
		refuseState(w, err)
		return
	}
	answer(w, http.StatusOK, done)
}

// keyOf is the key that a request names; nil: none, which the empty key is not.
func keyOf(query url.Values) *string {
	if !query.Has("key") {
		return nil
	}
	key := query.Get("key")
	return &key
}

// lines is an answer that begins with its first byte: before, it can still be
// an error.
type lines struct {
	w     http.ResponseWriter
	begun bool
}

func (l *lines) begin() {
	if !l.begun {
		l.begun = true
		l.w.Header().Set("Content-Type", "application/x-ndjson")
		l.w.Header().Set("Cache-Control", "no-store")
		l.w.WriteHeader(http.StatusOK)
	}
}

func (l *lines) Write(b []byte) (int, error) {
	l.begin()
	return l.w.Write(b)
}

// fail answers with the error, or ends the connection when the answer has
// begun, so that nobody takes it for whole.
func (l *lines) fail(err error) {
	if !l.begun {
		refuseState(l.w, err)
		return
	}
	panic(http.ErrAbortHandler)
}

func refuseState(w http.ResponseWriter, err error) {
	var e *inspect.Error
	if !errors.As(err, &e) {
		refuse(w, &Error{http.StatusInternalServerError, err.Error(), ""})
		return
	}
	status := http.StatusConflict
	if e.Missing {
		status = http.StatusNotFound
	}
	refuse(w, &Error{status, e.Message, e.Advice})
}

// stateError is an error of a process as it would be without one.
func stateError(err error) error {
	var e *Error
	if errors.As(err, &e) && e.Status != http.StatusInternalServerError {
		return &inspect.Error{Message: e.Message, Advice: e.Advice, Missing: e.Status == http.StatusNotFound}
	}
	return fmt.Errorf("ask the process: %w", err)
}
