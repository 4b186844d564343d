// Package rabbitmq reads from and writes to RabbitMQ: the `rabbitmq` source,
// the `rabbitmq` sink and the config queue, and the connections that they share.
//
// It alone knows AMQP 0.9.1. It knows nothing of how a flow runs: a session
// that is lost is an error that waiting may cure ([stage.Transient]), and who
// runs the flow decides when to open the next one. The client's own recovery
// stays off, since it reuses channels, and a delivery tag of the channel
// before could then settle another message.
package rabbitmq
