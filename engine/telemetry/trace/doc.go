// Package trace records what happens to the batches of a flow as spans of
// OpenTelemetry, and has the traces of messages go on through it. It knows the
// SDK, which nobody else does, and no concrete stage.
//
// A nil [Tracer], and everything that is made of one, does nothing: so a flow
// that is not traced pays for a nil check a batch.
package trace
