package provider

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"
)

// startLimit is generous: a service of ours answers within a second, unless the machine is busy with an image.
const startLimit = time.Minute

// maxHealth bounds the answer to a health check.
const maxHealth = 64 << 10

// alive asks one of our services whether it lives. A plan asks no more: that another service is down is that one's status.
func alive(ctx context.Context, address string) error {
	_, err := askHealth(ctx, "http://"+address+"/healthz")
	return err
}

// healthFinding is what a plan says of a service whose processes run.
func healthFinding(ctx context.Context, what, address string) finding {
	if err := alive(ctx, address); err != nil {
		return finding{Problem: what + " does not answer: " + err.Error()}
	}
	return finding{}
}

// ready is the check that an apply waits for: the service is of use, with all that it needs.
func ready(address string) func(context.Context) error {
	return readyBut(address, func(healthCheck) bool { return false })
}

// readyToProve is the same for a worker whose first canaries take as long as machines take to boot: an apply does not wait for them.
func readyToProve(address string) func(context.Context) error {
	return readyBut(address, func(c healthCheck) bool { return c.Unproven })
}

func readyBut(address string, excused func(healthCheck) bool) func(context.Context) error {
	return func(ctx context.Context) error {
		body, err := askHealth(ctx, "http://"+address+"/readyz")
		failed := failedChecks(body)
		if err == nil || len(failed) == 0 {
			return err
		}
		if failed = slices.DeleteFunc(failed, excused); len(failed) == 0 {
			return nil
		}
		return errors.New(reasonsOf(failed))
	}
}

func askHealth(ctx context.Context, url string) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxHealth))
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s answers %s", url, resp.Status)
	}
	return body, err
}

// healthCheck is what a service says of a thing that it needs.
type healthCheck struct {
	OK       bool   `json:"ok"`
	Reason   string `json:"reason"`
	Unproven bool   `json:"unproven"`
}

// failedChecks reads them out of an answer.
func failedChecks(body []byte) (failed []healthCheck) {
	var answer struct {
		Checks []healthCheck `json:"checks"`
	}
	if json.Unmarshal(body, &answer) != nil {
		return nil
	}
	for _, check := range answer.Checks {
		if !check.OK {
			failed = append(failed, check)
		}
	}
	return failed
}

// notReady reads the reasons out of an answer.
func notReady(body []byte) string { return reasonsOf(failedChecks(body)) }

func reasonsOf(failed []healthCheck) string {
	var reasons []string
	for _, check := range failed {
		reasons = append(reasons, check.Reason)
	}
	return strings.Join(reasons, "; ")
}
