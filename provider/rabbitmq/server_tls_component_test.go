//go:build component

package rabbitmq

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/provider/host"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/provider/host/hosttest"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/config"
)

const another = "127.0.0.9"

// TestServerListens is the life of one node that speaks TLS, in order.
func TestServerListens(t *testing.T) {
	t.Parallel()
	n := &nodeTest{d: hosttest.NewDirectory(t)}
	n.settings = Settings{
		Listen: []string{n.d.Address(), another, "::1"}, Port: n.d.Port(host.RoleAMQPFallback), Memory: Watermark{Bytes: 512 << 20},
		Reserve: 128 << 20, Log: host.LogLimit{Bytes: 100_000, Files: 3},
		TLS: &TLS{Port: n.d.Port(host.RoleCollectorSpare), Names: []string{"broker.example"}, Management: another,
			ManagementPort: n.d.Port(host.RoleCollectorSpare) + 1},
	}
	for _, part := range []struct {
		name string
		test func(*testing.T, *nodeTest)
	}{
		{"listens where it is told, and nowhere else", listens},
		{"is trusted by the name of its certificate", trusted},
		{"bounds its memory, disk and log", bounded},
		{"renews its certificate without a restart", renewsCertificate},
		{"makes a lost key again", lostKey},
		{"takes a given certificate, and the next one, without a restart", givenCertificate},
		{"speaks no TLS when told so", withoutTLS},
	} {
		if !t.Run(part.name, func(t *testing.T) { part.test(t, n) }) {
			t.FailNow()
		}
	}
}

func (n *nodeTest) applied(t *testing.T) {
	t.Helper()
	var err error
	if n.i, err = Apply(t.Context(), n.d, n.settings); err != nil {
		t.Fatal(err)
	}
	n.inspect(t, "")
}

func listens(t *testing.T, n *nodeTest) {
	n.applied(t)
	for _, address := range n.settings.Listen {
		if err := answersAMQP(t.Context(), endpoint{address, n.settings.Port}.String()); err != nil {
			t.Errorf("plain AMQP: %v", err)
		}
	}
	for _, port := range []int{n.settings.Port, n.settings.TLS.Port} {
		for _, address := range []string{"127.0.0.1", "127.0.0.10"} {
			if connection, err := net.Dial("tcp", endpoint{address, port}.String()); err == nil {
				t.Errorf("it listens on %s", connection.RemoteAddr())
				_ = connection.Close()
			}
		}
	}
	if n.i.Host != n.d.Address() || n.i.ManagementTLSURL == "" || n.i.AMQPS == "" {
		t.Errorf("Apply says %+v", n.i)
	}
}

func (n *nodeTest) clientTLS(t *testing.T, name string) *tls.Config {
	t.Helper()
	pem, err := os.ReadFile(n.i.AuthorityFile)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(pem)
	return &tls.Config{RootCAs: roots, ServerName: name, MinVersion: tls.VersionTLS12}
}

func trusted(t *testing.T, n *nodeTest) {
	administrator, err := config.ReadBroker(n.i.CredentialsFile)
	if err != nil {
		t.Fatal(err)
	}
	for _, address := range n.settings.Listen {
		for _, name := range []string{address, "broker.example", "localhost"} {
			u := fmt.Sprintf("amqps://%s:%s@%s/", administrator.Username, administrator.Password.Reveal(), endpoint{address, n.settings.TLS.Port})
			connection, err := amqp.DialTLS(u, n.clientTLS(t, name))
			if err != nil {
				t.Errorf("AMQP over TLS at %s as %s: %v", address, name, err)
				continue
			}
			_ = connection.Close()
		}
	}
	if _, err := tls.Dial("tcp", n.i.AMQPS, n.clientTLS(t, "other.example")); err == nil {
		t.Error("the certificate is for everybody's name")
	}
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: n.clientTLS(t, ""), DisableKeepAlives: true}}
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, n.i.ManagementTLSURL+"/api/whoami", nil)
	if err != nil {
		t.Fatal(err)
	}
	request.SetBasicAuth(administrator.Username, administrator.Password.Reveal())
	answer, err := client.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	if err := answer.Body.Close(); err != nil || answer.StatusCode != http.StatusOK {
		t.Errorf("the management API over TLS: %s, %v", answer.Status, err)
	}
	for _, file := range []string{serverKeyFile, authorityKeyFile} {
		if info, err := os.Stat(n.d.ServicePath(Service, file)); err != nil || info.Mode() != 0o600 {
			t.Errorf("%s: %v, %v, want mode 0600", file, info, err)
		}
	}
	if info, err := os.Stat(n.i.AuthorityFile); err != nil || info.Mode() != 0o644 {
		t.Errorf("%s: %v, %v, want mode 0644", n.i.AuthorityFile, info, err)
	}
}

func bounded(t *testing.T, n *nodeTest) {
	settings, err := n.settings.filled()
	if err != nil {
		t.Fatal(err)
	}
	for expression, want := range map[string]string{
		"vm_memory_monitor:get_vm_memory_high_watermark().": "{absolute,536870912}",
		"rabbit_disk_monitor:get_disk_free_limit().":        "134217728",
	} {
		got, err := control(t.Context(), n.d, where(n.d, settings, n.i), nil, "eval", expression)
		if err != nil || got != want {
			t.Errorf("%s says %q, want %q (%v)", expression, got, want, err)
		}
	}
	config := n.d.Path("log", "rabbitmq", "config")
	if text, err := os.ReadFile(config); err != nil || string(text) != "s100000\nn3\n" {
		t.Errorf("svlogd is told %q, %v", text, err)
	}
	if err := os.WriteFile(config, []byte("s1000000000\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	n.inspect(t, "log/rabbitmq/config is not as")
	n.applied(t)
}

// unrestarted does something after which the node is the same process, and shows another certificate.
func (n *nodeTest) unrestarted(t *testing.T, problem string, change func()) {
	t.Helper()
	before, shown := n.pids(t)["rabbitmq"], n.shown(t)
	change()
	n.inspect(t, problem)
	n.applied(t)
	if after := n.pids(t)["rabbitmq"]; after != before {
		t.Errorf("the node was restarted: process %d after %d", after, before)
	}
	if n.shown(t) == shown {
		t.Error("the node shows the certificate of before")
	}
}

// shown is the number of the certificate that clients see.
func (n *nodeTest) shown(t *testing.T) string {
	t.Helper()
	connection, err := tls.Dial("tcp", n.i.AMQPS, n.clientTLS(t, "localhost"))
	if err != nil {
		t.Fatal(err)
	}
	defer connection.Close()
	return connection.ConnectionState().PeerCertificates[0].SerialNumber.String()
}

func renewsCertificate(t *testing.T, n *nodeTest) {
	ca := n.clientTLS(t, "")
	settings, err := n.settings.filled()
	if err != nil {
		t.Fatal(err)
	}
	later := where(n.d, settings, n.i)
	if text, err := later.keep(n.d, settings, time.Now().Add(340*24*time.Hour)); err != nil || !strings.Contains(text, "ends on") {
		t.Errorf("in its last month a look at it says %q, %v", text, err)
	}
	n.unrestarted(t, "tls/server", func() { // the time is now, so the certificate has to be an old one
		kept, err := keptMaterial(n.d)
		if err != nil {
			t.Fatal(err)
		}
		aged := material{Authority: kept.Authority, AuthorityKey: kept.AuthorityKey}
		if aged, err = aged.renewed(n.settings.names(n.d), time.Now().Add(-340*24*time.Hour)); err != nil {
			t.Fatal(err)
		}
		for _, file := range aged.files() {
			if _, err := n.d.WriteFile(serviceFile(file.Name), file.Content, orMode(file.Perm)); err != nil {
				t.Fatal(err)
			}
		}
	})
	if !ca.RootCAs.Equal(n.clientTLS(t, "").RootCAs) {
		t.Error("clients have to learn another authority")
	}
}

func orMode(mode fs.FileMode) fs.FileMode {
	if mode == 0 {
		return 0o600
	}
	return mode
}

func lostKey(t *testing.T, n *nodeTest) {
	n.unrestarted(t, "tls/server-key.pem", func() {
		if err := os.Remove(n.d.ServicePath(Service, serverKeyFile)); err != nil {
			t.Fatal(err)
		}
	})
}

func givenCertificate(t *testing.T, n *nodeTest) {
	names := n.settings.names(n.d)
	m, err := material{}.renewed(names, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	given := givenFiles(t, m)
	given.Port, given.Management, given.ManagementPort = n.settings.TLS.Port, n.settings.TLS.Management, n.settings.TLS.ManagementPort
	n.unrestarted(t, "is not as", func() { n.settings.TLS = &given })
	if n.d.Exists(serviceFile(authorityKeyFile)) {
		t.Error("the key of the authority that nobody uses is left behind")
	}
	n.unrestarted(t, "is not as", func() {
		m.Certificate = nil
		if m, err = m.renewed(names, time.Now()); err != nil {
			t.Fatal(err)
		}
		for path, text := range map[string][]byte{given.CertificateFile: m.Certificate, given.KeyFile: []byte(m.Key.Reveal())} {
			if err := os.WriteFile(path, text, 0o600); err != nil {
				t.Fatal(err)
			}
		}
	})
	if err := os.Remove(given.CertificateFile); err != nil {
		t.Fatal(err)
	}
	n.inspect(t, given.CertificateFile+" cannot be read")
}

func withoutTLS(t *testing.T, n *nodeTest) {
	address := n.i.AMQPS
	n.settings.TLS = nil
	n.applied(t)
	if connection, err := net.Dial("tcp", address); err == nil {
		_ = connection.Close()
		t.Error("it still speaks TLS")
	}
	if n.d.Exists(serviceFile(serverKeyFile)) || strings.Contains(fmt.Sprint(n.i), "https") {
		t.Errorf("a key is left behind, or %+v", n.i)
	}
}
