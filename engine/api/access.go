package api

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// MinToken is how many characters a token has at least.
const MinToken = 16

const (
	// requestsPerSecond and requestBurst bound what all clients together may ask.
	requestsPerSecond = 200
	requestBurst      = 400
	// guessEvery and guessBurst bound how often one address may be wrong about the token.
	guessEvery = time.Second
	guessBurst = 10
	// maxGuessers bounds the addresses that are remembered for it.
	maxGuessers = 1024
)

// Access says who may ask over TCP. Its zero value lets everybody ask who can
// connect, as long as no web page of another site is behind it.
type Access struct {
	// Token is what a client has to know; "": nothing.
	Token string
	// Hosts are the names under which the process may be asked. IP addresses
	// and localhost always are: only a name can be rebound to another address.
	Hosts []string
	// TLS says that the connection is encrypted: cookies are then for such ones only.
	TLS bool
	Log *slog.Logger
}

// guard stands before everything that is served over TCP.
type guard struct {
	Access
	next     http.Handler
	probe    func(w http.ResponseWriter, r *http.Request, reasons bool)
	token    [sha256.Size]byte
	requests *rate.Limiter
	guesses  guesses
	sessions sessions
	telling  rate.Sometimes // of what was refused
}

// Guard serves next to those who may ask. /livez and /readyz answer everybody,
// since orchestrators have no token; why a process is not ready is for those
// who may ask.
//
// A client shows its token in the header Authorization, as Bearer. A browser
// shows it once, at /login, and then has a cookie. Requests that a page of
// another site made are refused, and so are those for a host that is not
// ours, since that is how such a page gets around the former.
func (a *API) Guard(access Access, next http.Handler) http.Handler {
	if access.Log == nil {
		access.Log = slog.New(slog.DiscardHandler)
	}
	return &guard{
		Access: access, next: next, probe: a.probe, token: sha256.Sum256([]byte(access.Token)),
		requests: rate.NewLimiter(requestsPerSecond, requestBurst),
		guesses:  guesses{by: map[string]*rate.Limiter{}},
		sessions: sessions{until: map[[sha256.Size]byte]time.Time{}},
		telling:  rate.Sometimes{First: 10, Interval: time.Second},
	}
}

// CheckToken says what is wrong with a token; nil: nothing.
func CheckToken(token string) error {
	if len(token) < MinToken {
		return fmt.Errorf("the token has %d characters, and needs at least %d; make one: openssl rand -hex 32", len(token), MinToken)
	}
	if strings.ContainsFunc(token, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return errors.New("the token has characters that a header cannot carry; make one: openssl rand -hex 32")
	}
	return nil
}

func (g *guard) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	g.headers(w.Header())
	if safe(r.Method) && (r.URL.Path == "/livez" || r.URL.Path == "/readyz") {
		g.probe(w, r, g.sameSite(r) == nil && (g.Token == "" || g.known(r) == nil))
		return
	}
	if !g.requests.Allow() {
		w.Header().Set("Retry-After", "1")
		refuse(w, &Error{http.StatusTooManyRequests, "too many requests", "ask less often; for live values there is /v1/events"})
		return
	}
	if problem := g.sameSite(r); problem != nil {
		g.tell(r, problem)
		refuse(w, problem)
		return
	}
	r.Body = http.MaxBytesReader(w, r.Body, maxBody)
	switch {
	case g.Token == "":
	case r.URL.Path == "/login":
		g.login(w, r)
		return
	case r.URL.Path == "/logout" && r.Method == http.MethodPost:
		g.logout(w, r)
		return
	default:
		if problem := g.known(r); problem != nil {
			g.turnAway(w, r, problem)
			return
		}
	}
	g.next.ServeHTTP(w, r)
}

// headers are those of every answer. The policy lets a page load only what the
// process itself serves, and no script or style that stands in a page.
func (g *guard) headers(h http.Header) {
	h.Set("Content-Security-Policy", "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "+
		"form-action 'self'; base-uri 'none'; frame-ancestors 'none'")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("X-Frame-Options", "DENY")
	h.Set("Referrer-Policy", "same-origin")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("Permissions-Policy", "camera=(), geolocation=(), microphone=()")
}

// sameSite refuses what a page of another site may be behind.
func (g *guard) sameSite(r *http.Request) *Error {
	if !g.ours(r.Host) {
		return &Error{http.StatusMisdirectedRequest, fmt.Sprintf("%q is not a name of this process", r.Host), "use its address, or start it with --http-host and the name"}
	}
	origin := r.Header.Get("Origin")
	if origin != "" {
		if u, err := url.Parse(origin); err != nil || u.Host != r.Host || g.TLS && u.Scheme != "https" {
			return &Error{http.StatusForbidden, fmt.Sprintf("requests from pages of %q are refused", origin), "open the page that this process serves"}
		}
	}
	if site := r.Header.Get("Sec-Fetch-Site"); origin == "" && site != "" && site != "same-origin" && site != "none" && !followed(r) {
		return &Error{http.StatusForbidden, "requests from pages of another site are refused", "open the page that this process serves"}
	}
	return nil
}

// followed says whether a link to a page was followed, which another site may
// have. What is behind an image or a script of its own is no link; nor is one to
// the API, where even a look may count: a queue of dead letters gives its
// messages out for it, and a tap takes one of the streams.
func followed(r *http.Request) bool {
	return safe(r.Method) && r.Header.Get("Sec-Fetch-Mode") == "navigate" &&
		!strings.HasPrefix(r.URL.Path, "/v1/") && !strings.HasPrefix(r.URL.Path, "/debug/")
}

func safe(method string) bool { return method == http.MethodGet || method == http.MethodHead }

// ours says whether a Host header names this process.
func (g *guard) ours(host string) bool {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	host = strings.ToLower(strings.TrimSuffix(strings.Trim(host, "[]"), "."))
	if host == "localhost" || slices.ContainsFunc(g.Hosts, func(h string) bool { return strings.EqualFold(h, host) }) {
		return true
	}
	_, err := netip.ParseAddr(host)
	return err == nil
}

// known says whether the client has shown the token.
func (g *guard) known(r *http.Request) *Error {
	header := r.Header.Get("Authorization")
	if header == "" {
		if cookie, err := r.Cookie(cookieName(r)); err == nil && g.sessions.open(cookie.Value) {
			return nil
		}
		return &Error{http.StatusUnauthorized, "a token is needed", "send it as: Authorization: Bearer TOKEN, or log in at /login"}
	}
	token, ok := strings.CutPrefix(header, "Bearer ")
	if !ok {
		return &Error{http.StatusUnauthorized, "the Authorization header is not of the kind Bearer", "send it as: Authorization: Bearer TOKEN"}
	}
	return g.right(r, token)
}

// right compares in a time that does not depend on how much of the token is right.
func (g *guard) right(r *http.Request, token string) *Error {
	from := g.guesses.of(r.RemoteAddr)
	if from.Tokens() < 1 {
		return &Error{http.StatusTooManyRequests, "too many wrong tokens came from this address", "wait a little"}
	}
	sum := sha256.Sum256([]byte(token))
	if subtle.ConstantTimeCompare(sum[:], g.token[:]) == 1 {
		return nil
	}
	from.Allow()
	problem := &Error{http.StatusUnauthorized, "the token is wrong", "it is what --http-token-file or TELLURIDE_HTTP_TOKEN of the process holds"}
	g.tell(r, problem)
	return problem
}

// tell logs what was refused: the first few, and then one a second.
func (g *guard) tell(r *http.Request, problem *Error) {
	g.telling.Do(func() {
		g.Log.Warn("a request was refused", "reason", problem.Message, "path", r.URL.Path, "from", r.RemoteAddr)
	})
}

// turnAway answers who has not shown the token: a person is asked for it.
func (g *guard) turnAway(w http.ResponseWriter, r *http.Request, problem *Error) {
	if problem.Status == http.StatusUnauthorized && safe(r.Method) && strings.Contains(r.Header.Get("Accept"), "text/html") {
		http.Redirect(w, r, "/login?next="+url.QueryEscape(r.URL.RequestURI()), http.StatusSeeOther)
		return
	}
	w.Header().Set("WWW-Authenticate", `Bearer realm="telluride"`)
	refuse(w, problem)
}

// guesses limits wrong tokens by address.
type guesses struct {
	mu sync.Mutex
	by map[string]*rate.Limiter
}

func (g *guesses) of(remote string) *rate.Limiter {
	host, _, err := net.SplitHostPort(remote)
	if err != nil {
		host = remote
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	l := g.by[host]
	if l == nil {
		if len(g.by) >= maxGuessers {
			clear(g.by)
		}
		l = rate.NewLimiter(rate.Every(guessEvery), guessBurst)
		g.by[host] = l
	}
	return l
}

const (
	sessionLife = 12 * time.Hour
	maxSessions = 256
)

// sessions are the browsers that have shown the token.
type sessions struct {
	mu    sync.Mutex
	until map[[sha256.Size]byte]time.Time
}

func (s *sessions) begin() string {
	id := rand.Text()
	s.mu.Lock()
	defer s.mu.Unlock()
	for key, until := range s.until {
		if len(s.until) >= maxSessions || time.Now().After(until) {
			delete(s.until, key)
		}
	}
	s.until[sha256.Sum256([]byte(id))] = time.Now().Add(sessionLife)
	return id
}

func (s *sessions) open(id string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return time.Now().Before(s.until[sha256.Sum256([]byte(id))])
}

func (s *sessions) end(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.until, sha256.Sum256([]byte(id)))
}

// cookieName has the port in it: cookies are shared by all ports of a host.
func cookieName(r *http.Request) string {
	_, port, err := net.SplitHostPort(r.Host)
	if err != nil {
		port = "default"
	}
	return "telluride_" + port
}
