package cloudrc

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const cloudsYAML = `# two clouds
clouds:
  lcy:
    auth:
      auth_url: https://keystone.lcy.example:5000/v3
      username: scalingstack
      password: hunter2-yaml
      project_name: scalingstack
      user_domain_name: Default
      project_domain_name: Default
    regions:
    - lcy01
    - name: lcy02
      values:
        auth:
          auth_url: https://keystone.lcy02.example:5000/v3
        interface: internal
    cacert: /etc/ssl/lcy.pem
  lgw:
    <<: &common
      auth_type: v3applicationcredential
      verify: false
    region_name: lgw01
    auth:
      auth_url: https://keystone.lgw.example
      application_credential_id: 0123
    networks:
    - name: net
  other:
    <<: *common
    region-name: o
    auth: {auth-url: "https://o.example", application_credential_id: i, application_credential_secret: s}
`

const secureYAML = `clouds:
  lcy: {auth: {password: "hunter2-secure"}}
  lgw:
    auth:
      application_credential_secret: hunter2-lgw
`

func TestParseClouds(t *testing.T) {
	t.Parallel()
	lcy := Cloud{
		Source: "clouds.yaml, cloud lcy", AuthURL: "https://keystone.lcy.example:5000/v3", GivenURL: "https://keystone.lcy.example:5000/v3",
		Region: "lcy01", Interface: InterfacePublic, Method: MethodPassword, Username: "scalingstack", UserDomain: Domain{Name: "Default"},
		ProjectName: "scalingstack", ProjectDomain: Domain{Name: "Default"}, Password: "hunter2-secure", CAFile: "/etc/ssl/lcy.pem",
		SecretFiles: []string{"secure.yaml"},
	}
	second := lcy
	second.Region, second.Interface = "lcy02", InterfaceInternal
	second.AuthURL, second.GivenURL = "https://keystone.lcy02.example:5000/v3", "https://keystone.lcy02.example:5000/v3"
	for entry, want := range map[string][]Cloud{
		"lcy": {lcy, second},
		"lgw": {{
			Source: "clouds.yaml, cloud lgw", AuthURL: "https://keystone.lgw.example/v3", GivenURL: "https://keystone.lgw.example",
			Region: "lgw01", Interface: InterfacePublic, Method: MethodCredential, Insecure: true,
			Credential: Credential{ID: "0123", Secret: "hunter2-lgw"}, SecretFiles: []string{"secure.yaml"},
		}},
		"other": {{
			Source: "clouds.yaml, cloud other", AuthURL: "https://o.example/v3", GivenURL: "https://o.example",
			Region: "o", Interface: InterfacePublic, Method: MethodCredential, Insecure: true,
			Credential: Credential{ID: "i", Secret: "s"}, SecretFiles: []string{"clouds.yaml"},
		}},
	} {
		t.Run(entry, func(t *testing.T) {
			t.Parallel()
			got, err := ParseClouds(Document{"clouds.yaml", []byte(cloudsYAML)}, &Document{"secure.yaml", []byte(secureYAML)}, entry)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, got, compare); diff != "" {
				t.Errorf("(-want +got): %s", diff)
			}
		})
	}
	t.Run("without secrets", func(t *testing.T) {
		t.Parallel()
		got, err := ParseClouds(Document{"clouds.yaml", []byte(cloudsYAML)}, nil, "lgw")
		if err != nil {
			t.Fatal(err)
		}
		if err := got[0].Complete(); !errors.Is(err, ErrNoSecret) ||
			!strings.Contains(err.Error(), "clouds.yaml:20: auth.application_credential_secret is missing: write it") {
			t.Errorf("%v", err)
		}
	})
}

// entryYAML is a file with one cloud, whose lines begin with the fifth.
func entryYAML(lines string) string {
	return "clouds:\n  c:\n    auth: {auth_url: https://k.example, username: u, password: hunter2, project_name: p}\n    region_name: r\n" + lines
}

func TestFormsOfRegions(t *testing.T) {
	t.Parallel()
	for lines, want := range map[string]string{
		"    regions: [a, b]\n":          "a b",
		"    regions: [a, {name: b}]\n":  "a b",
		"":                               "r",
		"    interface: publicURL\n":     "r",
		"  <<: {x: {region_name: no}}\n": "", // two clouds, and none is named
	} {
		clouds, err := ParseClouds(Document{"f", []byte(entryYAML(lines))}, nil, "")
		var got []string
		for _, c := range clouds {
			got = append(got, c.Region)
		}
		if strings.Join(got, " ") != want || (err != nil) != (want == "") {
			t.Errorf("%q: got %q, %v", lines, got, err)
		}
	}
	for text, want := range map[string]string{"region_name: 'a, b'": "a b", "region_name: [a, b]": "a b", "no_region: x": ""} {
		clouds, err := ParseClouds(Document{"f", []byte(strings.Replace(entryYAML(""), "region_name: r", text, 1))}, nil, "c")
		var got []string
		for _, c := range clouds {
			got = append(got, c.Region)
		}
		if err != nil || strings.Join(got, " ") != want {
			t.Errorf("%s: got %q, %v", text, got, err)
		}
	}
}

func TestCloudsRefused(t *testing.T) {
	t.Parallel()
	for content, want := range map[string]string{
		"":                                    "f: it has no cloud: write one below clouds:",
		"clouds:\n":                           "f: it has no cloud",
		"a: b\n":                              "f: it has no key clouds",
		"hunter2\n":                           "f:1: there have to be keys with values",
		"clouds: [a]\n":                       "f:1: there have to be keys with values",
		"clouds: {a: {}, b: {}}\n":            "f: there is no cloud c: name one of a, b",
		"clouds:\n  c: hunter2\n":             "f:2: there have to be keys",
		"clouds:\n  c:\n    auth: hunter2\n":  "f:3: there have to be keys",
		"clouds:\n  c:\n    region_name: r\n": "f:3: auth.auth_url and auth.username and auth.project_name (or auth.project_id) are missing",
		"clouds:\n\tc:\n":                     "f:2: not YAML: found character that cannot start any token",
		"clouds:\n  c:\n    auth: {password: *hunter2}\n":                   "not YAML: unknown anchor a word referenced: look at indentation and quotes; a value with special characters belongs into single quotes",
		"clouds:\n  c:\n    auth: {password: \"hunter2}\n":                  "not YAML",
		"clouds:\n  c: &a\n    <<: *a\n":                                    "its references go too far",
		"clouds:\n  c:\n    auth: {username: u v: w}\n":                     "f:3: not YAML: did not find expected ',' or '}': look",
		"clouds: {a: b c: d}\n":                                             "f:1: not YAML: did not find expected ',' or '}'",
		"clouds:\n  c: 'hunter2' x\n":                                       "f:2: not YAML: did not find expected key",
		"clouds:\n  c: a: b\n":                                              "f:2: not YAML: mapping values are not allowed in this context",
		"clouds:\r\n":                                                       "f:1: the line ends as on Windows",
		entryYAML("    region_name: s\n"):                                   "f:5: the key region_name is in line 4 already",
		entryYAML("    regions: r\n"):                                       "f:5: regions is no list",
		entryYAML("    regions:\n    - r\n    - {values: {}}\n"):            "f:7: a region is no name",
		entryYAML("    regions: [[r]]\n"):                                   "f:5: a region is no name",
		entryYAML("    profile: vexxhost\n"):                                "f:5: the entry builds upon a profile, vexxhost",
		entryYAML("    verify: perhaps\n"):                                  "f:5: verify is neither yes nor no",
		entryYAML("    cacert: ca.pem\n"):                                   `f:5: cacert = "ca.pem" is relative`,
		entryYAML("    auth_type: v3oidcpassword\n"):                        "f:5: auth_type is a kind of login that is not known here",
		entryYAML("    password: [hunter2]\n"):                              "f:5: auth.password is more than one value",
		strings.Replace(entryYAML(""), "https://k.example", "[hunter2]", 1): "f:3: auth.auth_url is more than one value",
	} {
		t.Run(content, func(t *testing.T) {
			t.Parallel()
			_, err := ParseClouds(Document{"f", []byte(content)}, nil, "c")
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Fatalf("got  %v\nwant %s", err, want)
			}
			if strings.Contains(err.Error(), "hunter2") {
				t.Errorf("the message shows the password: %v", err)
			}
		})
	}
	_, err := ParseClouds(Document{"f", []byte(entryYAML(""))}, &Document{"s", []byte("clouds: {c: {regions: [a]}}")}, "c")
	if err == nil || !strings.Contains(err.Error(), "s:1: the list of regions belongs into clouds.yaml") {
		t.Errorf("%v", err)
	}
	if _, err := ParseClouds(Document{"f", []byte("clouds: {a: {}, b: {}}")}, nil, ""); !errors.Is(err, ErrUnknown) ||
		!strings.Contains(err.Error(), "name one of a, b") {
		t.Errorf("%v", err)
	}
}

// TestAliasesAreBounded: a small file that stands for a huge one is refused, in no time.
func TestAliasesAreBounded(t *testing.T) {
	t.Parallel()
	var content strings.Builder
	content.WriteString("a0: &a0 {x: y}\n")
	for i := range 9 {
		fmt.Fprintf(&content, "a%d: &a%d {<<: [%s]}\n", i+1, i+1, strings.TrimSuffix(strings.Repeat(fmt.Sprintf("*a%d,", i), 100), ","))
	}
	content.WriteString("clouds: {c: *a9}\n")
	_, err := ParseClouds(Document{"f", []byte(content.String())}, nil, "c")
	if err == nil || !strings.Contains(err.Error(), "references go too far") {
		t.Errorf("%v", err)
	}
}

func TestJoin(t *testing.T) {
	t.Parallel()
	one, other := parse(t, "novarc-v2.rc"), parse(t, "openrc-v3.rc")
	regions, err := Join(one, other)
	if err != nil || strings.Join(regions.Names(), " ") != "lcy01 lgw01" {
		t.Fatalf("%v, %v", regions.Names(), err)
	}
	if got, err := regions.Cloud("lgw01"); err != nil || got.Username != "scalingstack" {
		t.Errorf("%v, %v", got, err)
	}
	if _, err := regions.Cloud("LGW01"); !errors.Is(err, ErrUnknown) ||
		err.Error() != "novarc-v2.rc, openrc-v3.rc: there is no region LGW01: the regions are lcy01, lgw01, and capitals count" {
		t.Errorf("%v", err)
	}
	if _, err := (Regions{}).Cloud("x"); !errors.Is(err, ErrUnknown) {
		t.Errorf("%v", err)
	}
	again := one
	again.Source = "copy.rc"
	if _, err := Join(one, other, again); err == nil ||
		err.Error() != "copy.rc: it names the region lcy01, and so does novarc-v2.rc: leave one of them out, or correct its region" {
		t.Errorf("%v", err)
	}
	if _, err := Join(parse(t, "dashboard-v3.rc")); err == nil || !strings.Contains(err.Error(), "dashboard-v3.rc: it names no region: write it") {
		t.Errorf("%v", err)
	}
}
