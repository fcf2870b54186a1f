package testbed

import (
	"bytes"
	"crypto/sha1" //nolint:gosec // what a version 4 fingerprint is made of
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
)

// The packets of OpenPGP (RFC 4880) that matter here.
const (
	tagSecretKey    = 5
	tagPublicKey    = 6
	tagSecretSubkey = 7
)

const (
	armorBegin = "-----BEGIN PGP PUBLIC KEY BLOCK-----"
	armorEnd   = "-----END PGP PUBLIC KEY BLOCK-----"
)

// selectKeys returns the public keys of a file, binary or in armour, in the binary form that apts of all ages read; of
// these, the one with the fingerprint if one is given. It checks no signature: that is apt's work.
func selectKeys(content []byte, fingerprint string) ([]byte, error) {
	binary, err := withoutArmor(content)
	if err != nil {
		return nil, err
	}
	var all []byte
	var found []string
	wanted := false
	for rest := binary; len(rest) > 0; {
		tag, body, length, err := packet(rest)
		if err != nil {
			return nil, err
		}
		switch tag {
		case tagSecretKey, tagSecretSubkey:
			return nil, errors.New("it holds a secret key; export the public one")
		case tagPublicKey:
			holder, err := fingerprintOf(body)
			if err != nil {
				return nil, err
			}
			found = append(found, holder)
			wanted = fingerprint == "" || strings.EqualFold(holder, fingerprint)
		default:
			if len(found) == 0 {
				return nil, errors.New("it does not begin with a public key")
			}
		}
		if wanted {
			all = append(all, rest[:length]...)
		}
		rest = rest[length:]
	}
	switch {
	case len(found) == 0:
		return nil, errors.New("it is empty")
	case len(all) == 0:
		return nil, fmt.Errorf("its key is %s, not %s", strings.Join(found, ", "), strings.ToUpper(fingerprint))
	}
	return all, nil
}

// withoutArmor decodes the text form of a key.
func withoutArmor(content []byte) ([]byte, error) {
	if !bytes.Contains(content, []byte(armorBegin)) {
		return content, nil
	}
	var all []byte
	text := strings.ReplaceAll(string(content), "\r\n", "\n")
	for {
		_, rest, found := strings.Cut(text, armorBegin)
		if !found {
			return all, nil
		}
		block, after, found := strings.Cut(rest, armorEnd)
		if !found {
			return nil, errors.New("its end is missing")
		}
		_, body, found := strings.Cut(block, "\n\n") // after the headers, if there are any
		if !found {
			return nil, errors.New("it has no empty line before its content")
		}
		body, _, _ = strings.Cut(body, "\n=") // the checksum
		decoded, err := base64.StdEncoding.DecodeString(strings.Join(strings.Fields(body), ""))
		if err != nil {
			return nil, fmt.Errorf("its text form is damaged: %w", err)
		}
		all = append(all, decoded...)
		text = after
	}
}

var errCut = errors.New("it is cut off, or no key")

// packet reads the packet at the beginning of data: its tag, its body, and its length with the header.
func packet(data []byte) (tag int, body []byte, length int, err error) {
	if len(data) < 2 || data[0]&0x80 == 0 {
		return 0, nil, 0, errCut
	}
	var size uint64
	header := 2
	if data[0]&0x40 != 0 { // new format
		tag = int(data[0] & 0x3f)
		switch first := uint64(data[1]); {
		case first < 192:
			size = first
		case first < 224 && len(data) > 2:
			size, header = (first-192)<<8+uint64(data[2])+192, 3
		case first == 255 && len(data) > 5:
			size, header = uint64(binary.BigEndian.Uint32(data[2:])), 6
		default:
			return 0, nil, 0, errCut
		}
	} else {
		tag = int(data[0] >> 2 & 0xf)
		bytes := 1 << (data[0] & 3)
		if bytes == 8 || len(data) <= bytes { // 8: of unknown length
			return 0, nil, 0, errCut
		}
		header = 1 + bytes
		for _, b := range data[1:header] {
			size = size<<8 + uint64(b)
		}
	}
	if size > uint64(len(data)-header) {
		return 0, nil, 0, errCut
	}
	length = header + int(size) //nolint:gosec // not more than the data has
	return tag, data[header:length], length, nil
}

// fingerprintOf is that of a public key's packet.
func fingerprintOf(body []byte) (string, error) {
	if len(body) < 6 || body[0] != 4 || len(body) > 1<<16-1 {
		return "", errors.New("its key is not of OpenPGP's version 4")
	}
	hash := sha1.New() //nolint:gosec // see above
	hash.Write([]byte{0x99, byte(len(body) >> 8), byte(len(body))})
	hash.Write(body)
	return strings.ToUpper(hex.EncodeToString(hash.Sum(nil))), nil
}
