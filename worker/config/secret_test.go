package config

import (
	"testing"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/secret/secrettest"
)

const password = "hunter2"

func TestSecretsAreHidden(t *testing.T) {
	t.Parallel()
	broker := Broker{Username: "user", Password: password, Host: "host"}
	store := Store{Username: "user", Password: password}
	for name, value := range map[string]any{
		"broker": broker, "uri": broker.URI(), "store": store, "operator": Operator{BrokerURI: password},
		"both": struct {
			Broker Broker
			Store  Store
		}{broker, store},
	} {
		secrettest.Hides(t, password, name, value)
	}
	secrettest.HidesEncoded(t, password, "broker", broker)
	secrettest.HidesEncoded(t, password, "store", store)
}
