package flowtest

import (
	"bytes"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"gopkg.in/yaml.v3"

	"github.com/telluride-stream/telluride/engine/conf"
	"github.com/telluride-stream/telluride/engine/fixture"
)

// feedStep gives messages to a source, each at its time.
type feedStep struct {
	place
	source   conf.Text
	messages []fixture.Message // inline
	file     conf.Text
	path     string
	format   string
	every    time.Duration // between messages that have no time
	meta     []byte
	generate *generate
}

func (f *File) feed(n *yaml.Node, at place) step {
	s := &feedStep{place: at}
	if n.Kind == yaml.SequenceNode {
		f.rows(s, n)
		return s
	}
	var rows, raw, meta *yaml.Node
	var made generate
	fields := conf.NewFields(f.scope, n, "feed")
	generated := s.bind(fields, &rows, &raw, &meta, &made)
	if fields.Finish() && generated {
		s.generate = &made
	}
	if s.file.Value != "" {
		s.path = f.beside(s.file.Value)
	}
	if rows != nil {
		f.rows(s, rows)
	}
	if raw != nil {
		f.raw(s, raw)
	}
	if meta != nil {
		if meta.Kind != yaml.MappingNode {
			f.fail(meta, "meta: expected a mapping", "write meta: {routing_key: a.b}")
		}
		s.meta = f.json(meta)
	}
	return s
}

func (s *feedStep) bind(f *conf.Fields, rows, raw, meta **yaml.Node, made *generate) (generated bool) {
	f.Text(&s.source, "source", "", "The name of the source; may be left out where the flow has one.")
	f.Node(rows, "rows", `The messages: records, or texts as they come. "+10s": record is one at its time behind the beginning of this step, "x5": record is five of them, and "+1s x5": record is five, a second apart. A record that is {payload: …, meta: …} has metadata of its own.`).Schema(map[string]any{"type": "array", "minItems": 1})
	f.Node(raw, "raw", "Messages as they come, JSON or not: a text or a list of them.").Schema(map[string]any{"type": []any{"string", "array"}})
	f.Text(&s.file, "file", "", "A file of messages, relative to the folder of this file.").NotEmpty()
	f.Enum(&s.format, "format", "", formats, "What the file is: ndjson (a message a line, or as telluride record writes it), json (a list), csv (with a header), lines (each line is the field line of a record) or raw (each line is a message as it comes). Default: by the file's ending.")
	generated = f.Object("generate", "Messages that are made from expressions.", func(f *conf.Fields) {
		made.bind(f)
		if !f.Describing() && f.Given("rows") {
			made.compile(f)
		}
	}).Present()
	f.Duration(&s.every, "every", 0, "The time between two messages that have no time of their own.").Optional()
	f.Node(meta, "meta", "What the source knows of each message besides: meta.* in expressions.").Schema(map[string]any{"type": "object"})
	f.OneOf("rows", "raw", "file", "generate")
	return generated
}

// when is the key of a row that says when it comes, and how often.
var when = regexp.MustCompile(`^(\+\s*([0-9][0-9a-zµ.]*))?\s*(x\s*([0-9]+))?$`)

// rows decodes rows.
func (f *File) rows(s *feedStep, n *yaml.Node) {
	if n.Kind != yaml.SequenceNode || len(n.Content) == 0 {
		f.fail(n, "feed: expected a list of rows", `start each with "- "`)
		return
	}
	for _, item := range n.Content {
		if item.Kind == yaml.MappingNode && len(item.Content) == 2 && when.MatchString(item.Content[0].Value) && item.Content[0].Value != "" {
			f.timed(s, item.Content[0], item.Content[1])
			continue
		}
		s.messages = append(s.messages, f.message(item)...)
	}
}

const maxRepeat = 1_000_000

// timed decodes rows behind "+10s", "x5" or "+1s x5".
func (f *File) timed(s *feedStep, key, value *yaml.Node) {
	parts := when.FindStringSubmatch(strings.TrimSpace(key.Value))
	var every time.Duration
	if parts[2] != "" {
		d, err := conf.ParseDuration(parts[2])
		if err != nil {
			f.fail(key, fmt.Sprintf("feed: %q is no time", parts[2]), "write one such as +10s")
			return
		}
		every = d
	}
	times := 1
	if parts[4] != "" {
		n, err := strconv.Atoi(parts[4])
		if err != nil || n < 1 || n > maxRepeat {
			f.fail(key, fmt.Sprintf("feed: %q is no number of times from 1 to %d", parts[4], maxRepeat), "")
			return
		}
		times = n
	}
	items := []*yaml.Node{value}
	if value.Kind == yaml.SequenceNode {
		items = value.Content
	}
	var rows []fixture.Message
	for _, item := range items {
		rows = append(rows, f.message(item)...)
	}
	for i := 1; i <= times; i++ {
		for _, m := range rows {
			if parts[4] != "" {
				m.Payload = numbered(m.Payload, i)
			}
			if parts[2] != "" {
				m.At, m.Timed = time.Duration(i)*every, true
			}
			s.messages = append(s.messages, m)
		}
	}
}

// numbered puts the number of a repeated row in place of {n}: as a number
// where a text is that and nothing else.
func numbered(payload []byte, n int) []byte {
	number := strconv.AppendInt(nil, int64(n), 10)
	payload = bytes.ReplaceAll(payload, []byte(`"{n}"`), number)
	return bytes.ReplaceAll(payload, []byte(`{n}`), number)
}

// message decodes one row: a record, an envelope, or a text as it comes.
func (f *File) message(n *yaml.Node) []fixture.Message {
	if n.Kind == yaml.ScalarNode {
		return []fixture.Message{{Payload: []byte(n.Value)}}
	}
	m, err := fixture.Parse(f.json(n))
	if err != nil {
		f.fail(n, "feed: "+err.Error(), "")
		return nil
	}
	return []fixture.Message{m}
}

func (f *File) raw(s *feedStep, n *yaml.Node) {
	items := []*yaml.Node{n}
	if n.Kind == yaml.SequenceNode {
		items = n.Content
	}
	for _, item := range items {
		if item.Kind != yaml.ScalarNode {
			f.fail(item, "raw: expected a text", "quote it")
			continue
		}
		s.messages = append(s.messages, fixture.Message{Payload: []byte(item.Value)})
	}
}

// run feeds the messages in the order of their times, and ends at the last.
func (s *feedStep) run(r *run) error {
	name, err := r.source(s.source)
	if err != nil {
		return err
	}
	all, err := s.all(r)
	if err != nil {
		return err
	}
	start := r.bench.Elapsed()
	for i := 0; i < len(all); {
		n := i + 1
		for n < len(all) && all[n].At == all[i].At {
			n++
		}
		if err := r.bench.MoveTo(start + all[i].At); err != nil {
			return err
		}
		var messages []Message
		for _, m := range all[i:n] {
			messages = append(messages, Message{Payload: m.Payload, Meta: m.Meta})
			r.fed = append(r.fed, fed{m.Payload, s.span})
		}
		if err := r.bench.Feed(name, messages...); err != nil {
			return err
		}
		i = n
	}
	return nil
}

// all is the messages with their times and metadata, in order.
func (s *feedStep) all(r *run) ([]fixture.Message, error) {
	all := slices.Clone(s.messages)
	var err error
	switch {
	case s.path != "":
		all, err = readFixture(s.path, s.format)
	case s.generate != nil:
		all, err = s.generate.messages(r.seed, r.test.Base, r.bench.Elapsed())
	}
	if err != nil {
		return nil, err
	}
	for i := range all {
		m := &all[i]
		switch {
		case m.Timed:
		case s.every > 0:
			m.At = time.Duration(i) * s.every
		case i > 0:
			m.At = all[i-1].At
		}
		if m.Meta == nil {
			m.Meta = s.meta
		}
	}
	slices.SortStableFunc(all, func(a, b fixture.Message) int { return int(a.At - b.At) })
	return all, nil
}
