package openstack

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"errors"
	"strings"

	"golang.org/x/crypto/ssh"
)

// Errors of a private key's file.
var (
	// ErrNoKey: there is something else in it.
	ErrNoKey = errors.New("no private key that ssh can use")
	// ErrPassphrase: nobody is there to type it when a testbed is made.
	ErrPassphrase = errors.New("the private key has a passphrase")
)

// PublicKey is the public half of a key, which everybody may see.
type PublicKey struct {
	key     ssh.PublicKey
	comment string
}

// ParsePublicKey reads one line as `~/.ssh/id_ed25519.pub` has it.
func ParsePublicKey(text string) (PublicKey, error) {
	if strings.Contains(text, "PRIVATE KEY") { // what it is must not be shown
		return PublicKey{}, errors.New("that is a private key: give the public one, the line that ssh-keygen -y -f FILE prints")
	}
	key, comment, options, rest, err := ssh.ParseAuthorizedKey([]byte(text))
	if err != nil || len(options) > 0 || len(bytes.TrimSpace(rest)) > 0 {
		return PublicKey{}, errors.New("not one line with a public key, such as ssh-ed25519 AAAA... COMMENT")
	}
	return PublicKey{key: key, comment: comment}, nil
}

// Line is the key as a line, with its comment.
func (k PublicKey) Line() string {
	return strings.TrimSpace(strings.TrimSpace(string(ssh.MarshalAuthorizedKey(k.key))) + " " + k.comment)
}

// Fingerprint is the key's in Nova's form, sixteen bytes with colons.
func (k PublicKey) Fingerprint() string { return ssh.FingerprintLegacyMD5(k.key) }

// PrivateKey is what a file says. It does not hold the key itself.
type PrivateKey struct {
	Public PublicKey
	// Ours says that we have made it: its comment is a mark of the stack.
	Ours bool
}

// KeyMark is the comment of the keys that are made for a stack's key pair.
func KeyMark(stack, name string) string { return keyMark(stack) + name }

func keyMark(stack string) string { return "autopkgtest-cloud:" + stack + ":" }

// NewPrivateKey makes a key for ed25519. The file is for ssh, without a passphrase: write it with mode 0600.
func NewPrivateKey(mark string) (file []byte, public PublicKey, err error) {
	_, secret, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, PublicKey{}, err
	}
	block, err := ssh.MarshalPrivateKey(secret, mark)
	if err != nil {
		return nil, PublicKey{}, err
	}
	signer, err := ssh.NewSignerFromKey(secret)
	if err != nil {
		return nil, PublicKey{}, err
	}
	return pem.EncodeToMemory(block), PublicKey{key: signer.PublicKey(), comment: mark}, nil
}

// ReadPrivateKey reads the file of a private key of any kind. An error has nothing of what is in it.
func ReadPrivateKey(file []byte, stack string) (PrivateKey, error) {
	signer, err := ssh.ParsePrivateKey(file)
	var locked *ssh.PassphraseMissingError
	switch {
	case errors.As(err, &locked):
		return PrivateKey{}, ErrPassphrase
	case err != nil:
		return PrivateKey{}, ErrNoKey
	}
	comment := commentOf(file)
	return PrivateKey{
		Public: PublicKey{key: signer.PublicKey(), comment: comment}, Ours: strings.HasPrefix(comment, keyMark(stack)),
	}, nil
}

// commentOf is the comment in a key of OpenSSH's own format, which package ssh reads over; empty where there is none.
func commentOf(file []byte) string {
	const magic = "openssh-key-v1\x00"
	block, _ := pem.Decode(file)
	if block == nil || !bytes.HasPrefix(block.Bytes, []byte(magic)) {
		return ""
	}
	var outer struct {
		Cipher, KDF, Options string
		Keys                 uint32
		Public, Private      []byte
		Rest                 []byte `ssh:"rest"`
	}
	var inner struct {
		Check1, Check2 uint32
		Kind           string
		Public, Secret []byte
		Comment        string
		Rest           []byte `ssh:"rest"`
	}
	if ssh.Unmarshal(block.Bytes[len(magic):], &outer) != nil || outer.Keys != 1 || outer.Cipher != "none" ||
		ssh.Unmarshal(outer.Private, &inner) != nil || inner.Kind != ssh.KeyAlgoED25519 {
		return ""
	}
	return inner.Comment
}
