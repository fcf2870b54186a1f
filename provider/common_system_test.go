package provider

import (
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/scripts"
)

// What a service needs is listed in the set-up alone, by the name that the provider asks for; and each group of packages there is one.
func TestSetupKnowsAllServices(t *testing.T) {
	t.Parallel()
	data, err := scripts.Setup.ReadFile("setup-packages")
	if err != nil {
		t.Fatal(err)
	}
	table := func(name string) map[string]string {
		t.Helper()
		_, rest, found := strings.Cut(string(data), "readonly "+name+"='\n")
		if !found {
			t.Fatalf("no table %s", name)
		}
		rows := map[string]string{}
		for _, row := range regexp.MustCompile(`(?m)^([a-z]+)\|([^|'\n]+)`).FindAllStringSubmatch(rest[:strings.Index(rest, "\nreadonly")+1], -1) {
			rows[row[1]] = row[2]
		}
		return rows
	}
	groups := table("GROUPS_TABLE")
	_, rest, _ := strings.Cut(string(data), "readonly SERVICES_TABLE='\n")
	rest, _, _ = strings.Cut(rest, "'")
	var known []string
	for line := range strings.Lines(rest) {
		name, needs, _ := strings.Cut(strings.TrimSuffix(line, "\n"), "|")
		known = append(known, name)
		for _, group := range strings.Fields(needs) {
			if groups[group] == "" {
				t.Errorf("service %s needs the group %s, which is none of %v", name, group, groups)
			}
		}
		if !slices.Contains(strings.Fields(needs), "supervision") {
			t.Errorf("service %s lacks what writes its log", name)
		}
	}
	slices.Sort(known)
	wanted := []string{needsOfRabbitMQ, needsOfSwift, needsOfImages, needsOfWorker, needsOfWeb}
	slices.Sort(wanted)
	if !slices.Equal(known, wanted) {
		t.Errorf("the set-up knows %q, and the provider asks for %q", known, wanted)
	}
}

func TestPlanSystem(t *testing.T) {
	t.Parallel()
	yes, no, none := types.BoolValue(true), types.BoolValue(false), types.BoolNull()
	for name, test := range map[string]struct {
		provider      bool
		config, state types.Bool
		want          types.Bool
		refused       bool
	}{
		"as it was":             {config: none, state: no, want: no},
		"made by an older one":  {config: none, state: none, want: none},
		"system-wide":           {provider: true, config: none, state: yes, want: yes},
		"provider changes":      {provider: true, config: none, state: no, want: yes, refused: true},
		"resource changes":      {config: yes, state: no, want: yes},
		"resource has the word": {provider: true, config: no, state: no, want: no},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := &settings{system: test.provider}
			plan := &serviceModel{System: test.config}
			var diags diag.Diagnostics
			s.planSystem(plan, &serviceModel{System: test.state}, &serviceModel{System: test.config}, &diags)
			if !plan.System.Equal(test.want) || diags.HasError() != test.refused {
				t.Errorf("planned %s, %v", plan.System, diags)
			}
		})
	}
}
