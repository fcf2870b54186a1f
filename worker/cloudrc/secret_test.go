package cloudrc

import (
	"testing"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/secret/secrettest"
)

func TestSecretsAreHidden(t *testing.T) {
	t.Parallel()
	const password = "hunter2"
	cloud := Cloud{Password: password, Token: password, Credential: Credential{Secret: password}}
	for name, value := range map[string]any{
		"cloud": cloud, "pointer to a cloud": &cloud, "regions": Regions{"r": cloud}, "credential": cloud.Credential,
	} {
		secrettest.Hides(t, password, name, value)
	}
	secrettest.HidesEncoded(t, password, "cloud", cloud)
}
