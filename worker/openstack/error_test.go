package openstack

import (
	"errors"
	"net/http"
	"strings"
	"testing"

	"github.com/gophercloud/gophercloud/v2"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/cloudrc"
)

func testRegion() *Region {
	return &Region{cloud: cloudrc.Cloud{
		Source: "lcy01.rc", AuthURL: "https://keystone.example/v3", Region: "lcy01", Username: "u", ProjectName: "p", Password: "Secret1",
	}}
}

func TestFailed(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name    string
		service Service
		code    int
		body    string
		kind    error
		says    []string
	}{
		{"quota of nova", Compute, 403, `{"forbidden": {"code": 403, "message": "Quota exceeded for cores: Requested 4, but already used 8 of 8 cores"}}`,
			ErrQuota, []string{"Quota exceeded for cores", "openstack quota show", "request req-1", "region lcy01", "project p", "compute: GET /v2.1/x"}},
		{"quota of neutron", Network, 409, `{"NeutronError": {"type": "OverQuota", "message": "Quota exceeded for resources: ['floatingip'].", "detail": ""}}`,
			ErrQuota, []string{"['floatingip']"}},
		{"no right", Compute, 403, `{"forbidden": {"message": "Policy doesn't allow it"}}`, ErrDenied, []string{"another role"}},
		{"wrong password", Identity, 401, `{"error": {"code": 401, "message": "The request you have made requires authentication."}}`,
			ErrDenied, []string{"the password", "lcy01.rc", "openstack token issue"}},
		{"not there", Network, 404, `{"NeutronError": "Router x could not be found"}`, ErrNotFound, []string{"Router x"}},
		{"there already", Network, 409, `{"NeutronError": {"message": "Security group rule already exists. Rule id is 17."}}`, ErrConflict, []string{"Rule id is 17"}},
		{"a proxy's page", Image, 502, `<html>`, ErrUnavailable, []string{"502 Bad Gateway", "try again later"}},
		{"bad value", Compute, 400, `{"badRequest": {"message": "Invalid\n  key_name provided."}}`, ErrInvalid, []string{"Invalid key_name provided."}},
	} {
		err := testRegion().failed(c.service, gophercloud.ErrUnexpectedResponseCode{
			Method: http.MethodGet, URL: "https://cloud.example:8774/v2.1/x?token=y", Actual: c.code, Body: []byte(c.body),
			ResponseHeader: http.Header{"X-Openstack-Request-Id": {"req-1"}},
		})
		if !errors.Is(err, c.kind) {
			t.Errorf("%s: %v is not «%v»", c.name, err, c.kind)
		}
		for _, part := range c.says {
			if !strings.Contains(err.Error(), part) {
				t.Errorf("%s: «%v» lacks «%s»", c.name, err, part)
			}
		}
		if strings.Contains(err.Error(), "Secret1") || strings.Contains(err.Error(), "token=y") {
			t.Errorf("%s: «%v» shows what it must not", c.name, err)
		}
		if again := testRegion().failed(Image, err); again.Error() != err.Error() {
			t.Errorf("%s: an Error became another: %v", c.name, again)
		}
	}
}

// TestWayToLogIn: what helps depends on what one logs in with.
func TestWayToLogIn(t *testing.T) {
	t.Parallel()
	for method, way := range map[cloudrc.Method]string{
		cloudrc.MethodPassword: "the password or the project is wrong in lcy01.rc", cloudrc.MethodToken: "put a new one into lcy01.rc",
		cloudrc.MethodCredential: "openstack application credential create",
	} {
		r := testRegion()
		r.cloud.Method = method
		for _, service := range []Service{Identity, Compute} {
			err := r.failed(service, status(401, nil))
			if !errors.Is(err, ErrDenied) || !strings.Contains(err.Error(), way) {
				t.Errorf("%s, refused by %s: %v", method, service, err)
			}
		}
	}
}

// TestCredentialGone: Keystone says that it does not find an application credential as others say that a server is gone. But then nothing is
// known of what the login was for, and who removes it must not take it for removed.
func TestCredentialGone(t *testing.T) {
	t.Parallel()
	r := testRegion()
	r.cloud.Method = cloudrc.MethodCredential
	refused := gophercloud.ErrUnexpectedResponseCode{
		Method: http.MethodPost, URL: "https://keystone.example/v3/auth/tokens", Actual: http.StatusNotFound,
		Body: []byte(`{"error": {"code": 404, "message": "Could not find Application Credential: 17."}}`),
	}
	for name, err := range map[string]error{
		"at first": r.failed(Identity, refused),
		"again":    r.failed(Compute, &gophercloud.ErrUnableToReauthenticate{ErrOriginal: status(401, nil), ErrReauth: refused}),
	} {
		if !errors.Is(err, ErrDenied) || errors.Is(err, ErrNotFound) || !strings.Contains(err.Error(), "make another one") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestDistinct: a quota is no denial, although HTTP says the same of both.
func TestDistinct(t *testing.T) {
	t.Parallel()
	err := testRegion().failed(Compute, status(413, nil))
	if !errors.Is(err, ErrQuota) || errors.Is(err, ErrDenied) {
		t.Errorf("%v", err)
	}
}
