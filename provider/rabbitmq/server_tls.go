package rabbitmq

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"slices"
	"time"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/provider/host"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/config"
)

// Standard ports of AMQP and of the management API over TLS.
const (
	AMQPSPort         = 5671
	ManagementTLSPort = 15671
)

// TLS is how a node is reached over TLS, beside the plain AMQP that britney and other tools need.
type TLS struct {
	// Port is that of AMQP over TLS, on the same addresses as plain AMQP. Zero means AMQPSPort.
	Port int
	// CertificateFile (with the certificates between it and the authority's), KeyFile and AuthorityFile are paths on this
	// machine; the node gets copies. With all three empty an authority and a certificate are generated, kept in the service's
	// folder, and renewed by an Apply in the last month.
	CertificateFile, KeyFile, AuthorityFile string
	// Names are further names and addresses of a generated certificate.
	Names []string
	// Management is the address on which the management API is served over TLS, empty for none. Plain, it is on 127.0.0.1 only.
	Management string
	// ManagementPort zero means ManagementTLSPort.
	ManagementPort int
	// Read reads a given file that need not be one of this machine. Nil reads this machine's.
	Read func(name string) ([]byte, fs.FileMode, error)
}

// Field names what of TLS an error is about.
type Field string

// Fields of TLS.
const (
	FieldCertificate Field = "certificate_file"
	FieldKey         Field = "key_file"
	FieldAuthority   Field = "ca_file"
)

// FieldError is an error about one field of TLS.
type FieldError struct {
	Field Field
	Err   error
}

// Error implements error.
func (e *FieldError) Error() string { return e.Err.Error() }

// Unwrap implements errors.Unwrap.
func (e *FieldError) Unwrap() error { return e.Err }

// Given says whether certificate and key are somebody else's business.
func (t TLS) Given() bool { return t.CertificateFile != "" }

func (t TLS) filled() TLS {
	if t.Port == 0 {
		t.Port = AMQPSPort
	}
	if t.ManagementPort == 0 {
		t.ManagementPort = ManagementTLSPort
	}
	return t
}

// largestPEM bounds what is read of a file that an operator names.
const largestPEM = 1 << 20

// Check reads the given files and says what would keep the node, or its clients, from using them; until is when the
// certificate ends. Without given files there is nothing to check.
func (t TLS) Check(now time.Time) (until time.Time, err error) {
	if !t.Given() {
		return time.Time{}, nil
	}
	m, err := t.read()
	if err != nil {
		return time.Time{}, err
	}
	leaf, err := m.leaf(now)
	if err == nil {
		return leaf.NotAfter, nil
	}
	problem := &host.Problem{
		Kind: host.ErrInvalid, Thing: "the certificate " + t.CertificateFile, Cause: "cannot be used", Err: err,
		WayOut: fmt.Sprintf("It must be valid now, for servers, belong to the key %s, and be signed by %s, with the certificates "+
			"between the two behind it in its file", t.KeyFile, t.AuthorityFile),
	}
	var invalid x509.CertificateInvalidError
	if errors.As(err, &invalid) && invalid.Reason == x509.Expired {
		problem.Cause, problem.WayOut = "is not valid now", "Have it renewed, and apply again"
	}
	return time.Time{}, &FieldError{FieldCertificate, problem}
}

// read reads the given files, each of which has its own error.
func (t TLS) read() (material, error) {
	var m material
	for _, part := range []struct {
		field Field
		path  string
		into  func([]byte)
	}{
		{FieldCertificate, t.CertificateFile, func(b []byte) { m.Certificate = b }},
		{FieldKey, t.KeyFile, func(b []byte) { m.Key = config.Secret(b) }},
		{FieldAuthority, t.AuthorityFile, func(b []byte) { m.Authority = b }},
	} {
		content, err := t.readPEM(part.path, part.field == FieldKey)
		if err != nil {
			return material{}, &FieldError{part.field, err}
		}
		part.into(content)
	}
	return m, nil
}

func (t TLS) readPEM(path string, secret bool) ([]byte, error) {
	wrong := func(cause string, err error, wayOut string) error {
		return &host.Problem{Kind: host.ErrInvalid, Thing: "the file " + path, Cause: cause, Err: err, WayOut: wayOut}
	}
	read := t.Read
	if read == nil {
		read = readOurs
	}
	content, mode, err := read(path)
	switch {
	case err != nil:
		return nil, wrong("cannot be read", err,
			"Name a file in PEM form that is there, and that the account which runs Terraform may read")
	case !mode.IsRegular() || len(content) > largestPEM:
		return nil, wrong("is no certificate or key", nil, "Name a file in PEM form")
	case secret && mode.Perm()&0o007 != 0:
		return nil, wrong("can be read by every account of its machine", nil, "Make another key, and keep it with chmod 0600")
	}
	return content, nil
}

// readOurs reads nothing of what is no regular file: no pipe blocks us.
func readOurs(path string) ([]byte, fs.FileMode, error) {
	info, err := os.Stat(path)
	switch {
	case err != nil:
		return nil, 0, err
	case !info.Mode().IsRegular() || info.Size() > largestPEM:
		return nil, fs.ModeIrregular, nil
	}
	content, err := os.ReadFile(path)
	return content, info.Mode(), err
}

// Files of the node, relative to the service's folder.
const (
	tlsFolder        = "tls"
	authorityFile    = tlsFolder + "/ca.pem"
	authorityKeyFile = tlsFolder + "/ca-key.pem"
	certificateFile  = tlsFolder + "/server.pem"
	serverKeyFile    = tlsFolder + "/server-key.pem"
)

// files are what the node and its clients read. None is among those for which a node is restarted: it reads a certificate again
// when told to.
func (m material) files() []host.File {
	all := []host.File{
		{Name: authorityFile, Content: m.Authority, Perm: 0o644},
		{Name: certificateFile, Content: m.Certificate, Perm: 0o644},
		{Name: serverKeyFile, Content: []byte(m.Key.Reveal()), Secret: true},
	}
	if m.AuthorityKey != "" {
		all = append(all, host.File{Name: authorityKeyFile, Content: []byte(m.AuthorityKey.Reveal()), Secret: true})
	}
	return all
}

// keptMaterial is what lies in the service's folder; empty where nothing does.
func keptMaterial(d *host.Directory) (m material, err error) {
	read := func(name string) []byte {
		content, failed := d.ReadFile(serviceFile(name))
		if failed != nil && !errors.Is(failed, fs.ErrNotExist) {
			err = errors.Join(err, failed)
		}
		return content
	}
	m = material{Certificate: read(certificateFile), Authority: read(authorityFile)}
	m.Key, m.AuthorityKey = config.Secret(read(serverKeyFile)), config.Secret(read(authorityKeyFile))
	return m, err
}

// wantedMaterial is what the node shall have: the given, or the kept and what had to be renewed of it.
func wantedMaterial(d *host.Directory, s Settings, now time.Time) (material, error) {
	if s.TLS.Given() {
		if _, err := s.TLS.Check(now); err != nil {
			return material{}, err
		}
		return s.TLS.read()
	}
	kept, err := keptMaterial(d)
	if err != nil {
		return material{}, err
	}
	return kept.renewed(s.names(d), now)
}

// Renews says whether an Apply with these settings, which have TLS, gives the node another authority than one that clients know.
func Renews(d *host.Directory, s Settings, known string) (bool, error) {
	s, err := s.filled()
	if err != nil {
		return false, err
	}
	m, err := wantedMaterial(d, s, time.Now())
	return string(m.Authority) != known, err
}

// names are those under which clients may know the node.
func (s Settings) names(d *host.Directory) []string {
	names := []string{d.Address(), "localhost", "127.0.0.1", "::1"}
	if name, err := os.Hostname(); err == nil {
		names = append(names, name)
	}
	for _, name := range slices.Concat(s.Listen, []string{s.TLS.Management}, s.TLS.Names) {
		if address, err := netip.ParseAddr(name); name != "" && (err != nil || !address.IsUnspecified()) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// presents says whether who listens there shows this certificate. Whether a client may believe it was checked when it was put in
// place; the address that we use for it need not be among its names.
func presents(ctx context.Context, address string, certificate []byte) (err error) {
	ctx, cancel := context.WithTimeout(ctx, answerLimit)
	defer cancel()
	wanted, err := firstCertificate(certificate)
	if err != nil {
		return err
	}
	dialer := &tls.Dialer{Config: &tls.Config{
		MinVersion:         tls.VersionTLS12,
		InsecureSkipVerify: true, //nolint:gosec // compared byte by byte below
		VerifyConnection: func(state tls.ConnectionState) error {
			if !bytes.Equal(state.PeerCertificates[0].Raw, wanted) {
				return fmt.Errorf("%s shows another certificate than it was given", address)
			}
			return nil
		},
	}}
	connection, err := dialer.DialContext(ctx, "tcp", address)
	if err != nil {
		return fmt.Errorf("TLS at %s: %w", address, err)
	}
	return connection.Close()
}

func firstCertificate(text []byte) ([]byte, error) {
	block, _ := pem.Decode(text)
	if block == nil {
		return nil, errors.New("there is no certificate")
	}
	return block.Bytes, nil
}
