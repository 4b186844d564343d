package api

import (
	"fmt"
	"net/http"
	"strings"
)

// Health is whether a process is fit for work.
type Health struct {
	Ready bool `json:"ready"`
	// Reasons say, flow by flow, why it is not.
	Reasons []Unready `json:"reasons"`
}

// Unready is why a flow is not ready.
type Unready struct {
	Flow   string `json:"flow"`
	State  string `json:"state"`
	Reason string `json:"reason,omitempty"`
}

// HealthOf tells from the flows whether a process is ready.
func HealthOf(flows []Flow) Health {
	h := Health{Ready: true, Reasons: []Unready{}}
	for _, f := range flows {
		if !f.Ready {
			h.Ready = false
			h.Reasons = append(h.Reasons, Unready{f.Name, f.State, f.Reason})
		}
	}
	return h
}

func (h Health) status() int {
	if h.Ready {
		return http.StatusOK
	}
	return http.StatusServiceUnavailable
}

func (a *API) ready(w http.ResponseWriter, _ *http.Request) {
	health := HealthOf(a.host.Status())
	answer(w, health.status(), health)
}

// probe answers /livez and /readyz, as an orchestrator asks: 200 or 503, and a
// text for people. reasons says whether it may tell why.
func (a *API) probe(w http.ResponseWriter, r *http.Request, reasons bool) {
	status, text := http.StatusOK, "alive\n"
	if r.URL.Path == "/readyz" {
		health := HealthOf(a.host.Status())
		status, text = health.status(), "ready\n"
		if !health.Ready {
			text = "not ready\n"
		}
		if reasons {
			var b strings.Builder
			b.WriteString(text)
			for _, u := range health.Reasons {
				fmt.Fprintf(&b, "%s: %s", u.Flow, u.State)
				if u.Reason != "" {
					b.WriteString(": " + u.Reason)
				}
				b.WriteString("\n")
			}
			text = b.String()
		}
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_, _ = w.Write([]byte(text))
}
