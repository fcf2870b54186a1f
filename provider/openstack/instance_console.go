package openstack

import (
	"context"
	"errors"
	"strings"
	"time"
	"unicode"

	"golang.org/x/crypto/ssh"
)

const (
	// consoleLines and consoleWidth bound what an error shows of a console.
	consoleLines = 20
	consoleWidth = 160
	// consoleLimit is for a look at a console when the time for all else is over.
	consoleLimit = 15 * time.Second
)

// failure adds the end of the console to an error, and what the machine itself has said. Whoever has interrupted us does not wait for that.
func (i *Inventory) failure(ctx context.Context, id, log string, err error) error {
	if errors.Is(ctx.Err(), context.Canceled) {
		return err
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), consoleLimit)
	defer cancel()
	return &Failure{Err: err, Log: log, Console: endOf(i.Console(ctx, id))}
}

// endOf is the end of a text that a stranger has written, fit to be shown: no line is too long, and none does anything to a terminal.
func endOf(text string) string {
	var lines []string
	for line := range strings.Lines(text) {
		line = strings.TrimRightFunc(strings.Map(printable, line), unicode.IsSpace)
		if line == "" {
			continue
		}
		if runes := []rune(line); len(runes) > consoleWidth {
			line = string(runes[:consoleWidth]) + "…"
		}
		lines = append(lines, line)
	}
	if len(lines) > consoleLines {
		lines = lines[len(lines)-consoleLines:]
	}
	return strings.Join(lines, "\n")
}

func printable(r rune) rune {
	switch {
	case r == '\t':
		return ' '
	case !unicode.IsPrint(r):
		return -1
	}
	return r
}

// cloud-init writes the machine's public keys between these.
const (
	keysBegin = "-----BEGIN SSH HOST KEY KEYS-----"
	keysEnd   = "-----END SSH HOST KEY KEYS-----"
)

// keyKinds are those of ssh, the best first.
var keyKinds = []string{ssh.KeyAlgoED25519, ssh.KeyAlgoECDSA256, ssh.KeyAlgoECDSA384, ssh.KeyAlgoECDSA521, ssh.KeyAlgoRSA}

// hostKeyOf is the machine's public key, by what cloud-init has written to its console last: a line without a comment. Each line may have
// the kernel's or the service's name before it. Empty where there is none, or not all of it yet.
func hostKeyOf(console string) string {
	begin := strings.LastIndex(console, keysBegin)
	if begin < 0 {
		return ""
	}
	block, _, whole := strings.Cut(console[begin:], keysEnd)
	if !whole {
		return ""
	}
	for _, kind := range keyKinds {
		for line := range strings.Lines(block) {
			at := strings.Index(line, kind+" ")
			if at < 0 {
				continue
			}
			key, _, _, _, err := ssh.ParseAuthorizedKey([]byte(line[at:]))
			if err == nil && key.Type() == kind {
				return strings.TrimSpace(string(ssh.MarshalAuthorizedKey(key)))
			}
		}
	}
	return ""
}

// hostKey looks for the key on the whole console. It came to us from the cloud, over the cloud's own connection: nobody between us and
// the machine can have changed it.
func (i *Inventory) hostKey(ctx context.Context, id string) (string, error) {
	text, err := i.ConsoleLog(ctx, id, 0)
	return hostKeyOf(text), err
}
