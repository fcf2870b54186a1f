package forward

import (
	"testing"

	"github.com/hashicorp/terraform-plugin-go/tfprotov6"
	"github.com/hashicorp/terraform-plugin-go/tftypes"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/provider/machine"
)

var (
	hostType = tftypes.Object{AttributeTypes: map[string]tftypes.Type{
		"address": tftypes.String, "port": tftypes.Number, "user": tftypes.String, "identity_file": tftypes.String, "host_key": tftypes.String,
	}}
	serviceType = tftypes.Object{AttributeTypes: map[string]tftypes.Type{"name": tftypes.String, "host": hostType}}
)

func hostValue(address, port any) tftypes.Value {
	return tftypes.NewValue(hostType, map[string]tftypes.Value{
		"address": tftypes.NewValue(tftypes.String, address), "port": tftypes.NewValue(tftypes.Number, port),
		"user":          tftypes.NewValue(tftypes.String, nil),
		"identity_file": tftypes.NewValue(tftypes.String, "/key"), "host_key": tftypes.NewValue(tftypes.String, nil),
	})
}

func TestPlaces(t *testing.T) {
	t.Parallel()
	known := types{of: map[string]tftypes.Type{
		"service": serviceType, "other": tftypes.Object{AttributeTypes: map[string]tftypes.Type{"name": tftypes.String}},
	}}
	known.once.Do(func() {})
	service := func(host tftypes.Value) tftypes.Value {
		return tftypes.NewValue(serviceType, map[string]tftypes.Value{"name": tftypes.NewValue(tftypes.String, nil), "host": host})
	}
	far := place{far: true, target: machine.Target{Address: "a", Port: 2222, IdentityFile: "/key"}}
	for name, test := range map[string]struct {
		value tftypes.Value
		want  place
	}{
		"nothing":           {tftypes.NewValue(serviceType, nil), place{none: true}},
		"here":              {service(tftypes.NewValue(hostType, nil)), place{}},
		"not known":         {service(tftypes.NewValue(hostType, tftypes.UnknownValue)), place{unknown: true}},
		"address not known": {service(hostValue(tftypes.UnknownValue, nil)), place{unknown: true}},
		"port not known":    {service(hostValue("a", tftypes.UnknownValue)), place{unknown: true}},
		"there":             {service(hostValue("a", 2222)), far},
		"without a host at all": {tftypes.NewValue(known.of["other"], map[string]tftypes.Value{"name": tftypes.NewValue(tftypes.String, "x")}),
			place{}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			kind := "service"
			if name == "without a host at all" {
				kind = "other"
			}
			value, err := tfprotov6.NewDynamicValue(known.of[kind], test.value)
			if err != nil {
				t.Fatal(err)
			}
			got, err := known.place(t.Context(), kind, &value)
			if err != nil || got != test.want {
				t.Errorf("%+v, %v, want %+v", got, err, test.want)
			}
		})
	}
	if _, err := known.place(t.Context(), "unheard of", &tfprotov6.DynamicValue{}); err == nil {
		t.Error("an unknown resource has a place")
	}
}

func TestMoved(t *testing.T) {
	t.Parallel()
	at := func(address string, port int) place {
		return place{far: true, target: machine.Target{Address: address, Port: port}}
	}
	here := place{}
	for name, test := range map[string]struct {
		from, to place
		want     bool
	}{
		"stays":        {here, here, false},
		"goes away":    {here, at("a", 0), true},
		"comes back":   {at("a", 0), here, true},
		"elsewhere":    {at("a", 0), at("b", 0), true},
		"another port": {at("a", 22), at("a", 23), false},
		"is new":       {place{none: true}, at("a", 0), false},
		"goes":         {at("a", 0), place{none: true}, false},
		"not known":    {at("a", 0), place{unknown: true}, false},
	} {
		if got := test.from.moved(test.to); got != test.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}
