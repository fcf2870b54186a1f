package cloudrc

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"io"
	"log"
	"math/big"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// pair makes a certificate and its key, as PEM.
func pair(t *testing.T) (certificate, key []byte) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	if err != nil {
		t.Fatal(err)
	}
	encoded, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: encoded})
}

// TestTLS: a real server is believed with its authority alone, or when nobody looks.
func TestTLS(t *testing.T) {
	t.Parallel()
	server := httptest.NewUnstartedServer(http.NotFoundHandler())
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.StartTLS()
	defer server.Close()
	certificate, key := pair(t)
	disk := &files{content: map[string]string{
		"/ca.pem":    string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})),
		"/other.pem": string(certificate), "/key.pem": string(key), "/empty.pem": "# nothing\n", "/forbidden.pem": "forbidden",
	}}
	for name, test := range map[string]struct {
		cloud    Cloud
		believed bool
		problem  string
	}{
		"the machine's authorities": {Cloud{}, false, ""},
		"its own":                   {Cloud{CAFile: "/ca.pem"}, true, ""},
		"another":                   {Cloud{CAFile: "/other.pem"}, false, ""},
		"nobody looks":              {Cloud{Insecure: true}, true, ""},
		"a client's certificate":    {Cloud{CAFile: "/ca.pem", CertificateFile: "/other.pem", KeyFile: "/key.pem"}, true, ""},
		"not there":                 {Cloud{CAFile: "/gone.pem"}, false, "rc: the certificates of the cloud's authority cannot be read: open /gone.pem: file does not exist: put them there"},
		"unreadable":                {Cloud{CAFile: "/forbidden.pem"}, false, "open /forbidden.pem: permission denied"},
		"without a certificate":     {Cloud{CAFile: "/empty.pem"}, false, "rc: /empty.pem holds no certificate: it has to be PEM"},
		"a key alone":               {Cloud{CAFile: "/key.pem"}, false, "/key.pem holds no certificate"},
		"no client's certificate":   {Cloud{CertificateFile: "/gone", KeyFile: "/key.pem"}, false, "the client's certificate cannot be read: open /gone"},
		"no client's key":           {Cloud{CertificateFile: "/other.pem", KeyFile: "/gone"}, false, "the key of the client's certificate cannot be read: open /gone"},
		"not its key":               {Cloud{CertificateFile: "/ca.pem", KeyFile: "/key.pem"}, false, "/ca.pem and /key.pem are no certificate and its key"},
	} {
		t.Run(name, func(t *testing.T) {
			test.cloud.Source = "rc"
			config, err := test.cloud.TLS(disk.get)
			if test.problem != "" {
				if err == nil || !strings.Contains(err.Error(), test.problem) {
					t.Errorf("got %v", err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if test.cloud.KeyFile != "" && len(config.Certificates) != 1 {
				t.Error("the client's certificate is not shown")
			}
			client := http.Client{Transport: &http.Transport{TLSClientConfig: config}}
			defer client.CloseIdleConnections()
			resp, err := client.Get(server.URL)
			if err == nil {
				resp.Body.Close()
			}
			if (err == nil) != test.believed {
				t.Errorf("the server is believed: %v, want %v", err, test.believed)
			}
		})
	}
	if _, err := (Cloud{CAFile: "/nonexistent/ca.pem"}).TLS(nil); err == nil {
		t.Error("a file of this machine that is not there is no error")
	}
}
