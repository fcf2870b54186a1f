package forward

import (
	"encoding/json"
	"fmt"

	"github.com/hashicorp/terraform-plugin-go/tfprotov6"
	"github.com/hashicorp/terraform-plugin-go/tftypes"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/provider/machine"
)

// Both ends are the same program, so what is sent are the protocol's own structs, as JSON. Only the paths of attributes hide what
// they consist of; the fields below take the place of those of the embedded answers.

// Calls that Terraform's machine makes at the other end, and the one that goes back.
const (
	callConfigure = "configure"
	callRead      = "read"
	callPlan      = "plan"
	callApply     = "apply"
	callImport    = "import"
	callFetch     = "fetch"
)

// configuration begins a session: which machine this is, and the provider's configuration.
type configuration struct {
	Target  machine.Target
	Request *tfprotov6.ConfigureProviderRequest
}

type configureAnswer struct{ Diagnostics diagnostics }

type readAnswer struct {
	*tfprotov6.ReadResourceResponse
	Diagnostics diagnostics
}

type planAnswer struct {
	*tfprotov6.PlanResourceChangeResponse
	RequiresReplace []attributePath
	Diagnostics     diagnostics
}

type applyAnswer struct {
	*tfprotov6.ApplyResourceChangeResponse
	Diagnostics diagnostics
}

type importAnswer struct {
	*tfprotov6.ImportResourceStateResponse
	Diagnostics diagnostics
}

type diagnostic struct {
	Severity  tfprotov6.DiagnosticSeverity
	Summary   string
	Detail    string
	Attribute *attributePath
}

type diagnostics []diagnostic

func wireDiagnostics(all []*tfprotov6.Diagnostic) (sent diagnostics) {
	for _, d := range all {
		s := diagnostic{Severity: d.Severity, Summary: d.Summary, Detail: d.Detail}
		if d.Attribute != nil {
			s.Attribute = &attributePath{d.Attribute}
		}
		sent = append(sent, s)
	}
	return sent
}

func (sent diagnostics) unwired() (all []*tfprotov6.Diagnostic) {
	for _, s := range sent {
		d := &tfprotov6.Diagnostic{Severity: s.Severity, Summary: s.Summary, Detail: s.Detail}
		if s.Attribute != nil {
			d.Attribute = s.Attribute.AttributePath
		}
		all = append(all, d)
	}
	return all
}

// attributePath is a path that can be sent.
type attributePath struct{ *tftypes.AttributePath }

// step is one of its four kinds.
type step struct {
	Name  *string         `json:",omitempty"`
	Key   *string         `json:",omitempty"`
	Index *int64          `json:",omitempty"`
	Type  json.RawMessage `json:",omitempty"` // of Value, an element of a set
	Value []byte          `json:",omitempty"`
}

// MarshalJSON implements json.Marshaler.
func (p attributePath) MarshalJSON() ([]byte, error) {
	steps := []step{}
	for _, one := range p.Steps() {
		var s step
		switch one := one.(type) {
		case tftypes.AttributeName:
			name := string(one)
			s.Name = &name
		case tftypes.ElementKeyString:
			key := string(one)
			s.Key = &key
		case tftypes.ElementKeyInt:
			index := int64(one)
			s.Index = &index
		case tftypes.ElementKeyValue:
			element := tftypes.Value(one)
			kind, err := json.Marshal(element.Type())
			if err != nil {
				return nil, err
			}
			value, err := tfprotov6.NewDynamicValue(element.Type(), element)
			if err != nil {
				return nil, err
			}
			s.Type, s.Value = kind, value.MsgPack
		}
		steps = append(steps, s)
	}
	return json.Marshal(steps)
}

// UnmarshalJSON implements json.Unmarshaler.
func (p *attributePath) UnmarshalJSON(data []byte) error {
	var steps []step
	if err := json.Unmarshal(data, &steps); err != nil {
		return err
	}
	p.AttributePath = tftypes.NewAttributePath()
	for _, s := range steps {
		switch {
		case s.Name != nil:
			p.AttributePath = p.WithAttributeName(*s.Name)
		case s.Key != nil:
			p.AttributePath = p.WithElementKeyString(*s.Key)
		case s.Index != nil:
			p.AttributePath = p.WithElementKeyInt(int(*s.Index))
		case s.Type != nil:
			kind, err := tftypes.ParseJSONType(s.Type) //nolint:staticcheck // the only reader of what a type's MarshalJSON writes
			if err != nil {
				return err
			}
			value, err := tfprotov6.DynamicValue{MsgPack: s.Value}.Unmarshal(kind)
			if err != nil {
				return err
			}
			p.AttributePath = p.WithElementKeyValue(value)
		default:
			return fmt.Errorf("a step of a path is of no known kind")
		}
	}
	return nil
}
