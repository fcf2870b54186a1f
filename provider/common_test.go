package provider

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/schema/validator"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/provider/host"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/config"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/management"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/queue"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/request"
)

func TestContextNames(t *testing.T) {
	t.Parallel()
	for _, c := range request.Contexts {
		got, err := contextFromName(contextName(c))
		if err != nil || got != c {
			t.Errorf("%q came back as %q, %v", c, got, err)
		}
	}
}

func TestQueuesOf(t *testing.T) {
	t.Parallel()
	var got []string
	for _, q := range queuesOf([]request.Context{request.Normal, request.Huge}, []string{"noble", "sid"}, []string{"amd64"}) {
		got = append(got, q.Name())
	}
	want := []string{"debci-noble-amd64", "debci-sid-amd64", "debci-huge-noble-amd64", "debci-huge-sid-amd64"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestSplitImportID(t *testing.T) {
	t.Parallel()
	names := []identityValue{{name: "directory"}, {name: "release"}, {name: "architecture"}}
	for name, tc := range map[string]struct {
		id   string
		want []string
	}{
		"plain":              {"/srv/stack,noble,amd64", []string{"/srv/stack", "noble", "amd64"}},
		"comma in the path":  {"/srv/a,b,noble,amd64", []string{"/srv/a,b", "noble", "amd64"}},
		"too few":            {"/srv/stack,noble", nil},
		"an empty part":      {"/srv/stack,,amd64", nil},
		"nothing":            {"", nil},
		"an empty last part": {"/srv/stack,noble,", nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := splitImportID(tc.id, names)
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Error(diff)
			}
			if tc.want == nil && (err == nil || !strings.Contains(err.Error(), "DIRECTORY,RELEASE,ARCHITECTURE")) {
				t.Errorf("got %v, want an error that shows the form", err)
			}
		})
	}
}

func TestValidators(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		validator validator.String
		value     types.String
		want      string
	}{
		"release":              {releaseName(), types.StringValue("noble"), ""},
		"release with a dash":  {releaseName(), types.StringValue("focal-updates"), "queue names are split on dashes"},
		"empty release":        {releaseName(), types.StringValue(""), "empty"},
		"unknown release":      {releaseName(), types.StringUnknown(), ""},
		"architecture":         {architectureName(), types.StringValue("AMD64"), "lower-case"},
		"context":              {contextWord(), types.StringValue("normal"), ""},
		"empty context":        {contextWord(), types.StringValue(""), "normal, huge, ppa, upstream"},
		"absolute path":        {absolutePath(), types.StringValue("/srv/stack"), ""},
		"relative path":        {absolutePath(), types.StringValue("./stack"), `abspath("./stack")`},
		"unclean path":         {absolutePath(), types.StringValue("/srv/../stack/"), `"/stack"`},
		"stack":                {stackName(), types.StringValue("local-2"), ""},
		"stack with a slash":   {stackName(), types.StringValue("a/b"), "lower case letters"},
		"duration":             {durationAtLeast(time.Minute), types.StringValue("90s"), ""},
		"short duration":       {durationAtLeast(time.Minute), types.StringValue("30s"), "at least 1m0s"},
		"bare number":          {durationAtLeast(time.Minute), types.StringValue("30"), "not a duration"},
		"user":                 {brokerUserName(), types.StringValue("test_request"), ""},
		"guest":                {brokerUserName(), types.StringValue("guest"), "removed, not used"},
		"user that is escaped": {brokerUserName(), types.StringValue("a:b"), "letters, digits"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var resp validator.StringResponse
			tc.validator.ValidateString(context.Background(),
				validator.StringRequest{Path: path.Root("x"), ConfigValue: tc.value}, &resp)
			switch {
			case tc.want == "" && resp.Diagnostics.HasError():
				t.Error(resp.Diagnostics)
			case tc.want != "" && (!resp.Diagnostics.HasError() || !strings.Contains(resp.Diagnostics[0].Detail(), tc.want)):
				t.Errorf("got %v, want an error with %q", resp.Diagnostics, tc.want)
			}
		})
	}
}

func TestExplain(t *testing.T) {
	t.Parallel()
	taken := &host.Problem{
		Kind: host.ErrPortTaken, Thing: "port 5672", Cause: "is used by beam.smp", WayOut: "Stop it.", Err: errors.New("EADDRINUSE"),
	}
	for name, tc := range map[string]struct {
		err  error
		want diag.Diagnostic
	}{
		"plain": {errors.New("boom"), diag.NewErrorDiagnostic("Could not start", "boom")},
		"a host's problem": {taken, diag.NewErrorDiagnostic("Could not start: port 5672 is used by beam.smp",
			"EADDRINUSE\n\nStop it.")},
		"at an attribute": {at(path.Root("port"), taken), diag.NewAttributeErrorDiagnostic(path.Root("port"),
			"Could not start: port 5672 is used by beam.smp", "EADDRINUSE\n\nStop it.")},
		"the first attribute counts": {at(path.Root("a"), at(path.Root("b"), errors.New("boom"))),
			diag.NewAttributeErrorDiagnostic(path.Root("b"), "Could not start", "boom")},
		"our own": {&problem{title: "It is so", detail: "Do this.", err: errors.New("cause")},
			diag.NewErrorDiagnostic("It is so", "cause\n\nDo this.")},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var diags diag.Diagnostics
			explain(&diags, "Could not start", tc.err)
			if len(diags) != 1 || !diags[0].Equal(tc.want) {
				t.Errorf("got %v, want %v", diags, tc.want)
			}
		})
	}
}

// TestOneContract: the provider declares what the worker's side declares, and grants what that needs.
func TestOneContract(t *testing.T) {
	t.Parallel()
	want := map[string]bool{
		queue.StatusExchange: false, queue.CompletionExchange: true,
		queue.ControlExchange: true, queue.AnswersExchange: true, queue.RejectedExchange: true,
	}
	got := map[string]bool{}
	for _, x := range management.Fanouts {
		got[x.Name] = x.Durable
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if management.RejectedExchange != queue.RejectedExchange || management.RejectedQueue != queue.RejectedQueue {
		t.Errorf("rejected requests go to %s and %s", management.RejectedExchange, management.RejectedQueue)
	}
	collector := management.Collector.Permissions()
	for _, listener := range []queue.Listener{queue.CompletionListener, queue.StatusListener} {
		for what, pattern := range map[string]string{
			"configure": collector.Configure, "write": collector.Write, "read": collector.Read,
		} {
			if !strings.Contains(pattern, listener.Queue) {
				t.Errorf("a collector may not %s its queue %s: %s", what, listener.Queue, pattern)
			}
		}
	}
	if management.Requester.Key() != config.KeyGatekeeper {
		t.Errorf("a requester's file has the key %s", management.Requester.Key())
	}
}

func TestBrokerAddress(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		broker brokerModel
		host   string
		port   int
	}{
		"given": {brokerModel{Host: types.StringValue("127.77.0.1"), Port: types.Int64Value(5673)}, "127.77.0.1", 5673},
		"from the management's address": {
			brokerModel{ManagementURL: types.StringValue("http://broker.example:15672")}, "broker.example", 5672,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if host, port := tc.broker.amqp(); host != tc.host || port != tc.port {
				t.Errorf("got %s:%d, want %s:%d", host, port, tc.host, tc.port)
			}
		})
	}
}
