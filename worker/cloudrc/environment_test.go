package cloudrc

import (
	"errors"
	"io/fs"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// files is a file system for a Lookup, which remembers what was read.
type files struct {
	content map[string]string
	read    []string
}

func (f *files) get(path string) ([]byte, error) {
	content, there := f.content[path]
	switch {
	case content == "forbidden":
		return nil, &fs.PathError{Op: "open", Path: path, Err: fs.ErrPermission}
	case !there:
		return nil, &fs.PathError{Op: "open", Path: path, Err: fs.ErrNotExist}
	}
	f.read = append(f.read, path)
	return []byte(content), nil
}

// TestReadClouds: the places in their order, and secure.yaml in the same.
func TestReadClouds(t *testing.T) {
	t.Parallel()
	one := entryYAML("")
	secret := "clouds: {c: {auth: {password: secret}}}"
	session := map[string]string{"HOME": "/home/joe", "XDG_CONFIG_HOME": "/xdg"}
	with := func(name, value string) map[string]string {
		return map[string]string{"HOME": "/home/joe", "XDG_CONFIG_HOME": "/xdg", name: value}
	}
	for name, test := range map[string]struct {
		file        string
		environment map[string]string
		content     map[string]string
		read        string
		problem     string
	}{
		"working directory": {"", session, map[string]string{"/work/clouds.yaml": one, "/xdg/openstack/clouds.yaml": "x", "/etc/openstack/clouds.yaml": "x"}, "/work/clouds.yaml", ""},
		"XDG":               {"", session, map[string]string{"/xdg/openstack/clouds.yaml": one, "/home/joe/.config/openstack/clouds.yaml": "x"}, "/xdg/openstack/clouds.yaml", ""},
		"home":              {"", session, map[string]string{"/home/joe/.config/openstack/clouds.yml": one, "/etc/openstack/clouds.yaml": "x"}, "/home/joe/.config/openstack/clouds.yml", ""},
		"system":            {"", nil, map[string]string{"/etc/openstack/clouds.yaml": one, "/home/joe/.config/openstack/clouds.yaml": "x"}, "/etc/openstack/clouds.yaml", ""},
		"JSON":              {"", nil, map[string]string{"/etc/openstack/clouds.json": `{"clouds": {"c": {"auth": {"auth_url": "https://k", "username": "u", "project_id": "p"}}}}`}, "/etc/openstack/clouds.json", ""},
		"secure elsewhere":  {"", session, map[string]string{"/work/clouds.yaml": one, "/etc/openstack/secure.yaml": secret}, "/work/clouds.yaml /etc/openstack/secure.yaml", ""},
		"secure beside":     {"", session, map[string]string{"/work/clouds.yaml": one, "/work/secure.yaml": secret, "/etc/openstack/secure.yaml": "x"}, "/work/clouds.yaml /work/secure.yaml", ""},
		"named":             {"/a/my.yaml", with("OS_CLIENT_CONFIG_FILE", "/b/x.yaml"), map[string]string{"/a/my.yaml": one, "/a/secure.yaml": secret, "/b/x.yaml": "x"}, "/a/my.yaml /a/secure.yaml", ""},
		"named, no secure":  {"/a/my.yaml", with("OS_CLIENT_SECURE_FILE", "/b/x.yaml"), map[string]string{"/a/my.yaml": one, "/work/secure.yaml": "x"}, "/a/my.yaml", ""},
		"by a variable":     {"", with("OS_CLIENT_CONFIG_FILE", "/b/x.yaml"), map[string]string{"/b/x.yaml": one, "/b/secure.yaml": secret, "/work/clouds.yaml": "x"}, "/b/x.yaml /b/secure.yaml", ""},
		"secure by another": {"", with("OS_CLIENT_SECURE_FILE", "/b/s.yaml"), map[string]string{"/work/clouds.yaml": one, "/b/s.yaml": secret, "/work/secure.yaml": "x"}, "/work/clouds.yaml /b/s.yaml", ""},
		"nowhere":           {"", session, nil, "", "clouds.yaml: it is in none of /work, /xdg/openstack, /home/joe/.config/openstack, /etc/xdg/openstack, /etc/openstack: put it there, or name the file"},
		"named, not there":  {"/a/my.yaml", nil, map[string]string{"/work/clouds.yaml": one}, "", "/a/my.yaml: it cannot be read: open /a/my.yaml: file does not exist: it is named here"},
		"variable, not there": {"", with("OS_CLIENT_CONFIG_FILE", "/b/x.yaml"), map[string]string{"/work/clouds.yaml": one}, "",
			"/b/x.yaml: it cannot be read: open /b/x.yaml: file does not exist: OS_CLIENT_CONFIG_FILE names it"},
		"unreadable":        {"", session, map[string]string{"/work/clouds.yaml": "forbidden", "/etc/openstack/clouds.yaml": one}, "", "/work/clouds.yaml: it cannot be read: open /work/clouds.yaml: permission denied"},
		"secure unreadable": {"", session, map[string]string{"/work/clouds.yaml": one, "/work/secure.yaml": "forbidden"}, "", "/work/secure.yaml: it cannot be read"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			disk := &files{content: test.content}
			clouds, err := Lookup{File: test.file, Environment: test.environment, Directory: "/work", Read: disk.get}.ReadClouds("c")
			if test.problem != "" {
				var problem *Problem
				if err == nil || !strings.Contains(err.Error(), test.problem) || !errors.As(err, &problem) {
					t.Errorf("got %v", err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if got := strings.Join(disk.read, " "); got != test.read {
				t.Errorf("read %s, want %s", got, test.read)
			}
			if strings.Contains(test.read, " ") && clouds[0].Password.Reveal() != "secret" {
				t.Error("the secret does not count")
			}
		})
	}
	if _, err := (Lookup{File: "/x", Read: (&files{}).get}).ReadClouds(""); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the reason of the system is lost: %v", err)
	}
}

func TestFromEnvironment(t *testing.T) {
	t.Parallel()
	disk := &files{content: map[string]string{"/work/clouds.yaml": cloudsYAML, "/work/secure.yaml": secureYAML}}
	look := func(variables ...string) ([]Cloud, error) {
		l := Lookup{Environment: map[string]string{}, Directory: "/work", Read: disk.get}
		for _, v := range variables {
			name, text, _ := strings.Cut(v, "=")
			l.Environment[name] = text
		}
		return l.FromEnvironment()
	}
	got, err := look("OS_AUTH_URL=https://k", "OS_USERNAME=u", "OS_PROJECT_NAME=p", "OS_PASSWORD=hunter2", "OS_REGION_NAME=r", "PATH=/bin")
	want := []Cloud{{
		Source: "the environment", AuthURL: "https://k/v3", GivenURL: "https://k", Region: "r", Interface: InterfacePublic,
		Method: MethodPassword, Username: "u", UserDomain: Domain{ID: "default"}, ProjectName: "p", ProjectDomain: Domain{ID: "default"},
		Password: "hunter2", SecretFiles: []string{"the environment"},
	}}
	if diff := cmp.Diff(want, got, compare); diff != "" || err != nil {
		t.Errorf("%v (-want +got): %s", err, diff)
	}
	got, err = look("OS_CLOUD=lcy", "OS_INTERFACE=admin", "OS_CACERT=/ca", "OS_PASSWORD=not-this")
	if err != nil || len(got) != 2 || got[1].Interface != InterfaceAdmin || got[0].CAFile != "/ca" || got[0].Password != "hunter2-secure" {
		t.Errorf("%v, %v", got, err)
	}
	got, err = look("OS_CLOUD=lcy", "OS_REGION_NAME=lcy02")
	if err != nil || len(got) != 1 || got[0].Region != "lcy02" {
		t.Errorf("%v, %v", got, err)
	}
	if _, err = look("OS_CLOUD=lcy", "OS_REGION_NAME=lcy03"); !errors.Is(err, ErrUnknown) ||
		!strings.Contains(err.Error(), "/work/clouds.yaml, cloud lcy: there is no region lcy03: the regions are lcy01, lcy02") {
		t.Errorf("%v", err)
	}
	if _, err = look("HOME=/"); err == nil || !strings.Contains(err.Error(), "the environment: OS_AUTH_URL and OS_USERNAME") {
		t.Errorf("%v", err)
	}
	disk.content = map[string]string{"/work/clouds.yaml": strings.Replace(entryYAML(""), "region_name: r", "x: y", 1)}
	got, err = look("OS_CLOUD=c", "OS_REGION_NAME=any")
	if err != nil || got[0].Region != "any" {
		t.Errorf("%v, %v", got, err)
	}
}
