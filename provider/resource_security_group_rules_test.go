//go:build !acceptance && !machine

package provider

import (
	"context"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/hashicorp/terraform-plugin-framework/attr"
	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/types"
)

// TestPresets: who is let in where, to the letter, and nobody else.
func TestPresets(t *testing.T) {
	t.Parallel()
	who := map[string]attr.Type{"from": types.SetType{ElemType: types.StringType}, "from_groups": types.SetType{ElemType: types.StringType}}
	none := types.SetNull(types.StringType)
	for name, test := range map[string]struct {
		preset       string
		from, groups types.Set
		want         []string
	}{
		"testbed": {"testbed", stringSet([]string{"192.0.2.7", "2001:db8::/32"}), none,
			[]string{"ingress tcp 22 from 192.0.2.7/32", "ingress tcp 22 from 2001:db8::/32"}},
		"testbed of a group": {"testbed", none, stringSet([]string{"self"}), []string{"ingress tcp 22 from the group itself (IPv4)"}},
		"broker": {"broker", stringSet([]string{"192.0.2.8"}), stringSet([]string{"self"}),
			[]string{"ingress tcp 5671-5672 from 192.0.2.8/32", "ingress tcp 5671-5672 from the group itself (IPv4)"}},
		"web": {"web", none, none, []string{
			"ingress tcp 443 from 0.0.0.0/0", "ingress tcp 443 from ::/0", "ingress tcp 80 from 0.0.0.0/0", "ingress tcp 80 from ::/0",
		}},
		"web for some": {"web", stringSet([]string{"192.0.2.0/24"}), none,
			[]string{"ingress tcp 443 from 192.0.2.0/24", "ingress tcp 80 from 192.0.2.0/24"}},
	} {
		let := object(who, values{"from": test.from, "from_groups": test.groups})
		m := securityGroupModel{Presets: object(map[string]attr.Type{test.preset: types.ObjectType{AttrTypes: who}}, values{test.preset: let})}
		var diags diag.Diagnostics
		wanted, known := wantedRules(context.Background(), &m, &diags)
		var got []string
		for _, rule := range wanted {
			got = append(got, rule.Rule.String())
		}
		slices.Sort(got)
		if diff := cmp.Diff(test.want, got); diff != "" || !known || len(diags) > 0 {
			t.Errorf("%s: known %v, %v\n%s", name, known, diags, diff)
		}
	}
}
