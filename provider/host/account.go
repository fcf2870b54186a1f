package host

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"os/user"
	"strconv"
	"strings"
	"syscall"
)

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
	return choose(os.Geteuid(), name)
}

func choose(self int, name string) (Account, error) {
	if self != 0 {
		account, err := accountOf(user.LookupId(strconv.Itoa(self)))
		if err == nil && name != "" && name != account.Name {
			return Account{}, &Problem{Kind: ErrAccount, Thing: fmt.Sprintf("the account %q", name),
				Cause:  fmt.Sprintf("cannot be used by %q, which is not root", account.Name),
				WayOut: "Leave the account out, or run this as root."}
		}
		return account, err
	}
	if name == "" {
		name = DefaultAccount
	}
	account, err := accountOf(user.Lookup(name))
	if unknown := user.UnknownUserError(""); errors.As(err, &unknown) {
		return Account{}, &Problem{Kind: ErrAccount, Thing: fmt.Sprintf("the account %q", name),
			Cause: "does not exist, and services never run as root",
			WayOut: fmt.Sprintf("scripts/setup makes it; or: adduser --system --group --home /var/lib/%s %s, "+
				"and give it a line in /etc/subuid and /etc/subgid.", name, name)}
	}
	if err == nil && account.UID == 0 {
		return Account{}, &Problem{Kind: ErrAccount, Thing: fmt.Sprintf("the account %q", name),
			Cause:  "is root, and services never run as root",
			WayOut: fmt.Sprintf("Name another account, or none for %q, which scripts/setup makes.", DefaultAccount)}
	}
	return account, err
}

func accountOf(u *user.User, err error) (Account, error) {
	if err != nil {
		return Account{}, &Problem{Kind: ErrAccount, Thing: "the account", Cause: "cannot be looked up", Err: err,
			WayOut: "See whether getent passwd shows it."}
	}
	uid, err := strconv.Atoi(u.Uid)
	if err != nil {
		return Account{}, fmt.Errorf("read the user id of %s: %w", u.Username, err)
	}
	gid, err := strconv.Atoi(u.Gid)
	if err != nil {
		return Account{}, fmt.Errorf("read the group id of %s: %w", u.Username, err)
	}
	return Account{Name: u.Username, UID: uid, GID: gid, Home: u.HomeDir}, nil
}

// attributes are those of a child that runs as the account in a session of its own. Only root has to change its ids,
// and then keeps no group but the account's.
func (a Account) attributes() *syscall.SysProcAttr {
	attributes := &syscall.SysProcAttr{Setsid: true}
	if os.Geteuid() == 0 {
		attributes.Credential = &syscall.Credential{Uid: uint32(a.UID), Gid: uint32(a.GID)}
	}
	return attributes
}

// idRange is a run of subordinate user ids.
type idRange struct{ first, count int }

// subordinates reads the account's ranges from /etc/subuid: files of testbeds and processes in them belong to these
// ids. Without the file, or without a line in it, there are none.
func (a Account) subordinates() []idRange {
	file, err := os.Open("/etc/subuid")
	if err != nil {
		return nil
	}
	defer file.Close()
	var ranges []idRange
	for lines := bufio.NewScanner(file); lines.Scan(); {
		fields := strings.Split(lines.Text(), ":")
		if len(fields) != 3 || fields[0] != a.Name && fields[0] != strconv.Itoa(a.UID) {
			continue
		}
		first, err1 := strconv.Atoi(fields[1])
		count, err2 := strconv.Atoi(fields[2])
		if err1 == nil && err2 == nil {
			ranges = append(ranges, idRange{first, count})
		}
	}
	return ranges
}
