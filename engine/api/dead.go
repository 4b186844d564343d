package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/telluride-stream/telluride/engine/deadletter"
)

// DeadLetters is a [Host] whose flows keep dead letters that can be worked
// with. Of a host that is none, the routes are not there.
type DeadLetters interface {
	// ListDead lists the letters of a flow that a filter means.
	ListDead(ctx context.Context, flow string, f deadletter.Filter) (DeadList, error)
	// ReplayDead sends letters to the flow's sources, or with origin to where
	// each was sent first; perSecond 0 is no bound.
	ReplayDead(ctx context.Context, flow string, f deadletter.Filter, origin bool, perSecond int) (deadletter.Result, error)
	// DropDead removes letters.
	DropDead(ctx context.Context, flow string, f deadletter.Filter) (deadletter.Result, error)
}

// DeadList is some dead letters, oldest first.
type DeadList struct {
	Letters []*deadletter.Letter `json:"letters"`
	// Notes say what could not be looked into, and why.
	Notes []string `json:"notes,omitempty"`
	// Counted says that the place counts how often a letter is looked at, and
	// may give up one that was too often: do not look without being asked to.
	Counted bool `json:"counted,omitempty"`
}

// DeadRequest asks for letters to be replayed or dropped. Without a filter
// and without All nothing is.
type DeadRequest struct {
	deadletter.Filter
	All bool `json:"all,omitempty"`
	// To is source (the default) or origin, and Rate the most letters a
	// second; both for a replay.
	To   string `json:"to,omitempty"`
	Rate int    `json:"rate,omitempty"`
}

const (
	// deadTimeout bounds how long a request works on dead letters. What was
	// not done by then is still there.
	deadTimeout = 45 * time.Second
	// defaultDead and maxDead are how many letters one answer has.
	defaultDead = 100
	maxDead     = 1000
)

func (a *API) deadRoutes() []route {
	host, ok := a.host.(DeadLetters)
	if !ok {
		return nil
	}
	return []route{
		{"GET", "/v1/flows/{flow}/dead", func(w http.ResponseWriter, r *http.Request) { a.listDead(w, r, host) }, false},
		{"POST", "/v1/flows/{flow}/dead/replay", a.settleDead(func(ctx context.Context, flow string, d *DeadRequest) (deadletter.Result, error) {
			return host.ReplayDead(ctx, flow, d.Filter, d.To == "origin", d.Rate)
		}), true},
		{"POST", "/v1/flows/{flow}/dead/drop", a.settleDead(func(ctx context.Context, flow string, d *DeadRequest) (deadletter.Result, error) {
			return host.DropDead(ctx, flow, d.Filter)
		}), true},
	}
}

func (a *API) listDead(w http.ResponseWriter, r *http.Request, host DeadLetters) {
	f := a.one(w, r)
	if f == nil {
		return
	}
	filter, problem := deadFilterOf(r.URL.Query())
	if problem != nil {
		refuse(w, problem)
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), deadTimeout)
	defer cancel()
	list, err := host.ListDead(ctx, f.Name, filter)
	if err != nil {
		refuse(w, &Error{http.StatusBadGateway, "dead letters: " + err.Error(), ""})
		return
	}
	if list.Letters == nil {
		list.Letters = []*deadletter.Letter{}
	}
	answer(w, http.StatusOK, list)
}

// deadFilterOf reads ?id=…&stage=…&reason=…&since=…&limit=….
func deadFilterOf(q url.Values) (f deadletter.Filter, problem *Error) {
	f = deadletter.Filter{IDs: q["id"], Stage: q.Get("stage"), Reason: q.Get("reason"), Limit: defaultDead}
	if text := q.Get("limit"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 {
			return f, &Error{http.StatusBadRequest, fmt.Sprintf("limit=%s: expected a number of letters", text), fmt.Sprintf("at most %d are told at a time", maxDead)}
		}
		f.Limit = min(n, maxDead)
	}
	if text := q.Get("since"); text != "" {
		since, err := time.Parse(time.RFC3339, text)
		if err != nil {
			return f, &Error{http.StatusBadRequest, fmt.Sprintf("since=%s: expected a time", text), "such as 2026-01-31T12:00:00Z"}
		}
		f.Since = since
	}
	return f, nil
}

func (a *API) settleDead(do func(context.Context, string, *DeadRequest) (deadletter.Result, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		f := a.one(w, r)
		if f == nil {
			return
		}
		request, problem := deadRequestOf(w, r)
		if problem != nil {
			refuse(w, problem)
			return
		}
		ctx, cancel := context.WithTimeout(r.Context(), deadTimeout)
		defer cancel()
		result, err := do(ctx, f.Name, request)
		if err != nil && !errors.Is(err, context.DeadlineExceeded) {
			refuse(w, &Error{http.StatusBadGateway, fmt.Sprintf("dead letters: %v", err), fmt.Sprintf("%d are done; what is not is still there", result.Done)})
			return
		}
		answer(w, http.StatusOK, result)
	}
}

func deadRequestOf(w http.ResponseWriter, r *http.Request) (*DeadRequest, *Error) {
	var d DeadRequest
	dec := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxBody))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&d); err != nil && !errors.Is(err, io.EOF) {
		return nil, &Error{http.StatusBadRequest, fmt.Sprintf("the request cannot be read: %v", err), `send JSON such as {"stage": "assert", "limit": 10}`}
	}
	switch {
	case d.Filter.Empty() && d.Limit <= 0 && !d.All:
		return nil, &Error{http.StatusBadRequest, "the request does not say which dead letters", `send {"ids": […]}, another filter, or {"all": true}`}
	case d.To != "" && d.To != "source" && d.To != "origin":
		return nil, &Error{http.StatusBadRequest, fmt.Sprintf("to: %q is neither source nor origin", d.To), "leave it out for source"}
	case d.Rate < 0 || d.Limit < 0:
		return nil, &Error{http.StatusBadRequest, "rate and limit cannot be negative", "leave them out for no bound"}
	}
	return &d, nil
}
