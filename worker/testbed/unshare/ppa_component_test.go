//go:build component

package unshare_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/config"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/testbed"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/testbed/testbedtest"
)

// archiveKeys are those of the release's archive, as the package debian-archive-keyring has them.
const archiveKeys = "/usr/share/keyrings/debian-archive-keyring.gpg"

// TestPPA takes this machine's archive, under another name, for a PPA: public, and with a password.
func TestPPA(t *testing.T) {
	t.Parallel()
	file, _ := testImage(t)
	info, err := testbed.ReadImageInfo(file)
	if err != nil {
		t.Fatal(err)
	}
	// apt must not see that it is the archive that the testbed has already.
	scheme, rest, _ := strings.Cut(info.Mirror, "://")
	host, path, _ := strings.Cut(rest, "/")
	if !strings.Contains(host, ":") {
		host += map[string]string{"http": ":80", "https": ":443"}[scheme]
	}
	url := scheme + "://" + host + "/" + path
	keys := t.TempDir()
	content, err := os.ReadFile(archiveKeys)
	if err := errors.Join(err, os.Mkdir(filepath.Join(keys, "joe"), 0o700), os.WriteFile(filepath.Join(keys, "joe/foo.gpg"), content, 0o600)); err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		ppa   string
		check string // in the testbed
	}{
		"public": {"joe/foo", "test ! -e /etc/apt/auth.conf.d/autopkgtest-cloud.conf"},
		"private": {"robot:S3KRIT@joe/foo",
			"grep -q 'login robot password' /etc/apt/auth.conf.d/autopkgtest-cloud.conf; " +
				"stat -c 'the file is %a of %U' /etc/apt/auth.conf.d/autopkgtest-cloud.conf"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			job := newJob(t, testbedtest.SourceTree(t, "Test-Command: set -e; apt-cache policy hello; apt-get -q --print-uris source hello; "+test.check+
				"\nDepends: hello\nRestrictions: needs-root, allow-stderr\n", nil))
			job.Request.PPAs = []string{test.ppa}
			job.Request.SwiftUser = "reader"
			job.Debug = true // it must not show the password even then
			job.PPA = config.PPA{URL: url, PrivateURL: url, Keys: keys}
			outcome, err := newRunner(t).Run(t.Context(), job)
			log := readLog(t, job)
			if err != nil || outcome.ExitCode != 0 {
				t.Fatalf("outcome %+v, error %v\n%s", outcome, err, log)
			}
			if !strings.Contains(log, "500 "+url+" ") {
				t.Errorf("apt does not take packages from %s:\n%s", url, log)
			}
			if name == "private" && !strings.Contains(log, "the file is 600 of root") {
				t.Errorf("the file with the password is for others to read:\n%s", log)
			}
			if strings.Contains(log, "S3KRIT") {
				t.Errorf("the log shows the password:\n%s", log)
			}
			checkNothingLeft(t, job)
		})
	}
}

// TestPPAWithAnotherKey: an archive that is signed with another key than the operator's is not used.
func TestPPAWithAnotherKey(t *testing.T) {
	t.Parallel()
	file, _ := testImage(t)
	info, err := testbed.ReadImageInfo(file)
	if err != nil {
		t.Fatal(err)
	}
	other, err := filepath.Glob("/usr/share/keyrings/debian-archive-*security*.gpg")
	if err != nil || len(other) == 0 {
		t.Fatalf("no key of another archive: %v; install debian-archive-keyring", err)
	}
	keys := t.TempDir()
	content, err := os.ReadFile(other[0])
	if err := errors.Join(err, os.Mkdir(filepath.Join(keys, "joe"), 0o700), os.WriteFile(filepath.Join(keys, "joe/foo.gpg"), content, 0o600)); err != nil {
		t.Fatal(err)
	}
	job := newJob(t, testbedtest.SourceTree(t, "Test-Command: true\nDepends:\n", nil))
	job.Request.PPAs = []string{"joe/foo"}
	job.PPA = config.PPA{URL: strings.Replace(info.Mirror, "/debian", ":80/debian", 1), Keys: keys}
	outcome, err := newRunner(t).Run(t.Context(), job)
	if log := readLog(t, job); err != nil || outcome.ExitCode == 0 || !strings.Contains(log, "not signed") && !strings.Contains(log, "NO_PUBKEY") {
		t.Errorf("outcome %+v, error %v\n%s", outcome, err, log)
	}
}
