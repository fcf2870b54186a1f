// Package openstacktest gives tests a real OpenStack: the one that `scripts/openstack run` has started for them, projects
// of their own in it, and somebody in between who counts the requests and spoils the answers that a real cloud gives only on bad days.
package openstacktest

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/cloudrc"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/openstack"
)

// The users and the regions of that cloud. Users other than Admin are members of the project of their name,
// which tests share: one that changes what others may count on, its networks or its quotas, has a NewProject.
const (
	Admin        = "admin"
	Prodstack    = "prodstack"
	Scalingstack = "scalingstack"

	Lcy01 = "lcy01"
	Lgw01 = "lgw01"
)

const folderVariable = "AUTOPKGTEST_TEST_OPENSTACK"

// RCFile is the path of a user's RC file for a region. A test without the cloud fails.
func RCFile(t testing.TB, user, region string) string {
	t.Helper()
	folder := os.Getenv(folderVariable)
	if folder == "" {
		t.Fatalf("%s is not set; run this with: make test-openstack", folderVariable)
	}
	return filepath.Join(folder, user+"-"+region+".rc")
}

// Cloud is what a region is reached with as a user.
func Cloud(t testing.TB, user, region string) cloudrc.Cloud {
	t.Helper()
	return ReadRC(t, RCFile(t, user, region))
}

// Region is a region as a user reaches it.
func Region(t testing.TB, user, region string) *openstack.Region {
	t.Helper()
	return RegionOf(t, RCFile(t, user, region))
}

// RegionOf is the region of an RC file, with a login of its own.
func RegionOf(t testing.TB, rc string) *openstack.Region {
	t.Helper()
	region, err := new(openstack.Sessions).Region(ReadRC(t, rc), nil)
	if err != nil {
		t.Fatal(err)
	}
	return region
}

// ReadRC reads an RC file.
func ReadRC(t testing.TB, name string) cloudrc.Cloud {
	t.Helper()
	content, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	cloud, err := cloudrc.ParseRC(name, content, nil)
	if err != nil {
		t.Fatal(err)
	}
	return cloud
}
