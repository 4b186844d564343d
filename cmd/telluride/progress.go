package main

import (
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"github.com/telluride-stream/telluride/engine"
	"github.com/telluride-stream/telluride/engine/plan"
)

// progressEvery is how often the progress line is drawn anew.
const progressEvery = 200 * time.Millisecond

// progress makes the progress line. It remembers what it has shown, for rates.
type progress struct {
	at      time.Time
	records uint64
	rate    float64
	began   bool
}

// line is the progress of some flows that run, at a time.
func (p *progress) line(flows []*engine.Flow, now time.Time) string {
	var all totals
	for _, f := range flows {
		t := totalsOf(f)
		all.records += t.records
		all.dead += t.dead
		all.late += t.late
		all.seen += t.seen
		all.size += t.size
	}
	p.note(all.records, now)
	name := fmt.Sprintf("%d flows", len(flows))
	if len(flows) == 1 {
		name = flows[0].Current().Name
	}
	parts := []string{name, thousands(all.records) + " records", perSecond(p.rate)}
	if all.size > 0 {
		part := fmt.Sprintf("%d%%", min(100, 100*all.seen/all.size))
		if file := onlyFile(flows); file != "" {
			part += " of " + file
		}
		parts = append(parts, part)
	}
	parts = append(parts, "dead "+thousands(all.dead), "late "+thousands(all.late))
	return strings.Join(parts, "  ")
}

// note moves the rate towards that since the last call: by half a second.
func (p *progress) note(records uint64, now time.Time) {
	if !p.began {
		p.at, p.records, p.began = now, records, true
		return
	}
	elapsed := now.Sub(p.at).Seconds()
	if elapsed <= 0 {
		return
	}
	current := float64(records-min(records, p.records)) / elapsed
	if p.rate == 0 {
		p.rate = current
	} else {
		weight := elapsed / (elapsed + 0.5)
		p.rate += weight * (current - p.rate)
	}
	p.at, p.records = now, records
}

// onlyFile is the name of the file that is read, when there is one source.
func onlyFile(flows []*engine.Flow) string {
	var sources []plan.Source
	for _, f := range flows {
		sources = append(sources, f.Current().Sources...)
	}
	if len(sources) != 1 {
		return ""
	}
	text := sources[0].Spec.Text
	if strings.ContainsAny(text, "*?[") {
		return text
	}
	return filepath.Base(text)
}
