package testbedtest

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"os/user"
	"strconv"
	"syscall"
)

// Account has no privileges.
type Account struct {
	Name, Home string
	UID, GID   int
}

// accountVariable names another account than the usual one.
const accountVariable = "AUTOPKGTEST_TEST_ACCOUNT"

// FindAccount is the account to which root gives tests of testbeds: root may not run strangers' code. It is the one that
// `make setup` makes, or that AUTOPKGTEST_TEST_ACCOUNT names.
func FindAccount() (Account, error) {
	found, err := user.Lookup(cmp.Or(os.Getenv(accountVariable), "autopkgtest-cloud"))
	if err != nil {
		return Account{}, fmt.Errorf("testbeds run without privileges: %w; `make setup` makes the account", err)
	}
	uid, uidErr := strconv.Atoi(found.Uid)
	gid, gidErr := strconv.Atoi(found.Gid)
	return Account{Name: found.Username, Home: found.HomeDir, UID: uid, GID: gid}, errors.Join(uidErr, gidErr)
}

// Credential makes a process the account's.
func (a Account) Credential() *syscall.Credential {
	return &syscall.Credential{Uid: uint32(a.UID), Gid: uint32(a.GID)}
}
