package nova

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/config"
)

const (
	sshPort     = 22
	dialLimit   = 5 * time.Second
	knockPause  = 200 * time.Millisecond // between tries to log in, at first
	knockLonger = 2 * time.Second
	shortKnocks = 50
)

// readyCommand ends when cloud-init has ended, if there is one, and prints which boot of the kernel this is.
const readyCommand = `if command -v cloud-init >/dev/null 2>&1; then
while ! [ -e /var/lib/cloud/instance/boot-finished ]; do sleep 0.2; done; fi; cat /proc/sys/kernel/random/boot_id`

// guest is a server as its user sees it.
type guest struct {
	host  string
	port  int
	login string
	keys  []ssh.Signer
}

// errOldBoot says that the server has not gone down yet.
var errOldBoot = errors.New("it still runs from before the reboot")

// await waits until one can log in and cloud-init has ended, and returns the id of the boot, which is another one than before. It
// waits for as long as ctx allows, and then says what it was waiting for.
func (g guest) await(ctx context.Context, before string) (boot string, err error) {
	last := errors.New("nothing was tried")
	for knocks := 0; ; knocks++ {
		said, err := g.run(ctx, readyCommand)
		boot = strings.TrimSpace(said)
		switch {
		case err == nil && boot != before:
			return boot, nil
		case err == nil:
			err = errOldBoot
		}
		if ctx.Err() == nil || knocks == 0 { // the last one was cut off, and says only that
			last = err
		}
		pause := knockPause
		if knocks > shortKnocks {
			pause = knockLonger
		}
		timer := time.NewTimer(pause)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return "", fmt.Errorf("%s@%s, port %d: %w; the last try: %w", g.login, g.host, g.port, context.Cause(ctx), last)
		}
	}
}

// run runs a command and returns its output.
func (g guest) run(ctx context.Context, command string) (string, error) {
	dialer := net.Dialer{Timeout: dialLimit}
	connection, err := dialer.DialContext(ctx, "tcp", net.JoinHostPort(g.host, strconv.Itoa(g.port)))
	if err != nil {
		return "", err
	}
	defer connection.Close()
	stop := context.AfterFunc(ctx, func() { _ = connection.Close() })
	defer stop()
	_ = connection.SetDeadline(time.Now().Add(2 * dialLimit)) // of the login alone
	client, channels, requests, err := ssh.NewClientConn(connection, g.host, &ssh.ClientConfig{
		User: g.login, Auth: []ssh.AuthMethod{ssh.PublicKeys(g.keys...)},
		HostKeyCallback: ssh.InsecureIgnoreHostKey(), // a machine that is a minute old: nobody knows its key
	})
	if err != nil {
		return "", err
	}
	_ = connection.SetDeadline(time.Time{})
	session, err := ssh.NewClient(client, channels, requests).NewSession()
	if err != nil {
		return "", err
	}
	out, err := session.Output(command)
	return string(out), err
}

// usualKeys are those of an account that ssh tries by itself.
var usualKeys = []string{"id_ed25519", "id_ecdsa", "id_rsa"}

// readKeys reads a private key, or without a name those that ssh would take.
func readKeys(file string) ([]ssh.Signer, error) {
	if file != "" {
		key, err := readKey(file)
		if err != nil {
			return nil, err
		}
		return []ssh.Signer{key}, nil
	}
	var keys []ssh.Signer
	home, err := os.UserHomeDir()
	if err != nil {
		return nil, fmt.Errorf("[nova] key_file is not set, and the account has no home to find its keys: %w", err)
	}
	for _, name := range usualKeys {
		if key, err := readKey(filepath.Join(home, ".ssh", name)); err == nil {
			keys = append(keys, key)
		}
	}
	if len(keys) == 0 {
		return nil, fmt.Errorf("[nova] key_file is not set, and %s/.ssh has no key of its own without a passphrase", home)
	}
	return keys, nil
}

func readKey(file string) (ssh.Signer, error) {
	info, err := os.Stat(file)
	if err != nil {
		return nil, fmt.Errorf("read the testbeds' key: %w", err)
	}
	if err := config.CheckMode(file, info.Mode()); err != nil {
		return nil, err
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("read the testbeds' key: %w", err)
	}
	key, err := ssh.ParsePrivateKey(text)
	if err != nil {
		return nil, fmt.Errorf("%s is no private key without a passphrase: %w", file, err)
	}
	return key, nil
}

// publicKey is the line of authorized_keys that belongs to a private key.
func publicKey(file string) (string, error) {
	key, err := readKey(file)
	if err != nil {
		return "", err
	}
	return strings.TrimSpace(string(ssh.MarshalAuthorizedKey(key.PublicKey()))), nil
}
