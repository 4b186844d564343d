package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/telluride-stream/telluride/engine/deadletter"
)

func (p *program) deadList(f *deadFlags, args []string) error {
	of, err := p.deadOf(f, args)
	if err != nil {
		return err
	}
	return p.listDead(f, of)
}

// listDead lists the letters that are meant.
func (p *program) listDead(f *deadFlags, of *deadOf) error {
	ctx, cancel := p.interruptible()
	defer cancel()
	asTable := isTerminal(p.stdout) && !f.json
	out := bufio.NewWriter(p.stdout)
	var rows [][]string
	n := 0
	each := func(l *deadletter.Letter) error {
		if n++; asTable {
			rows = append(rows, []string{l.ID[:min(len(l.ID), 8)], deadTime(l.Time), strconv.Itoa(l.Attempts), orDash(l.Stage), oneLine(l.Reason), oneLine(string(l.Payload))})
			return nil
		}
		_, err := out.Write(append(l.AppendJSON(nil), '\n'))
		return err
	}
	err := p.eachDead(ctx, f, of, each)
	if asTable && len(rows) > 0 {
		fitDead(rows, width(p.stdout))
		rows = append([][]string{{"id", "died", "tries", "stage", "reason", "record"}}, rows...)
		_, _ = out.WriteString(columns("", rows))
	}
	if flushing := out.Flush(); err == nil {
		err = failedOrNil(flushing)
	}
	if err == nil && (asTable || n == 0) {
		fmt.Fprintln(p.stderr, plural(n, "dead letter"))
	}
	return err
}

// eachDead calls each for the letters that are meant, in all places.
func (p *program) eachDead(ctx context.Context, f *deadFlags, of *deadOf, each func(*deadletter.Letter) error) error {
	warnOfPeeking(p.stderr, of.places)
	return failedOrNil(selectIn(ctx, of, f.filter, each, p.noteLeft))
}

// noteLeft says what was not shown.
func (p *program) noteLeft(place deadPlace, left deadletter.Left) {
	for _, note := range leftNotes(place, left) {
		fmt.Fprintln(p.stderr, "note: "+note)
	}
}

func leftNotes(place deadPlace, left deadletter.Left) (notes []string) {
	if left.Foreign > 0 {
		notes = append(notes, fmt.Sprintf("%s: %s no dead letters", place.what, pluralAre(left.Foreign, "line")))
	}
	if left.Unread {
		notes = append(notes, place.what+" holds more than are taken out at a time; what is behind was not looked at")
	}
	return notes
}

func pluralAre(n int, noun string) string {
	if n == 1 {
		return "1 " + noun + " is"
	}
	return plural(n, noun) + " are"
}

func (p *program) deadShow(f *deadFlags, args []string) error {
	of, err := p.deadOf(f, args)
	if err != nil {
		return err
	}
	if f.filter.Empty() && f.filter.Limit == 0 {
		return errors.New("show needs the ids of letters, or a filter; telluride dead list shows them")
	}
	ctx, cancel := p.interruptible()
	defer cancel()
	n := 0
	err = p.eachDead(ctx, f, of, func(l *deadletter.Letter) error {
		n++
		if !isTerminal(p.stdout) || f.json {
			_, err := p.stdout.Write(append(l.AppendJSON(nil), '\n'))
			return err
		}
		if n > 1 {
			fmt.Fprintln(p.stdout)
		}
		_, err := io.WriteString(p.stdout, deadText(l))
		return err
	})
	if err == nil && n == 0 {
		err = failed(errors.New("no dead letter is like that"))
	}
	return err
}

// deadText is a letter for people.
func deadText(l *deadletter.Letter) string {
	rows := [][]string{{"id", l.ID}, {"died", deadTime(l.Time)}}
	add := func(name, value string) {
		if value != "" {
			rows = append(rows, []string{name, value})
		}
	}
	add("flow", strings.TrimSpace(l.Flow+" "+l.Version))
	add("stage", l.Stage)
	add("reason", oneLine(l.Reason))
	add("attempts", strconv.Itoa(l.Attempts))
	add("source", l.Source)
	add("file", l.File)
	if l.Line >= 0 {
		add("line", strconv.FormatInt(l.Line, 10))
	}
	if l.Offset >= 0 {
		add("offset", strconv.FormatInt(l.Offset, 10))
	}
	add("meta", string(l.Meta))
	payload := string(l.Payload)
	if !utf8.ValidString(payload) {
		payload = strconv.Quote(payload)
	}
	return columns("", rows) + "\n" + strings.TrimRight(payload, "\n") + "\n"
}

func (p *program) deadReplay(f *deadFlags, args []string) error {
	of, err := p.deadOf(f, args)
	if err != nil {
		return err
	}
	if f.dry {
		return p.listDead(f, of)
	}
	ctx, cancel := p.interruptible()
	defer cancel()
	to, err := p.deadTarget(ctx, f, of)
	if err != nil {
		return failedOrNil(err)
	}
	return p.settleDead(ctx, f, of, "replayed", func(s deadletter.Store, filter deadletter.Filter) (deadletter.Result, error) {
		return deadletter.Replay(ctx, s, to, filter, f.rate)
	}, to.Close)
}

func (p *program) deadDrop(f *deadFlags, args []string) error {
	of, err := p.deadOf(f, args)
	if err != nil {
		return err
	}
	if f.dry {
		return p.listDead(f, of)
	}
	if f.filter.Empty() && f.filter.Limit == 0 && !f.all {
		return errors.New("this would drop every dead letter: say which, or --all")
	}
	ctx, cancel := p.interruptible()
	defer cancel()
	return p.settleDead(ctx, f, of, "dropped", func(s deadletter.Store, filter deadletter.Filter) (deadletter.Result, error) {
		return deadletter.Drop(ctx, s, filter)
	}, func() error { return nil })
}

// settleDead replays or drops in every place, and says how far it came.
func (p *program) settleDead(ctx context.Context, f *deadFlags, of *deadOf, did string,
	work func(deadletter.Store, deadletter.Filter) (deadletter.Result, error), closing func() error,
) error {
	warnOfPeeking(p.stderr, of.places)
	all, err := settleIn(ctx, of, f.filter, work, p.noteLeft)
	err = errors.Join(err, closing())
	if f.json {
		_ = writeJSON(p.stdout, map[string]int{did: all.Done, "repeats": all.Repeats}) // the error behind it says more
	} else {
		text := did + " " + plural(all.Done, "dead letter")
		if all.Repeats > 0 {
			text += ", and took out " + plural(all.Repeats, "repeat") + " of them"
		}
		fmt.Fprintln(p.stderr, text)
	}
	return failedOrNil(err)
}

func deadTime(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return t.Local().Format(time.DateTime)
}

func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

// oneLine is a text without what would break a table.
func oneLine(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(s, "\ufffd"))
}

// fitDead shortens reasons and records so that rows fit the terminal.
func fitDead(rows [][]string, width int) {
	if width <= 0 {
		width = 120
	}
	fixed := 8 + 2 + 19 + 2 + 5 + 2 + 2
	stage, reason := 5, 6
	for _, row := range rows {
		stage = max(stage, utf8.RuneCountInString(row[3]))
		reason = max(reason, utf8.RuneCountInString(row[4]))
	}
	left := max(width-fixed-stage-2, 20)
	reason = min(reason, max(left*2/3, left-40))
	for _, row := range rows {
		row[4] = cut(row[4], reason)
		row[5] = cut(row[5], max(left-reason, 8))
	}
}
