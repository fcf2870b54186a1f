package provider

import (
	"testing"
	"time"

	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/management"
)

// TestGraceOfRoles: who holds one connection while tests run does not lose it to the clock, unless that is what one asks for.
func TestGraceOfRoles(t *testing.T) {
	t.Parallel()
	text := types.StringValue
	none := types.StringNull()
	for name, tc := range map[string]struct {
		role, grace, idle types.String
		want              management.Grace
		warns             bool
	}{
		"a requester":                  {text("requester"), none, none, management.Grace{For: time.Hour}, false},
		"our worker":                   {text("worker"), none, none, management.Grace{For: time.Hour}, false},
		"our worker, by the clock":     {text("worker"), text("1m"), none, management.Grace{For: time.Minute}, false},
		"the upstream worker":          {text("upstream-worker"), none, none, management.Grace{For: time.Hour, Idle: true}, false},
		"it, by the clock":             {text("upstream-worker"), text("1h"), none, management.Grace{For: time.Hour}, true},
		"it, after its longest test":   {text("upstream-worker"), text("48h"), none, management.Grace{For: 48 * time.Hour}, false},
		"it, when its password leaked": {text("upstream-worker"), text("0s"), none, management.Grace{}, false},
		"it, when it is not used":      {text("upstream-worker"), none, text("5m"), management.Grace{For: 5 * time.Minute, Idle: true}, false},
	} {
		m := brokerUserModel{Role: tc.role, Grace: tc.grace, GraceIdle: tc.idle}
		if got := m.grace(); got != tc.want {
			t.Errorf("%s has the grace %+v, want %+v", name, got, tc.want)
		}
		var diags diag.Diagnostics
		m.warnOfGrace(&diags)
		if warns := len(diags.Warnings()) == 1; warns != tc.warns || diags.HasError() {
			t.Errorf("%s: %v", name, diags)
		}
	}
}
