package dashboard

import (
	"context"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/telluride-stream/telluride/engine/api"
	"github.com/telluride-stream/telluride/engine/plan"
)

// host has one flow, with names that would be markup if they were not escaped.
type host struct{ api.Host }

const markup = `<script>alert("x")</script>`

func (host) Status() []api.Flow {
	low := 1.0
	return []api.Flow{{
		Name: "orders", File: markup, Version: "0123456789abcdef", State: "running", Since: time.Unix(0, 0), Reason: markup,
		Params: []api.Param{
			{Name: "lanes", Value: markup, From: "default", Type: "whole number", Min: &low, Max: &low, Description: markup},
			{Name: "mode", Value: "b", Choices: []string{"a", "b"}}, {Name: "on", Value: "true", Type: "true/false"},
		},
	}}
}

func (host) Drawing(string) (*plan.Drawing, bool) {
	return &plan.Drawing{
		Name: "orders",
		Boxes: []plan.Box{
			{ID: "n1", Look: plan.LookEnd, Row: "source", Kind: "generate", Name: "generate", Title: "generate"},
			{ID: "n2", Look: plan.LookRoute, Row: "route", Kind: "route", Name: "route", Title: "route", Text: markup},
			{ID: "n3", Look: plan.LookStage, Row: "window", Kind: "window", Name: "w", Title: "window w", Keyed: true},
			{ID: "n4", Look: plan.LookEnd, Row: "sink", Kind: "drop", Name: "drop", Title: "drop"},
		},
		Edges: []plan.Arrow{{From: "n1", To: "n2"}, {From: "n2", To: "n3", Label: markup}, {From: "n3", To: "n4"}},
		Sides: []plan.Box{{ID: "s1", Look: plan.LookEnd, Row: "sink", Kind: "file", Name: "dead_letter", Title: "file dead_letter", Label: "dead letters"}},
	}, true
}

func (host) Files(string) []api.File {
	return []api.File{{Flow: "orders", File: markup, Version: "v", Source: "# </textarea>" + markup + "\nname: orders\n"}}
}

func (host) Values(context.Context, string, string, api.ValuesQuery) (api.Values, error) {
	return api.Values{}, nil
}

func get(path string, o Options) *httptest.ResponseRecorder { return getOf(host{}, path, o) }

func getOf(h api.Host, path string, o Options) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	Handler(h, o).ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, nil))
	return w
}

func TestEveryPageIsMadeAndEscapes(t *testing.T) {
	paths := []string{"/"}
	for _, v := range views {
		paths = append(paths, "/flows/orders/"+v.Path)
	}
	for _, path := range paths {
		path = strings.TrimSuffix(path, "/")
		if path == "" {
			path = "/"
		}
		w := get(path, Options{Login: true})
		page := w.Body.String()
		if w.Code != http.StatusOK || !strings.HasSuffix(strings.TrimSpace(page), "</html>") || strings.Contains(page, markup) {
			t.Errorf("%s: %d %s", path, w.Code, page)
		}
		// What the policy of the server forbids: nothing inline, nothing from elsewhere.
		if m := regexp.MustCompile(`(?i)<style|\sstyle=|\son[a-z]+=|javascript:|(src|href|action)="(https?:)?//|<script[^>]*>[^<]`).FindString(page); m != "" {
			t.Errorf("%s holds %q", path, m)
		}
	}
}

func TestWhatIsNotThereIsNotFound(t *testing.T) {
	for _, path := range []string{"/nothing", "/flows/orders/nothing", "/assets/nothing.js", "/assets/../dashboard.go"} {
		if w := get(path, Options{}); w.Code != http.StatusNotFound && w.Code/100 != 3 {
			t.Errorf("%s: %d", path, w.Code)
		}
	}
}

func TestAReadOnlyPageOffersNoChange(t *testing.T) {
	for _, path := range []string{"/flows/orders", "/flows/orders/params", "/flows/orders/file"} {
		page := get(path, Options{ReadOnly: true}).Body.String()
		if strings.Contains(page, `id="pause"`) || strings.Contains(page, `id="set"`) || strings.Contains(page, "textarea") && !strings.Contains(page, "readonly") {
			t.Errorf("%s offers a change: %s", path, page)
		}
	}
}

// resting is a paused flow that drops its dead letters.
type resting struct{ host }

func (h resting) Status() []api.Flow {
	all := h.host.Status()
	all[0].State = "paused"
	return all
}

func (h resting) Drawing(name string) (*plan.Drawing, bool) {
	d, ok := h.host.Drawing(name)
	d.Sides[0].Kind = "drop"
	return d, ok
}

func TestAPageSaysHowAFlowStandsBeforeItIsLive(t *testing.T) {
	for path, want := range map[string]struct{ running, resting string }{
		"/flows/orders":      {`data-path="/pause">Pause<`, `data-path="/resume">Continue<`},
		"/flows/orders/dead": {"wait here", "they are counted, and gone"},
	} {
		running, atRest := get(path, Options{}).Body.String(), getOf(resting{}, path, Options{}).Body.String()
		if !strings.Contains(running, want.running) || strings.Contains(running, want.resting) {
			t.Errorf("%s of a flow that runs: %s", path, running)
		}
		if !strings.Contains(atRest, want.resting) || strings.Contains(atRest, want.running) {
			t.Errorf("%s of a flow that rests: %s", path, atRest)
		}
	}
}

// What a box says first is not cut for the commonest partition.
func TestTheKeyOfAPartitionIsShown(t *testing.T) {
	b := plan.Box{Look: plan.LookPartition, Kind: "partition", Name: "partition", Title: "partition by sensor_id", Text: "2 lanes"}
	what, below := functions["what"].(func(plan.Box) string), functions["subheading"].(func(plan.Box) string)
	if got := cut(24, what(b)); got != "by sensor_id, 2 lanes" || below(b) != "" {
		t.Errorf("it says %q, %q", got, below(b))
	}
}

func TestAssetsAreServedAndAskedForAgainOnlyWhenTheyChange(t *testing.T) {
	files, err := fs.Glob(assets, "assets/*")
	if err != nil || len(files) < 10 {
		t.Fatalf("%d assets, %v", len(files), err)
	}
	for _, file := range files {
		w := get("/"+file, Options{})
		tag := w.Header().Get("ETag")
		if w.Code != 200 || tag == "" || w.Header().Get("Content-Type") == "" {
			t.Errorf("%s: %d %v", file, w.Code, w.Header())
		}
		r := httptest.NewRequest(http.MethodGet, "/"+file, nil)
		r.Header.Set("If-None-Match", tag)
		again := httptest.NewRecorder()
		Handler(host{}, Options{}).ServeHTTP(again, r)
		if again.Code != http.StatusNotModified {
			t.Errorf("%s again: %d", file, again.Code)
		}
		text, _ := fs.ReadFile(assets, file)
		if strings.HasSuffix(file, ".js") && regexp.MustCompile(`innerHTML|outerHTML|insertAdjacent|document\.write|eval\(`).Match(text) {
			t.Errorf("%s makes elements of text", file)
		}
	}
}

// No box lies on another, and every arrow leads onwards.
func TestBoxesDoNotOverlap(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		d := &plan.Drawing{}
		n := rapid.IntRange(1, 25).Draw(t, "boxes")
		for i := range n {
			id := string(rune('a' + i))
			d.Boxes = append(d.Boxes, plan.Box{ID: id, Row: "stage", Name: id})
			if i == 0 {
				continue
			}
			for _, from := range rapid.SliceOfNDistinct(rapid.IntRange(0, i-1), 1, min(i, 3), rapid.ID).Draw(t, "from") {
				d.Edges = append(d.Edges, plan.Arrow{From: string(rune('a' + from)), To: id, Label: rapid.SampledFrom([]string{"", "x"}).Draw(t, "label")})
			}
		}
		for i := range rapid.IntRange(0, 2).Draw(t, "sides") {
			d.Sides = append(d.Sides, plan.Box{ID: string(rune('A' + i)), Label: "dead letters"})
		}
		for _, tall := range []bool{false, true} {
			g := layout(d, tall)
			at := map[string]placed{}
			for i, a := range g.Boxes {
				at[a.ID] = a
				if a.X < 0 || a.Y < 0 || a.X+boxWidth > g.Width || a.Y+boxHeight > g.Height {
					t.Fatalf("box %s is outside: %d, %d", a.ID, a.X, a.Y)
				}
				for _, b := range g.Boxes[:i] {
					if a.X < b.X+boxWidth && b.X < a.X+boxWidth && a.Y < b.Y+boxHeight && b.Y < a.Y+boxHeight {
						t.Fatalf("boxes %s and %s overlap", a.ID, b.ID)
					}
				}
			}
			for _, e := range d.Edges {
				from, to := at[e.From], at[e.To]
				if !tall && to.X <= from.X || tall && to.Y <= from.Y {
					t.Fatalf("the arrow from %s to %s leads back", e.From, e.To)
				}
			}
		}
	})
}
