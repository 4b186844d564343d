// Package tracetest takes the spans that a test's program sends by OTLP. It
// must not know what sends them.
package tracetest

import (
	"compress/gzip"
	"encoding/hex"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"

	commonpb "go.opentelemetry.io/proto/otlp/common/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"
)

// Span is one that a collector was sent. Ids are hexadecimal; Parent is "" for
// a root. A link is "trace/span".
type Span struct {
	Name, Kind, Trace, ID, Parent, State string
	Links                                []string
	Failed                               bool
	Attrs                                map[string]string
	Service                              string
}

// Collector takes spans at /v1/traces.
type Collector struct {
	URL string

	mu      sync.Mutex
	spans   []Span
	headers []http.Header
	answer  func(n int) int
}

// Start starts a collector, which ends with the test.
func Start(t testing.TB) *Collector {
	c := &Collector{answer: func(int) int { return http.StatusOK }}
	s := httptest.NewServer(c)
	t.Cleanup(s.Close)
	c.URL = s.URL
	return c
}

// Answer has request n (from 0) answered with a status. What is not answered
// with 200 is not taken.
func (c *Collector) Answer(status func(n int) int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.answer = status
}

// Spans are those that were taken, and Headers those of all requests.
func (c *Collector) Spans() []Span {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.spans)
}

// Headers are those of the requests so far.
func (c *Collector) Headers() []http.Header {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.headers)
}

// ServeHTTP takes a request for an export.
func (c *Collector) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body := io.Reader(r.Body)
	if r.Header.Get("Content-Encoding") == "gzip" {
		unzip, err := gzip.NewReader(body)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		body = unzip
	}
	text, err := io.ReadAll(body)
	var data tracepb.TracesData
	if err != nil || r.URL.Path != "/v1/traces" || r.Header.Get("Content-Type") != "application/x-protobuf" || proto.Unmarshal(text, &data) != nil {
		http.Error(w, "not an export", http.StatusBadRequest)
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	status := c.answer(len(c.headers))
	c.headers = append(c.headers, r.Header)
	w.WriteHeader(status)
	if status != http.StatusOK {
		return
	}
	for _, resource := range data.GetResourceSpans() {
		for _, scope := range resource.GetScopeSpans() {
			for _, s := range scope.GetSpans() {
				one := spanOf(s)
				one.Service = attrs(resource.GetResource().GetAttributes())["service.name"]
				c.spans = append(c.spans, one)
			}
		}
	}
}

func spanOf(s *tracepb.Span) Span {
	one := Span{
		Name: s.GetName(), Kind: strings.ToLower(strings.TrimPrefix(s.GetKind().String(), "SPAN_KIND_")), State: s.GetTraceState(),
		Trace: hex.EncodeToString(s.GetTraceId()), ID: hex.EncodeToString(s.GetSpanId()), Parent: hex.EncodeToString(s.GetParentSpanId()),
		Failed: s.GetStatus().GetCode() == tracepb.Status_STATUS_CODE_ERROR, Attrs: attrs(s.GetAttributes()),
	}
	for _, l := range s.GetLinks() {
		one.Links = append(one.Links, hex.EncodeToString(l.GetTraceId())+"/"+hex.EncodeToString(l.GetSpanId()))
	}
	return one
}

func attrs(list []*commonpb.KeyValue) map[string]string {
	m := map[string]string{}
	for _, kv := range list {
		v := kv.GetValue()
		if s, ok := v.GetValue().(*commonpb.AnyValue_StringValue); ok {
			m[kv.GetKey()] = s.StringValue
			continue
		}
		m[kv.GetKey()] = strings.Trim(v.String()[strings.IndexByte(v.String(), ':')+1:], " \"")
	}
	return m
}
