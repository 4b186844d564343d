package api

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"time"

	"github.com/telluride-stream/telluride/engine/change"
)

// maxAnswer bounds what a client reads.
const maxAnswer = 64 << 20

// ErrNoProcess says that nobody answers: no process runs there.
var ErrNoProcess = errors.New("no process answers")

// Client asks a process.
type Client struct {
	http *http.Client
	base string
}

// Dial makes a client of the process that listens on a unix socket. It
// connects with each request.
func Dial(socket string) *Client {
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		conn, err := (&net.Dialer{Timeout: 5 * time.Second}).DialContext(ctx, "unix", socket)
		if err != nil && ctx.Err() == nil {
			return nil, errors.Join(ErrNoProcess, err)
		}
		return conn, err
	}
	return &Client{&http.Client{Transport: &http.Transport{DialContext: dial, DisableKeepAlives: true}}, "http://telluride"}
}

// Process lists the flows of the process.
func (c *Client) Process(ctx context.Context) (Process, error) {
	var p Process
	_, err := c.do(ctx, http.MethodGet, "/v1/flows", nil, &p)
	return p, err
}

// Flow tells how one flow stands.
func (c *Client) Flow(ctx context.Context, name string) (Flow, error) {
	var f Flow
	_, err := c.do(ctx, http.MethodGet, "/v1/flows/"+url.PathEscape(name), nil, &f)
	return f, err
}

// Plan says what a change would do.
func (c *Client) Plan(ctx context.Context, ch change.Change) (Preview, error) {
	var p Preview
	_, err := c.do(ctx, http.MethodPost, "/v1/plan", ch, &p)
	return p, err
}

// Apply makes a change and waits for its receipt, up to wait. ok is false when
// the change was taken and its receipt has not come: it has its ID only.
func (c *Client) Apply(ctx context.Context, ch change.Change, wait time.Duration) (r change.Receipt, ok bool, err error) {
	status, err := c.do(ctx, http.MethodPost, "/v1/changes?wait="+wait.String(), ch, &r)
	return r, status == http.StatusOK, err
}

// Receipt asks for the receipt of a change; ok is false when it has not come.
func (c *Client) Receipt(ctx context.Context, id string) (r change.Receipt, ok bool, err error) {
	status, err := c.do(ctx, http.MethodGet, "/v1/receipts/"+url.PathEscape(id), nil, &r)
	return r, status == http.StatusOK, err
}

func (c *Client) do(ctx context.Context, method, path string, body, into any) (status int, err error) {
	var send io.Reader
	if body != nil {
		text, err := json.Marshal(body)
		if err != nil {
			return 0, err
		}
		send = bytes.NewReader(text)
	}
	req, err := http.NewRequestWithContext(ctx, method, c.base+path, send)
	if err != nil {
		return 0, err
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	resp, err := c.send(req)
	if err != nil {
		return 0, err
	}
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return resp.StatusCode, fmt.Errorf("answer: %w", err)
	}
	if resp.StatusCode >= http.StatusBadRequest {
		return resp.StatusCode, refusal(resp, text)
	}
	if err := json.Unmarshal(text, into); err != nil {
		return resp.StatusCode, fmt.Errorf("answer of %s: %w", path, err)
	}
	return resp.StatusCode, nil
}

func (c *Client) send(req *http.Request) (*http.Response, error) {
	resp, err := c.http.Do(req)
	// What http says before it names an address that means nothing here.
	var u *url.Error
	if errors.As(err, &u) {
		err = u.Err
	}
	return resp, err
}

// refusal is the error that an answer holds.
func refusal(resp *http.Response, text []byte) *Error {
	e := &Error{Status: resp.StatusCode}
	if json.Unmarshal(text, e) != nil || e.Message == "" {
		e.Message = resp.Status
	}
	return e
}
