package deadletter

// The headers of a message that is a dead letter: its body is the record, and
// these are the facts of the envelope. A message that is replayed has
// HeaderReplayed, HeaderAttempts and HeaderMessageID.
const (
	HeaderPrefix   = "telluride-"
	HeaderFormat   = "telluride-letter"
	HeaderID       = "telluride-letter-id"
	HeaderTime     = "telluride-time"
	HeaderFlow     = "telluride-flow"
	HeaderVersion  = "telluride-version"
	HeaderStage    = "telluride-stage"
	HeaderReason   = "telluride-reason"
	HeaderAttempts = "telluride-attempts"
	HeaderSource   = "telluride-source"
	HeaderFile     = "telluride-file"
	HeaderLine     = "telluride-line"
	HeaderOffset   = "telluride-offset"
	// HeaderQueue, HeaderExchange and HeaderRoutingKey say where the message
	// was read, and how it had been published.
	HeaderQueue      = "telluride-queue"
	HeaderExchange   = "telluride-exchange"
	HeaderRoutingKey = "telluride-routing-key"
	// HeaderMessageID is the message id that it first came with.
	HeaderMessageID = "telluride-message-id"
	// HeaderReplayed is the id of the letter that a message was replayed from.
	HeaderReplayed = "telluride-replayed"
)
