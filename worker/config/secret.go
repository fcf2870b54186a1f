package config

import (
	"crypto/rand"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/secret"
)

// Secret is what is secret in the files of this package.
type Secret = secret.Text

// NewSecret makes a password, or a cookie, of 26 letters and digits, some 130 bits: all files and URLs take it as it is. Nothing
// else that we make looks like it (names are in small letters), so that whoever searches for secrets needs no list of them.
func NewSecret() Secret { return Secret(rand.Text()) }
