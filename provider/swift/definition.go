package swift

import (
	"bytes"
	"embed"
	"encoding/base64"
	"fmt"
	"net"
	"path/filepath"
	"regexp"
	"strconv"
	"text/template"
	"time"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/provider/host"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/config"
)

// format is the version of what definition lays out below services/swift.
const format = 1

// Debian's python3, whatever else of that name PATH may have: only it knows Debian's Swift.
const (
	python    = "/usr/bin/python3"
	memcached = "/usr/bin/memcached"
	programs  = "/usr/bin/"
)

//go:embed files
var files embed.FS

var templates = template.Must(template.New("").Option("missingkey=error").ParseFS(files, "files/*.conf"))

// ports are where the store's processes listen, on loopback all but the proxy. The templates read them.
type ports struct {
	Proxy, Account, Container, Object, Memcached int
}

// place is where, as whom and with which secrets a store runs: all that definition needs. The templates read it.
type place struct {
	Folder      string // of the service, absolute
	RunsAs      string
	Ports       ports
	Listen      string // address of the proxy
	Password    config.Secret
	Incarnation string
	Reserve     uint64
	Readers     map[string]config.Secret
}

// proxy is where the store is served.
func (p place) proxy() string { return net.JoinHostPort(p.Listen, strconv.Itoa(p.Ports.Proxy)) }

// credentials are the worker's.
func (p place) credentials() config.Store {
	base := "http://" + p.proxy()
	return config.Store{
		AuthURL: base + "/auth/v1.0", StorageURL: base + "/v1/AUTH_" + account, Username: Username, Password: p.Password,
	}
}

// Account64 and Encode are for the one form in which a user's name may have any characters.
func (p place) Account64() string         { return p.Encode(account) }
func (p place) Encode(name string) string { return base64.RawStdEncoding.EncodeToString([]byte(name)) }

func (p place) Configuration() string { return filepath.Join(p.Folder, "etc") }
func (p place) Devices() string       { return filepath.Join(p.Folder, "data") }
func (p place) Cache() string         { return filepath.Join(p.Folder, "cache") }

// definition says what the store consists of. It depends on nothing but p, so that a plan can tell whether what is in
// the folder is what an apply would put there.
func definition(p place) (host.Service, error) {
	all, err := configuration(p)
	if err != nil {
		return host.Service{}, err
	}
	return host.Service{
		Name:      Service,
		Format:    format,
		Files:     all,
		Processes: processes(p),
		Folders:   []string{"cache"},
		Data:      []string{filepath.Join("data", device)},
	}, nil
}

// goodPassword is one that the configuration file takes as it is.
var goodPassword = regexp.MustCompile(`^[a-zA-Z0-9]+$`)

func configuration(p place) ([]host.File, error) {
	for name, password := range p.Readers {
		if name == "" || !goodPassword.MatchString(password.Reveal()) {
			return nil, &host.Problem{
				Kind: host.ErrInvalid, Thing: fmt.Sprintf("the password of the store's reader %q", name),
				Cause:  "has other characters than letters and digits, or there are none in one of the two",
				WayOut: "Choose another one",
			}
		}
	}
	var all []host.File
	for _, name := range []string{
		"swift.conf", "proxy-server.conf", "account-server.conf", "container-server.conf", "object-server.conf",
	} {
		var text bytes.Buffer
		if err := templates.ExecuteTemplate(&text, name, p); err != nil {
			return nil, fmt.Errorf("write %s: %w", name, err)
		}
		all = append(all, host.File{Name: "etc/" + name, Content: text.Bytes(), Secret: name == "proxy-server.conf"})
	}
	for _, r := range []struct {
		name string
		port int
	}{{"account", p.Ports.Account}, {"container", p.Ports.Container}, {"object", p.Ports.Object}} {
		content, err := ring(r.port)
		if err != nil {
			return nil, err
		}
		all = append(all, host.File{Name: "etc/" + r.name + ".ring.gz", Content: content})
	}
	launch, err := files.ReadFile("files/launch.py")
	if err != nil {
		return nil, err
	}
	return append(all,
		host.File{Name: "etc/launch.py", Content: launch},
		host.File{Name: incarnationFile, Content: []byte(p.Incarnation + "\n")},
	), nil
}

func processes(p place) []host.Process {
	rings := []string{"etc/account.ring.gz", "etc/container.ring.gz", "etc/object.ring.gz"}
	return []host.Process{
		{
			Name: "swift-memcached",
			// Only tokens and what the proxy knows of containers live here: 16 MB is plenty.
			Argv: []string{memcached, "-l", loopback, "-p", strconv.Itoa(p.Ports.Memcached), "-U", "0",
				"-m", "16", "-t", "1"},
			Reads:  []string{},
			Listen: []string{inside(p.Ports.Memcached)},
		},
		p.process("account-server", "account-server.conf", []string{inside(p.Ports.Account)}),
		p.process("container-server", "container-server.conf", []string{inside(p.Ports.Container)}),
		p.process("object-server", "object-server.conf", []string{inside(p.Ports.Object)}),
		p.process("proxy-server", "proxy-server.conf", []string{p.proxy()}, rings...),
		p.process("container-updater", "container-server.conf", nil, rings...),
		p.process("object-updater", "object-server.conf", nil, rings...),
	}
}

// process is one of Swift's own programs. -v puts its log on stdout, which is where the supervisor looks.
func (p place) process(program, conf string, listen []string, reads ...string) host.Process {
	name := "swift-" + program
	for _, server := range []string{"account", "container", "object", "proxy"} {
		if program == server+"-server" {
			name = "swift-" + server
		}
	}
	return host.Process{
		Name: name,
		Argv: []string{
			python, filepath.Join(p.Configuration(), "launch.py"), p.Configuration(),
			programs + "swift-" + program, filepath.Join(p.Configuration(), conf), "-v",
		},
		// Every address here is a number. Without its resolver of names a server starts a quarter faster and is smaller.
		Env:      []string{"EVENTLET_NO_GREENDNS=yes"},
		Reads:    append([]string{"etc/" + conf, "etc/swift.conf", "etc/launch.py"}, reads...),
		Listen:   listen,
		StopWait: 5 * time.Second,
	}
}

// inside is where the proxy finds one of the others.
func inside(port int) string { return net.JoinHostPort(loopback, strconv.Itoa(port)) }
