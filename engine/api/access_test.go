package api_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/telluride-stream/telluride/engine/api"
)

const token = "0123456789abcdef-token"

func guarded(a api.Access) http.Handler {
	served := api.New(&host{}, nil)
	return served.Guard(a, served.Handler())
}

type headers map[string]string

func ask(h http.Handler, method, target string, set headers, body string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, target, strings.NewReader(body))
	r.Host = "127.0.0.1:4000"
	for k, v := range set {
		if k == "Host" {
			r.Host = v
			continue
		}
		r.Header.Set(k, v)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

func TestOnlyOurOwnPagesMayAsk(t *testing.T) {
	h := guarded(api.Access{Hosts: []string{"flows.example"}})
	for _, c := range []struct {
		name   string
		method string
		set    headers
		status int
	}{
		{"by address", "GET", nil, 200},
		{"by IPv6 address", "GET", headers{"Host": "[::1]:4000"}, 200},
		{"by localhost", "GET", headers{"Host": "LOCALHOST:4000"}, 200},
		{"by a name that was given", "GET", headers{"Host": "flows.example"}, 200},
		{"by a name that is bound to us", "GET", headers{"Host": "evil.example:4000"}, 421},
		{"by a name that looks like an address", "GET", headers{"Host": "127.0.0.1.evil.example:4000"}, 421},
		{"without a name", "GET", headers{"Host": ""}, 421},
		{"from our page", "POST", headers{"Origin": "http://127.0.0.1:4000"}, 200},
		{"from our page by TLS", "POST", headers{"Origin": "https://127.0.0.1:4000"}, 200},
		{"from another page", "POST", headers{"Origin": "http://evil.example"}, 403},
		{"from another page, to read", "GET", headers{"Origin": "http://evil.example"}, 403},
		{"from another port", "POST", headers{"Origin": "http://127.0.0.1:5000"}, 403},
		{"from a page without an origin", "POST", headers{"Origin": "null"}, 403},
		{"from another site's form", "POST", headers{"Sec-Fetch-Site": "cross-site"}, 403},
		{"from a subdomain's form", "POST", headers{"Sec-Fetch-Site": "same-site"}, 403},
		{"from another site's image", "GET", headers{"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors"}, 403},
		{"from another site's link to the API", "GET", headers{"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"}, 403},
		{"from the address bar", "GET", headers{"Sec-Fetch-Site": "none", "Sec-Fetch-Mode": "navigate"}, 200},
		{"from our form", "POST", headers{"Sec-Fetch-Site": "same-origin"}, 200},
		{"from a program", "POST", nil, 200},
	} {
		path, body := "/v1/flows", ""
		if c.method == "POST" {
			path, body = "/v1/plan", `{"flow": "orders"}`
		}
		w := ask(h, c.method, path, c.set, body)
		if w.Code != c.status {
			t.Errorf("%s: answered %d %s, want %d", c.name, w.Code, w.Body, c.status)
		}
		for _, header := range []string{"Content-Security-Policy", "X-Content-Type-Options", "X-Frame-Options", "Referrer-Policy"} {
			if w.Header().Get(header) == "" {
				t.Errorf("%s: no header %s", c.name, header)
			}
		}
		if p := w.Header().Get("Content-Security-Policy"); strings.Contains(p, "unsafe") || !strings.Contains(p, "default-src 'none'") {
			t.Errorf("the policy is %s", p)
		}
	}
	secure := guarded(api.Access{TLS: true})
	for origin, status := range map[string]int{"https://127.0.0.1:4000": 200, "http://127.0.0.1:4000": 403} {
		w := ask(secure, "POST", "/v1/plan", headers{"Origin": origin}, `{"flow": "orders"}`)
		if w.Code != status {
			t.Errorf("by TLS, from a page of %s: answered %d %s, want %d", origin, w.Code, w.Body, status)
		}
		// It would count for every other port of this host too, and for a year.
		if h := w.Header().Get("Strict-Transport-Security"); h != "" {
			t.Errorf("by TLS: Strict-Transport-Security: %s", h)
		}
	}
	link := headers{"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"}
	if w := ask(h, "GET", "/", link, ""); w.Code == 403 {
		t.Errorf("a link of another site to the page is answered %d %s", w.Code, w.Body)
	}
}

func TestATokenIsNeededWhereThereIsOne(t *testing.T) {
	h := guarded(api.Access{Token: token})
	for _, c := range []struct {
		name   string
		path   string
		set    headers
		status int
	}{
		{"none", "/v1/flows", nil, 401},
		{"the right one", "/v1/flows", headers{"Authorization": "Bearer " + token}, 200},
		{"a wrong one", "/v1/flows", headers{"Authorization": "Bearer " + token + "x"}, 401},
		{"a part of it", "/v1/flows", headers{"Authorization": "Bearer " + token[:10]}, 401},
		{"another kind", "/v1/flows", headers{"Authorization": "Basic " + token}, 401},
		{"a cookie that nobody got", "/v1/flows", headers{"Cookie": "telluride_4000=" + token}, 401},
		{"as a query", "/v1/flows?token=" + token, nil, 401},
		{"a person without one", "/", headers{"Accept": "text/html"}, 303},
		{"liveness", "/livez", nil, 200},
		{"readiness", "/readyz", nil, 503},
	} {
		if w := ask(h, "GET", c.path, c.set, ""); w.Code != c.status || strings.Contains(w.Body.String(), "orders") && w.Code != 200 {
			t.Errorf("%s: answered %d %s, want %d", c.name, w.Code, w.Body, c.status)
		}
	}
	if w := ask(h, "GET", "/readyz", headers{"Authorization": "Bearer " + token}, ""); !strings.Contains(w.Body.String(), "orders: running") {
		t.Errorf("who has the token is not told why: %s", w.Body)
	}
}

func TestABrowserLogsIn(t *testing.T) {
	h := guarded(api.Access{Token: token})
	form := func(token, next string) *httptest.ResponseRecorder {
		return ask(h, "POST", "/login", headers{"Content-Type": "application/x-www-form-urlencoded", "Origin": "http://127.0.0.1:4000"},
			url.Values{"token": {token}, "next": {next}}.Encode())
	}
	if w := form("wrong-wrong-wrong", "/"); w.Code != 401 || len(w.Result().Cookies()) > 0 {
		t.Errorf("a wrong token: %d %s", w.Code, w.Body)
	}
	w := form(token, "/flows/orders?x=1")
	cookies := w.Result().Cookies()
	if w.Code != 303 || w.Header().Get("Location") != "/flows/orders?x=1" || len(cookies) != 1 {
		t.Fatalf("the right token: %d %v", w.Code, w.Header())
	}
	c := cookies[0]
	if !c.HttpOnly || c.SameSite != http.SameSiteStrictMode || strings.Contains(c.Value, token) {
		t.Errorf("cookie %v", c)
	}
	with := headers{"Cookie": c.Name + "=" + c.Value}
	if w := ask(h, "GET", "/v1/flows", with, ""); w.Code != 200 {
		t.Errorf("with the cookie: %d %s", w.Code, w.Body)
	}
	if w := ask(h, "POST", "/logout", with, ""); w.Code != 303 {
		t.Errorf("logout: %d", w.Code)
	}
	if w := ask(h, "GET", "/v1/flows", with, ""); w.Code != 401 {
		t.Errorf("with the cookie, behind the logout: %d", w.Code)
	}
	for _, elsewhere := range []string{"https://evil.example/", "//evil.example", `/\evil.example`, "javascript:alert(1)"} {
		if at := form(token, elsewhere).Header().Get("Location"); at != "/" {
			t.Errorf("next=%s leads to %s", elsewhere, at)
		}
	}
}

// Who guesses is shut out for a while, also with the right token: then
// guessing would not be limited.
func TestGuessesAreLimited(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := guarded(api.Access{Token: token})
		codes := map[int]int{}
		for range 50 {
			codes[ask(h, "GET", "/v1/flows", headers{"Authorization": "Bearer guess-guess-guess"}, "").Code]++
		}
		if codes[401] < 5 || codes[401] > 15 || codes[429] < 35 {
			t.Errorf("50 guesses: %v", codes)
		}
	})
}

func TestRequestsAreLimited(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := guarded(api.Access{})
		codes := map[int]int{}
		for range 1000 {
			codes[ask(h, "GET", "/v1/flows", nil, "").Code]++
		}
		if codes[200] < 400 || codes[429] == 0 {
			t.Errorf("1000 requests at once: %v", codes)
		}
		if w := ask(h, "GET", "/livez", nil, ""); w.Code != 200 {
			t.Errorf("liveness is limited: %d", w.Code)
		}
	})
}

func TestNothingChangesReadOnly(t *testing.T) {
	h := &host{}
	served := api.New(h, nil)
	w := ask(served.Guard(api.Access{}, served.ReadOnly()), "POST", "/v1/changes", nil, `{"set": {"lanes": "8"}}`)
	if w.Code != 403 || len(h.changes) > 0 || !strings.Contains(w.Body.String(), "read-only") {
		t.Errorf("answered %d %s, %d changes", w.Code, w.Body, len(h.changes))
	}
	if w := ask(served.Guard(api.Access{}, served.ReadOnly()), "POST", "/v1/plan", nil, `{"set": {"lanes": "8"}}`); w.Code != 200 {
		t.Errorf("a plan: %d %s", w.Code, w.Body)
	}
}

func TestTokensThatAreNone(t *testing.T) {
	for _, bad := range []string{"", "short", "0123456789abcde", "0123456789 abcdef0", "0123456789äbcdef"} {
		if api.CheckToken(bad) == nil {
			t.Errorf("%q is taken for a token", bad)
		}
	}
	if err := api.CheckToken(token); err != nil {
		t.Error(err)
	}
}

func TestTheLoginPageLoadsNothing(t *testing.T) {
	w := ask(guarded(api.Access{Token: token}), "GET", "/login?next=%22%3E%3Cscript%3E", nil, "")
	page, _ := io.ReadAll(w.Body)
	if w.Code != 200 || strings.Contains(string(page), "<script") || strings.Contains(string(page), "src=") {
		t.Errorf("%d %s", w.Code, page)
	}
}
