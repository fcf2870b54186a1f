package forward

import (
	"bytes"
	"context"
	"errors"
	"sync"
	"time"

	"github.com/hashicorp/terraform-plugin-go/tfprotov6"
	"github.com/hashicorp/terraform-plugin-go/tftypes"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/provider/host"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/provider/machine"
)

const (
	// lookPatience is for a machine that does not answer when it is looked at: a plan must not hang.
	lookPatience = 10 * time.Second
	// workPatience is for one that is to be worked on: it may have been made a moment ago, and be booting. Terraform plans once more
	// before it makes something there.
	workPatience = 2 * time.Minute
)

// Programs finds what is to be put on a machine of an architecture: the provider, which is started there, and beside it what the
// provider needs.
type Programs func(architecture string) (provider string, all []machine.Program, err error)

// Turn waits until nothing speaks against a change of a resource that is there, and says so when it is over. The providers at the
// other ends know nothing of each other.
type Turn func(ctx context.Context, typeName string, prior tftypes.Value) (over func(), err error)

// Server is a provider that works where its resources are.
type Server struct {
	tfprotov6.ProviderServer // for this machine; what it does not share with other machines is its own business

	pool     *machine.Pool
	programs Programs
	fetch    Fetch
	turn     Turn
	types    types

	mu         sync.Mutex
	configured *tfprotov6.ConfigureProviderRequest
	ends       map[machine.Target]*farEnd
}

var _ tfprotov6.ProviderServer = (*Server)(nil)

// New puts a server before a provider of this machine. Fetch answers what the other ends ask back.
func New(here tfprotov6.ProviderServer, pool *machine.Pool, programs Programs, fetch Fetch, turn Turn) *Server {
	return &Server{
		ProviderServer: here, pool: pool, programs: programs, fetch: fetch, turn: turn,
		types: types{server: here}, ends: map[machine.Target]*farEnd{},
	}
}

// Close ends the providers at the other ends.
func (s *Server) Close() {
	s.mu.Lock()
	ends := s.ends
	s.ends = map[machine.Target]*farEnd{}
	s.mu.Unlock()
	for _, end := range ends {
		end.close()
	}
}

// ConfigureProvider implements tfprotov6.ProviderServer. The other ends are configured when they are begun.
func (s *Server) ConfigureProvider(ctx context.Context, req *tfprotov6.ConfigureProviderRequest,
) (*tfprotov6.ConfigureProviderResponse, error) {
	s.mu.Lock()
	other := s.configured == nil || !bytes.Equal(s.configured.Config.MsgPack, req.Config.MsgPack)
	s.configured = req
	s.mu.Unlock()
	if other {
		s.Close()
	}
	return s.ProviderServer.ConfigureProvider(ctx, req)
}

// ReadResource implements tfprotov6.ProviderServer. A resource whose machine does not answer stays in the state as it was.
func (s *Server) ReadResource(ctx context.Context, req *tfprotov6.ReadResourceRequest) (*tfprotov6.ReadResourceResponse, error) {
	at, err := s.types.place(ctx, req.TypeName, req.CurrentState)
	if err != nil {
		return nil, err
	}
	if !at.far {
		return s.ProviderServer.ReadResource(ctx, req)
	}
	var answer readAnswer
	if err := s.call(ctx, at.target, lookPatience, callRead, req, &answer); err != nil {
		return &tfprotov6.ReadResourceResponse{
			NewState: req.CurrentState, Private: req.Private, NewIdentity: req.CurrentIdentity,
			Diagnostics: failed("Could not look at "+req.TypeName, err, whileLooking),
		}, nil
	}
	resp := answer.ReadResourceResponse
	resp.Diagnostics = answer.Diagnostics.unwired()
	return resp, nil
}

// whileLooking is the way out for a machine whose address in the state is right, but not the way there.
const whileLooking = "If the machine is now reached in another way than the state says, apply once with -refresh=false. If it is " +
	"gone for good: terraform state rm."

// PlanResourceChange implements tfprotov6.ProviderServer. What is planned for a machine that is not known yet is planned here,
// where the provider leaves out what only that machine could tell.
func (s *Server) PlanResourceChange(ctx context.Context, req *tfprotov6.PlanResourceChangeRequest,
) (*tfprotov6.PlanResourceChangeResponse, error) {
	from, err := s.types.place(ctx, req.TypeName, req.PriorState)
	if err != nil {
		return nil, err
	}
	to, err := s.types.place(ctx, req.TypeName, req.Config)
	if err != nil {
		return nil, err
	}
	if removal, err := req.ProposedNewState.IsNull(); err == nil && removal {
		to = from
	}
	switch {
	case from.moved(to):
		// Terraform asks again for each half. The two machines have nothing to say to each other.
		return &tfprotov6.PlanResourceChangeResponse{
			PlannedState: req.ProposedNewState, PlannedPrivate: req.PriorPrivate, PlannedIdentity: req.PriorIdentity,
			RequiresReplace: []*tftypes.AttributePath{tftypes.NewAttributePath().WithAttributeName(Attribute)},
			Diagnostics:     moving(req.TypeName, from, to),
		}, nil
	case !to.far:
		return s.ProviderServer.PlanResourceChange(ctx, req)
	}
	patience := lookPatience
	if from.none {
		patience = workPatience
	}
	var answer planAnswer
	if err := s.call(ctx, to.target, patience, callPlan, req, &answer); err != nil {
		return &tfprotov6.PlanResourceChangeResponse{
			PlannedState: req.ProposedNewState, PlannedPrivate: req.PriorPrivate, PlannedIdentity: req.PriorIdentity,
			Diagnostics: failed("Could not plan "+req.TypeName, err, ""),
		}, nil
	}
	resp := answer.PlanResourceChangeResponse
	resp.Diagnostics = answer.Diagnostics.unwired()
	for _, path := range answer.RequiresReplace {
		resp.RequiresReplace = append(resp.RequiresReplace, path.AttributePath)
	}
	return resp, nil
}

// moving says in a plan that a machine does not hand over what it holds to another.
func moving(name string, from, to place) []*tfprotov6.Diagnostic {
	describe := func(p place) string {
		if p.far {
			return p.target.Address
		}
		return "this machine"
	}
	return []*tfprotov6.Diagnostic{{
		Severity: tfprotov6.DiagnosticSeverityWarning, Attribute: tftypes.NewAttributePath().WithAttributeName(Attribute),
		Summary: name + " moves from " + describe(from) + " to " + describe(to),
		Detail: "It is removed there and made anew here. Requests or results that it holds are not taken along: they stay in its folder " +
			"on the old machine.",
	}}
}

// ApplyResourceChange implements tfprotov6.ProviderServer. When the connection is lost, the state keeps what it had: a creation
// that the other end has interrupted is finished by the next apply, which adopts what it finds.
func (s *Server) ApplyResourceChange(ctx context.Context, req *tfprotov6.ApplyResourceChangeRequest,
) (*tfprotov6.ApplyResourceChangeResponse, error) {
	at, err := s.types.place(ctx, req.TypeName, req.PlannedState)
	if err == nil && at.none {
		at, err = s.types.place(ctx, req.TypeName, req.PriorState)
	}
	if err != nil {
		return nil, err
	}
	if !at.far {
		return s.ProviderServer.ApplyResourceChange(ctx, req)
	}
	var answer applyAnswer
	over, err := s.await(ctx, req.TypeName, req.PriorState)
	if err == nil {
		defer over()
		err = s.call(ctx, at.target, workPatience, callApply, req, &answer)
	}
	if err != nil {
		return &tfprotov6.ApplyResourceChangeResponse{
			NewState: req.PriorState, Private: req.PlannedPrivate, NewIdentity: req.PlannedIdentity,
			Diagnostics: failed("Could not apply "+req.TypeName, err, "Apply again: what was begun is found and finished."),
		}, nil
	}
	resp := answer.ApplyResourceChangeResponse
	resp.Diagnostics = answer.Diagnostics.unwired()
	return resp, nil
}

// await waits for the turn of a resource that is there.
func (s *Server) await(ctx context.Context, typeName string, prior *tfprotov6.DynamicValue) (over func(), err error) {
	if prior == nil {
		return func() {}, nil
	}
	kind, err := s.types.resource(ctx, typeName)
	if err != nil {
		return nil, err
	}
	value, err := prior.Unmarshal(kind)
	if err != nil || value.IsNull() {
		return func() {}, err
	}
	return s.turn(ctx, typeName, value)
}

// ImportResourceState implements tfprotov6.ProviderServer. The id of a resource on another machine begins with ssh://.
func (s *Server) ImportResourceState(ctx context.Context, req *tfprotov6.ImportResourceStateRequest,
) (*tfprotov6.ImportResourceStateResponse, error) {
	target, there, err := s.importPlace(ctx, req)
	if err == nil && there == nil {
		return s.ProviderServer.ImportResourceState(ctx, req)
	}
	var answer importAnswer
	if err == nil {
		err = s.call(ctx, target, lookPatience, callImport, there, &answer)
	}
	if err != nil {
		return &tfprotov6.ImportResourceStateResponse{Diagnostics: failed("Cannot import "+req.TypeName, err, "")}, nil
	}
	resp := answer.ImportResourceStateResponse
	resp.Diagnostics = answer.Diagnostics.unwired()
	return resp, nil
}

// failed explains an error of the way to the other end.
func failed(what string, err error, wayOut string) []*tfprotov6.Diagnostic {
	d := &tfprotov6.Diagnostic{
		Severity: tfprotov6.DiagnosticSeverityError, Summary: what, Detail: err.Error(),
		Attribute: tftypes.NewAttributePath().WithAttributeName(Attribute),
	}
	var p *host.Problem
	if errors.As(err, &p) {
		d.Summary = what + ": " + p.Thing + " " + p.Cause
		d.Detail = p.WayOut
		if d.Detail != "" {
			d.Detail += "."
		}
		if p.Err != nil {
			d.Detail = p.Err.Error() + "\n\n" + d.Detail
		}
	}
	if wayOut != "" {
		d.Detail += "\n\n" + wayOut
	}
	return []*tfprotov6.Diagnostic{d}
}
