package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/telluride-stream/telluride/engine/conf"
	"github.com/telluride-stream/telluride/engine/deadletter"
	"github.com/telluride-stream/telluride/engine/diag"
	"github.com/telluride-stream/telluride/engine/plan"
	"github.com/telluride-stream/telluride/engine/stage"
	"github.com/telluride-stream/telluride/stages/rabbitmq"
)

// deadFlags are the flags of the verbs under dead.
type deadFlags struct {
	file, queue, url string
	since            string
	filter           deadletter.Filter
	json             bool
	to               string
	rate             int
	dry, all         bool
}

func newDead(p *program) *cobra.Command {
	c := &cobra.Command{
		Use:   "dead",
		Short: "Look at dead letters, replay and drop them",
		Long: `Works on the records that flows could not process: lists and shows them,
has them processed again (replay), or removes them (drop).

They are found from the flow file: where its dead_letter goes, or else the
dead-letter queue of its source and <flow>.dead.ndjson. --file and --queue name
another place. The flow may be running meanwhile.

Looking into a queue takes its messages out and puts them back: the broker
counts that as a delivery, and their order may change.`,
		Example: `  telluride dead list flow.yaml
  telluride dead list flow.yaml --stage assert --since 1h --json | jq .reason
  telluride dead show flow.yaml 5a0c
  telluride dead replay flow.yaml --limit 10
  telluride dead drop --file old.ndjson --all`,
		Args: cobra.ArbitraryArgs,
	}
	c.RunE = func(_ *cobra.Command, args []string) error {
		if len(args) == 0 {
			return c.Help()
		}
		return unknownVerb(c, args[0])
	}
	c.AddCommand(newDeadList(p), newDeadShow(p), newDeadReplay(p), newDeadDrop(p))
	return c
}

// flags declares what all verbs have; one that changes something can also be
// tried.
func (f *deadFlags) flags(c *cobra.Command, changes bool) {
	c.Flags().StringVar(&f.file, "file", "", "the file with the dead letters, instead of what a flow says")
	c.Flags().StringVar(&f.queue, "queue", "", "the queue with the dead letters, likewise")
	c.Flags().StringVar(&f.url, "url", "", "the broker of --queue and --to queue:…; default: $RABBITMQ_URL, else guest at localhost")
	c.Flags().StringVar(&f.filter.Stage, "stage", "", "only those that died at this stage")
	c.Flags().StringVar(&f.filter.Reason, "reason", "", "only those with this text in their reason")
	c.Flags().StringVar(&f.since, "since", "", "only those that died since: 2h ago, or a time such as 2026-01-31T12:00:00Z")
	c.Flags().IntVar(&f.filter.Limit, "limit", 0, "only the first so many; 0: all")
	c.Flags().BoolVar(&f.json, "json", false, "JSON, also on a terminal")
	if changes {
		c.Flags().BoolVar(&f.dry, "dry-run", false, "list what would be done, and do nothing")
	}
}

func newDeadList(p *program) *cobra.Command {
	var f deadFlags
	c := &cobra.Command{
		Use:   "list [FLOW.yaml] [ID…]",
		Short: "List dead letters",
		Long: `Lists dead letters, oldest first: a table on a terminal, and else one JSON
object a line, the whole envelope. An id may be shortened.`,
		Example: `  telluride dead list flow.yaml
  telluride dead list --queue orders_dead --limit 20
  telluride dead list flow.yaml --reason 'lookup:' | jq -r .payload`,
		RunE: func(_ *cobra.Command, args []string) error { return p.deadList(&f, args) },
	}
	f.flags(c, false)
	return c
}

func newDeadShow(p *program) *cobra.Command {
	var f deadFlags
	c := &cobra.Command{
		Use:     "show [FLOW.yaml] ID…",
		Short:   "Show all that is known of dead letters",
		Example: "  telluride dead show flow.yaml 5a0c",
		RunE:    func(_ *cobra.Command, args []string) error { return p.deadShow(&f, args) },
	}
	f.flags(c, false)
	return c
}

func newDeadReplay(p *program) *cobra.Command {
	var f deadFlags
	c := &cobra.Command{
		Use:   "replay [FLOW.yaml] [ID…]",
		Short: "Have dead letters processed again",
		Long: `Sends dead letters to where the flow begins, oldest first. A letter is taken
out only once it is sure to have arrived, so what fails, or is interrupted, can
be done again: nothing is lost, and what was replayed is not replayed twice.

--to source       publishes to the queue that the flow reads (the default)
--to origin       publishes to the exchange and key that each was sent to first
--to queue:NAME   publishes to a queue
--to FILE         appends the records to a file, one a line; - is stdout

A message that is replayed has the letter's id as its message id, and says in
headers that it is one (telluride-replayed) and how often it was tried
(telluride-attempts): if it dies again, its attempts go on from there.`,
		Example: `  telluride dead replay flow.yaml --limit 1
  telluride dead replay flow.yaml --stage lookup --rate 100
  telluride dead replay flow.yaml --to again.ndjson`,
		RunE: func(_ *cobra.Command, args []string) error { return p.deadReplay(&f, args) },
	}
	f.flags(c, true)
	c.Flags().StringVar(&f.to, "to", "source", "source, origin, queue:NAME, or a file")
	c.Flags().IntVar(&f.rate, "rate", 0, "at most so many a second; 0: as fast as they are taken")
	return c
}

func newDeadDrop(p *program) *cobra.Command {
	var f deadFlags
	c := &cobra.Command{
		Use:   "drop [FLOW.yaml] [ID…]",
		Short: "Remove dead letters for good",
		Long: `Removes dead letters. In a file they are overwritten with spaces; from a queue
they are taken. Name ids or filters, or --all.`,
		Example: `  telluride dead drop flow.yaml 5a0c 77ab
  telluride dead drop flow.yaml --stage assert --dry-run
  telluride dead drop flow.yaml --all`,
		RunE: func(_ *cobra.Command, args []string) error { return p.deadDrop(&f, args) },
	}
	f.flags(c, true)
	c.Flags().BoolVar(&f.all, "all", false, "remove all of them")
	return c
}

// deadOf is what a verb works on.
type deadOf struct {
	plan   *plan.Plan // nil: no flow was named
	flow   string
	places []deadPlace
}

// deadOf reads the command line: a flow file unless a flag names a place, and
// then ids.
func (p *program) deadOf(f *deadFlags, args []string) (*deadOf, error) {
	if f.file != "" && f.queue != "" {
		return nil, errors.New("--file and --queue are two places; name one")
	}
	if f.filter.Limit < 0 || f.rate < 0 {
		return nil, errors.New("--limit and --rate cannot be negative")
	}
	of := &deadOf{}
	if len(args) > 0 && isFlowFile(args[0]) {
		flows, err := p.loadApart(args[:1], nil)
		if err != nil {
			return nil, err
		}
		if flows[0].plan == nil {
			diags, sources := all(flows)
			diag.Print(p.stderr, diags, sources, p.colour(p.stderr))
			return nil, &exitError{code: exitInvalid}
		}
		of.plan, of.flow = flows[0].plan, flows[0].plan.Name
		args = args[1:]
	}
	f.filter.IDs = args
	for _, id := range args {
		if strings.Trim(id, "0123456789abcdef") != "" {
			return nil, fmt.Errorf("%q is neither a flow file nor an id of a dead letter; see telluride dead --help", id)
		}
	}
	var err error
	if f.filter.Since, err = sinceWhen(f.since, time.Now()); err != nil {
		return nil, err
	}
	return of, p.deadPlacesOf(f, of)
}

func (p *program) deadPlacesOf(f *deadFlags, of *deadOf) error {
	switch {
	case f.file != "":
		of.places = []deadPlace{{what: "file " + f.file, open: func(_ context.Context, rt stage.Runtime) (deadletter.Store, error) {
			return deadletter.OpenFile(f.file, rt.Lock)
		}}}
	case f.queue != "":
		open, err := rabbitmq.QueueLetters(p.brokerURL(f.url), f.queue)
		if err != nil {
			return fmt.Errorf("--url: %w", err)
		}
		of.places = []deadPlace{{what: "queue " + f.queue, peeked: true, open: open}}
	case of.plan != nil:
		var closed []string
		of.places, closed = deadPlaces(of.plan)
		for _, why := range closed {
			fmt.Fprintln(p.stderr, "note: "+why)
		}
		if len(of.places) == 0 {
			return failed(errors.New("there is no place to look into"))
		}
	default:
		return errors.New("say where the dead letters are: telluride dead … flow.yaml, --file FILE or --queue NAME")
	}
	return nil
}

func isFlowFile(arg string) bool {
	return strings.HasSuffix(arg, ".yaml") || strings.HasSuffix(arg, ".yml")
}

func (p *program) brokerURL(flag string) string {
	if flag != "" {
		return flag
	}
	if url, ok := p.env("RABBITMQ_URL"); ok && url != "" {
		return url
	}
	return "amqp://guest:guest@localhost:5672/"
}

// sinceWhen reads --since.
func sinceWhen(text string, now time.Time) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	if t, err := time.Parse(time.RFC3339, text); err == nil {
		return t, nil
	}
	d, err := conf.ParseDuration(text)
	if err != nil || d < 0 {
		return time.Time{}, fmt.Errorf("--since %s is neither a duration, such as 2h or 1d, nor a time, such as 2026-01-31T12:00:00Z", text)
	}
	return now.Add(-d), nil
}

// deadTarget opens what --to says.
func (p *program) deadTarget(ctx context.Context, f *deadFlags, of *deadOf) (deadletter.Target, error) {
	rt := deadRuntime(of.flow, true)
	queue, toQueue := strings.CutPrefix(f.to, "queue:")
	switch {
	case toQueue || f.to == "origin" && of.plan == nil:
		open, err := rabbitmq.QueueReplay(p.brokerURL(f.url), queue)
		if err != nil {
			return nil, fmt.Errorf("--url: %w", err)
		}
		if toQueue && queue == "" {
			return nil, errors.New("--to queue: needs the name of a queue, as in --to queue:orders")
		}
		return open(ctx, rt, !toQueue)
	case f.to == "source" && of.plan == nil:
		return nil, errors.New("no flow was named, so there is no source: name the flow file, or say --to origin, --to queue:NAME or --to FILE")
	case f.to == "source" || f.to == "origin":
		return newIntoSources(of.plan, rt, f.to == "origin"), nil
	case f.to == "-":
		return deadletter.NewLines(p.stdout), nil
	}
	return deadletter.OpenLines(f.to)
}

// warnOfPeeking says once what looking into a queue does.
func warnOfPeeking(w io.Writer, places []deadPlace) {
	for _, place := range places {
		if place.peeked {
			fmt.Fprintf(w, "note: %s gives its messages out and gets back those that stay: their delivery count rises, and their order may change\n", place.what)
		}
	}
}
