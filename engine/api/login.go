package api

import (
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"html/template"
	"net/http"
	"strings"
)

//go:embed login.html
var loginPage string

//go:embed login.css
var loginStyle string

var loginTemplate = template.Must(template.New("login").Parse(loginPage))

// login asks for the token, and gives a browser that has it a cookie.
func (g *guard) login(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodPost {
		g.askForToken(w, r.URL.Query().Get("next"), "", http.StatusOK)
		return
	}
	next := r.PostFormValue("next")
	if problem := g.right(r, strings.TrimSpace(r.PostFormValue("token"))); problem != nil {
		g.askForToken(w, next, problem.Error(), problem.Status)
		return
	}
	http.SetCookie(w, &http.Cookie{
		Name: cookieName(r), Value: g.sessions.begin(), Path: "/", MaxAge: int(sessionLife.Seconds()),
		HttpOnly: true, Secure: g.TLS, SameSite: http.SameSiteStrictMode,
	})
	http.Redirect(w, r, local(next), http.StatusSeeOther)
}

func (g *guard) logout(w http.ResponseWriter, r *http.Request) {
	name := cookieName(r)
	if cookie, err := r.Cookie(name); err == nil {
		g.sessions.end(cookie.Value)
	}
	http.SetCookie(w, &http.Cookie{Name: name, Path: "/", MaxAge: -1, HttpOnly: true, Secure: g.TLS, SameSite: http.SameSiteStrictMode})
	http.Redirect(w, r, "/login", http.StatusSeeOther)
}

func (g *guard) askForToken(w http.ResponseWriter, next, problem string, status int) {
	// The page stands alone: nothing else is served to who has no token.
	style := sha256.Sum256([]byte(loginStyle))
	w.Header().Set("Content-Security-Policy", "default-src 'none'; style-src 'sha256-"+base64.StdEncoding.EncodeToString(style[:])+"'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'")
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_ = loginTemplate.Execute(w, map[string]any{"Next": local(next), "Problem": problem, "Style": template.CSS(loginStyle)})
}

// local is a path of this process, never an address elsewhere.
func local(next string) string {
	if !strings.HasPrefix(next, "/") || strings.HasPrefix(next, "//") || strings.ContainsAny(next, "\\\r\n\t") {
		return "/"
	}
	return next
}
