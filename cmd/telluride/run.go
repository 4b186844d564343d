package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/telluride-stream/telluride/engine"
	"github.com/telluride-stream/telluride/engine/api"
	"github.com/telluride-stream/telluride/engine/diag"
	"github.com/telluride-stream/telluride/engine/heap"
)

// runFlags are the flags of run.
type runFlags struct {
	settings
	web                 webFlags
	drainTimeout        time.Duration
	logFormat, logLevel string
	summary             string
	quiet               bool
	watch               bool
	stateDir            string
}

func newRun(p *program) *cobra.Command {
	var fl runFlags
	c := &cobra.Command{
		Use:   "run PATH…",
		Short: "Run flows until their input ends",
		Long: `Runs flow files, or all flow files (*.yaml) of folders, side by side in one
process. A flow whose input is finite ends by itself; the others run until
they are interrupted.

The first SIGINT (Ctrl-C) or SIGTERM drains: what was read is finished and
written, nothing more is read. The second one, or --drain-timeout, aborts.
Both say what was left.

A flow whose file is edited takes the change over without losing a record; an
edit that is wrong is reported, and changes nothing. In a folder, a new file
starts a flow, and a flow whose file is removed is drained. The run ends when
every flow has. Params and flows can also be changed with telluride apply.

Results go to the sinks of the flows. Progress, messages and the summary go to
standard error, so that standard output can be piped.

A dashboard, and the API behind it, are served at http://127.0.0.1:4000/ or the
next free port; on a terminal the run says where. Only this machine can reach
it, unless --http names another address, which needs a token: see
docs/security.md.

Records that cannot be processed go to the flow's dead_letter sink; a flow
that names none writes them to <flow>.dead.ndjson in the working directory.

The exit code is 1 when a flow failed or left something undone, and 2 when a
flow is invalid; then none was started.`,
		Example: `  telluride run hello.yaml
  telluride run flows/quickstart.yaml --set count=1000
  telluride run flows/                         every flow of a folder
  telluride run flow.yaml --watch=false        edits wait for the next run
  telluride run flow.yaml --http :8080 --http-token-file token
  telluride run flow.yaml | jq .mean           results are NDJSON in a pipe
  cat readings.ndjson | telluride run flows/readings_file.yaml --set path=-`,
		Args:              atLeastOnePath,
		ValidArgsFunction: completeFlows,
		RunE: func(c *cobra.Command, args []string) error {
			fl.web.given = c.Flags().Changed("http")
			return p.run(args, fl)
		},
	}
	f := c.Flags()
	f.StringArrayVar(&fl.set, "set", nil, "set a param: `name=value`, or flow.name=value for one of several flows; may be repeated")
	f.DurationVar(&fl.drainTimeout, "drain-timeout", 30*time.Second, "how long the first interrupt, or a change, lets flows finish; 0: as long as an interrupt takes, and 30s for a change")
	f.BoolVar(&fl.watch, "watch", true, "take over edits of the flow files while the flows run")
	f.StringVar(&fl.stateDir, "state-dir", "", "folder of this run's state and its socket; default: $"+stateVariable+", else one made of the paths, below ~/.local/state/telluride")
	fl.web.flags(f)
	f.IntVar(&fl.lanes, "lanes", 0, "lanes of every partition with a key, instead of what the flow says; 0: what the flow says")
	f.IntVar(&fl.batchSize, "batch-size", 0, "records that a batch aims at; 0: 512")
	f.StringVar(&fl.logFormat, "log-format", "text", "how messages are written: text or json")
	f.StringVar(&fl.logLevel, "log-level", "info", "least severe messages to write: debug, info, warn or error")
	f.StringVar(&fl.summary, "summary", "auto", "what to say at the end: table, line, json or none; auto: json with --log-format json, a table on a terminal, else a line")
	f.BoolVarP(&fl.quiet, "quiet", "q", false, "no progress and no summary")
	return c
}

// check refuses flags that make no sense, before anything starts.
func (fl *runFlags) check() error {
	if err := oneOf("log-format", fl.logFormat, "text", "json"); err != nil {
		return err
	}
	if err := oneOf("log-level", fl.logLevel, "debug", "info", "warn", "error"); err != nil {
		return err
	}
	if fl.drainTimeout < 0 {
		return fmt.Errorf("--drain-timeout %v: cannot be negative", fl.drainTimeout)
	}
	return oneOf("summary", fl.summary, "auto", "table", "line", "json", "none")
}

func (p *program) run(paths []string, fl runFlags) error {
	if err := fl.check(); err != nil {
		return err
	}
	flows, err := p.load(paths, fl.settings)
	if err != nil {
		return err
	}
	list, sources := all(flows)
	diag.Print(p.stderr, list, sources, p.colour(p.stderr))
	if errs, warnings := tally(flows); errs > 0 {
		return &exitError{exitInvalid, fmt.Errorf("nothing was started: %s", verdict(len(flows), errs, warnings))}
	}
	defer heap.Pace()()
	con := p.console()
	r := &runner{flags: fl, console: con, log: logger(con, fl), grace: p.grace}
	state, err := r.openState(p, paths, flows)
	if err != nil {
		return failed(err)
	}
	defer state.close()
	kept, err := state.open(r.log)
	if err != nil {
		return failed(err)
	}
	defer func() {
		if r.host != nil {
			if err := r.host.Tidy(); err != nil {
				r.log.Error("tidy the state", "error", err)
			}
		}
		if err := kept.close(); err != nil {
			r.log.Error("close the state", "error", err)
		}
	}()
	site, err := r.openWeb(p)
	if err != nil {
		return err
	}
	tracer, finish := openTracing(r.log)
	defer finish()
	// Who asks from now on waits until the flows have started.
	ln, err := listen(state)
	if err != nil {
		r.log.Warn("telluride status and apply cannot reach this run", "error", err)
	}
	r.host = engine.NewHost(engine.HostConfig{
		Engine:  engine.Config{Store: kept.lasting, Volatile: kept.volatile, Log: r.log, Tracer: tracer, Stdout: con.Stdout(), Terminal: con.outTerm, Width: width(p.stdout)},
		Compile: keeping(state, p.compiler(fl.settings)), DrainTimeout: fl.drainTimeout, Told: r.told,
	})
	r.changes = newChanges(r.host, r.told)
	p.askForInput(con, flows)
	signals, stop := p.signals()
	defer stop()
	if err := r.start(flows); err != nil {
		if ln != nil {
			_ = ln.Close()
		}
		if site != nil {
			_ = site.listener.Close()
		}
		return err
	}
	return r.serve(paths, flows, ln, site, signals)
}

// openState takes the run's state folder; nil when there is no place for one.
// A run cannot share the folder of another, in which its flows run already.
func (r *runner) openState(p *program, paths []string, flows []loaded) (*stateFolder, error) {
	state, chosen, err := p.openState(r.flags.stateDir, paths)
	onDisk := slices.ContainsFunc(flows, func(f loaded) bool { return f.plan.Durability == "disk" })
	loses := slices.ContainsFunc(flows, func(f loaded) bool { return needsDisk(f.plan) })
	switch {
	case err == nil:
		return state, nil
	case errors.Is(err, errStateInUse) && (chosen || onDisk):
		return nil, fmt.Errorf("%w; end that run, or give this one a folder of its own with --state-dir", err)
	case chosen:
		return nil, err
	case loses:
		return nil, fmt.Errorf("%w; name another folder with --state-dir: without one, what was acknowledged would be lost with the process, unless the flow says durability: memory", err)
	case onDisk:
		r.log.Warn("state is kept in memory, and telluride status and apply cannot reach this run", "error", err)
	default:
		r.log.Warn("telluride status and apply cannot reach this run", "error", err)
	}
	return nil, nil
}

// listen opens the socket of a run; there is none without a state folder.
func listen(state *stateFolder) (net.Listener, error) {
	if state == nil {
		return nil, nil
	}
	return api.Listen(state.socket())
}

// start starts the flows, all of them or none.
func (r *runner) start(flows []loaded) error {
	for _, f := range flows {
		_, list := r.host.Start(f.file, f.src, f.set)
		// What the compiler says again has been said.
		list = slices.DeleteFunc(list, func(d diag.Diagnostic) bool { return slices.Contains(f.diags, d) })
		diag.Print(r.console.Stderr(), list, map[string][]byte{f.file: f.src}, r.console.colour)
		if list.HasErrors() {
			r.stop()
			r.host.Close()
			return &exitError{code: exitFailed}
		}
	}
	if !r.console.errTerm {
		for _, f := range r.host.Status() {
			r.log.Info("started", "flow", f.Name, "version", f.Version, "file", f.File)
		}
	}
	return nil
}

// serve runs what runs beside the flows until they have ended.
func (r *runner) serve(paths []string, flows []loaded, ln net.Listener, site *web, signals <-chan os.Signal) error {
	r.watching = startService(func(ctx context.Context) error {
		if !r.flags.watch {
			return nil
		}
		return watch(paths, flows, r.log).Run(ctx, r.changes.submit)
	}, r.log, "watch")
	defer r.watching.stop()
	routes := api.New(served{r.host, r.changes}, r.log)
	if site != nil {
		routes.SetURL(site.url)
	}
	if ln != nil || site != nil {
		defer startService(routes.Watch, r.log, "metrics").stop()
	}
	if ln != nil {
		serving := startService(func(ctx context.Context) error {
			return api.Serve(ctx, ln, routes.Local(r.host), r.log)
		}, r.log, "api")
		defer serving.stop()
	}
	if site != nil {
		defer r.serveWeb(site, routes).stop()
	}
	return r.wait(signals)
}

// askForInput tells whoever sits at the terminal that a flow waits for them.
func (p *program) askForInput(con *console, flows []loaded) {
	if !con.errTerm || !p.typing() {
		return
	}
	for _, f := range flows {
		for _, s := range f.plan.Sources {
			if s.Kind == "file" && s.Spec.Text == "standard input" {
				fmt.Fprintf(con.Stderr(), "telluride: %s reads what you type; Ctrl-D ends it\n", f.plan.Name)
			}
		}
	}
}

// logger writes messages to the console, above its progress line.
func logger(con *console, fl runFlags) *slog.Logger {
	var level slog.Level
	_ = level.UnmarshalText([]byte(fl.logLevel)) // checked before
	options := &slog.HandlerOptions{Level: level}
	if fl.logFormat == "json" {
		return slog.New(slog.NewJSONHandler(con.Stderr(), options))
	}
	if con.errTerm {
		// Whoever looks at it knows the day.
		options.ReplaceAttr = func(groups []string, a slog.Attr) slog.Attr {
			if len(groups) == 0 && a.Key == slog.TimeKey {
				a.Value = slog.StringValue(a.Value.Time().Format(time.TimeOnly))
			}
			return a
		}
	}
	return slog.New(slog.NewTextHandler(con.Stderr(), options))
}

// form is the form of the summary.
func (fl *runFlags) form(terminal bool) string {
	switch {
	case fl.summary != "auto":
		return fl.summary
	case fl.quiet:
		return "none"
	case fl.logFormat == "json":
		return "json"
	case terminal:
		return "table"
	}
	return "line"
}

// names lists flows for a message.
func names(flows []*engine.Flow) string {
	var list []string
	for _, f := range flows {
		list = append(list, f.Current().Name)
	}
	return strings.Join(list, ", ")
}
