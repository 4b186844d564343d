// Package topology turns a plan into a running go-streams graph, and is the
// only importer of go-streams. It knows nothing of YAML, files or brokers.
//
// # The shape of a graph
//
//	intake → pump → decode → stamp ─┐
//	intake → pump → decode → stamp ─┴─ merge → split ─┬─ operators ─┬─ merge → sinks
//	                                                  └─ operators ─┘
//
// Every element on every channel is a *record.Batch. An intake reads a source;
// it may outlive the graph. A pump paces what was read and puts ticks and
// barriers into the stream, also while its source has nothing to say. Decoders
// work in parallel and keep the order. The stamp gives each record its time
// and watermark. Splits send records to lanes or branches, and barriers, ticks
// and watermarks to all of them; merges align on barriers. Terminals write to
// sinks and tell the coordinator what has become durable.
package topology
