// Package wire is the form of telemetry that is published as messages: its
// keys and JSON types are those of the TelluridePipeline, so that its consumers
// can read them. It knows the numbers, not where they go.
package wire

import (
	"math"
	"strconv"
	"time"

	"github.com/telluride-stream/telluride/engine/telemetry"
)

// Type is the JSON type of a field.
type Type uint8

const (
	Text  Type = iota
	Int        // a number without a decimal point
	Float      // a number with one, always
	Mixed      // a text in some messages and an integer in others
)

// Field is a key of a message.
type Field struct {
	Name string
	Type Type
}

// Form is what a sort of message consists of.
type Form struct{ Fields []Field }

var (
	// Nodes is the form of a node's message. Durations and times are
	// nanoseconds, times since 1970. partition is a text for a processor.
	Nodes = &Form{[]Field{
		{"node_type", Text}, {"name", Text}, {"partition", Mixed}, {"call_count", Int}, {"msg_count", Int},
		{"last_duration", Int}, {"min_duration", Int}, {"max_duration", Int}, {"mean_duration", Float}, {"sma_duration", Float},
		{"first_time", Int}, {"last_time", Int},
	}}
	// Throughput is the form of the flow's message.
	Throughput = &Form{[]Field{
		{"earliest_raw_time", Int}, {"last_raw_time", Int}, {"total_message_count", Int}, {"total_failed_count", Int}, {"total_successful_count", Int},
	}}
)

// Node is one node in the words of the original.
type Node struct {
	Type      string // producer, processor, batcher or batcher_processor
	Name      string
	Partition int
	telemetry.NodeStats
}

// NodesOf lists the nodes of a snapshot that had something to do.
//
// A source is a producer. What works on records one by one is a processor, a
// run of fused stages being one. A stage that holds records to let them go
// together is a batcher, all its lanes being one, and each of its lanes is a
// batcher_processor; so is each lane of an aggregate, and each sink.
// Partitions and routes, which only send records on, are none.
func NodesOf(s telemetry.Snapshot) (all []Node) {
	for _, one := range s.Stages {
		var kind string
		switch one.Role {
		case telemetry.Source:
			kind = "producer"
		case telemetry.Step:
			kind = "processor"
		case telemetry.Batcher:
			if whole := together(one.Nodes); whole.Calls > 0 {
				all = append(all, Node{"batcher", one.Name, 0, whole})
			}
			kind = "batcher_processor"
		case telemetry.Aggregate, telemetry.Sink:
			kind = "batcher_processor"
		default:
			continue
		}
		for _, n := range one.Nodes {
			if n.Calls > 0 {
				all = append(all, Node{kind, one.Name, n.Lane, n})
			}
		}
	}
	return all
}

// together is the lanes of a stage as one node.
func together(lanes []telemetry.NodeStats) (n telemetry.NodeStats) {
	var sum, recent, weights float64
	for _, l := range lanes {
		if l.Calls == 0 {
			continue
		}
		if n.Calls == 0 || l.Min < n.Min {
			n.Min = l.Min
		}
		if n.Calls == 0 || l.First.Before(n.First) {
			n.First = l.First
		}
		if n.Calls == 0 || l.LastAt.After(n.LastAt) {
			n.LastAt, n.Last = l.LastAt, l.Last
		}
		n.Max = max(n.Max, l.Max)
		n.Calls, n.Records = n.Calls+l.Calls, n.Records+l.Records
		weight := math.Min(float64(l.Calls), telemetry.Averaged)
		sum, recent, weights = sum+l.Mean*float64(l.Calls), recent+l.SMA*weight, weights+weight
	}
	if n.Calls > 0 {
		n.Mean, n.SMA = sum/float64(n.Calls), recent/weights
	}
	return n
}

// Append appends the node's message.
func (n *Node) Append(dst []byte) []byte {
	m := message{form: Nodes, text: dst}
	m.quoted(n.Type)
	m.quoted(n.Name)
	if n.Type == "processor" {
		m.quoted(strconv.Itoa(n.Partition))
	} else {
		m.int(int64(n.Partition))
	}
	m.int(int64(n.Calls))
	m.int(int64(n.Records))
	m.int(int64(n.Last))
	m.int(int64(n.Min))
	m.int(int64(n.Max))
	m.float(n.Mean)
	m.float(n.SMA)
	m.int(n.First.UnixNano())
	m.int(n.LastAt.UnixNano())
	return m.end()
}

// AppendThroughput appends the flow's message. ok is false when there is
// nothing to tell yet: no message is done with.
func AppendThroughput(dst []byte, s telemetry.Snapshot) (text []byte, ok bool) {
	f := s.Flow
	first := firstCall(s)
	if f.Messages == 0 || first.IsZero() {
		return dst, false
	}
	failed := min(f.Lettered, f.Messages)
	m := message{form: Throughput, text: dst}
	m.int(first.UnixNano())
	m.int(f.LastMessage.UnixNano())
	m.int(int64(f.Messages))
	m.int(int64(failed))
	m.int(int64(f.Messages - failed))
	return m.end(), true
}

// firstCall is when the first records came.
func firstCall(s telemetry.Snapshot) (at time.Time) {
	for _, one := range s.Stages {
		for _, n := range one.Nodes {
			if one.Role == telemetry.Source && n.Calls > 0 && (at.IsZero() || n.First.Before(at)) {
				at = n.First
			}
		}
	}
	return at
}

// message writes the fields of a form in their order.
type message struct {
	form *Form
	text []byte
	at   int
}

func (m *message) key() {
	c := byte(',')
	if m.at == 0 {
		c = '{'
	}
	m.text = append(m.text, c, '"')
	m.text = append(m.text, m.form.Fields[m.at].Name...)
	m.text = append(m.text, '"', ':')
	m.at++
}

// quoted writes a text of letters, digits and punctuation, as names are.
func (m *message) quoted(s string) {
	m.key()
	m.text = strconv.AppendQuote(m.text, s)
}

func (m *message) int(n int64) {
	m.key()
	m.text = strconv.AppendInt(m.text, n, 10)
}

func (m *message) float(f float64) {
	m.key()
	begin := len(m.text)
	m.text = strconv.AppendFloat(m.text, f, 'f', -1, 64)
	for _, c := range m.text[begin:] {
		if c == '.' {
			return
		}
	}
	m.text = append(m.text, ".0"...)
}

func (m *message) end() []byte { return append(m.text, '}') }

// Changes tells which nodes changed since they were published.
type Changes struct{ calls map[nodeKey]uint64 }

type nodeKey struct {
	kind, name string
	partition  int
}

// Of lists the nodes that had calls since the last time that they were
// published.
func (c *Changes) Of(s telemetry.Snapshot) []Node {
	var changed []Node
	for _, n := range NodesOf(s) {
		if c.calls[nodeKey{n.Type, n.Name, n.Partition}] != n.Calls {
			changed = append(changed, n)
		}
	}
	return changed
}

// Published notes that nodes were published.
func (c *Changes) Published(nodes []Node) {
	if c.calls == nil {
		c.calls = map[nodeKey]uint64{}
	}
	for _, n := range nodes {
		c.calls[nodeKey{n.Type, n.Name, n.Partition}] = n.Calls
	}
}
