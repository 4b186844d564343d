package engine_test

import (
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"path"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/telluride-stream/telluride/"

// layers says which of our packages a package may import. Those of engine/
// are named without it. `*` in a name stands for one element of a path, and
// alone for everything.
var layers = []struct{ pkg, may string }{
	{"engine/record", ""},
	{"engine/diag", ""},
	{"engine/clock", ""},
	{"engine/heap", ""},
	{"engine/fixture", "record"},
	{"engine/deadletter", "record"},
	{"engine/conf", "diag"},
	{"engine/expr", "diag record"},
	{"engine/stage", "clock conf deadletter diag expr record"},
	{"engine/retry", "record stage"},
	{"engine/plan", "conf clock diag expr record stage"},
	{"engine/flow", "conf clock diag expr record stage plan retry telemetry/wire"},
	{"engine/checkpoint", "clock record"},
	{"engine/poison", "checkpoint clock"},
	{"engine/telemetry", "stage"},
	{"engine/telemetry/wire", "telemetry"},
	{"engine/telemetry/prom", "telemetry"},
	{"engine/telemetry/trace", "record stage"},
	{"engine/telemetry/trace/tracetest", ""},
	{"engine/publish", "clock plan record stage telemetry telemetry/wire"},
	{"engine/topology", "clock deadletter expr record stage plan poison checkpoint telemetry telemetry/trace"},
	{"engine/change", "conf diag plan"},
	{"engine/inspect", "checkpoint diag plan record stage"},
	{"engine/api", "change deadletter diag inspect plan telemetry"},
	{"engine/dashboard", "api plan"},
	{"engine", "change clock diag inspect record stage plan poison checkpoint publish telemetry telemetry/trace topology"},
	{"engine/flowtest", "change checkpoint clock conf diag engine expr fixture flow plan record stage telemetry topology"},
	{"engine/stagetest", "clock conf diag expr record stage"},
	{"stages/*", "clock conf deadletter diag expr record stage"},
	{"stages/rabbitmq/brokertest", ""},
	{"stages", "stage stages/*"},
	{"cmd/*", "*"},
}

// owners says who may import a module: only these packages, wherever it comes
// from.
var owners = []struct{ module, by string }{
	{"github.com/reugn/go-streams", "engine/topology"},
	{"github.com/rabbitmq/amqp091-go", "stages/rabbitmq"},
	{"github.com/cockroachdb/pebble/v2", "engine/checkpoint"},
	{"github.com/prometheus/client_golang", "engine/telemetry/prom"},
	{"go.opentelemetry.io", "engine/telemetry/trace engine/telemetry/trace/tracetest"},
	{"github.com/fsnotify/fsnotify", "engine/change"},
	{"github.com/expr-lang/expr", "engine/expr"},
	{"gopkg.in/yaml.v3", "engine/conf engine/flow engine/flowtest engine/stagetest stages/* cmd/*"},
	{"github.com/spf13/cobra", "cmd/*"},
	{"github.com/spf13/pflag", "cmd/*"},
	{"go.uber.org/goleak", "engine/stagetest"},
	{"pgregory.net/rapid", ""},
	{"testing", "engine/flowtest engine/stagetest engine/telemetry/trace/tracetest stages/rabbitmq/brokertest"},
	{"os/exec", "cmd/* stages/rabbitmq/brokertest"},
}

// unreachable says what a package must not come to know through others either.
var unreachable = []struct{ pkg, never string }{
	{"engine/record", "gopkg.in/yaml.v3 github.com/expr-lang/expr log/slog"},
	{"engine/diag", "gopkg.in/yaml.v3"},
	{"engine/expr", "gopkg.in/yaml.v3"},
	{"engine/checkpoint", "gopkg.in/yaml.v3 engine/stage"},
	{"engine/stage", "github.com/reugn/go-streams net"},
	{"engine/plan", "github.com/reugn/go-streams net"},
	{"engine/flow", "github.com/reugn/go-streams github.com/rabbitmq/amqp091-go engine engine/topology engine/checkpoint net"},
	{"engine/topology", "github.com/rabbitmq/amqp091-go engine/flow"},
	{"engine", "github.com/rabbitmq/amqp091-go engine/flow stages/*"},
	{"engine/flowtest", "github.com/rabbitmq/amqp091-go stages/*"},
	{"stages/*", "engine engine/topology engine/checkpoint engine/flow engine/plan github.com/reugn/go-streams"},
	{"stages", "engine engine/topology engine/checkpoint engine/flow engine/plan github.com/reugn/go-streams"},
}

// listed is a package as `go list` knows it. Test files are not part of it:
// tests may import what they like.
type listed struct {
	ImportPath string
	Imports    []string
	Deps       []string
	DepOnly    bool // not ours, but imported by ours
}

func listPackages(t *testing.T) []listed {
	t.Helper()
	cmd := exec.Command("go", "list", "-deps", "-json=ImportPath,Imports,Deps,DepOnly", "./...")
	cmd.Dir = ".."
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	var all []listed
	for dec := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p listed
		switch err := dec.Decode(&p); {
		case errors.Is(err, io.EOF):
			return all
		case err != nil:
			t.Fatal(err)
		case !p.DepOnly:
			all = append(all, p)
		}
	}
}

// named says whether a package is one of a list of names and patterns.
func named(pkg string, list string) bool {
	return slices.ContainsFunc(strings.Fields(list), func(pattern string) bool {
		ok, err := path.Match(pattern, pkg)
		if err != nil {
			panic(err)
		}
		return ok
	})
}

// inModule says whether an import is of a module or package, or of what is inside.
func inModule(imported, module string) bool {
	return imported == module || strings.HasPrefix(imported, module+"/")
}

func TestPackagesImportOnlyWhatTheyMayKnow(t *testing.T) {
	matched := map[string]bool{}
	for _, p := range listPackages(t) {
		pkg := strings.TrimPrefix(p.ImportPath, module)
		row := slices.IndexFunc(layers, func(l struct{ pkg, may string }) bool { return named(pkg, l.pkg) })
		if row < 0 {
			t.Errorf("%s is in no row of the table: say what it may import", pkg)
			continue
		}
		matched[layers[row].pkg] = true
		may := layers[row].may
		for _, imported := range p.Imports {
			ours, ok := strings.CutPrefix(imported, module)
			if ok && may != "*" && !named(strings.TrimPrefix(ours, "engine/"), may) {
				t.Errorf("%s imports %s; it may import: %s", pkg, ours, may)
			}
			for _, o := range owners {
				if inModule(imported, o.module) && !named(pkg, o.by) {
					t.Errorf("%s imports %s, which only may: %s", pkg, imported, o.by)
				}
			}
		}
	}
	for _, l := range layers {
		if !matched[l.pkg] {
			t.Errorf("no package is %s: remove it from the table", l.pkg)
		}
	}
}

func TestPackagesDoNotComeToKnowWhatTheyMustNot(t *testing.T) {
	for _, p := range listPackages(t) {
		pkg := strings.TrimPrefix(p.ImportPath, module)
		for _, u := range unreachable {
			if !named(pkg, u.pkg) {
				continue
			}
			for _, dep := range p.Deps {
				dep = strings.TrimPrefix(dep, module)
				for _, never := range strings.Fields(u.never) {
					if dep == never || named(dep, never) || strings.Contains(never, ".") && inModule(dep, never) {
						t.Errorf("%s depends on %s, which it must not know", pkg, dep)
					}
				}
			}
		}
	}
}
