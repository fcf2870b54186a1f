package rabbitmq

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/config"
)

// What is generated lives this long, and is made again when less than the second is left. The authority's own rest covers the
// life of what it signs, so a client that knows it never has to learn another one in a hurry.
const (
	authorityLife = 10 * 365 * 24 * time.Hour
	authorityRest = serverLife + 60*24*time.Hour
	serverLife    = 365 * 24 * time.Hour
	serverRest    = 30 * 24 * time.Hour
)

// material is what a server needs to be known as itself, in PEM: its certificate (and those between it and the authority's),
// its key, and the authority that clients trust. AuthorityKey is there if the authority is our own.
type material struct {
	Certificate, Authority []byte
	Key, AuthorityKey      config.Secret
}

// leaf is the server's own certificate, checked: the key is its key, and the authority vouches for it as a server.
func (m material) leaf(now time.Time) (*x509.Certificate, error) {
	pair, err := tls.X509KeyPair(m.Certificate, []byte(m.Key.Reveal()))
	if err != nil {
		return nil, err
	}
	roots, between := x509.NewCertPool(), x509.NewCertPool()
	if !roots.AppendCertsFromPEM(m.Authority) {
		return nil, errors.New("the authority's file has no certificate")
	}
	for _, der := range pair.Certificate[1:] {
		if c, err := x509.ParseCertificate(der); err == nil {
			between.AddCert(c)
		}
	}
	_, err = pair.Leaf.Verify(x509.VerifyOptions{
		Roots: roots, Intermediates: between, CurrentTime: now, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	})
	return pair.Leaf, err
}

// fresh says whether generated material will do for a while, for a server of these names.
func (m material) fresh(names []string, now time.Time) bool {
	leaf, err := m.leaf(now)
	if err != nil || now.Add(serverRest).After(leaf.NotAfter) {
		return false
	}
	for _, name := range names {
		if leaf.VerifyHostname(name) != nil {
			return false
		}
	}
	return m.authorityFresh(now)
}

func (m material) authorityFresh(now time.Time) bool {
	pair, err := tls.X509KeyPair(m.Authority, []byte(m.AuthorityKey.Reveal()))
	return err == nil && pair.Leaf.IsCA && now.Add(authorityRest).Before(pair.Leaf.NotAfter)
}

// renewed keeps of generated material what will do for a while, and makes the rest.
func (m material) renewed(names []string, now time.Time) (material, error) {
	if m.fresh(names, now) {
		return m, nil
	}
	if !m.authorityFresh(now) {
		certificate, key, err := sign(&x509.Certificate{
			Subject: pkix.Name{CommonName: "autopkgtest-cloud broker " + rand.Text()[:6]}, NotBefore: now.Add(-time.Hour),
			NotAfter: now.Add(authorityLife), KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
			BasicConstraintsValid: true, IsCA: true, MaxPathLenZero: true,
		}, tls.Certificate{})
		if err != nil {
			return material{}, err
		}
		m.Authority, m.AuthorityKey = certificate, key
	}
	authority, err := tls.X509KeyPair(m.Authority, []byte(m.AuthorityKey.Reveal()))
	if err != nil {
		return material{}, err
	}
	server := &x509.Certificate{
		Subject: pkix.Name{CommonName: names[0]}, NotBefore: now.Add(-time.Hour), NotAfter: now.Add(serverLife),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		BasicConstraintsValid: true,
	}
	for _, name := range names {
		if ip := net.ParseIP(name); ip != nil {
			server.IPAddresses = append(server.IPAddresses, ip)
		} else {
			server.DNSNames = append(server.DNSNames, name)
		}
	}
	m.Certificate, m.Key, err = sign(server, authority)
	return m, err
}

// sign makes a key for the certificate and has the authority sign it; without an authority, the certificate itself.
func sign(certificate *x509.Certificate, authority tls.Certificate) ([]byte, config.Secret, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, "", fmt.Errorf("make a key: %w", err)
	}
	issuer, signer := certificate, any(key)
	if authority.Leaf != nil {
		issuer, signer = authority.Leaf, authority.PrivateKey
	}
	der, err := x509.CreateCertificate(rand.Reader, certificate, issuer, key.Public(), signer)
	if err != nil {
		return nil, "", fmt.Errorf("make a certificate: %w", err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, "", fmt.Errorf("write a key: %w", err)
	}
	return pemOf("CERTIFICATE", der), config.Secret(pemOf("PRIVATE KEY", secret)), nil
}

func pemOf(kind string, der []byte) []byte {
	var b bytes.Buffer
	_ = pem.Encode(&b, &pem.Block{Type: kind, Bytes: der}) // to memory
	return b.Bytes()
}
