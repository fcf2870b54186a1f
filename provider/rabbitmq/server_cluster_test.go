package rabbitmq

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/provider/host/hosttest"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/config"
)

func exampleCluster() *Cluster {
	return &Cluster{Address: "10.0.0.2", Members: []string{"10.0.0.1", "10.0.0.2", "10.0.0.3"}, CookieFile: "/srv/cookie", Port: ClusterPort}
}

func TestClusterRefuses(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		change func(*Cluster)
		field  ClusterField
		says   string
	}{
		"right":              {func(*Cluster) {}, "", ""},
		"behind a carrier":   {func(c *Cluster) { c.Members[0] = "100.64.0.1" }, "", ""},
		"in a trial":         {func(c *Cluster) { c.Members[0] = "198.18.0.1" }, "", ""},
		"a name":             {func(c *Cluster) { c.Members[0] = "broker" }, ClusterMembers, `"broker" is not the address of a machine`},
		"IPv6":               {func(c *Cluster) { c.Members[0] = "fd00::1" }, ClusterMembers, "IPv4"},
		"all":                {func(c *Cluster) { c.Members[0] = "0.0.0.0" }, ClusterMembers, "is not the address of a machine"},
		"twice":              {func(c *Cluster) { c.Members[0] = "10.0.0.3" }, ClusterMembers, `"10.0.0.3" is there twice`},
		"public":             {func(c *Cluster) { c.Members[0] = "203.0.113.7" }, ClusterMembers, "is a public address"},
		"not one of them":    {func(c *Cluster) { c.Address = "10.0.0.9" }, ClusterAddress, "is not among the members 10.0.0.1, "},
		"an impossible port": {func(c *Cluster) { c.Port = 70000 }, ClusterPortNo, "does not exist"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := exampleCluster()
			tc.change(c)
			err := c.Check()
			var wrong *ClusterError
			if tc.says == "" && err != nil || tc.says != "" && (!errors.As(err, &wrong) || wrong.Field != tc.field || !strings.Contains(err.Error(), tc.says)) {
				t.Errorf("%v, want one at %q that says %q", err, tc.field, tc.says)
			}
		})
	}
}

// TestMemberIsGolden: what a member's files and processes look like, without and with data of its own.
func TestMemberIsGolden(t *testing.T) {
	t.Parallel()
	n := exampleNode()
	n.Name, n.Administrator, n.Cluster, n.Plain = "rabbit@10.0.0.2", "admin-10.0.0.2", exampleCluster(), []endpoint{{"10.0.0.2", 5672}}
	s := exampleDefinition(t, n)
	for _, file := range s.Files {
		if !file.Secret {
			hosttest.Golden(t, filepath.Join("testdata", "member", filepath.Base(file.Name)), file.Content)
		}
	}
	var text strings.Builder
	for _, p := range s.Processes {
		fmt.Fprintf(&text, "%s\n  %s\n  listens: %s\n  reads: %s\n", p.Name, strings.Join(p.Argv, " "), strings.Join(p.Listen, " "), strings.Join(p.Reads, " "))
		for _, variable := range p.Env {
			fmt.Fprintf(&text, "  %s\n", variable)
		}
	}
	hosttest.Golden(t, filepath.Join("testdata", "member", "processes"), []byte(text.String()))
	n.Founds = true
	for _, file := range exampleDefinition(t, n).Files {
		if file.Name == membersFile && strings.Contains(string(file.Content), "peer_discovery") {
			t.Errorf("who founds the cluster would wait for others:\n%s", file.Content)
		}
	}
}

// TestCookieIsAgreedOn: many members that find no file at the same time have one cookie in the end.
func TestCookieIsAgreedOn(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "cookie")
	var all sync.Map
	var together sync.WaitGroup
	for range 20 {
		together.Go(func() {
			cookie, err := Cluster{CookieFile: path}.agreeOnCookie("")
			if err != nil {
				t.Error(err)
			}
			all.Store(cookie, true)
		})
	}
	together.Wait()
	count := 0
	all.Range(func(any, any) bool { count++; return true })
	if count != 1 {
		t.Errorf("%d cookies for one cluster", count)
	}
	cookie, err := Cluster{CookieFile: path}.ReadCookie()
	if err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the cookie: %v, %v", info, err)
	}
	if left, _ := filepath.Glob(filepath.Join(filepath.Dir(path), ".cookie-*")); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
	// One that is lost comes back from a member; another one is refused.
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if again, err := (Cluster{CookieFile: path}).agreeOnCookie(cookie); err != nil || again != cookie {
		t.Errorf("after a loss: the same: %v, %v", again == cookie, err)
	}
	if _, err := (Cluster{CookieFile: path}).agreeOnCookie("ANOTHERCOOKIEOFTWENTYTWO"); err == nil || strings.Contains(err.Error(), cookie.Reveal()) {
		t.Errorf("another cookie: %v", err)
	}
}

func TestReadCookieRefuses(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	for name, tc := range map[string]struct {
		content string
		mode    os.FileMode
		says    string
	}{
		"short":     {"SECRET", 0o600, "is no secret"},
		"two lines": {strings.Repeat("A", 30) + "\n" + strings.Repeat("B", 30), 0o600, "is no secret"},
		"readable":  {strings.Repeat("A", 30), 0o644, "can be read by other accounts"},
	} {
		path := filepath.Join(folder, name)
		if err := os.WriteFile(path, []byte(tc.content), tc.mode); err != nil {
			t.Fatal(err)
		}
		_, err := Cluster{CookieFile: path}.ReadCookie()
		if err == nil || !strings.Contains(err.Error(), tc.says) || strings.Contains(err.Error(), tc.content) {
			t.Errorf("%s: %v, want %q", name, err, tc.says)
		}
	}
	if _, err := (Cluster{CookieFile: filepath.Join(folder, "none")}).ReadCookie(); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no file: %v", err)
	}
	far := Cluster{CookieFile: "/far", Read: func(string) ([]byte, fs.FileMode, error) { return nil, 0, fs.ErrNotExist }}
	if _, err := far.agreeOnCookie(""); err == nil || !strings.Contains(err.Error(), "/far is not there") {
		t.Errorf("none on Terraform's machine: %v", err)
	}
	far.Read = func(name string) ([]byte, fs.FileMode, error) { return []byte(strings.Repeat("A", 30)), 0o600, nil }
	if cookie, err := far.agreeOnCookie(""); err != nil || cookie.Reveal() != strings.Repeat("A", 30) {
		t.Errorf("one on Terraform's machine: %v", err)
	}
	if text := fmt.Sprint(config.Secret("x")); text != "***" {
		t.Errorf("a cookie prints as %s", text)
	}
}

func TestSameSeries(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		one, other string
		same       bool
	}{{"3.10.8", "3.10.25", true}, {"3.10.8", "3.11.0", false}, {"4.0.5", "3.10.8", false}, {"3.10.8", "", true}} {
		if got := sameSeries(tc.one, tc.other); got != tc.same {
			t.Errorf("%s and %s: %v", tc.one, tc.other, got)
		}
	}
}

// TestNamesNode has lists as nodes write them, where they keep who belongs to the cluster.
func TestNamesNode(t *testing.T) {
	t.Parallel()
	const members = "{['rabbit@10.0.0.12','rabbit@10.0.0.13'],['rabbit@10.0.0.12']}.\n"
	for _, tc := range []struct {
		list, name string
		want       bool
	}{
		{members, "rabbit@10.0.0.12", true},
		{members, "rabbit@10.0.0.13", true},
		{members, "rabbit@10.0.0.1", false},
		{members, nodeName, false},
		{"{[rabbit@localhost],[rabbit@localhost]}.\n", nodeName, true},
		{"{[rabbit@localhost],[rabbit@localhost]}.\n", "rabbit@10.0.0.1", false},
		{"", nodeName, false},
	} {
		if got := namesNode(tc.list, tc.name); got != tc.want {
			t.Errorf("%s is in %q: %v", tc.name, tc.list, got)
		}
	}
}
