package main

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/telluride-stream/telluride/engine/api"
)

// tapFlags are the flags of tap.
type tapFlags struct {
	dir, where  string
	limit, rate int
	duration    time.Duration
}

func newTap(p *program) *cobra.Command {
	var fl tapFlags
	c := &cobra.Command{
		Use:   "tap FLOW[:STAGE]",
		Short: "Show records that pass a place of a running flow",
		Long: `Shows a sample of the records that pass, as NDJSON: behind a stage or a source,
or in front of a sink; without STAGE, what goes into the flow's sinks. A source
and a sink can also be named source/NAME and sink/NAME.

The flow never waits for a tap: what is beyond --rate, or comes faster than it
is read, is not shown. On a terminal the tap ends with how many passed. Fields
that the flow lists under mask: are hidden, and --where sees them so too. A tap
goes on across changes of the flow.`,
		Example: `  telluride tap sensor-health
  telluride tap sensor-health:per_sensor | jq .mean
  telluride tap sensor-health:source/rabbitmq --where 'reading > 90' --limit 10
  telluride tap sensor-health --duration 30s > sample.ndjson`,
		Args: func(c *cobra.Command, args []string) error {
			if len(args) != 1 {
				return fmt.Errorf("tap needs a flow, as in: %s sensor-health:per_sensor", c.CommandPath())
			}
			return nil
		},
		RunE: func(_ *cobra.Command, args []string) error { return p.tap(args[0], fl) },
	}
	f := c.Flags()
	f.StringVar(&fl.where, "where", "", "show only records for which this `expression` holds")
	f.IntVar(&fl.limit, "limit", 0, "end after so many records; 0: none")
	f.IntVar(&fl.rate, "rate", 100, "records a second at most, up to 1000")
	f.DurationVar(&fl.duration, "duration", 0, "end after this long; 0: with Ctrl-C")
	stateDirFlag(c, &fl.dir)
	return c
}

func (fl *tapFlags) query(stage string) (url.Values, error) {
	switch {
	case fl.limit < 0:
		return nil, fmt.Errorf("--limit %d: cannot be negative", fl.limit)
	case fl.rate < 1 || fl.rate > 1000:
		return nil, fmt.Errorf("--rate %d: expected 1 to 1000", fl.rate)
	case fl.duration < 0:
		return nil, fmt.Errorf("--duration %v: cannot be negative", fl.duration)
	}
	q := url.Values{"rate": {strconv.Itoa(fl.rate)}}
	if stage != "" {
		q.Set("stage", stage)
	}
	if fl.where != "" {
		q.Set("where", fl.where)
	}
	if fl.limit > 0 {
		q.Set("limit", strconv.Itoa(fl.limit))
	}
	if fl.duration > 0 {
		q.Set("duration", fl.duration.String())
	}
	return q, nil
}

func (p *program) tap(at string, fl tapFlags) error {
	flow, stage, _ := strings.Cut(at, ":")
	query, err := fl.query(stage)
	if err != nil {
		return err
	}
	ctx, cancel := p.interruptible()
	defer cancel()
	r, err := p.reach(ctx, fl.dir, flow)
	if err != nil {
		return err
	}
	var last api.TapLine
	err = r.Tap(ctx, flow, query, func(l api.TapLine) error {
		if l.Passed != nil {
			last = l
			return nil
		}
		_, err := p.stdout.Write(append(l.Record, '\n'))
		return err
	})
	if last.Passed != nil && isTerminal(p.stderr) {
		fmt.Fprintf(p.stderr, "telluride: %s of %s that passed\n", thousands(last.Shown), plural(int(*last.Passed), "record"))
	}
	if err != nil && !errors.Is(err, context.Canceled) {
		return failed(err)
	}
	return nil
}
