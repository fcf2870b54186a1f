package host

import (
	"context"
	"errors"
	"io"
)

// Command is a program that runs to its end as the stack's account.
type Command struct {
	Argv   []string
	Env    []string // added to PATH, HOME, LANG and our marks; a later entry wins
	Dir    string   // absolute; the stack's folder when empty
	Stdin  io.Reader
	Stdout io.Writer // nil discards
	Stderr io.Writer // a copy of what the error quotes the end of; may be nil
}

// Run runs a command as the account, in a session of its own and with no descriptor but the standard three. When the
// context ends, the whole process group is killed. An error carries the end of what the program wrote to stderr.
func (d *Directory) Run(ctx context.Context, c Command) error { return errors.New("not yet") }
