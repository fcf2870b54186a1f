package machine

import (
	"context"
	"os"
	"path/filepath"
	"sync"
	"time"
)

// Pool keeps the connections to machines, one for each. The zero value uses what ssh uses; it needs a Close.
type Pool struct {
	// Folder has the usual keys and the known hosts; empty is ~/.ssh.
	Folder string
	// Agent is the socket of an ssh agent; empty is what SSH_AUTH_SOCK says.
	Agent string
	// Programs is the folder for programs on each machine; empty is one below /usr/local/lib for root, below ~/.cache for others.
	Programs string

	mu       sync.Mutex
	machines map[Target]*entry
}

// entry is a machine to which somebody connects, or is connected.
type entry struct {
	turn    chan struct{} // holds one while somebody connects
	machine *Machine
}

func (p *Pool) folder() string {
	if p.Folder != "" {
		return p.Folder
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return "/nonexistent"
	}
	return filepath.Join(home, ".ssh")
}

func (p *Pool) agentSocket() string {
	if p.Agent != "" {
		return p.Agent
	}
	return os.Getenv("SSH_AUTH_SOCK")
}

// Machine gives the connection to a machine, and makes it where there is none or the last one was lost. The patience is for one
// that does not answer yet; those who come meanwhile wait for the same attempt.
func (p *Pool) Machine(ctx context.Context, t Target, patience time.Duration) (*Machine, error) {
	t = t.filled()
	p.mu.Lock()
	if p.machines == nil {
		p.machines = map[Target]*entry{}
	}
	e, ok := p.machines[t]
	if !ok {
		e = &entry{turn: make(chan struct{}, 1)}
		p.machines[t] = e
	}
	p.mu.Unlock()
	select {
	case e.turn <- struct{}{}:
		defer func() { <-e.turn }()
	case <-ctx.Done():
		return nil, t.unreachable(ctx.Err())
	}
	if e.machine != nil && !e.machine.ended() {
		return e.machine, nil
	}
	client, err := p.dial(ctx, t, patience)
	if err != nil {
		return nil, err
	}
	if e.machine != nil {
		e.machine.close()
	}
	e.machine = newMachine(t, client, p.Programs)
	return e.machine, nil
}

// Close ends all connections, and with them what was started over them.
func (p *Pool) Close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, e := range p.machines {
		e.turn <- struct{}{}
		if e.machine != nil {
			e.machine.close()
			e.machine = nil
		}
		<-e.turn
	}
}
