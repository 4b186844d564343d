package flow_test

import "testing"

func TestASourceIsTheSameWhateverStandsAroundIt(t *testing.T) {
	signature := func(src string, params map[string]string) string {
		t.Helper()
		o := options()
		o.Params = params
		p, problems := compile(t, "a.yaml", src, o)
		if p == nil {
			t.Fatal(problems.Err())
		}
		return p.Sources[0].Signature
	}
	base := signature("params: {path: a}\nsource: {file: {path: \"${params.path}\"}}\nsink: {stdout: {}}\n", nil)
	same := map[string]string{
		"moved":      "# a comment\nparams: {path: a}\nsink: {stdout: {}}\nsource:\n  file:\n    path: ${params.path}\n",
		"literal":    "source: {file: {path: a}}\nsink: {stdout: {}}\n",
		"rate limit": "source: {file: {path: a}, rate_limit: {records: 5}}\nsink: {stdout: {}}\n",
		"name":       "source: {file: {path: a}, name: other}\nsink: {stdout: {}}\n",
	}
	for name, src := range same {
		if got := signature(src, nil); got != base {
			t.Errorf("%s: %s, want %s", name, got, base)
		}
	}
	if signature("params: {path: a}\nsource: {file: {path: \"${params.path}\"}}\nsink: {stdout: {}}\n", map[string]string{"path": "b"}) == base {
		t.Error("another value of a param that the source names gives the same signature")
	}
	named := "params: {word: a}\nsource: {file: {path: \"params.word\"}}\nsink: {stdout: {}}\n"
	if signature(named, nil) == signature(named, map[string]string{"word": "b"}) {
		t.Error("another value of a param that an expression of the source names gives the same signature")
	}
	if signature("source: {typed: {}}\nsink: {stdout: {}}\n", nil) == base {
		t.Error("another kind gives the same signature")
	}
}

func TestAFeedIsTheSameWhateverStandsAroundIt(t *testing.T) {
	signature := func(rest string) string {
		t.Helper()
		p, problems := compile(t, "a.yaml", "source: {typed: {}}\nsink: {stdout: {}}\n"+rest, options())
		if p == nil {
			t.Fatal(problems.Err())
		}
		return p.Control[0].Signature
	}
	base := signature("control: {config_queue: {post: {path: a}}}\n")
	if got := signature("params: {q: a}\n# moved\ncontrol:\n  config_queue:\n    post: {path: \"${params.q}\"}\n"); got != base {
		t.Errorf("written in another way it is %s, want %s", got, base)
	}
	if signature("control: {config_queue: {post: {path: b}}}\n") == base {
		t.Error("another path gives the same signature")
	}
}
