package api

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
)

// Metrics tells how the process and its flows do.
func (c *Client) Metrics(ctx context.Context) (Metrics, error) {
	var m Metrics
	_, err := c.do(ctx, http.MethodGet, "/v1/metrics", nil, &m)
	return m, err
}

// FlowMetrics tells how a flow does, stage by stage.
func (c *Client) FlowMetrics(ctx context.Context, flow string) (FlowMetrics, error) {
	var m FlowMetrics
	_, err := c.do(ctx, http.MethodGet, "/v1/flows/"+url.PathEscape(flow)+"/metrics", nil, &m)
	return m, err
}

// Tap calls seen for every line of a tap until ctx is done, seen returns an
// error, which is then Tap's, or the tap ends (nil). query has stage, where,
// limit, duration and rate, as far as they are wanted.
func (c *Client) Tap(ctx context.Context, flow string, query url.Values, seen func(TapLine) error) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, c.base+"/v1/flows/"+url.PathEscape(flow)+"/tap?"+query.Encode(), nil)
	if err != nil {
		return err
	}
	resp, err := c.http.Do(req)
	if err != nil {
		var u *url.Error
		if errors.As(err, &u) {
			err = u.Err
		}
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusOK {
		text, _ := io.ReadAll(io.LimitReader(resp.Body, maxBody))
		e := &Error{Status: resp.StatusCode}
		if json.Unmarshal(text, e) != nil || e.Message == "" {
			e.Message = resp.Status
		}
		return e
	}
	lines := bufio.NewScanner(resp.Body)
	lines.Buffer(nil, maxBody)
	for lines.Scan() {
		var l TapLine
		if err := json.Unmarshal(lines.Bytes(), &l); err != nil {
			return fmt.Errorf("answer of the tap: %w", err)
		}
		if err := seen(l); err != nil {
			return err
		}
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return lines.Err()
}
