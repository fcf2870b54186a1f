//go:build acceptance

package provider

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hashicorp/terraform-plugin-testing/helper/resource"
	"github.com/hashicorp/terraform-plugin-testing/terraform"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/config"
)

// of2015 is a worker.conf as it was written by hand, which leaves out what a deployment knows.
const of2015 = `[amqp]
host =
user =
password =

[autopkgtest]
releases = rel
setup_command = true
big_packages = glibc linux
backend = nova

[nova]
image_pattern = testbed
flavor = m1.small
big_flavor = m1.large
novaopts = --net-id=net_scalingstack -e 'http_proxy=http://squid.internal:3128'
`

// workerConfFiles are an operator's files, in a folder, for a stack in another one.
type workerConfFiles struct {
	t                 *testing.T
	folder, directory string
}

func newWorkerConfFiles(t *testing.T) *workerConfFiles {
	t.Helper()
	return &workerConfFiles{t: t, folder: t.TempDir(), directory: newStack(t)}
}

func (f *workerConfFiles) path(name string) string { return filepath.Join(f.folder, name) }

func (f *workerConfFiles) write(name, content string) {
	f.t.Helper()
	if err := errors.Join(os.WriteFile(f.path(name), []byte(content), 0o600), os.Chmod(f.path(name), 0o600)); err != nil {
		f.t.Fatal(err)
	}
}

// in is a configuration, in which FOLDER stands for the folder.
func (f *workerConfFiles) in(configuration string) string {
	return fmt.Sprintf("provider \"autopkgtest\" {\n  stack     = \"acc\"\n  directory = %q\n  binaries  = %q\n}\n", f.directory, programs) +
		strings.ReplaceAll(configuration, "FOLDER", f.folder)
}

// has wants all of the texts in a file.
func has(path string, all ...string) resource.TestCheckFunc {
	return func(*terraform.State) (err error) {
		for _, text := range all {
			err = errors.Join(err, contains(path, text))
		}
		return err
	}
}

// TestAccWorkerConfRefuses: what contradicts the deployment, or cannot be used, fails the plan with its file and line, and without a
// password.
func TestAccWorkerConfRefuses(t *testing.T) {
	t.Parallel()
	f := newWorkerConfFiles(t)
	password := config.NewSecret()
	f.write("broker", "worker = amqp://worker:"+password.Reveal()+"@10.0.0.7\n")
	f.write("store", "[swift]\nauth_url = http://10.0.0.8:5000/v3\nusername = results\npassword = "+config.NewSecret().Reveal()+
		"\nstorage_url = http://10.0.0.8:8080/v1/AUTH_results\n")
	f.write("key", "a key stands here\n")
	const told = `
  worker_conf = "FOLDER/worker.conf"
  rc_files    = ["FOLDER/lcy01.rc"]
  key_file    = "FOLDER/key"
  key_name    = "testbed"`
	rc := func(region, more string) string {
		return "export OS_AUTH_URL=http://10.24.0.132:5000/v3 OS_USERNAME=u OS_PROJECT_NAME=p\n" +
			"export OS_REGION_NAME=" + region + "\n" + more + "\n"
	}
	right := rc("lcy01", "export OS_PASSWORD="+config.NewSecret().Reveal())
	in := func(old, replacement string) string { return strings.Replace(of2015, old, replacement, 1) }
	var steps []resource.TestStep
	for _, test := range []struct{ conf, rc, attributes, says string }{
		{in("host =", "host = rabbit.internal"), right, told, `worker\.conf:2: \[amqp\] host: is "rabbit\.internal", and the deployment has "10\.0\.0\.7"`},
		{in("password =", "password = Secret1"), right, told, `worker\.conf:4: \[amqp\] password: is another one than the deployment's`},
		{in("releases = rel", "releases = other"), right, told, `worker\.conf:7: \[autopkgtest\] releases: is "other", and the deployment has "rel"`},
		{in("novaopts =", "novaopts = --keyname=mine"), right, told, `worker\.conf:16: \[nova\] novaopts: --keyname is "mine", and the deployment has "testbed"`},
		{in("--net-id", "--net"), right, told, `worker\.conf:16: \[nova\] novaopts: unknown flag`},
		{in("[amqp]", "[swift]\nauth_url = http://keystone.internal:5000/v2.0\n[amqp]"), right, told, `worker\.conf:2: \[swift\] auth_url: is`},
		{in("[nova]", "[nova]\nrc_files = /srv/rc"), right, told, `worker\.conf:13: \[nova\] rc_files: is "/srv/rc"`},
		{in("flavor = m1.small\n", ""), right, told, `\[nova\] flavor: missing`},
		{"", right, strings.ReplaceAll(told, "worker.conf", "gone.conf"), `gone\.conf: no such file`},
		{of2015, rc("lcy01", "export OS_PASSWORD=$(pass show lcy01)"), told, `lcy01\.rc:3: OS_PASSWORD depends on what a command prints`},
		{of2015, rc("lcy01", "read -sr OS_PASSWORD"), told, `lcy01\.rc.*password`},
		{of2015, right, strings.ReplaceAll(told, `lcy01.rc"`, `lcy01.rc", "FOLDER/again.rc"`), `names the region lcy01, and so does`},
		{of2015, right, strings.ReplaceAll(told, "lcy01.rc", "exposed.rc"), `exposed\.rc has mode 0644, want 0600`},
		{of2015, right, "", `At least one attribute out of`},
		{of2015, right, "\n  images   = [\"/srv/images/rel-amd64.tar.zst\"]\n  rc_files = [\"FOLDER/lcy01.rc\"]", `"worker_conf" must be specified`},
		{of2015, right, "\n  images   = [\"/srv/images/rel-amd64.tar.zst\"]\n  key_file = \"FOLDER/key\"", `"worker_conf" must be specified`},
		{of2015, right, "\n  worker_conf = \"FOLDER/worker.conf\"\n  key_name = \"testbed\"", `"key_file" must be specified`},
		{of2015, right, strings.ReplaceAll(told, `"testbed"`, `"a.b"`), `letters, digits, spaces, dashes and underscores`},
	} {
		steps = append(steps, resource.TestStep{
			PreConfig: func() {
				f.write("worker.conf", test.conf)
				f.write("lcy01.rc", test.rc)
				f.write("again.rc", test.rc)
				f.write("exposed.rc", test.rc)
				if err := os.Chmod(f.path("exposed.rc"), 0o644); err != nil {
					t.Error(err)
				}
			},
			Config: f.in(`
resource "autopkgtest_worker" "worker" {
  broker_credentials_file = "FOLDER/broker"
  store_credentials_file  = "FOLDER/store"
  delivery_timeout        = "48h"
  releases                = ["rel"]
  architectures           = ["amd64"]` + test.attributes + "\n}\n"),
			PlanOnly: true, ExpectError: words("(?s)" + test.says),
		})
	}
	resource.Test(t, resource.TestCase{ProtoV6ProviderFactories: factories, Steps: steps})
	if _, err := os.Lstat(f.directory); err == nil {
		t.Error("a plan made the stack's folder")
	}
}

// TestAccWorkerConfBeforeTheBroker: as long as nothing is deployed, an account in the file may still be right; its password cannot.
func TestAccWorkerConfBeforeTheBroker(t *testing.T) {
	t.Parallel()
	f := newWorkerConfFiles(t)
	configuration := f.in(workerConfStack + "  worker_conf = \"FOLDER/worker.conf\"\n}\n")
	written := func(account string) func() {
		return func() { f.write("worker.conf", strings.Replace(of2015, "host =\nuser =\npassword =", account, 1)) }
	}
	resource.Test(t, resource.TestCase{ProtoV6ProviderFactories: factories, Steps: []resource.TestStep{
		{
			PreConfig: written("host = 127.0.0.1\nuser = the-worker\npassword = Secret1"), Config: configuration, PlanOnly: true,
			ExpectError: words(`worker\.conf:4: \[amqp\] password: is another one`),
		},
		{PreConfig: written("host = 127.0.0.1\nuser = the-worker\npassword ="), Config: configuration, PlanOnly: true, ExpectNonEmptyPlan: true},
	}})
}

// workerConfStack is a stack but for the end of its worker.
const workerConfStack = `
resource "autopkgtest_rabbitmq_server" "broker" {
  allow_message_loss = true
}

resource "autopkgtest_swift_server" "store" {
  force_destroy = true
}

resource "autopkgtest_broker" "broker" {
  broker = autopkgtest_rabbitmq_server.broker.broker
}

resource "autopkgtest_broker_user" "worker" {
  broker = autopkgtest_rabbitmq_server.broker.broker
  name   = "the-worker"
  role   = "worker"
}

resource "autopkgtest_request_queues" "queues" {
  broker             = autopkgtest_rabbitmq_server.broker.broker
  releases           = ["rel"]
  architectures      = ["amd64"]
  allow_message_loss = true
}

resource "autopkgtest_worker" "worker" {
  broker_credentials_file = autopkgtest_broker_user.worker.credentials_file
  store_credentials_file  = autopkgtest_swift_server.store.store.credentials_file
  delivery_timeout        = autopkgtest_rabbitmq_server.broker.delivery_timeout
  releases                = ["rel"]
  architectures           = ["amd64"]
  drain_timeout           = "1s"
  depends_on              = [autopkgtest_broker.broker, autopkgtest_request_queues.queues]
`
