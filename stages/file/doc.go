// Package file reads and writes files: the `file` source and the `file` sink.
//
// The source knows lines, CSV rows, compression and positions in files; what
// a JSON line says is read by the engine. The package knows nothing of how a
// flow runs.
package file
