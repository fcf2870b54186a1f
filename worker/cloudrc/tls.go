package cloudrc

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"os"
)

// TLS is how to speak to the cloud: with its own authorities, with a certificate of ours, without looking, as the source says.
// read fetches a file by the path that the source has; nil is os.ReadFile. A bundle that cannot be read or holds no certificate
// is a Problem that names it.
func (c Cloud) TLS(read func(path string) ([]byte, error)) (*tls.Config, error) {
	if read == nil {
		read = os.ReadFile
	}
	config := &tls.Config{
		MinVersion:         tls.VersionTLS12,
		InsecureSkipVerify: c.Insecure, //nolint:gosec // the operator's wish, of which Warnings speaks
	}
	problem := func(cause, wayOut string) (*tls.Config, error) {
		return nil, &Problem{Source: c.Source, Cause: cause, WayOut: wayOut, kind: ErrInvalid}
	}
	if c.CAFile != "" {
		bundle, err := read(c.CAFile)
		if err != nil {
			return problem(fmt.Sprintf("the certificates of the cloud's authority cannot be read: %v", err),
				"put them there as PEM, or name another file as OS_CACERT or cacert")
		}
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM(bundle) {
			return problem(c.CAFile+" holds no certificate",
				"it has to be PEM, with lines BEGIN CERTIFICATE; the cloud's operator has the file")
		}
	}
	if c.CertificateFile != "" {
		certificate, err := read(c.CertificateFile)
		if err != nil {
			return problem(fmt.Sprintf("the client's certificate cannot be read: %v", err), "put it there, or take OS_CERT and OS_KEY out")
		}
		key, err := read(c.KeyFile)
		if err != nil {
			return problem(fmt.Sprintf("the key of the client's certificate cannot be read: %v", err),
				"put it there, or take OS_CERT and OS_KEY out")
		}
		pair, err := tls.X509KeyPair(certificate, key)
		if err != nil {
			return problem(fmt.Sprintf("%s and %s are no certificate and its key: %v", c.CertificateFile, c.KeyFile, err),
				"both have to be PEM, and belong together")
		}
		config.Certificates = []tls.Certificate{pair}
	}
	return config, nil
}
