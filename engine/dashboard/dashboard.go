// Package dashboard is the web page of a process: its flows as graphs with
// live rates, their params, files, changes and passing records.
//
// Pages are made on the server; hand-written modules keep them current over
// the API, which stands beside it. Everything is in the binary, and a page
// asks nobody else for anything. It knows flows by what package api tells of
// them; it must not know how they run, go-streams or AMQP.
package dashboard

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"html/template"
	"io/fs"
	"mime"
	"net/http"
	"path"

	"github.com/telluride-stream/telluride/engine/api"
	"github.com/telluride-stream/telluride/engine/plan"
)

//go:embed pages/*.html
var pages embed.FS

//go:embed assets/*
var assets embed.FS

// Options say what a page offers.
type Options struct {
	// ReadOnly leaves out what changes something.
	ReadOnly bool
	// Login says that there is a session that can be ended.
	Login bool
}

// server serves the pages of a host.
type server struct {
	host    api.Host
	options Options
	pages   map[string]*template.Template
}

// views are the pages of a flow, in the order of the navigation.
var views = []view{
	{"overview", "", "Overview"}, {"params", "params", "Params"}, {"file", "file", "File"}, {"changes", "changes", "Changes"},
	{"dead", "dead", "Dead letters"}, {"tap", "tap", "Tap"}, {"values", "values", "Values"},
}

type view struct{ Page, Path, Title string }

// Handler serves the pages. It is to stand beside the API, at /.
func Handler(host api.Host, o Options) http.Handler {
	s := &server{host: host, options: o, pages: map[string]*template.Template{}}
	names := []string{"flows", "missing"}
	for _, v := range views {
		names = append(names, v.Page)
	}
	for _, name := range names {
		s.pages[name] = template.Must(template.New("layout.html").Funcs(functions).ParseFS(pages, "pages/layout.html", "pages/machine.html", "pages/"+name+".html"))
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", s.flows)
	for _, v := range views {
		mux.HandleFunc("GET "+path.Join("/flows/{flow}", v.Path), s.flow(v))
	}
	mux.HandleFunc("GET /assets/", asset)
	mux.HandleFunc("GET /favicon.ico", func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "/assets/icon.svg", http.StatusMovedPermanently)
	})
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		s.show(w, http.StatusNotFound, "missing", page{Title: "Not here", Path: r.URL.Path, Flows: s.host.Status()})
	})
	return mux
}

// page is what a template is made of.
type page struct {
	Options
	Title string
	Path  string
	View  view
	Views []view
	Flows []api.Flow
	Flow  *api.Flow
	// Wide and Tall are the graph, for wide and for narrow windows.
	Wide, Tall *graph
	Drawing    *plan.Drawing
	File       api.File
	Keyed      []plan.Box
}

func (s *server) flows(w http.ResponseWriter, _ *http.Request) {
	s.show(w, http.StatusOK, "flows", page{Title: "Flows", View: view{Page: "flows"}, Flows: s.host.Status()})
}

func (s *server) flow(v view) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		name := r.PathValue("flow")
		p := page{Title: v.Title + " · " + name, Path: r.URL.Path, View: v, Views: views, Flows: s.host.Status()}
		for i := range p.Flows {
			if p.Flows[i].Name == name {
				p.Flow = &p.Flows[i]
			}
		}
		d, ok := s.host.Drawing(name)
		if p.Flow == nil || !ok {
			s.show(w, http.StatusNotFound, "missing", p)
			return
		}
		p.Drawing = d
		p.Wide, p.Tall = layout(d, false), layout(d, true)
		for _, b := range d.Boxes {
			if b.Keyed {
				p.Keyed = append(p.Keyed, b)
			}
		}
		if files := s.host.Files(name); len(files) > 0 {
			p.File = files[len(files)-1]
		}
		s.show(w, http.StatusOK, v.Page, p)
	}
}

func (s *server) show(w http.ResponseWriter, status int, name string, p page) {
	p.Options = s.options
	if p.View.Page == "" {
		p.View.Page = name
	}
	var b bytes.Buffer
	if err := s.pages[name].Execute(&b, p); err != nil {
		http.Error(w, "the page cannot be made: "+err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_, _ = b.WriteTo(w)
}

// asset serves a file of the binary. A browser asks each time whether it has
// changed, so that a new binary never meets old modules.
func asset(w http.ResponseWriter, r *http.Request) {
	name := path.Clean(r.URL.Path)[1:]
	text, err := fs.ReadFile(assets, name)
	if err != nil {
		http.NotFound(w, r)
		return
	}
	sum := sha256.Sum256(text)
	tag := `"` + hex.EncodeToString(sum[:8]) + `"`
	w.Header().Set("ETag", tag)
	w.Header().Set("Cache-Control", "no-cache")
	if r.Header.Get("If-None-Match") == tag {
		w.WriteHeader(http.StatusNotModified)
		return
	}
	w.Header().Set("Content-Type", contentType(name))
	_, _ = w.Write(text)
}

func contentType(name string) string {
	switch path.Ext(name) {
	case ".js":
		return "text/javascript; charset=utf-8"
	case ".css":
		return "text/css; charset=utf-8"
	}
	return mime.TypeByExtension(path.Ext(name))
}
