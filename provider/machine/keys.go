package machine

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"
)

// usualKeys are the names of keys that ssh uses without being told.
var usualKeys = []string{"id_ed25519", "id_ecdsa", "id_rsa"}

// keyring is what a login may be tried with. The agent's connection must live as long as the login.
type keyring struct {
	signers []ssh.Signer
	agent   net.Conn
	tried   []string // in words, for the message of a failure
}

func (k *keyring) Close() {
	if k.agent != nil {
		_ = k.agent.Close()
	}
}

// keys collects them: the target's own key alone, or those of the agent and the usual ones.
func (p *Pool) keys(ctx context.Context, t Target) (*keyring, error) {
	k := &keyring{}
	held := k.askAgent(ctx, p.agentSocket())
	if t.IdentityFile != "" {
		if err := k.only(t, held); err != nil {
			k.Close()
			return nil, err
		}
		return k, nil
	}
	k.signers = held
	if len(held) > 0 {
		k.tried = append(k.tried, fmt.Sprintf("%d of the ssh agent", len(held)))
	}
	for _, name := range usualKeys {
		file := filepath.Join(p.folder(), name)
		signer, err := readKey(file)
		switch {
		case err == nil:
			k.signers, k.tried = append(k.signers, signer), append(k.tried, file)
		case !errors.Is(err, fs.ErrNotExist):
			k.tried = append(k.tried, file+" (not used: "+err.Error()+")")
		}
	}
	return k, nil
}

// only uses one key. One with a passphrase is used by the agent that has it.
func (k *keyring) only(t Target, held []ssh.Signer) error {
	k.tried = []string{t.IdentityFile}
	signer, err := readKey(t.IdentityFile)
	var locked *ssh.PassphraseMissingError
	if errors.As(err, &locked) {
		public := locked.PublicKey
		if text, failed := os.ReadFile(t.IdentityFile + ".pub"); public == nil && failed == nil {
			public, _, _, _, _ = ssh.ParseAuthorizedKey(text)
		}
		for _, candidate := range held {
			if public != nil && bytes.Equal(candidate.PublicKey().Marshal(), public.Marshal()) {
				k.signers = []ssh.Signer{candidate}
				return nil
			}
		}
		return t.problem(ErrDenied, "cannot be logged in to with "+t.IdentityFile+", which has a passphrase", nil,
			"Give the key to the ssh agent: ssh-add "+t.IdentityFile)
	}
	if err != nil {
		return t.problem(ErrDenied, "cannot be logged in to with "+t.IdentityFile, err, "Name a private key that you may read")
	}
	k.signers = []ssh.Signer{signer}
	return nil
}

// askAgent has no error: an agent that does not answer has no keys.
func (k *keyring) askAgent(ctx context.Context, socket string) []ssh.Signer {
	if socket == "" {
		return nil
	}
	connection, err := new(net.Dialer).DialContext(ctx, "unix", socket)
	if err != nil {
		return nil
	}
	k.agent = connection
	signers, err := agent.NewClient(connection).Signers()
	if err != nil {
		return nil
	}
	return signers
}

func readKey(file string) (ssh.Signer, error) {
	content, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	return ssh.ParsePrivateKey(content)
}
