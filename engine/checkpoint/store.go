package checkpoint

// Position is where a source goes on after a restart.
type Position struct {
	// Bytes is the source's own; nil: it has no position.
	Bytes []byte
	// Watermark is the source's watermark there.
	Watermark int64
}

// Commit is what one or several epochs change, as a whole.
type Commit struct {
	Flow  string
	Epoch uint64 // the last epoch in it
	// Now is the processing time at the epoch's end. Time in a stream goes on
	// from here, also when the clock was set back meanwhile.
	Now       int64
	Positions map[string]Position // by source name
	Deltas    []*Delta            // in the order of their epochs
	// Verdicts is what becomes of the epochs' deliveries that carry an id. Of
	// two for one id the later counts.
	Verdicts []Verdict
	// Control changes the flow's control data together with the epoch.
	Control []Change
	// Restart says that nothing is to be resumed behind this commit: the
	// input has ended. State, positions and verdicts are cleared; control
	// data stays.
	Restart bool
}

// Edit is a change of a stage's state by hand.
type Edit struct {
	// Clear drops every key that is not in Keys.
	Clear bool
	// Keys are new values; nil drops the key.
	Keys map[string][]byte
}

// Change is a new value of a key, or its end when Value is nil.
type Change struct {
	Key   string
	Value []byte
}

// Verdict is what became of a delivery, to be repeated when it comes again.
type Verdict struct {
	Source, ID string
	Rejected   bool
	// At is when it was given, in Unix nanoseconds.
	At int64
}

// Store keeps what is committed. It is safe for concurrent use. Names and keys
// are any bytes; a name is not empty.
type Store interface {
	// Durable says that commits outlive the process.
	Durable() bool
	// Last is the last commit of a flow: its epoch, time and positions. ok is
	// false when there is nothing to resume.
	Last(flow string) (c Commit, ok bool, err error)
	// State calls each for every key of a stage, in any order, as of one
	// moment. key and value are each's to keep. An error of each ends it.
	State(flow, stage string, each func(key string, value []byte) error) error
	// Commit makes a commit durable, all of it or nothing. After an error it
	// is unknown which of the two, until the store is opened again. A commit
	// that has nothing to keep (no change, verdict or control data, and no
	// source with a position) is not written, and Last stays what it was.
	Commit(c Commit) error
	// Verdict is what became of a delivery.
	Verdict(flow, source, id string) (v Verdict, ok bool, err error)
	// Forget drops verdicts of a source that were given before a time, oldest
	// first. One call does a bounded amount of work; what it leaves, the next
	// one takes.
	Forget(flow, source string, before int64) error
	// Control is the control data of a flow: params, the applied version,
	// receipts.
	Control(flow string) (map[string][]byte, error)
	// SetControl changes control data durably, all of it or nothing.
	SetControl(flow string, changes []Change) error
	// Flows are the names of all flows of which something is kept, sorted.
	Flows() ([]string, error)
	// Drop removes the state of a stage; without a stage, all that a flow
	// would resume from: state, positions and verdicts. Control data stays.
	Drop(flow, stage string) error
	// Move gives all that is kept of a flow, control data included, to another
	// name, under which nothing may be kept; all of it or nothing.
	Move(from, to string) error
	Close() error
}

// Bytes is about how much memory the changes of state take.
func (c *Commit) Bytes() (n int) {
	for _, d := range c.Deltas {
		n += d.size()
	}
	return n
}

// sweep is the number of verdicts that one call of Forget looks at.
const sweep = 10_000

// empty says that a commit has nothing to keep.
func (c *Commit) empty() bool {
	if len(c.Verdicts) > 0 || len(c.Control) > 0 {
		return false
	}
	for _, p := range c.Positions {
		if p.Bytes != nil {
			return false
		}
	}
	for _, d := range c.Deltas {
		if d.Len() > 0 {
			return false
		}
	}
	return true
}
