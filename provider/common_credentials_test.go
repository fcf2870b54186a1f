package provider

import (
	"os"
	"os/user"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/config"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/management"
)

func TestWriteSecretOutside(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	target, link := filepath.Join(folder, "target"), filepath.Join(folder, "britney")
	if err := os.WriteFile(target, []byte("precious"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(target, link); err != nil {
		t.Fatal(err)
	}
	if err := writeSecretOutside(link, []byte("secret"), ""); err != nil {
		t.Fatal(err)
	}
	info, err := os.Lstat(link)
	if err != nil || info.Mode() != secretMode {
		t.Errorf("the file is %v, %v, want a plain one of mode 0600", info, err)
	}
	if content, _ := os.ReadFile(target); string(content) != "precious" {
		t.Errorf("the link was followed: %q", content)
	}
	me, err := user.Current()
	if err != nil {
		t.Fatal(err)
	}
	if mine, err := ownedBy(link, me.Username); err != nil || !mine {
		t.Errorf("owned by %s: %t, %v", me.Username, mine, err)
	}
	if _, err := ownedBy(link, "no-such-account"); err == nil || !strings.Contains(err.Error(), `"no-such-account"`) {
		t.Errorf("got %v, want an error that names the account", err)
	}
	if err := writeSecretOutside(filepath.Join(folder, "missing", "file"), nil, ""); err == nil {
		t.Error("a missing folder is no error")
	}
	left, _ := filepath.Glob(filepath.Join(folder, ".autopkgtest-*"))
	if len(left) > 0 {
		t.Errorf("left behind: %q", left)
	}
}

func TestNewPassword(t *testing.T) {
	t.Parallel()
	one, two := config.NewSecret().Reveal(), config.NewSecret().Reveal()
	if one == two || len(one) < 20 || strings.Trim(one, "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567") != "" {
		t.Errorf("not a good password: %d characters", len(one))
	}
}

func accountFile(t *testing.T, account config.Broker, mode os.FileMode) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), account.Username)
	if err := os.WriteFile(file, account.File(config.KeyURI), mode); err != nil {
		t.Fatal(err)
	}
	return file
}

func TestReadAccount(t *testing.T) {
	t.Parallel()
	good := config.Broker{Username: "worker", Password: "secret", Host: "broker", Port: 5672, VHost: "/"}
	damaged := filepath.Join(t.TempDir(), "damaged")
	if err := os.WriteFile(damaged, []byte("nonsense"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct{ file, want string }{
		"good":    {accountFile(t, good, 0o600), ""},
		"gone":    {"/nonexistent/worker", "is gone: the password will be replaced"},
		"exposed": {accountFile(t, good, 0o640), "could be read by others: the password will be replaced"},
		"damaged": {damaged, "is damaged: the password will be replaced"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := &brokerUserModel{Name: types.StringValue("worker"), CredentialsFile: types.StringValue(tc.file)}
			account, problem, err := readAccount(m)
			if err != nil {
				t.Fatal(err)
			}
			if !strings.Contains(problem, tc.want) || (problem == "") != (tc.want == "") {
				t.Errorf("got %q, want %q", problem, tc.want)
			}
			if problem == "" {
				if diff := cmp.Diff(good, account); diff != "" {
					t.Error(diff)
				}
			} else if !strings.Contains(problem, tc.file) {
				t.Errorf("%q does not name the file %s", problem, tc.file)
			}
		})
	}
}

func TestHeldAccount(t *testing.T) {
	t.Parallel()
	old := accountFile(t, config.Broker{Username: "worker", Password: "kept", Host: "broker"}, 0o600)
	exposed := accountFile(t, config.Broker{Username: "worker", Password: "known", Host: "broker"}, 0o644)
	other := accountFile(t, config.Broker{Username: "other", Password: "x", Host: "broker"}, 0o600)
	model := func(file string) *brokerUserModel {
		return &brokerUserModel{Name: types.StringValue("worker"), CredentialsFile: types.StringValue(file)}
	}
	family := management.NewFamily("worker", nil)
	kept := func(t *testing.T, now, before *brokerUserModel) config.Secret {
		t.Helper()
		account, err := heldAccount(&call[brokerUserModel]{model: now, prior: before}, family)
		if err != nil {
			t.Fatal(err)
		}
		return account.Password
	}
	if got := kept(t, model(old), nil); got != "kept" {
		t.Error("a file that is there, without a state, did not keep its password")
	}
	if got := kept(t, model("/nonexistent/new"), model(old)); got != "kept" {
		t.Error("a file that moves did not keep its password")
	}
	if got := kept(t, model("/nonexistent/new"), nil); got != "" {
		t.Error("no file, and a password")
	}
	if got := kept(t, model(exposed), nil); got == "known" {
		t.Error("a password that others could read was kept")
	}
	if _, err := heldAccount(&call[brokerUserModel]{model: model(other)}, family); err == nil {
		t.Error("somebody else's file was accepted")
	}
}
