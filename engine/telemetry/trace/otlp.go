package trace

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/cenkalti/backoff/v5"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"
)

// uploader sends spans by OTLP/HTTP, in binary form. The SDK's own brings gRPC
// along, which nothing here uses.
type uploader struct {
	life    context.Context // ends every upload
	url     string
	header  http.Header
	timeout time.Duration // of one upload, with what is tried again
	gzip    bool
	client  *http.Client
}

var _ otlptrace.Client = (*uploader)(nil)

// otlp is a variable for traces, or the one for all signals.
func otlp(name string) string {
	if v := variable("OTEL_EXPORTER_OTLP_TRACES_" + name); v != "" {
		return v
	}
	return variable("OTEL_EXPORTER_OTLP_" + name)
}

func newUploader(life context.Context) (*uploader, error) {
	u := &uploader{life: life, header: http.Header{}, timeout: 10 * time.Second}
	if p := otlp("PROTOCOL"); p != "" && p != "http/protobuf" {
		return nil, fmt.Errorf("OTEL_EXPORTER_OTLP_PROTOCOL: %q is not known here: use http/protobuf, and the collector's port for it (usually 4318)", p)
	}
	u.url = variable("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
	if u.url == "" {
		base := variable("OTEL_EXPORTER_OTLP_ENDPOINT")
		if base == "" {
			base = "http://localhost:4318"
		}
		u.url = strings.TrimSuffix(base, "/") + "/v1/traces"
	}
	if at, err := url.Parse(u.url); err != nil || at.Host == "" || at.Scheme != "http" && at.Scheme != "https" {
		return nil, fmt.Errorf("OTEL_EXPORTER_OTLP_ENDPOINT: it is not a URL such as http://localhost:4318")
	}
	for pair := range strings.SplitSeq(otlp("HEADERS"), ",") {
		if strings.TrimSpace(pair) == "" {
			continue
		}
		name, value, ok := strings.Cut(pair, "=")
		plain, err := url.PathUnescape(strings.TrimSpace(value))
		if !ok || err != nil {
			return nil, fmt.Errorf("OTEL_EXPORTER_OTLP_HEADERS: write name=value,name=value, each value as in a URL")
		}
		u.header.Set(strings.TrimSpace(name), plain)
	}
	if t := otlp("TIMEOUT"); t != "" {
		ms, err := strconv.Atoi(t)
		if err != nil || ms <= 0 {
			return nil, fmt.Errorf("OTEL_EXPORTER_OTLP_TIMEOUT: %q is not a number of milliseconds", t)
		}
		u.timeout = time.Duration(ms) * time.Millisecond
	}
	switch c := otlp("COMPRESSION"); c {
	case "", "none":
	case "gzip":
		u.gzip = true
	default:
		return nil, fmt.Errorf("OTEL_EXPORTER_OTLP_COMPRESSION: %q is not known: use gzip or none", c)
	}
	config, err := tlsFromEnv()
	if err != nil {
		return nil, err
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.TLSClientConfig = config
	u.client = &http.Client{Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error {
		return http.ErrUseLastResponse // headers with secrets stay where they were meant to go
	}}
	return u, nil
}

func tlsFromEnv() (*tls.Config, error) {
	c := &tls.Config{MinVersion: tls.VersionTLS12}
	if file := otlp("CERTIFICATE"); file != "" {
		pem, err := os.ReadFile(file)
		if err != nil {
			return nil, fmt.Errorf("OTEL_EXPORTER_OTLP_CERTIFICATE: %w", err)
		}
		c.RootCAs = x509.NewCertPool()
		if !c.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("OTEL_EXPORTER_OTLP_CERTIFICATE: %s has no certificate", file)
		}
	}
	if cert, key := otlp("CLIENT_CERTIFICATE"), otlp("CLIENT_KEY"); cert != "" || key != "" {
		pair, err := tls.LoadX509KeyPair(cert, key)
		if err != nil {
			return nil, fmt.Errorf("OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE, _CLIENT_KEY: %w", err)
		}
		c.Certificates = []tls.Certificate{pair}
	}
	return c, nil
}

// shown is the endpoint without what may be secret.
func (u *uploader) shown() string {
	at, _ := url.Parse(u.url) // checked
	return at.Scheme + "://" + at.Host + at.Path
}

// Start does nothing: the first upload connects.
func (u *uploader) Start(context.Context) error { return nil }

// Stop closes the connections that are idle.
func (u *uploader) Stop(context.Context) error {
	u.client.CloseIdleConnections()
	return nil
}

// UploadTraces sends spans, and again what the collector may take later.
func (u *uploader) UploadTraces(ctx context.Context, spans []*tracepb.ResourceSpans) error {
	// TracesData is on the wire what a request for an export is.
	body, err := proto.Marshal(&tracepb.TracesData{ResourceSpans: spans})
	if err != nil {
		return err
	}
	if u.gzip {
		var b bytes.Buffer
		w := gzip.NewWriter(&b)
		_, _ = w.Write(body) // a Buffer takes everything
		_ = w.Close()
		body = b.Bytes()
	}
	ctx, cancel := context.WithTimeout(ctx, u.timeout)
	defer cancel()
	defer context.AfterFunc(u.life, cancel)()
	_, err = backoff.Retry(ctx, func() (struct{}, error) { return struct{}{}, u.post(ctx, body) },
		backoff.WithMaxElapsedTime(u.timeout)) // rather than ctx, whose error would hide why
	return err
}

func (u *uploader) post(ctx context.Context, body []byte) error {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, u.url, bytes.NewReader(body))
	if err != nil {
		return backoff.Permanent(err)
	}
	r.Header = u.header.Clone()
	r.Header.Set("Content-Type", "application/x-protobuf")
	r.Header.Set("User-Agent", "telluride")
	if u.gzip {
		r.Header.Set("Content-Encoding", "gzip")
	}
	answer, err := u.client.Do(r)
	if err != nil {
		return err
	}
	defer func() { _ = answer.Body.Close() }()
	_, _ = io.Copy(io.Discard, io.LimitReader(answer.Body, 64<<10)) // so that the connection is used again
	switch answer.StatusCode {
	case http.StatusOK, http.StatusAccepted, http.StatusNoContent:
		return nil
	case http.StatusTooManyRequests, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		if after, err := strconv.Atoi(answer.Header.Get("Retry-After")); err == nil && after > 0 {
			return backoff.RetryAfter(after)
		}
		return fmt.Errorf("the collector answers %s", answer.Status)
	}
	return backoff.Permanent(fmt.Errorf("the collector answers %s", answer.Status))
}
