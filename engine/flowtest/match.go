package flowtest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
)

// defaultTolerance is how far numbers with decimals may be off: as far as
// another order of additions makes them.
const defaultTolerance = 1e-9

// parseDoc is a document as a value; what is no JSON is text.
func parseDoc(doc []byte) any {
	dec := json.NewDecoder(bytes.NewReader(doc))
	dec.UseNumber()
	var v any
	if err := dec.Decode(&v); err != nil || dec.More() {
		return string(doc)
	}
	return v
}

// matcher compares what came with what is wanted.
type matcher struct {
	whole     bool
	tolerance float64
}

// differ is where a value is not as wanted: paths of fields with both values,
// which are absent where there is none.
type differ struct {
	path      string
	want, got any
}

// absent is a field that is not there.
type absent struct{}

// compare lists the differences. In named fields alone: fields that are not
// wanted may be there, and a wanted null may be missing.
func (m *matcher) compare(path string, want, got any, out []differ) []differ {
	switch w := want.(type) {
	case map[string]any:
		g, ok := got.(map[string]any)
		if !ok {
			return append(out, differ{path, want, got})
		}
		for _, key := range slices.Sorted(maps.Keys(w)) {
			v, there := g[key]
			switch {
			case there:
				out = m.compare(join(path, key), w[key], v, out)
			case w[key] != nil || m.whole:
				out = append(out, differ{join(path, key), w[key], absent{}})
			}
		}
		if m.whole {
			for _, key := range slices.Sorted(maps.Keys(g)) {
				if _, wanted := w[key]; !wanted {
					out = append(out, differ{join(path, key), absent{}, g[key]})
				}
			}
		}
		return out
	case []any:
		g, ok := got.([]any)
		if !ok || len(g) != len(w) {
			return append(out, differ{path, want, got})
		}
		for i := range w {
			out = m.compare(fmt.Sprintf("%s[%d]", path, i), w[i], g[i], out)
		}
		return out
	case json.Number:
		if g, ok := got.(json.Number); ok && m.equal(string(w), string(g)) {
			return out
		}
	default:
		if want == got {
			return out
		}
	}
	return append(out, differ{path, want, got})
}

func join(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}

// equal compares numbers: whole ones exactly, others with the tolerance, which
// grows with numbers beyond 1.
func (m *matcher) equal(a, b string) bool {
	if a == b {
		return true
	}
	if !strings.ContainsAny(a+b, ".eE") {
		return strings.TrimPrefix(a, "-0") == strings.TrimPrefix(b, "-0")
	}
	x, errX := json.Number(a).Float64()
	y, errY := json.Number(b).Float64()
	if errX != nil || errY != nil {
		return false
	}
	return math.Abs(x-y) <= m.tolerance*max(1, scale(m.tolerance, x, y))
}

// scale has only the default tolerance grow: one that the test gives is meant
// as it is written.
func scale(tolerance, x, y float64) float64 {
	if tolerance != defaultTolerance {
		return 1
	}
	return max(math.Abs(x), math.Abs(y))
}

// fits says whether an arrival is what is wanted, and if not how far it is off.
func (m *matcher) fits(w *wanted, a *Arrival) (ok bool, off []differ, err error) {
	if w.cond != nil {
		ok, err = w.cond.holds(a.Doc)
		return ok, nil, err
	}
	off = m.compare("", w.doc, parseDoc(a.Doc), nil)
	return len(off) == 0, off, nil
}

// pair is a wanted record and the arrival that it is compared with; -1: none.
type pair struct{ want, got int }

// most is how large a comparison may be that looks for the best alignment.
const most = 4_000_000

// align pairs wanted records with arrivals in their order, so that as many as
// possible fit. fit says which do. What does not fit and stands at the same
// place is paired, too.
func align(wants, gots int, fit func(w, g int) bool) []pair {
	if wants*gots > most {
		return byPlace(wants, gots)
	}
	// length[i][j] is how many fit of want[i:] and got[j:].
	length := make([][]int32, wants+1)
	for i := range length {
		length[i] = make([]int32, gots+1)
	}
	for i := wants - 1; i >= 0; i-- {
		for j := gots - 1; j >= 0; j-- {
			length[i][j] = max(length[i+1][j], length[i][j+1])
			if fit(i, j) {
				length[i][j] = max(length[i][j], length[i+1][j+1]+1)
			}
		}
	}
	if same := byPlace(wants, gots); wants == gots && fitting(same, fit) == int(length[0][0]) {
		return same // as many as any other, and easier to read
	}
	var out []pair
	var looseW, looseG []int
	flush := func() {
		for k := range max(len(looseW), len(looseG)) {
			p := pair{-1, -1}
			if k < len(looseW) {
				p.want = looseW[k]
			}
			if k < len(looseG) {
				p.got = looseG[k]
			}
			out = append(out, p)
		}
		looseW, looseG = nil, nil
	}
	i, j := 0, 0
	for i < wants || j < gots {
		switch {
		case i < wants && j < gots && fit(i, j) && length[i][j] == length[i+1][j+1]+1:
			flush()
			out = append(out, pair{i, j})
			i, j = i+1, j+1
		case j == gots || i < wants && length[i+1][j] >= length[i][j+1]:
			looseW = append(looseW, i)
			i++
		default:
			looseG = append(looseG, j)
			j++
		}
	}
	flush()
	return out
}

func fitting(pairs []pair, fit func(w, g int) bool) (n int) {
	for _, p := range pairs {
		if fit(p.want, p.got) {
			n++
		}
	}
	return n
}

func byPlace(wants, gots int) []pair {
	var out []pair
	for i := range max(wants, gots) {
		p := pair{i, i}
		if i >= wants {
			p.want = -1
		}
		if i >= gots {
			p.got = -1
		}
		out = append(out, p)
	}
	return out
}

// assign pairs wanted records with arrivals in any order, so that as many as
// possible fit (augmenting paths, as of bipartite matchings). Those that do not
// are paired with the nearest of what is left.
func assign(wants, gots int, fit func(w, g int) bool, far func(w, g int) int) []pair {
	owner := make([]int, gots) // of an arrival: the wanted record; -1: none
	for g := range owner {
		owner[g] = -1
	}
	var try func(w int, seen []bool) bool
	try = func(w int, seen []bool) bool {
		for g := range gots {
			if seen[g] || !fit(w, g) {
				continue
			}
			seen[g] = true
			if owner[g] < 0 || try(owner[g], seen) {
				owner[g] = w
				return true
			}
		}
		return false
	}
	for w := range wants {
		try(w, make([]bool, gots))
	}
	taken := make([]int, wants)
	for w := range taken {
		taken[w] = -1
	}
	var free []int
	for g, w := range owner {
		if w >= 0 {
			taken[w] = g
		} else {
			free = append(free, g)
		}
	}
	var out []pair
	for w, g := range taken {
		if g < 0 && len(free) > 0 {
			g = slices.MinFunc(free, func(a, b int) int { return far(w, a) - far(w, b) })
			free = slices.DeleteFunc(free, func(other int) bool { return other == g })
		}
		out = append(out, pair{w, g})
	}
	for _, g := range free {
		out = append(out, pair{-1, g})
	}
	return out
}
