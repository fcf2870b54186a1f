package testbed

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/user"
	"strconv"
	"strings"
)

// idRange is how many subordinate ids a run needs: the account itself becomes id 0 in there, these become 1 to 65535.
// It is what adduser gives to an account.
const idRange = 65535

// subordinate is the account that runs tests, with the first ids of its ranges in /etc/subuid and /etc/subgid.
type subordinate struct {
	uid, gid           int
	firstUID, firstGID int
}

// ErrAccount means that the account cannot run tests: it is root, or it has no subordinate ids; or it is not root, for a
// privileged backend.
var ErrAccount = errors.New("this account cannot run tests")

func currentSubordinate() (subordinate, error) {
	s := subordinate{uid: os.Geteuid(), gid: os.Getegid()}
	if s.uid == 0 {
		return s, fmt.Errorf("%w: it is root, and tests are strangers' code: start this as an account without privileges",
			ErrAccount)
	}
	name := strconv.Itoa(s.uid)
	if account, err := user.LookupId(name); err == nil {
		name = account.Username
	}
	var err error
	if s.firstUID, err = firstSubordinate("/etc/subuid", name, s.uid); err != nil {
		return s, err
	}
	s.firstGID, err = firstSubordinate("/etc/subgid", name, s.uid)
	return s, err
}

func firstSubordinate(path, name string, uid int) (int, error) {
	file, err := os.Open(path)
	if err == nil {
		defer file.Close()
		if first, found := findSubordinate(file, name, uid); found {
			return first, nil
		}
	}
	return 0, fmt.Errorf("%w: %s has no range of %d ids for %s; as root: "+
		"usermod --add-subuids FIRST-LAST --add-subgids FIRST-LAST %[4]s", ErrAccount, path, idRange+1, name)
}

// findSubordinate reads lines NAME:FIRST:COUNT, where NAME may also be a number. The first range that is long enough is
// taken.
func findSubordinate(lines io.Reader, name string, uid int) (first int, found bool) {
	for scanner := bufio.NewScanner(lines); scanner.Scan(); {
		fields := strings.Split(strings.TrimSpace(scanner.Text()), ":")
		if len(fields) != 3 || (fields[0] != name && fields[0] != strconv.Itoa(uid)) {
			continue
		}
		first, err := strconv.Atoi(fields[1])
		count, err2 := strconv.Atoi(fields[2])
		if err == nil && err2 == nil && count >= idRange {
			return first, true
		}
	}
	return 0, false
}

// nested is the content of /etc/subuid and /etc/subgid inside of the namespace, from which autopkgtest's own server and
// mmdebstrap make the next one: there root is the account, and has all the other ids.
var nested = fmt.Sprintf("root:1:%d\n", idRange)

// giveTo maps the account and its subordinate ids into the user namespace of a process that has just been made. The
// helpers are set-user-ID root: they check in /etc/subuid that the ids are really ours.
func (s subordinate) giveTo(ctx context.Context, pid int) error {
	for _, m := range []struct {
		helper     string
		own, first int
	}{{"newuidmap", s.uid, s.firstUID}, {"newgidmap", s.gid, s.firstGID}} {
		path, err := findCommand(m.helper, "uidmap")
		if err != nil {
			return err
		}
		out, err := exec.CommandContext(ctx, path, strconv.Itoa(pid), "0", strconv.Itoa(m.own), "1",
			"1", strconv.Itoa(m.first), strconv.Itoa(idRange)).CombinedOutput()
		if err != nil {
			return fmt.Errorf("map the ids of the account into its namespace: %s: %w: %s", m.helper, err,
				strings.TrimSpace(string(out)))
		}
	}
	return nil
}
