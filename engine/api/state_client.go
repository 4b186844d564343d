package api

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"

	"github.com/telluride-stream/telluride/engine/inspect"
)

// States tells what is kept of a flow; "": of all.
func (c *Client) States(ctx context.Context, flow string) (all []inspect.Flow, err error) {
	path := "/v1/state"
	if flow != "" {
		path = statePath(flow, "")
	}
	_, err = c.do(ctx, http.MethodGet, path, nil, &all)
	if err != nil {
		err = stateError(err)
	}
	return all, err
}

func statePath(flow, what string) string { return "/v1/state/" + url.PathEscape(flow) + what }

// ShowState calls each for the entries of a stage.
func (c *Client) ShowState(ctx context.Context, flow, stage string, q inspect.Query, each func(inspect.Entry) error) (more bool, err error) {
	query := url.Values{"stage": {stage}, "limit": {strconv.Itoa(q.Limit)}}
	if q.Key != nil {
		query.Set("key", *q.Key)
	}
	resp, err := c.stream(ctx, http.MethodGet, statePath(flow, "/entries")+"?"+query.Encode(), nil)
	if err != nil {
		return false, err
	}
	defer func() { _ = resp.Body.Close() }()
	for dec := json.NewDecoder(resp.Body); ; {
		var e inspect.Entry
		if err := dec.Decode(&e); err == io.EOF {
			break
		} else if err != nil {
			return false, fmt.Errorf("answer: %w", err)
		}
		if err := each(e); err != nil {
			return false, err
		}
	}
	return resp.Trailer.Get(moreTrailer) == "true", nil
}

// ExportState writes the state of a stage, or all of a flow's.
func (c *Client) ExportState(ctx context.Context, flow, stage string, to io.Writer) error {
	resp, err := c.stream(ctx, http.MethodGet, statePath(flow, "/export")+"?"+url.Values{"stage": {stage}}.Encode(), nil)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	if _, err := io.Copy(to, resp.Body); err != nil {
		return fmt.Errorf("answer: %w", err)
	}
	return nil
}

// ImportState has the flow take over exported state.
func (c *Client) ImportState(ctx context.Context, flow string, file io.Reader, how inspect.Importing) (inspect.Done, error) {
	query := url.Values{"stage": {how.Stage}, "how": {how.How}}
	return c.changed(ctx, http.MethodPost, statePath(flow, "/import")+"?"+query.Encode(), file)
}

// DropState drops the state of a stage, or of one key of it.
func (c *Client) DropState(ctx context.Context, flow, stage string, key *string) (inspect.Done, error) {
	query := url.Values{"stage": {stage}}
	if key != nil {
		query.Set("key", *key)
	}
	return c.changed(ctx, http.MethodDelete, statePath(flow, "/entries")+"?"+query.Encode(), nil)
}

func (c *Client) changed(ctx context.Context, method, path string, body io.Reader) (done inspect.Done, err error) {
	resp, err := c.stream(ctx, method, path, body)
	if err != nil {
		return done, err
	}
	defer func() { _ = resp.Body.Close() }()
	if err := json.NewDecoder(resp.Body).Decode(&done); err != nil {
		return done, fmt.Errorf("answer: %w", err)
	}
	return done, nil
}

// stream asks, and returns an answer of any length that is no error.
func (c *Client) stream(ctx context.Context, method, path string, body io.Reader) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, method, c.base+path, body)
	if err != nil {
		return nil, err
	}
	resp, err := c.send(req)
	if err != nil {
		return nil, fmt.Errorf("ask the process: %w", err)
	}
	if resp.StatusCode < http.StatusBadRequest {
		return resp, nil
	}
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return nil, fmt.Errorf("answer: %w", err)
	}
	return nil, stateError(refusal(resp, text))
}
