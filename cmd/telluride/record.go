package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/telluride-stream/telluride/engine/diag"
	"github.com/telluride-stream/telluride/engine/fixture"
	"github.com/telluride-stream/telluride/engine/plan"
)

// recordFlags are the flags of record.
type recordFlags struct {
	set      []string
	from     string
	count    int
	duration time.Duration
	mask     []string
	times    bool
	out      string
}

func newRecord(p *program) *cobra.Command {
	var fl recordFlags
	c := &cobra.Command{
		Use:   "record FLOW",
		Short: "Save live messages as a fixture for flow tests",
		Long: `Reads from a source of a flow file and saves what comes, with its metadata, as
NDJSON: a fixture that flow tests feed. The flow itself does not run.

Nothing is consumed. Where an exchange feeds a RabbitMQ queue (bind: in the
flow file says so), a temporary queue is bound beside it and gets copies of
what is published from now on. From any other queue messages are taken out and
put back at once, with a warning: that raises the delivery count of a quorum
queue, and may change the order. Streams, files and generated records are
simply read, from their beginning.

--mask hides values: texts become masked-1, masked-2, …, numbers 1, 2, …, equal
ones alike, so that grouping works as before; of an object or list everything
inside is hidden. When no record has a field of that name, nothing is saved: it
may be misspelt. What is no JSON object is left out then, and counted.

It ends after --count records, after --duration, at the end of the input, or
with Ctrl-C, and saves what came by then.`,
		Example: `  telluride record flows/sensor_health.yaml --from sensor_reading_queue --count 50 --out testdata/readings.ndjson
  telluride record orders.yaml --mask customer.email --mask meta.headers.token --duration 1m > orders.ndjson
  telluride record flow.yaml --count 20 --times      each with its time, behind the first`,
		Args:              exactlyOneFlow,
		ValidArgsFunction: completeFlows,
		RunE: func(_ *cobra.Command, args []string) error {
			return p.record(args[0], fl)
		},
	}
	f := c.Flags()
	f.StringVar(&fl.from, "from", "", "the queue, or the name of the source, to read; default: the only source of the flow")
	f.IntVar(&fl.count, "count", 100, "the most records to save; they are held in memory until the end")
	f.DurationVar(&fl.duration, "duration", 0, "how long to read; 0: until there are enough")
	f.StringArrayVar(&fl.mask, "mask", nil, "hide the values of this `field`, such as email, user.email, items[0].id or meta.headers.token; may be repeated")
	f.BoolVar(&fl.times, "times", false, "save when each record came, behind the first one")
	f.StringVar(&fl.out, "out", "", "the `file` to write, which must not be there; default: standard output")
	f.StringArrayVar(&fl.set, "set", nil, "set a param of the flow: `name=value`")
	return c
}

func exactlyOneFlow(c *cobra.Command, args []string) error {
	if len(args) != 1 {
		return fmt.Errorf("%s needs one flow file, as in: %s hello.yaml", c.Name(), c.CommandPath())
	}
	return nil
}

func (p *program) record(file string, fl recordFlags) error {
	if fl.count < 1 {
		return fmt.Errorf("--count %d: at least 1", fl.count)
	}
	if fl.duration < 0 {
		return fmt.Errorf("--duration %v: cannot be negative", fl.duration)
	}
	mask, err := fixture.NewMask(fl.mask)
	if err != nil {
		return fmt.Errorf("--mask: %w", err)
	}
	if _, err := os.Lstat(fl.out); fl.out != "" && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%s is there already; remove it, or give another name", fl.out)
	}
	flows, err := p.loadApart([]string{file}, fl.set)
	if err != nil {
		return err
	}
	if flows[0].plan == nil {
		list, sources := all(flows)
		diag.Print(p.stderr, list, sources, p.colour(p.stderr))
		return &exitError{code: exitInvalid}
	}
	src, err := sourceOf(flows[0].plan, fl.from)
	if err != nil {
		return err
	}
	r := &recording{plan: flows[0].plan, source: src, flags: fl, mask: mask}
	ctx, cancel := p.interruptible()
	defer cancel()
	if fl.duration > 0 {
		ctx, cancel = context.WithTimeout(ctx, fl.duration)
		defer cancel()
	}
	failure := r.run(ctx, p)
	if failure != nil && r.n == 0 {
		return failed(failure)
	}
	if err := errors.Join(failure, r.save(p)); err != nil {
		return failed(err)
	}
	return nil
}

// sourceOf is the source that --from means: by its name, or by what it reads.
func sourceOf(p *plan.Plan, from string) (*plan.Source, error) {
	var names []string
	for i := range p.Sources {
		s := &p.Sources[i]
		if s.Name == from || s.Spec.Text == from || from == "" && len(p.Sources) == 1 {
			return s, nil
		}
		names = append(names, fmt.Sprintf("%s (%s %s)", s.Name, s.Kind, s.Spec.Text))
	}
	known := strings.Join(names, ", ")
	if from == "" {
		return nil, fmt.Errorf("flow %s has several sources; name one with --from: %s", p.Name, known)
	}
	return nil, fmt.Errorf("--from %s: flow %s has no such source or queue; it has: %s", from, p.Name, known)
}
