package prom

import (
	"net/http"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// Handler answers scrapes: the metrics of flows, of the Go runtime and of the
// process. flows is called once a scrape, from any goroutine.
func Handler(flows func() []Flow) http.Handler {
	registry := prometheus.NewRegistry()
	registry.MustRegister(
		Collector(flows),
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
	)
	return promhttp.HandlerFor(registry, promhttp.HandlerOpts{MaxRequestsInFlight: 4})
}
