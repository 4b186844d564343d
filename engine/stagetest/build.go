package stagetest

import (
	"fmt"
	"testing"

	"gopkg.in/yaml.v3"

	"github.com/telluride-stream/telluride/engine/conf"
	"github.com/telluride-stream/telluride/engine/diag"
	"github.com/telluride-stream/telluride/engine/expr"
	"github.com/telluride-stream/telluride/engine/record"
	"github.com/telluride-stream/telluride/engine/stage"
)

// built is a kind built from a config, as a compiler does.
type built struct {
	builder   *stage.Builder
	projector *record.Projector // reads payloads once everything is built

	source   stage.SourceSpec
	operator stage.OperatorSpec
	sink     stage.SinkSpec
	feed     stage.FeedSpec
}

const fileName = "flow.yaml"

// build decodes and builds a config. It returns nil when there are errors.
func build(k stage.Kind, config string) (b *built, diags diag.List) {
	scope := &conf.Scope{File: fileName, Source: []byte(config), Diags: &diags}
	node := conf.Parse(fileName, []byte(config), conf.Limits{}, &diags)
	if node == nil || node.Kind != yaml.MappingNode {
		return nil, diags
	}
	fields := conf.NewFields(scope, node, "")
	decoded := k.Decode(fields)
	fields.Finish()
	if diags.HasErrors() {
		return nil, diags
	}
	b = &built{builder: &stage.Builder{
		Flow: "flow", Name: k.Name, Span: scope.Span(node), Diags: &diags, Layout: record.NewLayout(),
		Schema: &expr.Schema{Open: true},
	}}
	switch k.Role {
	case stage.RoleSource:
		b.builder.Schema = nil
		b.source = k.Source(decoded, b.builder)
	case stage.RoleSink:
		b.sink = k.Sink(decoded, b.builder)
	case stage.RoleFeed:
		b.feed = k.Feed(decoded, b.builder)
	default:
		b.operator = k.Operator(decoded, b.builder)
	}
	if diags.HasErrors() {
		return nil, diags
	}
	b.projector = record.NewProjector(b.builder.Layout.First(b.builder.Reads()))
	return b, diags
}

// sound builds the sample.
func (c *checked) sound(t *testing.T) *built {
	t.Helper()
	b, diags := build(c.kind, c.sample.Config)
	if b == nil {
		t.Fatalf("the sample\n%s\nis not accepted: %v", c.sample.Config, diags.Err())
	}
	return b
}

// fill appends a record with this payload, and with the key that the stage
// wants, to a batch. took is false for a record that has no key.
func (b *built) fill(in *record.Batch, payload string, r record.Record) (took bool, err error) {
	r.Payload = in.Arena().Bytes(len(payload))
	copy(r.Payload, payload)
	r.Fields = in.Arena().Values(b.builder.Layout.Len())
	if err := b.projector.Project(r.Payload, r.Fields[:b.builder.Reads()]); err != nil {
		return false, fmt.Errorf("%s: %w", payload, err)
	}
	text, ok := b.keyOf(&r)
	if !ok {
		return false, nil // a partition makes a dead letter of it
	}
	if text != nil {
		key := in.Arena().Bytes(len(text))
		copy(key, text)
		r.Key = unsafeString(key)
		r.Hash = record.Hash(r.Key)
	}
	in.Records = append(in.Records, r)
	return true, nil
}

// keyOf is the record's key, nil when the stage wants none; ok is false when
// the record has none.
func (b *built) keyOf(r *record.Record) (text []byte, ok bool) {
	key := b.builder.Wanted()
	if key.Len() == 0 {
		return nil, true
	}
	var values []record.Value
	for _, f := range key.Fields {
		v, err := f.Program.Eval(&expr.Scope{Record: r})
		if err != nil {
			return nil, false
		}
		values = append(values, v)
	}
	return record.AppendKey(nil, values...), true
}
