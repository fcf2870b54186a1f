package forward

import (
	"context"
	"fmt"
	"sync"

	"github.com/hashicorp/terraform-plugin-go/tfprotov6"
	"github.com/hashicorp/terraform-plugin-go/tftypes"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/provider/machine"
)

// Attribute is the one by which a resource says on which machine it is.
const Attribute = "host"

// place is where a resource is.
type place struct {
	none    bool // there is no resource
	unknown bool // it is not known yet
	far     bool // on the machine of the target
	target  machine.Target
}

// moved says whether a resource has to be made anew to come from one place to the other. Another way to the same machine is none.
func (p place) moved(to place) bool {
	return !p.none && !to.none && !to.unknown && (p.far != to.far || p.target.Address != to.target.Address)
}

// types are those of the resources, which do not change.
type types struct {
	server tfprotov6.ProviderServer
	once   sync.Once
	of     map[string]tftypes.Type
	err    error
}

func (t *types) resource(ctx context.Context, name string) (tftypes.Type, error) {
	t.once.Do(func() {
		resp, err := t.server.GetProviderSchema(ctx, &tfprotov6.GetProviderSchemaRequest{})
		if err != nil {
			t.err = err
			return
		}
		t.of = map[string]tftypes.Type{}
		for name, schema := range resp.ResourceSchemas {
			t.of[name] = schema.ValueType()
		}
	})
	if kind, ok := t.of[name]; ok || t.err != nil {
		return kind, t.err
	}
	return nil, fmt.Errorf("there is no resource %s", name)
}

// place finds out where a resource is, by its state, plan or configuration.
func (t *types) place(ctx context.Context, name string, value *tfprotov6.DynamicValue) (place, error) {
	if value == nil {
		return place{none: true}, nil
	}
	kind, err := t.resource(ctx, name)
	if err != nil {
		return place{}, err
	}
	decoded, err := value.Unmarshal(kind)
	if err != nil {
		return place{}, err
	}
	if decoded.IsNull() {
		return place{none: true}, nil
	}
	var attributes map[string]tftypes.Value
	if err := decoded.As(&attributes); err != nil {
		return place{}, err
	}
	host, ok := attributes[Attribute]
	switch {
	case !ok || host.IsNull():
		return place{}, nil
	case !host.IsFullyKnown():
		return place{unknown: true}, nil
	}
	target, err := targetOf(host)
	return place{far: true, target: target}, err
}

func targetOf(host tftypes.Value) (t machine.Target, err error) {
	var attributes map[string]tftypes.Value
	if err := host.As(&attributes); err != nil {
		return t, err
	}
	for name, into := range map[string]*string{
		"address": &t.Address, "user": &t.User, "identity_file": &t.IdentityFile, "host_key": &t.HostKey,
	} {
		var text *string
		if err := attributes[name].As(&text); err != nil {
			return t, err
		}
		if text != nil {
			*into = *text
		}
	}
	number, err := intOf(attributes["port"])
	t.Port = number
	return t, err
}
