package provider

import (
	"testing"

	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/types"
)

func TestPlanDirectory(t *testing.T) {
	t.Parallel()
	one, two, none := types.StringValue("/srv/one"), types.StringValue("/srv/two"), types.StringNull()
	for name, test := range map[string]struct {
		provider, config, state types.String
		want                    types.String
		refused                 bool
	}{
		"as it was":                {provider: one, config: none, state: one, want: one},
		"provider changes":         {provider: two, config: none, state: one, want: two, refused: true},
		"resource changes":         {provider: one, config: two, state: one, want: two},
		"resource has the word":    {provider: two, config: one, state: one, want: one},
		"nobody says where it is":  {provider: none, config: none, state: one, refused: true},
		"not known yet":            {provider: types.StringUnknown(), config: none, state: one, want: types.StringUnknown()},
		"resource is not sure yet": {provider: one, config: types.StringUnknown(), state: one, want: types.StringUnknown()},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := &settings{directory: test.provider}
			plan := &serviceModel{Directory: test.config}
			var diags diag.Diagnostics
			s.planDirectory(plan, &serviceModel{Directory: test.state}, &serviceModel{Directory: test.config}, &diags)
			if !plan.Directory.Equal(test.want) || diags.HasError() != test.refused {
				t.Errorf("planned %s, %v", plan.Directory, diags)
			}
		})
	}
}
