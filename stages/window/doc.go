// Package window is the stage `window`: aggregates per key over tumbling,
// hopping, sliding, session, count and global windows.
//
// It knows records, expressions and the contracts of package stage. It must
// not know other stages, nor how a flow runs: time comes with the records and
// in [stage.Context].
//
// # How it works
//
// A compiled set of aggregates ([aggregates]) reads its arguments from a
// record once and applies them to cells, a flat slice for each window. Cells
// can be merged: hopping windows share panes, and sessions that grow together
// become one. The operators differ in which cells a record goes to and in
// when they are read:
//
//   - panes: tumbling and hopping windows on a common grid of time
//   - sessions: windows that records themselves open and extend
//   - counted: every N records of a key
//   - sliding: a result per record, over the records before it
//   - running: one window that never closes (global)
//
// # Time
//
// Progress is the stream's watermark, and while batches are ordered also the
// watermark of the record at hand. Everything due fires before the record is
// applied. So on ordered input the results do not depend on how records are
// cut into batches.
//
// # Change
//
// The signature is a [layout] as JSON: kind, size, time zone, key, and what
// each cell collects. It says how the saved bytes are to be read, so that a
// stage whose aggregates have changed can take over the state of the one
// before, cell by cell ([carrier]). Where windows or keys have changed, what is
// open can be emitted as partial results instead (EmitPartial). The signature
// is part of the ids of results, since a state that began anew numbers its
// results from the beginning.
package window
