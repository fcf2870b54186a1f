package ssh

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/programtest"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/testbed"
)

func TestReplaceScript(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		given, want []string
		script      string
	}{
		"nova": {[]string{"-s", "nova", "--", "--flavor", "m1.small"}, []string{"-s", keeperPath, "--", "--flavor", "m1.small"},
			"/usr/share/autopkgtest/ssh-setup/nova"},
		"long form":               {[]string{"--setup-script=/a/b"}, []string{"--setup-script=" + keeperPath}, "/a/b"},
		"the script's own option": {[]string{"-s", "/a", "--", "-s", "secgroup"}, []string{"-s", keeperPath, "--", "-s", "secgroup"}, "/a"},
		"no script":               {[]string{"-H", "host"}, []string{"-H", "host"}, ""},
		"a word is missing":       {[]string{"-s"}, []string{"-s"}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			before := strings.Join(test.given, " ")
			got, script := replaceScript(test.given)
			if diff := cmp.Diff(test.want, got); diff != "" || script != test.script {
				t.Errorf("script %q (-want +got):\n%s", script, diff)
			}
			if strings.Join(test.given, " ") != before {
				t.Error("the operator's arguments were changed")
			}
		})
	}
}

func TestFurnishRefuses(t *testing.T) {
	t.Parallel()
	for _, given := range [][]string{nil, {"-s"}, {"-s", "/no/such/script"}, {"-d"}} {
		if _, err := (backend{}).Furnish(testbed.Testbed{Given: given}); !errors.Is(err, errArguments) {
			t.Errorf("%q: error = %v", given, err)
		}
	}
	if _, err := (backend{}).Furnish(testbed.Testbed{Given: []string{"-H", "host"}}); err != nil {
		t.Errorf("a host: %v", err)
	}
}

// TestAccount goes through the calls of a run, and tells after which of them Clean has something to do, and what.
func TestAccount(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		calls [][]string
		clean string // the cleaning call; empty for none
	}{
		"closed in order":      {[][]string{{"open", "-x"}, {"cleanup", "-x", "--id", "7"}}, ""},
		"never closed":         {[][]string{{"open", "-x"}}, "cleanup -x --id 7"},
		"open failed":          {[][]string{{"open", "-x", "fail"}}, "cleanup -x"},
		"reverted":             {[][]string{{"open", "-x"}, {"revert", "-x", "--id", "7"}}, "cleanup -x --id 8"},
		"closing failed":       {[][]string{{"open", "-x"}, {"cleanup", "fail"}}, "cleanup -x --id 7"},
		"a question between":   {[][]string{{"open", "-x"}, {"debug-failure", "-x"}}, "cleanup -x --id 7"},
		"nothing was opened":   {nil, ""},
		"closed, then nothing": {[][]string{{"open"}, {"cleanup"}, {"wait-reboot"}}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			folder := t.TempDir()
			script, calls := filepath.Join(folder, "it's a script"), filepath.Join(folder, "calls")
			// What a cloud would do, in a few words: it prints its state, and fails when it is told to.
			text := "#!/bin/sh\necho \"$*\" >>" + quote(calls) + "\ncase \"$*\" in *fail*) exit 3 ;; open*) echo extraopts=--id 7 ;; " +
				"revert*) echo extraopts=--id 8 ;; esac\n"
			programtest.Write(t, script, text)
			keep := filepath.Join(folder, "keeper")
			programtest.Write(t, keep, strings.ReplaceAll(keeper(script), accountFolder, folder))
			for _, call := range test.calls {
				_ = exec.Command(keep, call...).Run() // some are to fail
			}
			if err := os.WriteFile(calls, nil, 0o600); err != nil {
				t.Fatal(err)
			}
			remains := testbed.Remains{Folders: map[string]string{accountFolder: folder},
				Testbed: testbed.Testbed{Given: []string{"-s", script, "--", "-x"}}}
			for range 2 { // the second time there is nothing
				if err := (backend{}).Clean(t.Context(), remains); err != nil {
					t.Fatal(err)
				}
			}
			got, err := os.ReadFile(calls)
			if err != nil || strings.TrimSpace(string(got)) != test.clean {
				t.Errorf("called %q, error %v, want %q", got, err, test.clean)
			}
		})
	}
}
