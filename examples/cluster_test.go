//go:build e2e

package examples

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/config"
)

// TestCluster applies examples/cluster: three servers in one go, one loses its disk, one goes.
func TestCluster(t *testing.T) {
	t.Parallel()
	names := []string{"a", "b", "c"}
	folders, addresses := map[string]string{}, map[string]string{}
	for i, name := range names {
		folders[name] = newStack(t)
		addresses[name] = fmt.Sprintf("127.88.%d.%d", os.Getpid()%250+1, i+1)
	}
	cookie := filepath.Join(t.TempDir(), "cookie")
	c := newCLI(t)
	c.copyExample("cluster")
	members := func(names ...string) string {
		var text strings.Builder
		for _, name := range names {
			fmt.Fprintf(&text, "%s={address=%q,directory=%q},", name, addresses[name], folders[name])
		}
		return "-var=members={" + text.String() + "}"
	}
	c.args = []string{"-var=cookie_file=" + cookie, members(names...), "-var=directory=" + t.TempDir()}
	c.run("apply")
	c.planIsEmpty()
	account, err := config.ReadBroker(c.output("worker_credentials_file"))
	if err != nil {
		t.Fatal(err)
	}
	var hosts []string
	for _, at := range account.Each() {
		hosts = append(hosts, at.Host)
	}
	if want := []string{addresses["a"], addresses["b"], addresses["c"]}; strings.Join(hosts, " ") != strings.Join(want, " ") {
		t.Errorf("the worker knows %v, want %v", hosts, want)
	}
	secret, err := os.ReadFile(cookie)
	if err != nil {
		t.Fatal(err)
	}
	state, err := os.ReadFile(filepath.Join(c.work, "terraform.tfstate"))
	if err != nil || strings.Contains(string(state), strings.TrimSpace(string(secret))) {
		t.Errorf("the state holds the cookie (%v)", err)
	}

	// The first: it must not found another cluster.
	for _, pid := range processes(folders["a"], "rabbitmq") {
		if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.RemoveAll(filepath.Join(folders["a"], "services/rabbitmq/data")); err != nil {
		t.Fatal(err)
	}
	if plan := c.run("plan"); !strings.Contains(plan, `["a"] will be updated in-place`) || strings.Contains(plan, "must be replaced") {
		t.Errorf("the plan after a lost disk:\n%s", plan)
	}
	c.run("apply")
	c.planIsEmpty()

	c.args[1] = members("a", "b")
	c.run("apply")
	c.planIsEmpty()
	nothingIsLeft(t, folders["c"])
	c.run("destroy")
	for _, name := range names {
		nothingIsLeft(t, folders[name])
	}
}
