package flowtest_test

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/telluride-stream/telluride/engine/flowtest"
	"github.com/telluride-stream/telluride/stages"
)

func seconds(n int) time.Duration { return time.Duration(n) * time.Second }

// fataler is what saving needs of a test.
type fataler interface{ Fatal(args ...any) }

// failureFolder is where cases that fail are saved: a folder of their own that
// stays.
func failureFolder(t fataler) string {
	dir, err := os.MkdirTemp("", "telluride-model-")
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

// save writes the flow and a flow test that fails likewise.
func (w *modelWorld) save(t fataler, dir string, p *problem) {
	steps := w.steps[:min(p.step+1, len(w.steps))]
	test := "tests:\n  - name: the model says otherwise\n    steps:\n" + w.script(steps)
	if p.step == len(w.steps) {
		test += w.ending()
	}
	test += "      - expect: " + p.expected + "\n"
	for name, text := range map[string]string{"model.yaml": w.flow.yaml(), "model_test.yaml": test} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

func (w *modelWorld) describe(dir string) string {
	return fmt.Sprintf("flow:\n%s\nsteps:\n%s\nthe flow and a test that fails likewise: telluride test %s", w.flow.yaml(), w.script(w.steps), dir)
}

// saved runs what was saved, and says what is wrong.
func saved(t *rapid.T, dir string) string {
	path := filepath.Join(dir, "model_test.yaml")
	src, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	file := flowtest.Parse(path, src)
	if err := file.Diags.Err(); err != nil {
		t.Fatalf("%v\n%s", err, src)
	}
	var text strings.Builder
	// A large flow is slow under the race detector, and the machine may be busy.
	o := flowtest.Options{Registry: stages.All(), Timeout: time.Hour}
	for _, r := range flowtest.RunAll(t.Context(), []*flowtest.File{file}, o) {
		for _, f := range r.Failures {
			fmt.Fprintf(&text, "%s: %s %+v\n", f.Span, f.Message, f.Differences)
		}
	}
	return text.String()
}

func TestACaseIsSavedAsAFlowTestThatPassesWhenTheModelIsRight(t *testing.T) {
	dir := t.TempDir()
	rapid.Check(t, func(rt *rapid.T) {
		w := drawWorld(rt)
		w.steps = slices.DeleteFunc(w.steps, func(s modelStep) bool { return s.kind == "crash" || s.kind == "lose_session" })
		s, p := w.run() // without faults, nothing comes more often in one run than in another
		if p != nil {
			rt.Fatal(p.text)
		}
		w.save(rt, dir, &problem{step: len(w.steps), expected: s.expected(s.rows)})
		if text := saved(rt, dir); text != "" {
			rt.Fatalf("%s\n%s", text, w.describe(dir))
		}
	})
}

// TestACaseThatFailsIsSavedAsAFlowTestThatFails has the flow do what the model
// does not know.
func TestACaseThatFailsIsSavedAsAFlowTestThatFails(t *testing.T) {
	dir := t.TempDir()
	before := flag.Lookup("rapid.checks").Value.String()
	defer setFlag(t, "rapid.checks", before)
	setFlag(t, "rapid.checks", "30")
	for _, secret := range []string{`filter: "id != 0"`, `assert: {that: "v != 3"}`, `batch: {size: 3, timeout: 1h, by: e}`, `set: {id: "id + 1"}`} {
		found := 0
		check := func(rt *rapid.T) {
			w := drawWorld(rt)
			w.flow.secret = secret
			_, p := w.run()
			if p == nil {
				return
			}
			w.save(rt, dir, p)
			switch text := saved(rt, dir); {
			case text != "":
				found++
			case !strings.Contains(p.text, " behind message "): // lanes may have kept that order by chance
				rt.Fatalf("the model says: %s\n%s", p.text, w.describe(dir))
			}
		}
		// Of some secrets, one flow in eight shows anything.
		for round := 0; round < 20 && found == 0 && !t.Failed(); round++ {
			rapid.Check(t, check)
		}
		if found == 0 {
			t.Errorf("the model does not notice %s", secret)
		}
	}
}

// expected is all that must have come, in the words of flow tests. What came
// again is expected as often as it came.
func (s *seen) expected(ofSink func(sink string) string) string {
	var parts []string
	sinks := []string{}
	for _, sink := range s.world.flow.sinks() {
		if sink == "late" || sink == "dead_letter" {
			continue
		}
		sinks = append(sinks, sink+": "+ofSink(sink))
	}
	parts = append(parts, "sinks: {"+strings.Join(sinks, ", ")+"}")
	var late, dead []string
	for _, f := range s.fates {
		switch {
		case f.late && s.world.flow.late:
			late = append(late, repeat(fmt.Sprintf("{id: %d}", f.id), s.late[f.id])...)
		case f.late || f.dead:
			row := fmt.Sprintf("{record: {id: %d}}", f.id)
			if f.broken {
				row = fmt.Sprintf("{record: %q}", f.payload())
			}
			dead = append(dead, repeat(row, s.dead[f.id])...)
		}
	}
	if s.world.flow.late {
		parts = append(parts, "late: "+list(late))
	}
	parts = append(parts, "dead_letter: "+list(dead), "state: ended")
	return "{" + strings.Join(parts, ", ") + "}"
}

// rows are the records of a sink, in any order.
func (s *seen) rows(sink string) string {
	var rows []string
	for _, f := range s.fates {
		if f.sink != sink {
			continue
		}
		row := fmt.Sprintf("{id: %d}", f.id)
		if f.w >= 0 {
			row = fmt.Sprintf("{id: %d, w: %d}", f.id, f.w)
		}
		rows = append(rows, repeat(row, s.times(sink, f.id))...)
	}
	if sink == "main" {
		for _, t := range s.totals {
			rows = append(rows, repeat(t.row(), t.deliveries)...)
		}
	}
	return list(rows)
}

// row is a window's result as far as it does not depend on the order of its
// records: the sum of squares stands for which they are.
func (t *total) row() string {
	squares := 0
	for _, id := range t.ids {
		squares += id * id
	}
	return fmt.Sprintf("{k: %s, n: %d, sum: %d, squares: %d}", t.k, t.n, t.sum, squares)
}

// inOrder are the records of a sink as they came, but with those of a key that
// took the same way in their order.
func (s *seen) inOrder(sink string) string {
	ways := map[string][]int{}
	all := slices.Clone(s.got[sink])
	for i, a := range all {
		if a.ID != nil {
			way := s.fates[*a.ID].k + s.fates[*a.ID].path
			ways[way] = append(ways[way], i)
		}
	}
	for _, places := range ways {
		var own []arrival
		for _, i := range places {
			own = append(own, all[i])
		}
		slices.SortStableFunc(own, func(a, b arrival) int { return *a.ID - *b.ID })
		for n, i := range places {
			all[i] = own[n]
		}
	}
	var rows []string
	for _, a := range all {
		if a.ID != nil {
			rows = append(rows, fmt.Sprintf("{k: %s, id: %d}", a.K, *a.ID))
		} else {
			rows = append(rows, fmt.Sprintf("{k: %s, n: %d, sum: %d}", a.K, a.N, a.Sum))
		}
	}
	if len(rows) == 0 {
		return "nothing"
	}
	return "{per: k, records: [" + strings.Join(rows, ", ") + "]}"
}

func (s *seen) times(sink string, id int) (n int) {
	for _, a := range s.got[sink] {
		if a.ID != nil && *a.ID == id {
			n++
		}
	}
	return n
}

// repeat is a row as often as it came, but once at least.
func repeat(row string, n int) []string {
	var rows []string
	for range max(1, n) {
		rows = append(rows, row)
	}
	return rows
}

func list(rows []string) string {
	if len(rows) == 0 {
		return "nothing"
	}
	return "{order: any, records: [" + strings.Join(rows, ", ") + "]}"
}
