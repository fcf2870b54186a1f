package lease

import (
	"crypto/sha256"
	"encoding/hex"
	"regexp"
)

// Identity is what is equal when a request comes again.
type Identity [sha256.Size]byte

// Identify makes the identity of a request from its queue's name and its body.
func Identify(queue string, body []byte) Identity {
	hash := sha256.New()
	hash.Write([]byte(queue))
	hash.Write([]byte{0})
	hash.Write(body)
	return Identity(hash.Sum(nil))
}

// String is the identity in hexadecimal digits.
func (id Identity) String() string { return hex.EncodeToString(id[:]) }

// folder is what the names of an identity's leases begin with.
func (id Identity) folder() string { return id.String() + "/" }

// Handle is the pattern of what names a life or a worker: it becomes part of names of objects and files.
var Handle = regexp.MustCompile(`^[0-9a-zA-Z-]{1,64}$`)
