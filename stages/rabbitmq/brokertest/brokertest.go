// Package brokertest starts RabbitMQ nodes that a test has for itself, so that
// it may restart and kill them, raise alarms, and give them certificates. It
// knows how a node is run, and must not know what Telluride does with one.
//
// A node has its own name, ports, cookie and data folder, and an epmd of its
// own: it never meets another RabbitMQ on the machine. It ends with the test,
// and also when the test process dies, since node and epmd read from a pipe
// that then closes.
package brokertest

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

const (
	// BootTimeout is how long a node may take to start. It is far more than a
	// quiet machine needs (6 s): with a dozen programs for every core it took 5 minutes.
	BootTimeout = 10 * time.Minute
	evalTimeout = 5 * time.Minute
)

// Node is a RabbitMQ. Its methods fail the test when they cannot do what they
// say; they are for one goroutine at a time.
type Node struct {
	t          testing.TB
	dir        string
	server     string // the script that runs a node
	name       string
	host       string
	port, dist int
	tlsPort    int
	env        []string

	cmd    *exec.Cmd
	shell  io.WriteCloser // of Erlang
	output *output
	ended  chan struct{} // closed: cmd has ended
	asked  int           // expressions
}

// Options are what a node has beyond the defaults.
type Options struct {
	// TLS names the files of a TLS listener; nil: there is none.
	TLS *TLSFiles
	// Config has further lines of rabbitmq.conf.
	Config []string
}

// TLSFiles are in PEM form.
type TLSFiles struct {
	CA, Cert, Key string
	// Verify has clients show a certificate of the CA.
	Verify bool
}

// Start starts a node and waits until it answers. It skips the test where
// there is no rabbitmq-server to run.
func Start(t testing.TB, o Options) *Node {
	t.Helper()
	server, err := find()
	if err != nil {
		t.Skipf("this test needs a broker of its own: %v", err)
	}
	n := &Node{t: t, dir: folder(t), server: server, host: "127.0.0.1"}
	ports := free(t, 4)
	n.port, n.dist, n.tlsPort = ports[0], ports[1], ports[2]
	n.name = fmt.Sprintf("telluride-%d@localhost", n.port)
	n.configure(o)
	n.environment(ports[3])
	n.startEpmd(ports[3])
	t.Cleanup(n.end)
	n.Boot()
	return n
}

// find is the script that runs a node as the user of the test. Debian's
// rabbitmq-server is a wrapper around it that runs the system's node.
func find() (string, error) {
	candidates := []string{"/usr/lib/rabbitmq/bin/rabbitmq-server", "/opt/rabbitmq/sbin/rabbitmq-server"}
	if path, err := exec.LookPath("rabbitmq-server"); err == nil {
		candidates = append(candidates, path)
	}
	for _, path := range append(candidates, "/usr/sbin/rabbitmq-server") {
		if _, err := os.Stat(path); err == nil {
			_, err = exec.LookPath("epmd")
			return path, err
		}
	}
	return "", errors.New("rabbitmq-server is not installed; `tools/broker ensure` installs it where it can")
}

// folder is a short path, since the node makes long ones in it. It is removed
// in the end; a node that has just died may still write for a moment.
func folder(t testing.TB) string {
	dir, err := os.MkdirTemp("", "broker")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		for range 50 {
			if err = os.RemoveAll(dir); err == nil {
				return
			}
			time.Sleep(20 * time.Millisecond)
		}
		t.Errorf("remove the data of the broker: %v", err)
	})
	return dir
}

// free are ports of loopback that nobody uses at the moment. They are below
// those that systems give to whoever asks for any, so that none is given away
// before the node has it, or while it is stopped.
func free(t testing.TB, n int) (ports []int) {
	const low, high = 10_000, 32_000
	var err error
	for range 1000 {
		if len(ports) == n {
			return ports
		}
		var l net.Listener
		if l, err = net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", low+rand.IntN(high-low))); err != nil {
			continue // somebody has it
		}
		defer func() { _ = l.Close() }() // nothing was sent
		ports = append(ports, l.Addr().(*net.TCPAddr).Port)
	}
	t.Fatalf("there are no free ports: %v", err)
	return nil
}

func (n *Node) configure(o Options) {
	lines := append([]string{"log.console = false", "vm_memory_high_watermark.relative = 0.4", "disk_free_limit.absolute = 1MB"}, o.Config...)
	if o.TLS == nil {
		n.tlsPort = 0
	} else {
		lines = append(lines, fmt.Sprintf("listeners.ssl.1 = 127.0.0.1:%d", n.tlsPort),
			"ssl_options.cacertfile = "+o.TLS.CA, "ssl_options.certfile = "+o.TLS.Cert, "ssl_options.keyfile = "+o.TLS.Key)
		if o.TLS.Verify {
			lines = append(lines, "ssl_options.verify = verify_peer", "ssl_options.fail_if_no_peer_cert = true")
		}
	}
	n.write("rabbitmq.conf", strings.Join(lines, "\n")+"\n")
	n.write("plugins", "[].\n")
}

func (n *Node) write(name, text string) {
	if err := os.WriteFile(filepath.Join(n.dir, name), []byte(text), 0o644); err != nil {
		n.t.Fatal(err)
	}
}

// environment has every path of the node in its own folder.
func (n *Node) environment(epmd int) {
	n.env = slices.DeleteFunc(os.Environ(), func(v string) bool {
		name, _, _ := strings.Cut(v, "=")
		return strings.HasPrefix(name, "RABBITMQ_") || strings.HasPrefix(name, "ERL_") || name == "HOME" || name == "NOTIFY_SOCKET"
	})
	in := func(name string) string { return filepath.Join(n.dir, name) }
	n.env = append(n.env,
		"HOME="+n.dir, "ERL_EPMD_PORT="+strconv.Itoa(epmd), "ERL_EPMD_ADDRESS=127.0.0.1",
		"RABBITMQ_NODENAME="+n.name, "RABBITMQ_NODE_IP_ADDRESS="+n.host,
		"RABBITMQ_NODE_PORT="+strconv.Itoa(n.port), "RABBITMQ_DIST_PORT="+strconv.Itoa(n.dist),
		"RABBITMQ_MNESIA_BASE="+in("data"), "RABBITMQ_LOG_BASE="+in("log"), "RABBITMQ_PID_FILE="+in("pid"),
		"RABBITMQ_CONFIG_FILE="+in("rabbitmq"), "RABBITMQ_CONF_ENV_FILE="+in("none"), "RABBITMQ_ENABLED_PLUGINS_FILE="+in("plugins"),
		"RABBITMQ_ALLOW_INPUT=true", // Erlang's shell reads from the pipe, and the node ends with that
	)
}

// startEpmd starts the registry of nodes. Nodes start one by themselves, which
// then stays for ever.
func (n *Node) startEpmd(port int) {
	cmd := exec.Command("sh", "-c", "epmd & read -r _; kill $!; wait")
	cmd.Env = n.env
	in, err := cmd.StdinPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		n.t.Fatalf("start epmd: %v", err)
	}
	n.t.Cleanup(func() {
		_ = in.Close() // it may be gone already
		_ = cmd.Wait() // it ends by a signal
	})
	n.await("epmd", BootTimeout, func() bool { return listens("127.0.0.1", port) })
}

func listens(host string, port int) bool {
	c, err := net.DialTimeout("tcp", net.JoinHostPort(host, strconv.Itoa(port)), time.Second)
	if err != nil {
		return false
	}
	_ = c.Close() // nothing was sent
	return true
}

func (n *Node) await(what string, timeout time.Duration, is func() bool) {
	n.t.Helper()
	for end := time.Now().Add(timeout); !is(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			n.t.Fatalf("%s: not within %v. The node said:\n%s", what, timeout, n.output.tail())
		}
	}
}

// URL is that of the listener without TLS.
func (n *Node) URL() string { return fmt.Sprintf("amqp://guest:guest@%s/", n.Address()) }

// Address is host and port of the listener without TLS.
func (n *Node) Address() string { return net.JoinHostPort(n.host, strconv.Itoa(n.port)) }

// TLSURL is that of the listener with TLS, by the name of localhost.
func (n *Node) TLSURL() string { return fmt.Sprintf("amqps://guest:guest@localhost:%d/", n.tlsPort) }

// Boot starts a node that was stopped or killed, and returns when it takes
// connections.
func (n *Node) Boot() {
	n.t.Helper()
	cmd := exec.Command(n.server)
	cmd.Env, cmd.Dir = n.env, n.dir
	shell, err := cmd.StdinPipe()
	if err != nil {
		n.t.Fatal(err)
	}
	n.output = &output{answers: make(chan string, 1)}
	cmd.Stdout, cmd.Stderr = n.output, n.output
	if err := cmd.Start(); err != nil {
		n.t.Fatalf("start %s: %v", n.server, err)
	}
	ended := make(chan struct{})
	go func() {
		_ = cmd.Wait() // how it ended is seen in what it said
		close(ended)
	}()
	n.cmd, n.shell, n.ended = cmd, shell, ended
	n.await("the start of the broker", BootTimeout, func() bool {
		select {
		case <-ended:
			n.t.Fatalf("the broker has ended by itself:\n%s", n.output.tail())
		default:
		}
		return listens(n.host, n.port)
	})
	n.Eval("rabbit:await_startup()")
}

// Stop ends the node as a service manager does.
func (n *Node) Stop() { n.signal(syscall.SIGTERM) }

// Kill ends the node without warning.
func (n *Node) Kill() { n.signal(syscall.SIGKILL) }

func (n *Node) signal(s os.Signal) {
	n.t.Helper()
	_ = n.cmd.Process.Signal(s) // it may have ended
	select {
	case <-n.ended:
	case <-time.After(BootTimeout):
		n.t.Fatalf("the broker has not ended within %v of %v:\n%s", BootTimeout, s, n.output.tail())
	}
}

// end is the last that happens to the node.
func (n *Node) end() {
	if n.cmd == nil {
		return
	}
	_ = n.cmd.Process.Kill()
	_ = n.shell.Close() // the node may have closed it
	<-n.ended
}

// Eval has the node evaluate an Erlang expression, and returns its value as
// Erlang writes it. It is what `rabbitmqctl eval` does, without the seconds
// that rabbitmqctl takes to start.
func (n *Node) Eval(expression string) string {
	n.t.Helper()
	n.asked++
	mark := fmt.Sprintf("<answer %d>", n.asked)
	fmt.Fprintf(n.shell, "io:format(\"~n%s~0p~n\", [catch (%s)]).\n", mark, expression)
	timeout := time.After(evalTimeout)
	for {
		select {
		case line := <-n.output.answers:
			if value, ok := strings.CutPrefix(line, mark); ok {
				return value
			}
		case <-n.ended:
			n.t.Fatalf("the broker has ended:\n%s", n.output.tail())
		case <-timeout:
			n.t.Fatalf("the broker does not answer to %s within %v:\n%s", expression, evalTimeout, n.output.tail())
		}
	}
}

// Do evaluates an expression that must give ok.
func (n *Node) Do(expression string) {
	n.t.Helper()
	if got := n.Eval(expression); got != "ok" {
		n.t.Fatalf("%s: the broker says %s", expression, got)
	}
}

// Alarm raises or clears a memory alarm: while it lasts, the broker reads
// nothing from connections that publish. Every connection has been told when
// it returns.
func (n *Node) Alarm(on bool) {
	n.t.Helper()
	call, want := "clear_alarm({resource_limit, memory, node()})", "false"
	if on {
		call, want = "set_alarm({{resource_limit, memory, node()}, []})", "true"
	}
	n.Do("rabbit_alarm:" + call)
	// That was a notification; what is asked now is answered after it.
	is := n.Eval("lists:keymember({resource_limit, memory, node()}, 1, rabbit_alarm:get_alarms())")
	if is != want {
		n.t.Fatalf("%s: a memory alarm is there: %s", call, is)
	}
}

// CloseConnections has the broker close every connection, as
// `rabbitmqctl close_all_connections` does, and returns how many there were.
func (n *Node) CloseConnections() int {
	n.t.Helper()
	text := n.Eval(`length([catch rabbit_networking:close_connection(C, "closed by the test") || C <- rabbit_networking:connections()])`)
	closed, err := strconv.Atoi(text)
	if err != nil {
		n.t.Fatalf("close the connections: the broker says %s", text)
	}
	return closed
}

// output keeps the end of what a node says, and passes on answers.
type output struct {
	answers chan string

	mu   sync.Mutex
	line []byte
	text bytes.Buffer
}

const answerStart = "<answer "

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.text.Len() > 1<<20 {
		o.text.Reset()
	}
	o.text.Write(p)
	lines := bufio.NewReader(io.MultiReader(bytes.NewReader(o.line), bytes.NewReader(p)))
	for {
		line, err := lines.ReadString('\n')
		if err != nil {
			o.line = []byte(line)
			return len(p), nil
		}
		if strings.HasPrefix(line, answerStart) {
			select {
			case o.answers <- strings.TrimSpace(line):
			default: // nobody waits for it any more
			}
		}
	}
}

// tail is the end of what the node has said.
func (o *output) tail() string {
	if o == nil {
		return ""
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	text := o.text.String()
	return text[max(0, len(text)-4000):]
}
