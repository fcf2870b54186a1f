package openstack

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write the golden files anew")

func TestUserData(t *testing.T) {
	t.Parallel()
	for name, data := range map[string]UserData{
		"plain": {},
		"archives": {
			Mirror: "http://mirror.example/ubuntu", SecurityMirror: "http://mirror.example/security", Proxy: "http://proxy.example:3128",
		},
		"extra": {
			Mirror: "http://mirror.example/ubuntu",
			Extra:  "#cloud-config\napt: {conf: 'APT::Get::Assume-Yes \"1\";'}\npackage_update: yes\nruncmd:\n- [touch, /run/here]\n",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := data.Render()
			if err != nil {
				t.Fatal(err)
			}
			golden := filepath.Join("testdata", "user-data-"+name)
			if *update {
				if err := os.WriteFile(golden, got, 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), string(got)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestUserDataRefused(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct{ extra, want string }{
		"a script":        {"#!/bin/sh\ntrue\n", "runcmd"},
		"no YAML":         {"#cloud-config\n{", "no YAML"},
		"a list":          {"#cloud-config\n- a\n", "no YAML"},
		"a password":      {"#cloud-config\nusers:\n- name: joe\n  plain_text_passwd: x\n", "plain_text_passwd"},
		"host keys":       {"#cloud-config\nssh_keys: {}\n", "ssh_keys"},
		"a private key":   {"#cloud-config\nwrite_files:\n- content: |\n    -----BEGIN OPENSSH PRIVATE KEY-----\n", "private key"},
		"more than fits":  {"#cloud-config\nx: " + strings.Repeat("x", 49_150), "too much"},
		"another comment": {"# cloud-config\n", "first line"},
	} {
		if err := CheckUserData(test.extra); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := CheckUserData("#cloud-config\nx: " + strings.Repeat("x", 48_900)); err != nil {
		t.Errorf("what just fits: %v", err)
	}
}
