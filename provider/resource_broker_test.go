package provider

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/types"
	"github.com/hashicorp/terraform-plugin-go/tftypes"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/provider/rabbitmq"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/management"
)

// TestCheckProtocol: a fake API of each version; 3.10.8 and 4.0.5 are run by other tests.
func TestCheckProtocol(t *testing.T) {
	t.Parallel()
	for version, tc := range map[string]struct {
		required bool
		where    path.Path // of the refusal
		says     string    // empty for none
	}{
		"3.8.2":    {true, path.Empty(), ""},
		"3.13.7":   {true, path.Empty(), ""},
		"4.1.2":    {false, path.Empty(), ""},
		"4.0.5":    {true, path.Root("require_amqp_0_8"), "require_amqp_0_8 = false"},
		"3.6.6":    {true, path.Root("broker").AtName("management_url"), "known are 3.8 to 3.13"},
		"5.0.0":    {false, path.Root("broker").AtName("management_url"), "known are 3.8 to 3.13"},
		"mystery!": {false, path.Root("broker").AtName("management_url"), `calls itself "mystery!"`},
	} {
		t.Run(version, func(t *testing.T) {
			t.Parallel()
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				fmt.Fprintf(w, `{"rabbitmq_version":%q,"management_version":%[1]q,"node":"x@localhost"}`, version)
			}))
			t.Cleanup(server.Close)
			client, err := management.New(server.URL, "admin", "x")
			if err != nil {
				t.Fatal(err)
			}
			err = checkProtocol(t.Context(), client, tc.required)
			if tc.says == "" {
				if err != nil {
					t.Error(err)
				}
				return
			}
			var diags diag.Diagnostics
			explain(&diags, "x", err)
			var where *pathError
			if !errors.As(err, &where) || !where.path.Equal(tc.where) || !strings.Contains(diags[0].Detail(), tc.says) {
				t.Errorf("got %v", diags)
			}
		})
	}
}

func TestWarnOfExposure(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		listen []string
		warns  string
	}{
		"the stack's own": {nil, ""},
		"loopback":        {[]string{"127.0.0.9", "::1"}, ""},
		"a network":       {[]string{"127.0.0.9", "192.0.2.1"}, "on 192.0.2.1,"},
		"all":             {[]string{"::"}, "on ::,"},
	} {
		var diags diag.Diagnostics
		warnOfExposure(&diags, rabbitmq.Settings{Listen: tc.listen})
		if (len(diags) > 0) != (tc.warns != "") || tc.warns != "" && !strings.Contains(diags[0].Detail(), tc.warns) {
			t.Errorf("%s: %v", name, diags)
		}
	}
}

// TestPlanStoreAddress: a plan says once who will read passwords and results.
func TestPlanStoreAddress(t *testing.T) {
	t.Parallel()
	at := func(listen types.String) *swiftServerModel { return &swiftServerModel{Listen: listen} }
	for name, tc := range map[string]struct {
		state, model *swiftServerModel
		warns        string
	}{
		"the default":   {nil, at(types.StringNull()), ""},
		"loopback":      {nil, at(types.StringValue("127.0.0.9")), ""},
		"a network":     {nil, at(types.StringValue("192.0.2.1")), "at 192.0.2.1 over plain HTTP"},
		"another one":   {at(types.StringValue("192.0.2.2")), at(types.StringValue("192.0.2.1")), "at 192.0.2.1 over plain HTTP"},
		"as before":     {at(types.StringValue("192.0.2.1")), at(types.StringValue("192.0.2.1")), ""},
		"not yet known": {nil, at(types.StringUnknown()), ""},
	} {
		var diags diag.Diagnostics
		planStoreAddress(&planning[swiftServerModel]{state: tc.state, model: tc.model, diags: &diags})
		warnings := diags.Warnings()
		if len(warnings) > 0 != (tc.warns != "") || tc.warns != "" && !strings.Contains(warnings[0].Detail(), tc.warns) {
			t.Errorf("%s: %v", name, diags)
		}
	}
}

// TestMembersTakeTurns: members of one cluster on several machines are changed one after the other, if they are well.
func TestMembersTakeTurns(t *testing.T) {
	t.Parallel()
	text := tftypes.String
	state := func(status, cookie any) tftypes.Value {
		cluster := tftypes.Object{AttributeTypes: map[string]tftypes.Type{"cookie_file": text}}
		var inner any
		if cookie != nil {
			inner = map[string]tftypes.Value{"cookie_file": tftypes.NewValue(text, cookie)}
		}
		return tftypes.NewValue(tftypes.Object{AttributeTypes: map[string]tftypes.Type{"status": text, "cluster": cluster}},
			map[string]tftypes.Value{"status": tftypes.NewValue(text, status), "cluster": tftypes.NewValue(cluster, inner)})
	}
	const server = "autopkgtest_rabbitmq_server"
	over, err := memberTurn(t.Context(), server, state(running, t.Name()))
	if err != nil {
		t.Fatal(err)
	}
	soon, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := memberTurn(soon, server, state(running, t.Name())); err == nil {
		t.Error("two members at a time")
	}
	for name, one := range map[string]struct {
		kind  string
		prior tftypes.Value
	}{
		"one that is down":    {server, state("the broker is down", t.Name())},
		"another cluster":     {server, state(running, t.Name()+"2")},
		"one without cluster": {server, state(running, nil)},
		"another resource":    {"autopkgtest_worker", state(running, t.Name())},
	} {
		if _, err := memberTurn(t.Context(), one.kind, one.prior); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	over()
	if _, err := memberTurn(t.Context(), server, state(running, t.Name())); err != nil {
		t.Error(err)
	}
}

func TestMirrorsAreMergedIntoPolicies(t *testing.T) {
	t.Parallel()
	m := &brokerResourceModel{RejectedLimit: types.StringValue("256M"), ListenerLimit: types.StringValue("64M")}
	policies := func() map[string]management.Policy {
		all := map[string]management.Policy{}
		for _, policy := range m.queuePolicies() {
			all[policy.Name] = policy
		}
		return all
	}
	if !policies()["autopkgtest-mirrors"].Empty() {
		t.Error("queues are mirrored without mirrors")
	}
	for text, want := range map[string]management.Mirrors{"all": {All: true}, "3": {Nodes: 3}} {
		m.Mirrors = types.StringValue(text)
		got := policies()
		rejected := got["autopkgtest-rejected"]
		if got["autopkgtest-mirrors"].Mirrors != want || rejected.Mirrors != want || rejected.MaxBytes != 256<<20 || !rejected.RefuseAtLimit {
			t.Errorf("mirrors = %s: %+v", text, got)
		}
		if got["autopkgtest-listeners"].Mirrors != (management.Mirrors{}) {
			t.Error("an operator's policy cannot mirror")
		}
	}
	m.RejectedLimit = types.StringValue("0")
	if policies()["autopkgtest-rejected"].Empty() {
		t.Error("without a limit rejected requests are not mirrored")
	}
	for _, text := range []string{"", "1", "0", "-2", "two", "All"} {
		if _, err := parseMirrors(text); err == nil {
			t.Errorf("%q mirrors", text)
		}
	}
}
