package config

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
)

func TestReplaceCredentials(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	path := filepath.Join(folder, "britney")
	before := Broker{Username: "a", Password: "one", Host: "broker", Port: DefaultPort, VHost: "/"}
	if err := os.WriteFile(path, before.File(KeyGatekeeper), 0o600); err != nil {
		t.Fatal(err)
	}
	reader, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	got, key, err := ReadBrokerKey(path)
	if err != nil || got != before || key != KeyGatekeeper {
		t.Fatalf("%+v, %q, %v", got, key, err)
	}
	after := before
	after.Username, after.Password = "b", "two"
	if err := errors.Join(CheckReplaceable(path), ReplaceCredentials(path, after.File(key))); err != nil {
		t.Fatal(err)
	}
	if got, key, err := ReadBrokerKey(path); err != nil || got != after || key != KeyGatekeeper {
		t.Errorf("%+v, %q, %v", got, key, err)
	}
	// Who has it open goes on reading the old one: the file was not written into.
	old := make([]byte, 4<<10)
	if n, err := reader.Read(old); err != nil || string(old[:n]) != string(before.File(KeyGatekeeper)) {
		t.Errorf("the old file was changed: %q, %v", old[:n], err)
	}
	if entries, err := os.ReadDir(folder); err != nil || len(entries) != 1 {
		t.Errorf("left behind: %v, %v", entries, err)
	}
	link := filepath.Join(folder, "link")
	if err := os.Symlink(path, link); err != nil {
		t.Fatal(err)
	}
	if err := ReplaceCredentials(link, nil); err == nil {
		t.Error("a link was replaced")
	}
	if err := CheckReplaceable(filepath.Join(folder, "missing")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a file that is not there: %v", err)
	}
}
