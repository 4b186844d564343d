package window

import (
	"fmt"
	"strconv"
	"time"

	"github.com/telluride-stream/telluride/engine/conf"
)

// maxPanes is how many panes a hopping window may consist of, which is what
// it costs to emit one.
const maxPanes = 10_000

// check finds what does not go together.
func (c *Config) check(f *conf.Fields) {
	if c.Kind == "global" && !c.Global && !f.Failed() {
		f.Fail(f.SpanOf("global"), "global: false is no window", "write global: true, or another kind of window")
	}
	if c.Kind == "global" && !f.Given("emit") {
		f.Fail(f.SpanOf("global"), "a global window never closes and would emit nothing", `add "emit: {every: 1s}", or use "count: 100" for a result every 100 records`)
	}
	if c.Kind == "sliding" && f.Given("emit") {
		f.Fail(f.SpanOf("emit"), "emit does not go with sliding, which emits a result for every record", "remove emit")
	}
	if f.Given("allowed_lateness") && !c.timed() && c.Kind != "" {
		f.Fail(f.SpanOf("allowed_lateness"), "allowed_lateness does not go with "+c.Kind+", where no window closes with time", "remove allowed_lateness")
	}
	if f.Given("expire_after") && (c.timed() || c.Kind == "sliding" && c.Sliding.Duration > 0) {
		f.Fail(f.SpanOf("expire_after"), "expire_after does not go with "+c.Kind+" windows of time, which forget idle keys by themselves", "remove expire_after")
	}
	c.checkHopping(f)
	c.checkTimezone(f)
}

// timed says whether windows close with event time.
func (c *Config) timed() bool {
	return c.Kind == "tumbling" || c.Kind == "hopping" || c.Kind == "session"
}

func (c *Config) checkHopping(f *conf.Fields) {
	size, every := c.Hopping.Size, c.Hopping.Every
	if c.Kind != "hopping" || size <= 0 || every <= 0 {
		return
	}
	if every > size {
		f.Warnf(f.SpanOf("hopping"), "hopping: every %s is longer than size %s: records in the gaps are filtered", conf.FormatDuration(every), conf.FormatDuration(size))
	}
	if panes := size / gcd(size, every); panes > maxPanes {
		f.Fail(f.SpanOf("hopping"), fmt.Sprintf("a window of %s every %s consists of %d parts, more than %d", conf.FormatDuration(size), conf.FormatDuration(every), panes, maxPanes),
			"make size a multiple of every, or every longer")
	}
}

func (c *Config) checkTimezone(f *conf.Fields) {
	if !f.Given("timezone") || c.Timezone.Value == "" {
		return
	}
	span := f.SpanOf("timezone")
	size, every := c.Tumbling, c.Tumbling
	if c.Kind == "hopping" {
		size, every = c.Hopping.Size, c.Hopping.Every
	}
	switch {
	case c.Kind == "":
		return
	case c.Kind != "tumbling" && c.Kind != "hopping":
		f.Fail(span, "timezone does not go with "+c.Kind, "only tumbling and hopping windows of whole days know a time zone")
		return
	case size%day != 0 || every%day != 0:
		f.Fail(span, "timezone needs windows of whole days", `write the length in days, such as "1d", or remove timezone: shorter windows begin at multiples of their length in UTC`)
		return
	}
	location, err := time.LoadLocation(c.Timezone.Value)
	if err != nil || c.Timezone.Value == "Local" {
		f.Fail(span, fmt.Sprintf("unknown time zone %q", c.Timezone.Value), "use a name of the IANA database, such as Europe/Vienna")
		return
	}
	c.Location = location
}

// parseLast reads `last`: a number of records or a duration.
func parseLast(text string) (records int, duration time.Duration, err error) {
	if n, err := strconv.Atoi(text); err == nil {
		return n, 0, nil
	}
	d, err := conf.ParseDuration(text)
	return 0, d, err
}

func gcd(a, b time.Duration) time.Duration {
	for b != 0 {
		a, b = b, a%b
	}
	return a
}
