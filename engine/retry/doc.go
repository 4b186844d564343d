// Package retry tries records again that failed for a reason that may pass. It
// wraps an operator; what failed is kept in state, with the time at which it is
// due, so that it survives whatever the state survives.
//
// It knows the contracts of operators, not how flows run.
package retry
