package rabbitmq

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/provider/host"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/config"
)

// A cookie lets whoever has it command every member. Erlang takes any atom; shorter ones could be guessed.
const (
	shortestCookie = 20
	longestCookie  = 255
)

// ReadCookie reads the file that the members' secret is kept in. One that is not there is fs.ErrNotExist.
func (c Cluster) ReadCookie() (config.Secret, error) {
	read, path := c.Read, c.CookieFile
	if read == nil {
		read = readCookieHere
	}
	wrong := func(cause string, err error, wayOut string) error {
		return &ClusterError{ClusterCookie, &host.Problem{
			Kind: host.ErrInvalid, Thing: "the cookie " + path, Cause: cause, Err: err, WayOut: wayOut,
		}}
	}
	content, mode, err := read(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return "", err
	case err != nil:
		return "", wrong("cannot be read", err, "Name a file that this account may read")
	case !mode.IsRegular() || len(content) > 2*longestCookie:
		return "", wrong("is no file with one line", nil, "Name another file, or one that is not there: it is made")
	case mode.Perm()&0o077 != 0:
		return "", wrong("can be read by other accounts", nil, "Whoever knows it commands the brokers. Make another one, with chmod 0600")
	}
	text := strings.TrimSpace(string(content))
	if len(text) < shortestCookie || len(text) > longestCookie || strings.ContainsFunc(text, func(r rune) bool { return !inCookie(r) }) {
		return "", wrong("is no secret that can be used", nil, fmt.Sprintf("It has %d to %d letters and digits in one line; a file that "+
			"is not there is made", shortestCookie, longestCookie))
	}
	return config.Secret(text), nil
}

// readCookieHere reads no more than tells that there is too much.
func readCookieHere(path string) ([]byte, fs.FileMode, error) {
	info, err := os.Stat(path)
	if err != nil || !info.Mode().IsRegular() {
		return nil, fs.ModeIrregular, err
	}
	file, err := os.Open(path)
	if err != nil {
		return nil, 0, err
	}
	defer file.Close()
	content, err := io.ReadAll(io.LimitReader(file, 2*longestCookie+1))
	return content, info.Mode(), err
}

func inCookie(r rune) bool {
	return r >= '0' && r <= '9' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z'
}

// agreeOnCookie returns the cookie of the file, which is made where it is not there: with the one that the node has, or a new
// one. Several members that do this at a time get the same.
func (c Cluster) agreeOnCookie(own config.Secret) (config.Secret, error) {
	path := c.CookieFile
	cookie, err := c.ReadCookie()
	switch missing := errors.Is(err, fs.ErrNotExist); {
	case missing && c.Read != nil:
		return "", &ClusterError{ClusterCookie, &host.Problem{
			Kind: host.ErrInvalid, Thing: "the cookie " + path, Cause: "is not there, and the members on several machines make none",
			WayOut: fmt.Sprintf("Make it where Terraform runs: a line of %d to %d letters and digits, with chmod 0600",
				shortestCookie, longestCookie),
		}}
	case missing:
		if cookie = own; cookie == "" {
			cookie = config.NewSecret()
		}
		if err := makeCookie(path, cookie); err != nil && !errors.Is(err, fs.ErrExist) {
			return "", &ClusterError{ClusterCookie, fmt.Errorf("make the cookie: %w", err)}
		}
		cookie, err = c.ReadCookie()
	}
	if err != nil {
		return "", err
	}
	if own != "" && own != cookie {
		return "", &ClusterError{ClusterCookie, &host.Problem{
			Kind: host.ErrInvalid, Thing: "the cookie " + path, Cause: "is another one than this member has",
			WayOut: "Put the cookie of the members, which each has in .erlang.cookie in its folder, into the file. To change it, end all " +
				"members, remove that file of each, and apply",
		}}
	}
	return cookie, nil
}

// makeCookie makes the whole file in one step, unless there is one.
func makeCookie(path string, cookie config.Secret) (err error) {
	file, err := os.CreateTemp(filepath.Dir(path), ".cookie-*") // mode 0600
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.Remove(file.Name())) }()
	_, err = file.WriteString(cookie.Reveal() + "\n")
	if err = errors.Join(err, file.Sync(), file.Close()); err != nil {
		return err
	}
	return os.Link(file.Name(), path)
}
