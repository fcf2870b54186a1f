package rabbitmq

import (
	"errors"
	"fmt"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/provider/host"
)

// What keeps a version of RabbitMQ from being used.
var (
	ErrUnknownVersion = errors.New("a version of RabbitMQ that this program does not know")
	ErrNoAMQP08       = errors.New("a version of RabbitMQ that does not speak AMQP 0-8")
)

// Known versions. 3.10 is run by our tests; of the others the management API's answers were recorded or read in its
// documentation.
const (
	oldestMinor      = 8 // of 3
	newestMinor      = 13
	firstWithout08   = 4
	newestMajor      = 4
	knownVersionText = "3.8 to 3.13, and 4"
)

// Version is RabbitMQ's.
type Version struct{ Major, Minor int }

var versionPattern = regexp.MustCompile(`^([0-9]{1,4})\.([0-9]{1,4})(?:[.+~-].*)?$`)

// ParseVersion reads 3.10.8, 3.13.0-rc.2, 4.0.5+debian.
func ParseVersion(text string) (Version, error) {
	match := versionPattern.FindStringSubmatch(text)
	if match == nil {
		return Version{}, fmt.Errorf("%w: it calls itself %q, and known are %s", ErrUnknownVersion, text, knownVersionText)
	}
	var v Version
	v.Major, _ = strconv.Atoi(match[1]) // digits, few of them
	v.Minor, _ = strconv.Atoi(match[2])
	return v, nil
}

// CheckVersion refuses what is not known, and where AMQP 0-8 is needed what does not speak it.
func CheckVersion(text string, needAMQP08 bool) error {
	v, err := ParseVersion(text)
	switch {
	case err != nil:
		return err
	case v.Major == 3 && v.Minor >= oldestMinor && v.Minor <= newestMinor:
		return nil
	case v.Major < firstWithout08 || v.Major > newestMajor:
		return fmt.Errorf("%w: it is %s, and known are %s", ErrUnknownVersion, text, knownVersionText)
	case needAMQP08:
		return fmt.Errorf("%w: it is %s", ErrNoAMQP08, text)
	}
	return nil
}

// installedPattern is where Debian's package has its programs' libraries.
const installedPattern = "/usr/lib/rabbitmq/lib/rabbitmq_server-*"

// CheckInstalled says what is missing on this machine for a node of its own.
func CheckInstalled() error {
	if err := checkPrograms(); err != nil {
		return err
	}
	found, err := filepath.Glob(installedPattern)
	if err != nil {
		return err
	}
	return checkInstalledVersion(found)
}

// checkInstalledVersion takes any of the folders: where nothing tells the version, a start will.
func checkInstalledVersion(folders []string) error {
	var last error
	for _, folder := range folders {
		version := strings.TrimPrefix(filepath.Base(folder), "rabbitmq_server-")
		if last = CheckVersion(version, false); last == nil {
			return nil
		}
	}
	if last == nil {
		return nil
	}
	return &host.Problem{
		Kind: host.ErrMissing, Thing: "the installed RabbitMQ", Cause: "cannot be used", Err: last,
		WayOut: "Install the package rabbitmq-server of Debian 12, or a newer version of this provider",
	}
}

// installedVersion is that of the node which a start here would make; empty where nothing tells.
func installedVersion() string {
	found, err := filepath.Glob(installedPattern)
	if err != nil || len(found) == 0 {
		return ""
	}
	return strings.TrimPrefix(filepath.Base(found[len(found)-1]), "rabbitmq_server-")
}
