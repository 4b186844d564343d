package api

import (
	"encoding/json"
	"fmt"
	"net/http"
	"time"

	"github.com/telluride-stream/telluride/engine/change"
)

const (
	// maxStreams bounds the streams that are open at a time, over all clients.
	maxStreams = 64
	// streamTimeout is how long a client may take for what it is sent.
	streamTimeout = 10 * time.Second
)

// stream takes one of the streams; the returned function gives it back. It is
// nil when there is none, and the request was refused.
func (a *API) stream(w http.ResponseWriter) func() {
	select {
	case a.streams <- struct{}{}:
		return func() { <-a.streams }
	default:
		w.Header().Set("Retry-After", "5")
		refuse(w, &Error{http.StatusTooManyRequests, fmt.Sprintf("%d streams are open already", maxStreams), "close one"})
		return nil
	}
}

// events sends what happens as server-sent events: `metrics` once a second,
// with the stages of the flow that ?flow= names, and `receipt` for every
// change of it.
func (a *API) events(w http.ResponseWriter, r *http.Request) {
	leave := a.stream(w)
	if leave == nil {
		return
	}
	defer leave()
	flow := r.URL.Query().Get("flow")
	news, stop := a.monitor.listen()
	defer stop()
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(http.StatusOK)
	last := lastReceipt(a.receiptsOf(flow))
	if !send(w, "metrics", brief(a.monitor.now(), flow)) {
		return
	}
	for {
		select {
		case m := <-news:
			if !send(w, "metrics", brief(m, flow)) {
				return
			}
			for _, one := range since(a.receiptsOf(flow), last) {
				last = stamp{one.ID, one.At}
				if !send(w, "receipt", one) {
					return
				}
			}
		case <-r.Context().Done():
			return
		}
	}
}

func (a *API) receiptsOf(flow string) []change.Receipt {
	if flow == "" {
		return nil
	}
	for _, f := range a.host.Status() {
		if f.Name == flow {
			return f.Receipts
		}
	}
	return nil
}

// stamp tells receipts apart: one that was pending comes again under its ID.
type stamp struct {
	id string
	at time.Time
}

func lastReceipt(all []change.Receipt) stamp {
	if len(all) == 0 {
		return stamp{}
	}
	return stamp{all[len(all)-1].ID, all[len(all)-1].At}
}

// since lists the receipts behind the one with a stamp; all when it is gone.
func since(all []change.Receipt, last stamp) []change.Receipt {
	for i := range all {
		if all[i].ID == last.id && all[i].At.Equal(last.at) {
			return all[i+1:]
		}
	}
	return all
}

// send writes an event. false: the client has gone, or is too slow.
func send(w http.ResponseWriter, event string, data any) bool {
	text, err := json.Marshal(data)
	if err != nil {
		return false
	}
	return write(w, "event: "+event+"\ndata: "+string(text)+"\n\n")
}

// write writes to a stream, for as long as a client may take.
func write(w http.ResponseWriter, text string) bool {
	c := http.NewResponseController(w)
	_ = c.SetWriteDeadline(time.Now().Add(streamTimeout))
	if _, err := w.Write([]byte(text)); err != nil {
		return false
	}
	return c.Flush() == nil
}
