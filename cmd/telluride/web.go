package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/pprof"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"syscall"

	"github.com/spf13/pflag"

	"github.com/telluride-stream/telluride/engine/api"
	"github.com/telluride-stream/telluride/engine/dashboard"
	"github.com/telluride-stream/telluride/engine/telemetry/prom"
)

const (
	defaultHTTP   = "127.0.0.1:4000"
	tokenVariable = "TELLURIDE_HTTP_TOKEN"
	// nextPorts is how many ports behind the default one are tried.
	nextPorts = 100
)

// webFlags are the flags of what is served over TCP.
type webFlags struct {
	address   string
	given     bool // the address is not the default
	tokenFile string
	cert, key string
	hosts     []string
	readOnly  bool
}

func (w *webFlags) flags(f *pflag.FlagSet) {
	f.StringVar(&w.address, "http", defaultHTTP, "`address` of the dashboard and the API, or off; the next free port if that of the default is taken")
	f.StringVar(&w.tokenFile, "http-token-file", "", "`file` with the token that clients have to show; default: $"+tokenVariable+", else none; needed for an address that others can reach")
	f.StringVar(&w.cert, "http-tls-cert", "", "`file` with the certificate (PEM); the dashboard and the API are then at https. When the files are replaced, new connections get the new certificate")
	f.StringVar(&w.key, "http-tls-key", "", "`file` with the key of the certificate (PEM)")
	f.StringArrayVar(&w.hosts, "http-host", nil, "`name` under which the dashboard is opened, besides localhost and IP addresses; may be repeated")
	f.BoolVar(&w.readOnly, "http-read-only", false, "nothing can be changed over this address")
}

// web is a server on TCP that has not started yet.
type web struct {
	listener net.Listener
	access   api.Access
	readOnly bool
	url      string
	given    bool
}

// listenWeb checks the flags and listens; nil when nothing is to be served.
func (w *webFlags) listenWeb(p *program, log *slog.Logger) (*web, error) {
	if w.address == "off" {
		return nil, nil
	}
	token, err := w.token(p)
	if err != nil {
		return nil, err
	}
	secure, err := w.tls(log)
	if err != nil {
		return nil, err
	}
	host, port, err := net.SplitHostPort(w.address)
	if err != nil {
		return nil, fmt.Errorf("--http %s: expected an address and a port, such as %s, or off", w.address, defaultHTTP)
	}
	if !isLoopback(host) && token == "" {
		return nil, fmt.Errorf("--http %s: others can reach this address, so it needs a token: name a file that holds one with --http-token-file, or set %s; "+
			"openssl rand -hex 32 makes one", w.address, tokenVariable)
	}
	hosts := w.hosts
	if _, err := netip.ParseAddr(host); err != nil && host != "" {
		hosts = append(hosts, host)
	}
	ln, err := w.listen(host, port)
	if err != nil {
		return nil, fmt.Errorf("--http %s: %w; choose another address, or --http off", w.address, reason(err))
	}
	scheme := "http"
	if secure != nil {
		ln, scheme = tls.NewListener(ln, secure), "https"
	}
	return &web{
		listener: ln, url: scheme + "://" + visible(host, ln.Addr(), w.hosts) + "/", readOnly: w.readOnly, given: w.given,
		access: api.Access{Token: token, Hosts: hosts, TLS: secure != nil},
	}, nil
}

// listen listens at the address, or at the next free port when it is the
// default and taken: several runs side by side are usual.
func (w *webFlags) listen(host, port string) (net.Listener, error) {
	ln, err := net.Listen("tcp", net.JoinHostPort(host, port))
	if err == nil || w.given || !errors.Is(err, syscall.EADDRINUSE) {
		return ln, err
	}
	n, _ := strconv.Atoi(port)
	for range nextPorts {
		n++
		if ln, err := net.Listen("tcp", net.JoinHostPort(host, strconv.Itoa(n))); err == nil {
			return ln, nil
		}
	}
	return net.Listen("tcp", net.JoinHostPort(host, "0"))
}

func isLoopback(host string) bool {
	if host == "localhost" {
		return true
	}
	a, err := netip.ParseAddr(host)
	return err == nil && a.IsLoopback()
}

// visible is host and port as a browser on this machine would write them.
func visible(host string, at net.Addr, names []string) string {
	_, port, err := net.SplitHostPort(at.String())
	if err != nil {
		return at.String()
	}
	if len(names) > 0 {
		host = names[0]
	} else if a, err := netip.ParseAddr(host); host == "" || err == nil && a.IsUnspecified() {
		host = "localhost"
	}
	return net.JoinHostPort(host, port)
}

func (w *webFlags) token(p *program) (string, error) {
	var from, token string
	if w.tokenFile != "" {
		text, err := os.ReadFile(w.tokenFile)
		if err != nil {
			return "", fmt.Errorf("--http-token-file %s: %w", w.tokenFile, reason(err))
		}
		from, token = "--http-token-file "+w.tokenFile, strings.TrimSpace(string(text))
	} else if v, ok := p.env(tokenVariable); ok && v != "" {
		from, token = tokenVariable, v
	} else {
		return "", nil
	}
	if err := api.CheckToken(token); err != nil {
		return "", fmt.Errorf("%s: %w", from, err)
	}
	return token, nil
}

func (w *webFlags) tls(log *slog.Logger) (*tls.Config, error) {
	switch {
	case w.cert == "" && w.key == "":
		return nil, nil
	case w.cert == "" || w.key == "":
		return nil, errors.New("--http-tls-cert and --http-tls-key belong together")
	}
	c, err := openCertificate(w.cert, w.key, log)
	if err != nil {
		return nil, fmt.Errorf("--http-tls-cert, --http-tls-key: %w", err)
	}
	return c.config(), nil
}

// openWeb listens for the run. Only an address that the user asked for has to
// be there.
func (r *runner) openWeb(p *program) (*web, error) {
	w, err := r.flags.web.listenWeb(p, r.log)
	if err == nil || r.flags.web.given || r.flags.web.tokenFile != "" || r.flags.web.cert != "" || r.flags.web.key != "" {
		return w, err
	}
	if _, isToken := p.env(tokenVariable); isToken {
		return nil, err
	}
	r.log.Warn("there is no dashboard", "error", err)
	return nil, nil
}

// serveWeb serves the API, and what belongs to it, until the service is stopped.
func (r *runner) serveWeb(w *web, a *api.API) *service {
	w.access.Log = r.log
	site := http.NewServeMux()
	routes := a.Handler()
	if w.readOnly {
		routes = a.ReadOnly()
	}
	site.Handle("/v1/", routes)
	site.Handle("/api/", routes)
	site.Handle("/", dashboard.Handler(served{r.host, r.changes}, dashboard.Options{ReadOnly: w.readOnly, Login: w.access.Token != ""}))
	site.Handle("GET /metrics", prom.Handler(func() []prom.Flow { return scrape(r.host) }))
	site.HandleFunc("/debug/pprof/", pprof.Index)
	site.HandleFunc("/debug/pprof/cmdline", pprof.Cmdline)
	site.HandleFunc("/debug/pprof/profile", pprof.Profile)
	site.HandleFunc("/debug/pprof/symbol", pprof.Symbol)
	site.HandleFunc("/debug/pprof/trace", pprof.Trace)
	s := startService(func(ctx context.Context) error {
		return api.Serve(ctx, w.listener, a.Guard(w.access, site), r.log)
	}, r.log, "http")
	switch {
	case r.console.errTerm && !r.flags.quiet:
		r.say("dashboard at " + w.url)
	case w.given:
		r.log.Info("serving", "url", w.url)
	}
	if w.access.Token != "" && !w.access.TLS && !isLoopbackAddr(w.listener.Addr()) {
		r.log.Warn("the token travels unencrypted", "advice", "give --http-tls-cert and --http-tls-key, or put a proxy with TLS in front")
	}
	return s
}

func isLoopbackAddr(a net.Addr) bool {
	host, _, err := net.SplitHostPort(a.String())
	return err == nil && isLoopback(host)
}
