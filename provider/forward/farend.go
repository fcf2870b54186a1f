package forward

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/terraform-plugin-go/tfprotov6"
	"github.com/hashicorp/terraform-plugin-log/tflog"
	"github.com/hashicorp/yamux"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/provider/host"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/provider/machine"
)

// Command is the argument with which the provider's program is the other end.
const Command = "agent"

// farEnd is a provider at the other end, seen from here.
type farEnd struct {
	turn    chan struct{} // holds one while somebody begins it
	mu      sync.Mutex
	session *session
	process *machine.Process
	said    *words
	served  sync.WaitGroup
}

func (f *farEnd) close() {
	f.turn <- struct{}{}
	defer func() { <-f.turn }()
	f.end()
}

// end is called by who has the turn.
func (f *farEnd) end() {
	if f.process == nil {
		return
	}
	_ = f.session.mux.Close()
	_ = f.process.Close() // its end is what is wanted
	f.served.Wait()
	f.session, f.process = nil, nil
}

// call makes a call at the other end, which is begun if it is not there.
func (s *Server) call(ctx context.Context, t machine.Target, patience time.Duration, method string, request, answer any) error {
	s.mu.Lock()
	end, ok := s.ends[t]
	if !ok {
		end = &farEnd{turn: make(chan struct{}, 1)}
		s.ends[t] = end
	}
	configured := s.configured
	s.mu.Unlock()
	if configured == nil {
		return errors.New("the provider is not configured")
	}
	session, err := s.begun(ctx, end, t, patience, configured)
	if err != nil {
		return err
	}
	err = session.call(ctx, method, request, answer)
	var told *failure
	if errors.Is(err, errEnded) {
		return &host.Problem{
			Kind: machine.ErrLost, Thing: "the machine " + t.String(),
			Cause: "was lost, or the provider on it has ended, while it was used",
			Err:   errors.Join(err, end.lastWords()), WayOut: "See whether the machine is up and reachable, and try again",
		}
	}
	if errors.As(err, &told) {
		return fmt.Errorf("the provider on %s: %w", t, told)
	}
	return err
}

func (f *farEnd) lastWords() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.said == nil {
		return nil
	}
	return f.said.last()
}

// begun gives the session with a provider at the other end, which it puts there and starts where there is none.
func (s *Server) begun(ctx context.Context, f *farEnd, t machine.Target, patience time.Duration, req *tfprotov6.ConfigureProviderRequest,
) (*session, error) {
	select {
	case f.turn <- struct{}{}:
		defer func() { <-f.turn }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	if f.session != nil && !f.session.mux.IsClosed() {
		return f.session, nil
	}
	f.end()
	m, err := s.pool.Machine(ctx, t, patience)
	if err != nil {
		return nil, err
	}
	program, err := s.put(ctx, m)
	if err != nil {
		return nil, err
	}
	said := &words{ctx: context.WithoutCancel(ctx), machine: t.String()}
	process, err := m.Start(said, program, Command)
	if err != nil {
		return nil, err
	}
	mux, err := yamux.Client(process, muxConfig(said))
	if err != nil {
		return nil, errors.Join(err, process.Close())
	}
	f.mu.Lock()
	f.said = said
	f.mu.Unlock()
	f.process, f.session = process, &session{mux: mux}
	session := f.session
	f.served.Go(func() { session.serve(context.WithoutCancel(ctx), s.asked) })
	var answer configureAnswer
	err = session.call(ctx, callConfigure, configuration{Target: t, Request: req}, &answer)
	if err == nil {
		err = firstError(answer.Diagnostics)
	}
	if err != nil {
		f.end()
		return nil, &host.Problem{Kind: machine.ErrRemote, Thing: "the machine " + t.String(), Cause: "does not run the provider",
			Err: errors.Join(err, said.last())}
	}
	return session, nil
}

func firstError(all diagnostics) error {
	for _, d := range all {
		if d.Severity == tfprotov6.DiagnosticSeverityError {
			return errors.New(d.Summary + ": " + d.Detail)
		}
	}
	return nil
}

// put brings the programs to a machine and returns the path of the provider's.
func (s *Server) put(ctx context.Context, m *machine.Machine) (string, error) {
	facts, err := m.Facts(ctx)
	if err != nil {
		return "", err
	}
	provider, programs, err := s.programs(facts.Architecture)
	if err != nil {
		return "", &host.Problem{Kind: machine.ErrArchitecture, Thing: "the machine " + m.Target().String(),
			Cause: "has the architecture " + facts.Architecture + ", for which there are no programs", Err: err,
			WayOut: "Put them into the provider's binaries, as linux_" + facts.Architecture + "/NAME, the provider itself among them"}
	}
	installed, err := m.Install(ctx, programs)
	return path.Join(installed, provider), err
}

// asked answers what the other end asks back.
func (s *Server) asked(ctx context.Context, method string, body json.RawMessage) (any, error) {
	if method != callFetch {
		return nil, fmt.Errorf("there is no call %q", method)
	}
	return answered(body, func(name *string) (*File, error) {
		f, err := s.fetch(ctx, *name)
		return &f, err
	})
}

// words are what a provider at the other end says on its standard error. They go to Terraform's log.
type words struct {
	ctx     context.Context
	machine string

	mu    sync.Mutex
	line  bytes.Buffer
	lines []string // the last ones
}

// keptLines is how many are shown when it ends.
const keptLines = 12

var _ io.Writer = (*words)(nil)

// Write implements io.Writer.
func (w *words) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.line.Write(p)
	for {
		line, err := w.line.ReadString('\n')
		if err != nil {
			w.line.WriteString(line)
			return len(p), nil
		}
		line = strings.TrimRight(line, "\n")
		tflog.Debug(w.ctx, line, map[string]any{"machine": w.machine})
		w.lines = append(w.lines, line)
		w.lines = w.lines[max(0, len(w.lines)-keptLines):]
	}
}

func (w *words) last() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.lines) == 0 {
		return nil
	}
	return errors.New("it said:\n" + strings.Join(w.lines, "\n"))
}
