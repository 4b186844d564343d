package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/telluride-stream/telluride/engine/diag"
	"github.com/telluride-stream/telluride/engine/plan"
)

const (
	// defaultRate and maxRate bound how many records a second a tap shows.
	defaultRate = 100
	maxRate     = 1000
	// searchRate is how many records a second a tap with a condition looks at.
	searchRate = 2000
	// refills is how often a second the budget of a tap is filled again.
	refills = 10
)

// Tap looks at records that pass. It is used by one goroutine at a time.
type Tap interface {
	// Allow lets up to n more records be taken.
	Allow(n int)
	// Next waits for a record: a JSON object with the stage, the key, the time
	// and the record. wanted says that the condition holds for it.
	Next(ctx context.Context) (text []byte, wanted bool, err error)
	// Passed is how many records have passed so far.
	Passed() uint64
	Close()
}

// tapRequest is what a client wants to see.
type tapRequest struct {
	where    string
	limit    int // 0: no limit
	duration time.Duration
	rate     int
}

func tapRequestOf(q url.Values) (t tapRequest, problem *Error) {
	bad := func(name, want string) *Error {
		return &Error{http.StatusBadRequest, fmt.Sprintf("%s=%s: expected %s", name, q.Get(name), want), "leave it out for the default"}
	}
	t.where, t.rate = q.Get("where"), defaultRate
	var err error
	if text := q.Get("limit"); text != "" {
		if t.limit, err = strconv.Atoi(text); err != nil || t.limit < 0 {
			return t, bad("limit", "a number of records")
		}
	}
	if text := q.Get("rate"); text != "" {
		if t.rate, err = strconv.Atoi(text); err != nil || t.rate < 1 || t.rate > maxRate {
			return t, bad("rate", fmt.Sprintf("records per second, 1 to %d", maxRate))
		}
	}
	if text := q.Get("duration"); text != "" {
		if t.duration, err = time.ParseDuration(text); err != nil || t.duration <= 0 {
			return t, bad("duration", "a duration such as 10s")
		}
	}
	return t, nil
}

// tap sends records that pass as NDJSON: lines with `record`, and once a
// second one with how many have `passed` and how many were `shown`.
func (a *API) tap(w http.ResponseWriter, r *http.Request) {
	f := a.one(w, r)
	if f == nil {
		return
	}
	want, problem := tapRequestOf(r.URL.Query())
	if problem != nil {
		refuse(w, problem)
		return
	}
	drawing, _ := a.host.Drawing(f.Name)
	places, problem := placesOf(drawing, r.URL.Query().Get("stage"))
	if problem != nil {
		refuse(w, problem)
		return
	}
	leave := a.stream(w)
	if leave == nil {
		return
	}
	defer leave()
	tap, err := a.host.Tap(f.Name, places, want.where)
	if err != nil {
		refuse(w, &Error{http.StatusBadRequest, err.Error(), "a condition is an expression over the record, such as: reading > 90"})
		return
	}
	defer tap.Close()
	w.Header().Set("Content-Type", "application/x-ndjson")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(http.StatusOK)
	_ = http.NewResponseController(w).Flush()
	ctx := r.Context()
	if want.duration > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, want.duration)
		defer cancel()
	}
	follow(ctx, w, tap, want)
}

// follow sends what a tap shows until ctx is done, the limit is reached, or
// the client has gone.
func follow(ctx context.Context, w http.ResponseWriter, tap Tap, want tapRequest) {
	look := want.rate
	if want.where != "" {
		look = searchRate
	}
	second := time.Now().Add(time.Second)
	left, sent := want.rate, 0
	status := func() bool {
		return write(w, fmt.Sprintf("{\"passed\":%d,\"shown\":%d}\n", tap.Passed(), sent))
	}
	for {
		tap.Allow(max(1, look/refills))
		slice, cancel := context.WithTimeout(ctx, time.Second/refills)
		for left > 0 {
			text, wanted, err := tap.Next(slice)
			if err != nil {
				break
			}
			if !wanted {
				continue
			}
			if !write(w, string(text)+"\n") {
				cancel()
				return
			}
			left--
			if sent++; want.limit > 0 && sent >= want.limit {
				cancel()
				status()
				return
			}
		}
		<-slice.Done()
		cancel()
		if ctx.Err() != nil {
			if errors.Is(ctx.Err(), context.DeadlineExceeded) {
				status()
			}
			return
		}
		if now := time.Now(); !now.Before(second) {
			second, left = now.Add(time.Second), want.rate
			if !status() {
				return
			}
		}
	}
}

// placesOf are the places of a tap that a person names: a stage, source/NAME,
// sink/NAME, or nothing for what goes into the sinks.
func placesOf(d *plan.Drawing, stage string) ([]string, *Error) {
	if d == nil {
		return nil, &Error{http.StatusConflict, "the flow does not run", "start it"}
	}
	var all, sinks []string
	byName := map[string]string{}
	for _, b := range append(append([]plan.Box{}, d.Boxes...), d.Sides...) {
		place := b.Place()
		all = append(all, place)
		if b.Row == "sink" && !isSideBox(d, b) {
			sinks = append(sinks, place)
		}
		if _, taken := byName[b.Name]; !taken || b.Row != "source" && b.Row != "sink" {
			byName[b.Name] = place
		}
		byName[place] = place
	}
	if stage == "" {
		return sinks, nil
	}
	if place, ok := byName[stage]; ok {
		return []string{place}, nil
	}
	advice := "there are " + strings.Join(all, ", ")
	if near := diag.Suggest(stage, all); near != "" {
		advice = fmt.Sprintf("did you mean %q?", near)
	}
	return nil, &Error{http.StatusNotFound, fmt.Sprintf("the flow has no stage %q", stage), advice}
}

func isSideBox(d *plan.Drawing, b plan.Box) bool {
	for _, s := range d.Sides {
		if s.ID == b.ID {
			return true
		}
	}
	return false
}

// TapLine is a line of a tap: a record, or how many have passed and were shown.
type TapLine struct {
	Stage  string          `json:"stage,omitempty"`
	Key    string          `json:"key,omitempty"`
	Time   time.Time       `json:"time,omitzero"`
	Record json.RawMessage `json:"record,omitempty"`
	Passed *uint64         `json:"passed,omitempty"`
	Shown  uint64          `json:"shown,omitempty"`
}
