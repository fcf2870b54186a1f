package cloudrc

import "github.com/autopkgtest-cloud/autopkgtest-cloud/worker/secret"

// Secret is a password, a token, or what goes with an application credential.
type Secret = secret.Text
