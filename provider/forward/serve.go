package forward

import (
	"context"
	"encoding/json"
	"fmt"
	"io"

	"github.com/hashicorp/terraform-plugin-go/tfprotov6"
	"github.com/hashicorp/yamux"
)

// Serve is the other end: it answers the calls that come over a connection with a provider of its own, which begin makes when it
// is known which machine this is. It ends with the connection; what is still in work is cancelled then, as by an interruption
// of Terraform, and waited for.
func Serve(ctx context.Context, connection io.ReadWriteCloser, log io.Writer, begin func(Here) tfprotov6.ProviderServer) error {
	mux, err := yamux.Server(connection, muxConfig(log))
	if err != nil {
		return err
	}
	s := &session{mux: mux}
	e := &end{session: s, begin: begin}
	s.serve(ctx, e.handle)
	return nil
}

// end is a provider at the other end.
type end struct {
	session *session
	begin   func(Here) tfprotov6.ProviderServer
	server  tfprotov6.ProviderServer // from the first call on, which comes alone
}

func (e *end) handle(ctx context.Context, method string, body json.RawMessage) (any, error) {
	if method == callConfigure {
		return answered(body, func(c *configuration) (*configureAnswer, error) { return e.configure(ctx, c) })
	}
	if e.server == nil {
		return nil, fmt.Errorf("the call %q came before the configuration", method)
	}
	switch method {
	case callRead:
		return answered(body, func(r *tfprotov6.ReadResourceRequest) (*readAnswer, error) {
			resp, err := e.server.ReadResource(ctx, r)
			if err != nil {
				return nil, err
			}
			return &readAnswer{resp, wireDiagnostics(resp.Diagnostics)}, nil
		})
	case callPlan:
		return answered(body, func(r *tfprotov6.PlanResourceChangeRequest) (*planAnswer, error) {
			resp, err := e.server.PlanResourceChange(ctx, r)
			if err != nil {
				return nil, err
			}
			sent := &planAnswer{PlanResourceChangeResponse: resp, Diagnostics: wireDiagnostics(resp.Diagnostics)}
			for _, path := range resp.RequiresReplace {
				sent.RequiresReplace = append(sent.RequiresReplace, attributePath{path})
			}
			return sent, nil
		})
	case callApply:
		return answered(body, func(r *tfprotov6.ApplyResourceChangeRequest) (*applyAnswer, error) {
			resp, err := e.server.ApplyResourceChange(ctx, r)
			if err != nil {
				return nil, err
			}
			return &applyAnswer{resp, wireDiagnostics(resp.Diagnostics)}, nil
		})
	case callImport:
		return answered(body, func(r *tfprotov6.ImportResourceStateRequest) (*importAnswer, error) {
			resp, err := e.server.ImportResourceState(ctx, r)
			if err != nil {
				return nil, err
			}
			return &importAnswer{resp, wireDiagnostics(resp.Diagnostics)}, nil
		})
	}
	return nil, fmt.Errorf("there is no call %q", method)
}

// answered decodes a call for f.
func answered[Q, A any](body json.RawMessage, f func(*Q) (*A, error)) (*A, error) {
	q := new(Q)
	if err := json.Unmarshal(body, q); err != nil {
		return nil, fmt.Errorf("decode a call: %w", err)
	}
	return f(q)
}

func (e *end) configure(ctx context.Context, c *configuration) (*configureAnswer, error) {
	server := e.begin(Here{Target: c.Target, Fetch: e.fetch})
	resp, err := server.ConfigureProvider(ctx, c.Request)
	if err != nil {
		return nil, err
	}
	e.server = server
	return &configureAnswer{wireDiagnostics(resp.Diagnostics)}, nil
}

// fetch asks back.
func (e *end) fetch(ctx context.Context, name string) (f File, err error) {
	err = e.session.call(ctx, callFetch, name, &f)
	return f, err
}
