package flowtest_test

import (
	"encoding/json"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"regexp"
	"slices"
	"strconv"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/telluride-stream/telluride/engine/change"
	"github.com/telluride-stream/telluride/engine/diag"
	"github.com/telluride-stream/telluride/engine/flow"
	"github.com/telluride-stream/telluride/engine/flowtest"
	"github.com/telluride-stream/telluride/engine/plan"
	"github.com/telluride-stream/telluride/stages"
)

// TestTheEngineKeepsItsPromises runs random flows under random scripts of
// messages, time, reloads, crashes, lost sessions and failing sinks, and
// compares what comes of it with a model. After each step: what is settled has
// had its effect (promise 1), and every ledger balances (2). In the end:
// everything has come, is filtered, late or a dead letter, as the model says,
// and only behind a fault more than once (1, 2); records of a key have kept
// their order (3); windows have counted each record once, whatever was
// reloaded, lost or restarted meanwhile (5).
//
// A case that fails is made small, and saved as a flow and a flow test: the
// last line says where. MODEL_SEED repeats a run, MODEL_MINUTES has it go on
// for that long.
func TestTheEngineKeepsItsPromises(t *testing.T) {
	seed := rand.Uint64() >> 1
	if given := os.Getenv("MODEL_SEED"); given != "" {
		var err error
		if seed, err = strconv.ParseUint(given, 10, 64); err != nil {
			t.Fatal(err)
		}
	}
	minutes, _ := strconv.ParseFloat(os.Getenv("MODEL_MINUTES"), 64)
	end := time.Now().Add(time.Duration(minutes * float64(time.Minute)))
	defer setFlag(t, "rapid.seed", flag.Lookup("rapid.seed").Value.String())
	for worlds := 0; ; seed++ {
		setFlag(t, "rapid.seed", strconv.FormatUint(seed, 10))
		t.Logf("MODEL_SEED=%d", seed)
		saved := ""
		rapid.Check(t, func(rt *rapid.T) {
			worlds++
			w := drawWorld(rt)
			if _, p := w.run(); p != nil {
				if saved == "" {
					saved = failureFolder(rt)
				}
				w.save(rt, saved, p)
				rt.Fatalf("%s\n%s", p.text, w.describe(saved))
			}
		})
		if t.Failed() || time.Now().After(end) {
			t.Logf("%d flows", worlds)
			return
		}
	}
}

func setFlag(t *testing.T, name, value string) {
	t.Helper()
	if err := flag.Set(name, value); err != nil {
		t.Fatal(err)
	}
}

func modelCompile(file string, src []byte, set map[string]string) (*plan.Plan, diag.List) {
	return flow.Compile(file, src, flow.Options{Params: set, Registry: stages.All(), Lanes: 4})
}

// problem is a promise that was broken.
type problem struct {
	text string
	step int // behind which it was seen; len(steps): in the end
	// expected says in a flow test what should have been.
	expected string
}

// seen is what the world has seen of a flow.
type seen struct {
	world    *modelWorld
	fates    []fate
	totals   []*total
	got      map[string][]arrival // by sink
	dead     map[int]int          // letters by id of the message
	late     map[int]int
	fed      int
	submits  int
	receipts []change.Receipt
}

// arrival is a record that came to a sink, as far as it matters here.
type arrival struct {
	ID        *int   `json:"id"`
	K         string `json:"k"`
	W         *int   `json:"w"`
	Tag       int    `json:"tag"`
	Start     string `json:"window_start"`
	N, Sum    int
	IDs       []int `json:"ids"`
	text      string
	collected int // the step behind which it was seen
}

func (w *modelWorld) run() (s *seen, found *problem) {
	s = &seen{world: w, got: map[string][]arrival{}, dead: map[int]int{}, late: map[int]int{}}
	s.fates, s.totals = w.flow.judge(w.facts)
	err := flowtest.Run(flowtest.Setup{File: "model.yaml", Src: []byte(w.flow.yaml()), Compile: modelCompile}, func(b *flowtest.Bench) error {
		w.begin(b)
		for i := range w.steps {
			step := &w.steps[i]
			for j := range step.facts {
				s.fates[s.fed+j].tag = s.applied()
			}
			if err := step.run(w, b); err != nil {
				return fmt.Errorf("step %d, %s: %w", i+1, step.kind, err)
			}
			s.fed += len(step.facts)
			if step.kind == "reload" {
				s.submits++
			}
			if found = s.look(b, i); found != nil {
				return nil
			}
		}
		if err := w.finish(b); err != nil {
			return err
		}
		if found = s.look(b, len(w.steps)); found == nil {
			found = s.sumUp(b)
		}
		return nil
	})
	if err != nil && found == nil {
		found = &problem{text: err.Error(), step: len(w.steps), expected: "{state: ended}"}
	}
	return s, found
}

// applied is the tag that is set for certain: every change has its answer.
func (s *seen) applied() int {
	if len(s.receipts) < s.submits {
		return 0
	}
	tag := 0
	for _, step := range s.world.steps {
		if step.kind != "reload" || step.invalid {
			continue
		}
		n, _ := strconv.Atoi(step.set["tag"])
		if slices.ContainsFunc(s.receipts, func(r change.Receipt) bool { return r.Outcome == change.Applied && r.ID == step.id }) {
			tag = n
		}
	}
	return tag
}

var idText = regexp.MustCompile(`"id":(\d+)`)

// idOf is the id of a message or record; -1: it has none.
func idOf(doc string) int {
	m := idText.FindStringSubmatch(doc)
	if m == nil {
		return -1
	}
	id, _ := strconv.Atoi(m[1])
	return id
}

// look takes what has come since the last step, and checks what must be so
// behind any step.
func (s *seen) look(b *flowtest.Bench, step int) *problem {
	for _, sink := range s.world.flow.sinks() {
		if sink == "late" || sink == "dead_letter" {
			continue
		}
		for _, a := range b.Take("sink " + sink) {
			one := arrival{text: string(a.Doc), collected: step}
			if err := json.Unmarshal(a.Doc, &one); err != nil {
				return &problem{text: fmt.Sprintf("%s is no record: %v", a.Doc, err), step: step, expected: "{sinks: {" + sink + ": nothing}}"}
			}
			s.got[sink] = append(s.got[sink], one)
		}
	}
	for _, l := range b.TakeDead() {
		s.dead[idOf(string(l.Doc))]++
	}
	for _, l := range b.TakeLate() {
		s.late[idOf(string(l.Doc))]++
	}
	s.receipts = append(s.receipts, b.TakeReceipts()...)
	for _, row := range b.Ledger() {
		if !row.Balanced() {
			return &problem{text: fmt.Sprintf("behind step %d the ledger of %s does not balance: %+v", step+1, row.Name, row.Counts), step: step, expected: "{state: running}"}
		}
	}
	return s.settled(b, step)
}

// settled checks that what is settled has had its effect: messages are
// settled in their order.
func (s *seen) settled(b *flowtest.Bench, step int) *problem {
	left := b.Unsettled(s.world.source())
	for i := range s.fed - left {
		if why := s.missing(&s.fates[i]); why != "" {
			return &problem{
				text:     fmt.Sprintf("behind step %d, message %d was settled, but %s", step+1, i, why),
				step:     step,
				expected: fmt.Sprintf("{unacknowledged: %d}", s.fed-i),
			}
		}
	}
	return nil
}

// missing says what is missing of a message's effects, windows aside.
func (s *seen) missing(f *fate) string {
	late := f.late && s.world.flow.late
	switch {
	case f.sink != "" && !slices.ContainsFunc(s.got[f.sink], func(a arrival) bool { return a.ID != nil && *a.ID == f.id }):
		return "it has not come to sink " + f.sink
	case late && s.late[f.id] == 0:
		return "it has not come to late"
	case (f.dead || f.late && !late) && s.dead[f.id] == 0:
		return "it is no dead letter"
	}
	return ""
}
