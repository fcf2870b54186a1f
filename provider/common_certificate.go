package provider

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"strings"

	"github.com/hashicorp/terraform-plugin-framework/schema/validator"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/config"
)

// certificatesIn are the certificates in a text, in PEM form, and nothing else of it: what a service's account has named so may be
// a file that only root can read, and a certificate is for everybody.
func certificatesIn(text []byte) ([]byte, error) {
	var found bytes.Buffer
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		if _, err := x509.ParseCertificate(block.Bytes); block.Type != "CERTIFICATE" || err != nil {
			continue
		}
		_ = pem.Encode(&found, &pem.Block{Type: block.Type, Bytes: block.Bytes}) // to memory
	}
	if found.Len() == 0 {
		return nil, fmt.Errorf("%w: no certificate in PEM form", config.ErrInvalid)
	}
	return found.Bytes(), nil
}

func certificate() validator.String {
	return check{"a certificate", func(s string) error {
		if _, err := certificatesIn([]byte(s)); err != nil || strings.Contains(s, "PRIVATE KEY") {
			return errors.New("write it in PEM form, -----BEGIN CERTIFICATE----- and what follows, and no key")
		}
		return nil
	}}
}
