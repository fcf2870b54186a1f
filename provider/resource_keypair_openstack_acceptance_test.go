//go:build acceptance && openstack

package provider

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/user"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"github.com/gophercloud/gophercloud/v2"
	"github.com/gophercloud/gophercloud/v2/openstack/compute/v2/keypairs"
	"github.com/hashicorp/terraform-plugin-testing/helper/resource"
	"github.com/hashicorp/terraform-plugin-testing/plancheck"
	"github.com/hashicorp/terraform-plugin-testing/terraform"
	"github.com/hashicorp/terraform-plugin-testing/tfjsonpath"

	deployed "github.com/autopkgtest-cloud/autopkgtest-cloud/provider/openstack"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/openstack"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/openstack/openstacktest"
)

const keyPairAddress = "autopkgtest_keypair.test"

// keyLab is a lab with a folder for keys and configurations.
type keyLab struct {
	*addressLab
	folder string
}

func newKeyLab(t *testing.T) *keyLab {
	t.Helper()
	l := &keyLab{addressLab: newAddressLab(t), folder: t.TempDir()}
	t.Cleanup(func() {
		for _, name := range []string{"", "-2", "-3"} { // left by a test that failed
			l.remove(l.name + name)
		}
	})
	return l
}

func (l *keyLab) file(name string) string { return filepath.Join(l.folder, name) }

func (l *keyLab) write(name, content string, mode os.FileMode) {
	l.t.Helper()
	if err := errors.Join(os.WriteFile(l.file(name), []byte(content), mode), os.Chmod(l.file(name), mode)); err != nil {
		l.t.Fatal(err)
	}
}

// key is a key of somebody else's in a file, and its public line in FILE.pub.
func (l *keyLab) key(name string) deployed.PublicKey {
	l.t.Helper()
	content, public, err := deployed.NewPrivateKey("me@there")
	if err != nil {
		l.t.Fatal(err)
	}
	l.write(name, string(content), 0o600)
	l.write(name+".pub", public.Line()+"\n", 0o644)
	return public
}

// pair is a resource with attributes, in which FOLDER stands for the folder and NAME for the test's name.
func (l *keyLab) pair(attributes string) string {
	return fmt.Sprintf("resource \"autopkgtest_keypair\" \"test\" {\n cloud = { rc_file = %q }\n%s\n}\n", l.rc,
		strings.NewReplacer("FOLDER", l.folder, "NAME", l.name).Replace(attributes))
}

func (l *keyLab) nova(call func(context.Context, *gophercloud.ServiceClient) error) error {
	ctx := context.WithoutCancel(l.t.Context())
	return l.region.Do(ctx, openstack.Compute, func(client *gophercloud.ServiceClient) error { return call(ctx, client) })
}

// there is the pair of a name; nil if there is none.
func (l *keyLab) there(name string) (pair *keypairs.KeyPair) {
	err := l.nova(func(ctx context.Context, client *gophercloud.ServiceClient) (err error) {
		pair, err = keypairs.Get(ctx, client, name, nil).Extract()
		return err
	})
	if err != nil && !errors.Is(err, openstack.ErrNotFound) {
		l.t.Error(err)
	}
	return pair
}

func (l *keyLab) remove(name string) {
	if err := l.nova(func(ctx context.Context, client *gophercloud.ServiceClient) error {
		return keypairs.Delete(ctx, client, name, nil).ExtractErr()
	}); err != nil && !errors.Is(err, openstack.ErrNotFound) {
		l.t.Error(err)
	}
}

func (l *keyLab) put(name string, key deployed.PublicKey) {
	l.must(l.nova(func(ctx context.Context, client *gophercloud.ServiceClient) error {
		return keypairs.Create(ctx, client, keypairs.CreateOpts{Name: name, PublicKey: key.Line()}).Err
	}))
}

// fits wants that the pair has the key in the file, which only its owner can read.
func (l *keyLab) fits(name, file string) error {
	pair := l.there(name)
	if pair == nil {
		return fmt.Errorf("there is no key pair %s", name)
	}
	content, err := os.ReadFile(l.file(file))
	if err != nil {
		return err
	}
	key, err := deployed.ReadPrivateKey(content, defaultStack)
	if err == nil && key.Public.Fingerprint() != pair.Fingerprint {
		err = fmt.Errorf("the cloud has %s, and the file %s", pair.Fingerprint, key.Public.Fingerprint())
	}
	info, failed := os.Stat(l.file(file))
	if failed == nil && info.Mode().Perm() != 0o600 {
		failed = fmt.Errorf("mode %s", info.Mode())
	}
	return errors.Join(err, failed)
}

// TestAccOpenStackKeyPair: a key is made, everything that goes wrong with it is repaired, and both go in the end.
func TestAccOpenStackKeyPair(t *testing.T) {
	t.Parallel()
	l := newKeyLab(t)
	l.write("worker.conf", "[autopkgtest]\nreleases = noble\n\n[nova]\nnovaopts = --net-id=x --keyname="+l.name+"\n", 0o644)
	configuration := l.pair("worker_conf = \"FOLDER/worker.conf\"\nprivate_key_file = \"FOLDER/key\"\ntimeouts = { update = \"3m\" }")
	away := *l.addressLab
	away.rc = l.between.RCFile(t, func(text string) string { return strings.ReplaceAll(text, openstacktest.Lcy01, openstacktest.Lgw01) })
	elsewhere := &keyLab{addressLab: &away, folder: l.folder}
	var last string
	keeps := func(*terraform.State) error {
		if now := l.there(l.name); now == nil || last != "" && now.Fingerprint != last {
			return fmt.Errorf("the key changed from %s to %+v", last, now)
		}
		last = l.there(l.name).Fingerprint
		return l.fits(l.name, "key")
	}
	changes := func(state *terraform.State) error {
		if now := l.there(l.name); now == nil || now.Fingerprint == last {
			return errors.New("the key is still the same")
		}
		last = l.there(l.name).Fingerprint
		return errors.Join(l.fits(l.name, "key"), resource.TestCheckResourceAttr(keyPairAddress, "fingerprint", last)(state))
	}
	steps := []resource.TestStep{{Config: configuration, Check: resource.ComposeTestCheckFunc(keeps,
		resource.TestCheckResourceAttr(keyPairAddress, "status", inPlace), resource.TestCheckResourceAttr(keyPairAddress, "name", l.name),
		resource.TestMatchResourceAttr(keyPairAddress, "public_key", regexp.MustCompile(`^ssh-ed25519 AAAA\S+ autopkgtest-cloud:default:`+l.name+`$`)),
	)}}
	drift := func(reason string, check resource.TestCheckFunc, damage func()) {
		damaged := repaired(keyPairAddress, reason, configuration, damage)
		damaged[1].Check = check
		steps = append(steps, damaged...)
	}
	drift("the region has no such key pair", keeps, func() { l.remove(l.name) })
	drift("the key pair has another key, with the fingerprint ([0-9a-f]{2}:){15}", keeps, func() {
		l.remove(l.name)
		l.put(l.name, l.key("mallory"))
	})
	unknown := func() {
		checks := &steps[len(steps)-1].ConfigPlanChecks
		checks.PreApply = append(checks.PreApply, plancheck.ExpectUnknownValue(keyPairAddress, tfjsonpath.New("fingerprint")))
	}
	drift("the private key "+l.file("key")+" is gone: another one will be made", changes, func() { l.must(os.Remove(l.file("key"))) })
	unknown()
	drift("has the mode 0644 and could be read by others", changes, func() { l.must(os.Chmod(l.file("key"), 0o644)) })
	unknown()
	drift("the region has no such key pair", keeps, func() { // as long as it is made, its name is known without the file
		l.remove(l.name)
		l.must(os.Rename(l.file("worker.conf"), l.file("away.conf")))
	})
	steps = append(steps,
		// The state is lost, the file is not.
		resource.TestStep{Config: withoutState(keyPairAddress)},
		resource.TestStep{
			PreConfig: func() { l.must(os.Rename(l.file("away.conf"), l.file("worker.conf"))) }, Config: configuration, Check: keeps,
		},
		// Both are lost: nobody can tell whether the pair is in use.
		resource.TestStep{Config: withoutState(keyPairAddress)},
		resource.TestStep{
			PreConfig: func() { l.must(os.Rename(l.file("key"), l.file("kept"))) },
			Config:    configuration, ExpectError: words(`(?s)with another key: its fingerprint is ([0-9a-f]{2}:){15}.*still to be made.*openstack keypair delete`),
		},
		resource.TestStep{PreConfig: func() {
			if _, err := os.Stat(l.file("key")); err == nil {
				t.Error("a refused apply made a key")
			}
			l.must(os.Rename(l.file("kept"), l.file("key")))
		}, Config: configuration, Check: keeps},
		// Another name in worker.conf is another key pair.
		resource.TestStep{
			PreConfig: func() {
				l.write("worker.conf", "[virt]\nargs = ssh -s nova -- --keyname "+l.name+"-2\n", 0o644)
			},
			Config: configuration,
			ConfigPlanChecks: resource.ConfigPlanChecks{PreApply: []plancheck.PlanCheck{
				plancheck.ExpectResourceAction(keyPairAddress, plancheck.ResourceActionReplace),
			}},
			Check: func(*terraform.State) error {
				if l.there(l.name) != nil {
					return errors.New("the old key pair is still there")
				}
				return l.fits(l.name+"-2", "key")
			},
		},
		// Another place of the file: another key, and the old one is not left behind.
		resource.TestStep{
			Config: l.pair("name = \"NAME-2\"\nprivate_key_file = \"FOLDER/moved\""),
			Check: func(*terraform.State) error {
				if _, err := os.Stat(l.file("key")); err == nil {
					return errors.New("the old private key is still there")
				}
				return l.fits(l.name+"-2", "moved")
			},
		},
		resource.TestStep{
			Config: elsewhere.pair("name = \"NAME-2\"\nprivate_key_file = \"FOLDER/moved\""),
			ConfigPlanChecks: resource.ConfigPlanChecks{PreApply: []plancheck.PlanCheck{
				plancheck.ExpectResourceAction(keyPairAddress, plancheck.ResourceActionReplace),
			}},
			Check: resource.TestCheckResourceAttr(keyPairAddress, "region", openstacktest.Lgw01),
		},
	)
	resource.Test(t, resource.TestCase{ProtoV6ProviderFactories: factories, Steps: steps})
	if l.there(l.name+"-2") != nil {
		t.Error("the key pair is left")
	}
	if _, err := os.Stat(l.file("moved")); err == nil {
		t.Error("the private key is left")
	}
}

// TestAccOpenStackKeyPairGiven: keys that somebody else has made are used, in all ways to name them, and stay where they are.
func TestAccOpenStackKeyPairGiven(t *testing.T) {
	t.Parallel()
	l := newKeyLab(t)
	one, two := l.key("one"), l.key("two")
	l.put(l.name, one) // adopted
	account, err := user.Lookup("nobody")
	if err != nil {
		t.Fatal(err)
	}
	has := func(key deployed.PublicKey) resource.TestCheckFunc {
		return func(state *terraform.State) error {
			if pair := l.there(l.name); pair == nil || pair.Fingerprint != key.Fingerprint() {
				return fmt.Errorf("%+v; want %s", pair, key.Fingerprint())
			}
			return resource.TestCheckResourceAttr(keyPairAddress, "fingerprint", key.Fingerprint())(state)
		}
	}
	to := func(attributes string, key deployed.PublicKey) resource.TestStep {
		return resource.TestStep{Config: l.pair("name = \"NAME\"\n" + attributes), Check: has(key), ConfigPlanChecks: resource.ConfigPlanChecks{
			PostApplyPostRefresh: []plancheck.PlanCheck{plancheck.ExpectEmptyPlan()},
		}}
	}
	configuration := l.pair("name = \"NAME\"\nprivate_key_file = \"FOLDER/one\"\nowner = \"nobody\"")
	steps := []resource.TestStep{
		to("private_key_file = \"FOLDER/one\"", one),
		to("public_key_file = \"FOLDER/two.pub\"", two),
		to("public_key = \""+one.Line()+"\"", one),
		to("private_key_file = \"FOLDER/two\"", two),
		{Config: configuration, Check: resource.ComposeTestCheckFunc(has(one), func(*terraform.State) error {
			info, err := os.Stat(l.file("one"))
			if err == nil && fmt.Sprint(info.Sys().(*syscall.Stat_t).Uid) != account.Uid {
				err = errors.New("the file is not nobody's")
			}
			return err
		})},
	}
	steps = append(steps, repaired(keyPairAddress, "belongs to another account than nobody", configuration, func() {
		l.must(os.Chown(l.file("one"), 0, 0))
	})...)
	for _, refused := range []struct {
		damage func()
		says   string
	}{
		{func() { l.must(os.Chmod(l.file("two"), 0o640)) }, `The private key \S+ could be read by others`},
		{func() { l.write("two", "Secret1\n", 0o600) }, `cannot be used.*no private key.*move this one away`},
	} {
		steps = append(steps, resource.TestStep{
			PreConfig: refused.damage, Config: l.pair("name = \"NAME\"\nprivate_key_file = \"FOLDER/two\""), ExpectError: words("(?s)" + refused.says),
		})
	}
	steps = append(steps, resource.TestStep{ // what another file of keys has now is what the pair gets
		PreConfig: func() { l.write("two.pub", one.Line()+"\n", 0o644) },
		Config:    l.pair("name = \"NAME\"\npublic_key_file = \"FOLDER/two.pub\""), Check: has(one),
	})
	resource.Test(t, resource.TestCase{ProtoV6ProviderFactories: factories, Steps: steps})
	if l.there(l.name) != nil {
		t.Error("the key pair is left")
	}
	for _, name := range []string{"one", "two"} {
		if _, err := os.Stat(l.file(name)); err != nil {
			t.Errorf("somebody else's key was removed: %v", err)
		}
	}
}

// TestAccOpenStackKeyPairStays: what somebody has replaced meanwhile is not removed by a destroy.
func TestAccOpenStackKeyPairStays(t *testing.T) {
	t.Parallel()
	l := newKeyLab(t)
	one, two := l.key("one"), l.key("two")
	t.Cleanup(func() { l.remove(l.name) })
	steps := []resource.TestStep{
		{Config: l.pair("name = \"NAME\"\npublic_key = \"" + one.Line() + "\"")},
		{PreConfig: func() { l.remove(l.name); l.put(l.name, two) }, Config: `terraform {}`},
	}
	resource.Test(t, resource.TestCase{ProtoV6ProviderFactories: factories, Steps: steps})
	if pair := l.there(l.name); pair == nil || pair.Fingerprint != two.Fingerprint() {
		t.Errorf("%+v", pair)
	}
}

func TestAccOpenStackKeyPairImport(t *testing.T) {
	l := newKeyLab(t)
	l.environment()
	one := l.key("one")
	configuration := fmt.Sprintf("resource \"autopkgtest_keypair\" \"test\" {\n name = %q\n public_key = %q\n}\n", l.name, one.Line())
	resource.Test(t, resource.TestCase{ProtoV6ProviderFactories: factories, Steps: []resource.TestStep{
		{Config: configuration},
		{
			ResourceName: keyPairAddress, ImportState: true, ImportStateVerify: true, ImportStateId: openstacktest.Lcy01 + "," + l.name,
			ImportStateVerifyIgnore: []string{"cloud", "timeouts"}, ImportStateVerifyIdentifierAttribute: "name",
		},
		{
			ResourceName: keyPairAddress, ImportState: true, ImportStateId: openstacktest.Lcy01 + "," + l.name + "-not", ImportStateVerifyIdentifierAttribute: "name",
			ExpectError: words(`Cannot import non-existent remote object`),
		},
	}})
}

// TestAccOpenStackKeyPairRefuses: each message names the file and the line, or the place and the cause.
func TestAccOpenStackKeyPairRefuses(t *testing.T) {
	t.Parallel()
	l := newKeyLab(t)
	one := l.key("one")
	t.Cleanup(func() { l.remove(l.name) })
	l.put(l.name, l.key("theirs"))
	l.write("worker.conf", "[nova]\nnovaopts = --keyname=testbed\n", 0o644)
	l.write("none.conf", "[nova]\nnovaopts = --net-id=x\n", 0o644)
	var steps []resource.TestStep
	for _, test := range []struct{ attributes, says string }{
		{`name = "NAME"`, `No attribute specified when one \(and only one\) of`},
		{`public_key = "x"`, `Not a public key`},
		{"name = \"NAME\"\npublic_key = \"-----BEGIN OPENSSH PRIVATE KEY-----\"", `that is a private key`},
		{`private_key_file = "FOLDER/key"`, `At least one attribute out of`},
		{"name = \"a.b\"\nprivate_key_file = \"FOLDER/key\"", `letters, digits, spaces, dashes and underscores`},
		{"name = \"NAME\"\nprivate_key_file = \"key\"", `is relative`},
		{"name = \"NAME\"\nprivate_key_file = \"FOLDER/key\"\npublic_key_file = \"FOLDER/one.pub\"", `one \(and only one\)`},
		{"name = \"NAME\"\npublic_key_file = \"one.pub\"", `is relative`},
		{"name = \"NAME\"\npublic_key_file = \"FOLDER/worker.conf\"", `No public key in \S+`},
		{"name = \"NAME\"\npublic_key_file = \"FOLDER/gone.pub\"", `There is no \S+`},
		{"name = \"NAME\"\nowner = \"root\"\npublic_key_file = \"FOLDER/one.pub\"", `private_key_file. must be specified`},
		{"name = \"NAME\"\nowner = \"nobody-of-that-name\"\nprivate_key_file = \"FOLDER/key\"", `Nobody on this machine is called`},
		{"name = \"NAME\"\nworker_conf = \"FOLDER/worker.conf\"\nprivate_key_file = \"FOLDER/key\"", `worker.conf:2 has --keyname=testbed`},
		{"worker_conf = \"FOLDER/none.conf\"\nprivate_key_file = \"FOLDER/key\"", `none.conf:2: \[nova\] novaopts: names no key pair`},
		{"name = \"NAME\"\nworker_conf = \"FOLDER/gone.conf\"\nprivate_key_file = \"FOLDER/key\"", `There is no \S+`},
		{"worker_conf = \"FOLDER/gone.conf\"\nprivate_key_file = \"FOLDER/key\"", `There is no \S+`},
		{"name = \"NAME\"\ntimeouts = { create = \"soon\" }\nprivate_key_file = \"FOLDER/key\"", `soon`},
		{"name = \"NAME\"\npublic_key = \"" + one.Line() + "\"", `with another key: its fingerprint is .* and the key here has the fingerprint ` + one.Fingerprint()},
	} {
		steps = append(steps, resource.TestStep{Config: l.pair(test.attributes), ExpectError: words("(?s)" + test.says)})
	}
	away := l.pair("name = \"NAME-3\"\nprivate_key_file = \"FOLDER/key\"\ntimeouts = { create = \"20s\" }")
	steps = append(steps,
		resource.TestStep{
			PreConfig: func() {
				l.between.Spoil(func(s openstacktest.Seen, w http.ResponseWriter) bool {
					if s.Service == "compute" {
						w.Header().Set("X-Openstack-Request-Id", "req-spoilt")
						w.WriteHeader(http.StatusServiceUnavailable)
					}
					return s.Service == "compute"
				})
			},
			Config: away, ExpectError: words(`(?s)503 Service Unavailable.*region lcy01 of cloud http.*request req-spoilt.*Way out: that is the cloud's own fault`),
		},
		resource.TestStep{ // the answer is lost, and the next apply knows its own
			PreConfig: func() {
				l.between.Spoil(nil)
				l.between.Lose(func(s openstacktest.Seen) bool { return s.Method == http.MethodPost && s.Service == "compute" })
			},
			Config: away, ExpectError: words(`(?s)no answer.*region lcy01.*Way out: see whether`),
		},
		resource.TestStep{PreConfig: func() { l.between.Lose(nil) }, Config: away, Check: func(*terraform.State) error {
			return l.fits(l.name+"-3", "key")
		}},
	)
	resource.Test(t, resource.TestCase{ProtoV6ProviderFactories: factories, Steps: steps})
}
