// Package stages lists every kind of stage that Telluride ships. A program
// that wants other kinds makes a registry of its own.
//
// It must not know the engine's runtime.
package stages

import (
	"github.com/telluride-stream/telluride/engine/stage"
	"github.com/telluride-stream/telluride/stages/batch"
	"github.com/telluride-stream/telluride/stages/drop"
	"github.com/telluride-stream/telluride/stages/file"
	"github.com/telluride-stream/telluride/stages/generate"
	"github.com/telluride-stream/telluride/stages/process"
	"github.com/telluride-stream/telluride/stages/rabbitmq"
	"github.com/telluride-stream/telluride/stages/stdout"
	"github.com/telluride-stream/telluride/stages/window"
)

// All is the registry of every kind.
func All() *stage.Registry {
	kinds := []stage.Kind{
		file.Source(),
		generate.Source(),
		rabbitmq.Source(),
		batch.Stage(),
		window.Stage(),
		drop.Sink(),
		file.Sink(),
		rabbitmq.Sink(),
		stdout.Sink(),
		rabbitmq.ConfigQueue(),
	}
	return stage.NewRegistry(append(kinds, process.Steps()...)...)
}
