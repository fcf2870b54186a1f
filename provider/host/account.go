package host

import "errors"

// DefaultAccount is the dedicated account that runs the services when root deploys them.
const DefaultAccount = "autopkgtest-cloud"

// Account is who owns a stack's folder and runs all of its processes. It is never root.
type Account struct {
	Name string
	UID  int
	GID  int
	Home string
}

// Choose says who runs the services. A plain user always does so itself; name must then be empty or its own. Root
// names an account, or leaves the name empty for [DefaultAccount]. The error is ErrAccount.
func Choose(name string) (Account, error) {
	return Account{}, errors.New("not yet")
}
