package stagetest

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/telluride-stream/telluride/engine/conf"
	"github.com/telluride-stream/telluride/engine/diag"
	"github.com/telluride-stream/telluride/engine/stage"
)

// documented checks what people read of a kind.
func documented(t *testing.T, k stage.Kind) {
	if k.Name == "" || strings.ToLower(k.Name) != k.Name {
		t.Errorf("the name %q is not in lower case", k.Name)
	}
	if !sentence(k.Summary) {
		t.Errorf("the summary %q is no sentence", k.Summary)
	}
	if !strings.HasPrefix(k.Example, k.Name+":") {
		t.Errorf("the example does not begin with %q:\n%s", k.Name+":", k.Example)
	}
	doc := k.Doc()
	if doc.Whole != nil && !sentence(doc.Whole.Doc) {
		t.Errorf("the value as a whole: %q is no sentence", doc.Whole.Doc)
	}
	fields(doc.Fields, "", func(path string, f *conf.FieldDoc) {
		if !sentence(f.Doc) {
			t.Errorf("%s: the meaning %q is no sentence", path, f.Doc)
		}
		if f.Required && f.Kind == conf.KindScalar && f.Name == "" {
			t.Errorf("%s is required and has no name", path)
		}
		if !f.Required && f.Default != "" {
			if err := takesItsDefault(f); err != nil {
				t.Errorf("%s: %v", path, err)
			}
		}
	})
	for _, r := range doc.Rules {
		for _, key := range r.Keys {
			if !slices.ContainsFunc(doc.Fields, func(f *conf.FieldDoc) bool { return f.Name == key }) {
				t.Errorf("a rule names %q, which is no field", key)
			}
		}
	}
	var page strings.Builder
	if err := doc.Markdown(&page); err != nil || page.Len() == 0 {
		t.Errorf("the page is %q, %v", page.String(), err)
	}
}

// sentence says whether a text begins like a sentence and ends like one.
func sentence(s string) bool {
	if s == "" || s != strings.TrimSpace(s) {
		return false
	}
	last := s[len(s)-1]
	return last == '.' || last == '?' || last == ')' || last == ':'
}

// fields visits every field, nested ones with the path that leads to them.
func fields(all []*conf.FieldDoc, prefix string, visit func(path string, f *conf.FieldDoc)) {
	for _, f := range all {
		visit(prefix+f.Name, f)
		fields(f.Fields, prefix+f.Name+".", visit)
	}
}

// takesItsDefault says whether a file that gives a field its default means
// the same as one without the field.
func takesItsDefault(f *conf.FieldDoc) error {
	if f.Kind != conf.KindScalar {
		return nil // a list; there are no others with a default
	}
	text := f.Default
	if f.Type == conf.TypeString {
		text = strconv.Quote(text)
	}
	var diags diag.List
	node := conf.Parse("default", []byte("x: "+text), conf.Limits{}, &diags)
	fields := conf.NewFields(&conf.Scope{File: "default", Diags: &diags}, node, "")
	got := scalarOf(fields, f, "x")
	fields.Finish()
	if err := diags.Err(); err != nil {
		return fmt.Errorf("its default is not accepted: %w", err)
	}
	if got != f.Default {
		return fmt.Errorf("its default %q reads as %q", f.Default, got)
	}
	// Min and Max do not look at the default of a declaration.
	switch below, above := outside(f); {
	case below:
		return fmt.Errorf("its default %s is below its minimum %s", f.Default, f.Min)
	case above:
		return fmt.Errorf("its default %s is above its maximum %s", f.Default, f.Max)
	}
	return nil
}

// scalarOf decodes a key as a field of the same type, and writes it again.
func scalarOf(f *conf.Fields, d *conf.FieldDoc, key string) string {
	switch d.Type {
	case conf.TypeInt:
		var n int64
		f.Int64(&n, key, 0, "")
		return strconv.FormatInt(n, 10)
	case conf.TypeFloat:
		var x float64
		f.Float(&x, key, 0, "")
		return strconv.FormatFloat(x, 'g', -1, 64)
	case conf.TypeDuration:
		var x time.Duration
		f.Duration(&x, key, 0, "")
		return conf.FormatDuration(x)
	case conf.TypeSize:
		var n int64
		f.Size(&n, key, 0, "")
		return conf.FormatSize(n)
	case conf.TypeBool:
		var b bool
		f.Bool(&b, key, false, "")
		return strconv.FormatBool(b)
	case conf.TypeEnum:
		var s string
		f.Enum(&s, key, "", d.Enum, "")
		return s
	}
	var s string
	f.String(&s, key, "", "")
	return s
}

// outside says whether a default lies outside of the field's bounds. A zero
// that means "not given" may.
func outside(d *conf.FieldDoc) (below, above bool) {
	value, ok := measure(d.Type, d.Default)
	if !ok || value == 0 {
		return false, false
	}
	low, hasLow := measure(d.Type, d.Min)
	high, hasHigh := measure(d.Type, d.Max)
	return hasLow && value < low, hasHigh && value > high
}

// measure is a text of an ordered type as a number.
func measure(typ, text string) (float64, bool) {
	switch typ {
	case conf.TypeInt, conf.TypeFloat:
		x, err := strconv.ParseFloat(text, 64)
		return x, err == nil
	case conf.TypeDuration:
		d, err := conf.ParseDuration(text)
		return float64(d), err == nil
	case conf.TypeSize:
		n, err := conf.ParseSize(text)
		return float64(n), err == nil
	}
	return 0, false
}
