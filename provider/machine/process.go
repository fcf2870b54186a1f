package machine

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"golang.org/x/crypto/ssh"
)

// Process is a program that runs on a machine. Reading and writing it is talking to its standard output and input; Close ends
// its input, by which it knows that nobody talks to it any more, and its session.
type Process struct {
	io.Reader
	io.WriteCloser
	session *ssh.Session
}

// Close implements io.Closer.
func (p *Process) Close() error {
	err := p.WriteCloser.Close()
	_ = p.session.Close() // it may have ended by itself
	if errors.Is(err, io.EOF) {
		return nil
	}
	return err
}

// Start starts a program. What it says on its standard error goes to said.
func (m *Machine) Start(said io.Writer, argv ...string) (*Process, error) {
	session, err := m.client.NewSession()
	if err != nil {
		return nil, m.target.failed("start "+argv[0], err)
	}
	p := &Process{session: session}
	session.Stderr = said
	p.WriteCloser, err = session.StdinPipe()
	if err == nil {
		p.Reader, err = session.StdoutPipe()
	}
	if err == nil {
		err = session.Start(quoted(argv))
	}
	if err != nil {
		_ = session.Close()
		return nil, m.target.failed("start "+argv[0], err)
	}
	return p, nil
}

// Wait waits for the end of the program, and says why it ended.
func (p *Process) Wait() error { return p.session.Wait() }

// shell runs a small script there and returns what it printed.
func (m *Machine) shell(ctx context.Context, script string, arguments ...string) (string, error) {
	session, err := m.client.NewSession()
	if err != nil {
		return "", err
	}
	defer session.Close()
	stop := context.AfterFunc(ctx, func() { _ = session.Close() })
	defer stop()
	var out, said bytes.Buffer
	session.Stdout, session.Stderr = &out, &said
	err = session.Run(quoted(append([]string{"/bin/sh", "-c", script, "sh"}, arguments...)))
	switch {
	case ctx.Err() != nil:
		return "", ctx.Err()
	case err != nil:
		return "", fmt.Errorf("%w: %s", err, strings.TrimSpace(said.String()))
	}
	return out.String(), nil
}

// quoted is a command line that the login's shell takes apart into just these words.
func quoted(argv []string) string {
	words := make([]string, len(argv))
	for i, word := range argv {
		words[i] = "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
	}
	return strings.Join(words, " ")
}
