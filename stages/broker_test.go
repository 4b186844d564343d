package stages_test

import (
	"cmp"
	"os"
	"testing"

	amqp "github.com/rabbitmq/amqp091-go"
)

// dialBroker connects to the broker at RABBITMQ_URL, or at localhost. Where the
// variable says that there is one, its absence is a failure.
func dialBroker(t *testing.T) (conn *amqp.Connection, url string) {
	t.Helper()
	given := os.Getenv("RABBITMQ_URL")
	url = cmp.Or(given, "amqp://guest:guest@localhost:5672/")
	conn, err := amqp.Dial(url)
	switch {
	case err != nil && given != "":
		t.Fatalf("RABBITMQ_URL is set, but it does not answer: %v", err)
	case err != nil:
		t.Skipf("no RabbitMQ at localhost; `tools/broker ensure` starts one: %v", err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn, url
}
