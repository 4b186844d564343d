package stage

import (
	"context"

	"github.com/telluride-stream/telluride/engine/deadletter"
)

// Letters opens a place where dead letters are kept, for people who look at
// them. It is called beside the flow, which may be running.
type Letters func(ctx context.Context, rt Runtime) (deadletter.Store, error)

// Replay opens the way by which dead letters are processed again: into the
// source, or with origin to where each was sent at first.
type Replay func(ctx context.Context, rt Runtime, origin bool) (deadletter.Target, error)
