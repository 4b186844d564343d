package rabbitmq

import (
	"errors"
	"fmt"
	"strings"

	amqp "github.com/rabbitmq/amqp091-go"
)

// brokerError is an error of the client in the broker's own words.
type brokerError struct{ cause *amqp.Error }

func (e brokerError) Error() string { return fmt.Sprintf("%s (%d)", e.cause.Reason, e.cause.Code) }
func (e brokerError) Unwrap() error { return e.cause }

// readable puts an error of the client into the broker's own words.
func readable(err error) error {
	var e *amqp.Error
	if !errors.As(err, &e) {
		return err
	}
	return brokerError{e}
}

// fatal marks an error that waiting does not cure. Sources and sinks have
// their own words for that: see source.fault and sink.fault.
type fatal struct{ error }

func (e fatal) Unwrap() error { return e.error }

func isFatal(err error) bool {
	var f fatal
	return errors.As(err, &f)
}

// isMissing says that a queue or exchange is not there.
func isMissing(err error) bool {
	var e *amqp.Error
	return errors.As(err, &e) && e.Code == amqp.NotFound
}

// refused classifies the error of a connection that did not come about: one
// that waiting does not cure is fatal.
func refused(err error) error {
	var e *amqp.Error
	switch {
	case errors.Is(err, amqp.ErrSASL):
		return fatal{errors.New("the broker offers no way to log in that the URL allows; name one in the URL: ?auth_mechanism=plain")}
	case untrusted(err):
		return fatal{fmt.Errorf("%w; see the key tls, and that the URL names the broker's TLS port", err)}
	case refusesCertificate(err):
		return fatal{errors.New("the broker refuses the client's certificate, or wants one; see tls: cert and key")}
	case !errors.As(err, &e):
		return err
	case !e.Server:
		// What the client says here is a guess: the connection ended.
		return errors.New("the connection ended during the login")
	case e.Code == amqp.AccessRefused:
		return fatal{fmt.Errorf("the broker refuses the login: %w; check user and password in the URL", brokerError{e})}
	case e.Code == amqp.NotAllowed && !strings.Contains(e.Reason, "limit"):
		return fatal{fmt.Errorf("the broker refuses the vhost: %w; check the URL, or create the vhost and give the user access to it", brokerError{e})}
	}
	return brokerError{e}
}

// refusesCertificate says whether the broker ended the handshake because of
// the client's certificate. It says so behind the handshake, when the client
// has begun to read, and there the reason is no more than a text.
func refusesCertificate(err error) bool {
	_, alert, ok := strings.Cut(err.Error(), "remote error: tls: ")
	return ok && strings.Contains(alert, "certificate")
}

// denied classifies the error of a declaration, a check or the begin of a
// consumer: one that waiting does not cure is fatal. missing and other say
// what to do when something is not there, and when it is there in another form.
func denied(what string, err error, missing, other string) error {
	var e *amqp.Error
	if !errors.As(err, &e) || !e.Server {
		return fmt.Errorf("%s: %w", what, readable(err))
	}
	told := fmt.Errorf("%s: %w", what, brokerError{e})
	switch e.Code {
	case amqp.NotFound:
		if away(e.Reason) {
			return told
		}
		return fatal{fmt.Errorf("%w; %s", told, missing)}
	case amqp.PreconditionFailed:
		return fatal{fmt.Errorf("%w; %s", told, other)}
	case amqp.AccessRefused:
		if strings.Contains(e.Reason, "in exclusive use") {
			return fmt.Errorf("%w: another consumer has it for itself", told)
		}
		return fatal{fmt.Errorf("%w; give the user permission, or name another object", told)}
	case amqp.InvalidPath, amqp.CommandInvalid, amqp.NotImplemented, amqp.SyntaxError, amqp.NotAllowed:
		return fatal{told}
	}
	return told
}

// away says whether a queue is there, but its node is not at the moment.
func away(reason string) bool {
	for _, sign := range []string{"down or inaccessible", "stopped", "crashed", "timed out", "timeout"} {
		if strings.Contains(reason, sign) {
			return true
		}
	}
	return false
}
