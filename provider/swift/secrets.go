package swift

import (
	"bufio"
	"bytes"
	"crypto/rand"
	"errors"
	"io/fs"
	"regexp"
	"strings"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/provider/host"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/config"
)

// incarnationFile lies among the data, so that it goes when they go. Relative to the service's folder.
const incarnationFile = "data/" + device + "/incarnation"

var goodIncarnation = regexp.MustCompile(`^[a-z0-9]{16,64}$`)

const suffixKey = "swift_hash_path_suffix"

func newIncarnation() string { return strings.ToLower(rand.Text()) }

// readPassword reads the password from the credentials file. Where that is lost or worthless the password is empty and
// the sentence says why: the next apply makes a new one. A file that others could read is worthless.
func readPassword(d *host.Directory) (config.Secret, string, error) {
	path := d.Path(credentialsFile)
	kept, err := config.ReadStore(path)
	switch {
	case err == nil && kept.Username == Username:
		return kept.Password, "", nil
	case err == nil:
		return "", "the credentials file " + path + " is for another user; " + rotation, nil
	case errors.Is(err, fs.ErrNotExist):
		return "", "the credentials file " + path + " is gone; " + rotation, nil
	case errors.Is(err, config.ErrExposed):
		return "", "the credentials file " + path + " can be read by other accounts; " + rotation, nil
	case errors.Is(err, config.ErrInvalid):
		return "", "the credentials file " + path + " cannot be used; " + rotation, nil
	}
	return "", "", err
}

const rotation = "an apply writes it again, with a new password for " + Username

// readIncarnation reads the name of the data that are there; empty if there are none. The name is also part of where
// Swift puts each object on disk, so data without their name can no longer be read: then it is taken from Swift's own
// configuration, and failing that it is an error that leaves the data alone.
func readIncarnation(d *host.Directory) (string, error) {
	content, err := d.ReadFile(serviceFile(incarnationFile))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", err
	}
	if id := strings.TrimSpace(string(content)); goodIncarnation.MatchString(id) {
		return id, nil
	}
	if !HoldsData(d) {
		return "", nil
	}
	content, err = d.ReadFile(serviceFile("etc/swift.conf"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", err
	}
	for lines := bufio.NewScanner(bytes.NewReader(content)); lines.Scan(); {
		key, value, _ := strings.Cut(lines.Text(), "=")
		if id := strings.TrimSpace(value); strings.TrimSpace(key) == suffixKey && goodIncarnation.MatchString(id) {
			return id, nil
		}
	}
	return "", &host.Problem{
		Kind:  host.ErrInvalid,
		Thing: "the folder " + d.ServicePath(Service, "data", device),
		Cause: "holds data, but both " + incarnationFile + " and etc/swift.conf, which tell where in it each object is, are lost",
		WayOut: "Restore one of the two from a backup of " + d.ServicePath(Service) +
			", or move the data away to begin with an empty store",
	}
}

// HoldsData says whether there is anything that would be lost with the store: whether Swift has ever stored anything. It
// depends on nothing but the data themselves.
func HoldsData(d *host.Directory) bool {
	for _, kind := range []string{"accounts", "containers", "objects"} {
		if d.Exists(serviceFile("data/" + device + "/" + kind)) {
			return true
		}
	}
	return false
}

// serviceFile is the name of one of the service's files, relative to the stack's folder.
func serviceFile(name string) string { return "services/" + Service + "/" + name }
