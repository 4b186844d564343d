// Package process holds the steps of a process stage: filter, set, select,
// drop_fields, rename, explode, dedupe, lookup and assert.
//
// Most of them are record-wise: they pass, filter or dead-letter each record
// by itself, and the engine fuses neighbours into one operator. explode,
// dedupe and lookup are operators of their own.
//
// It knows the contracts of engine/stage, and neither the engine's runtime
// nor other stages.
package process

import "github.com/telluride-stream/telluride/engine/stage"

// Steps lists the steps.
func Steps() []stage.Kind {
	return []stage.Kind{
		filterStep(),
		setStep(),
		selectStep(),
		dropStep(),
		renameStep(),
		explodeStep(),
		dedupeStep(),
		lookupStep(),
		assertStep(),
	}
}
