package site

import (
	"compress/flate"
	"compress/gzip"
	"errors"
	"io"
)

// damagedGzip tells whether an error speaks of packed content that is wrong, and not of the way here.
func damagedGzip(err error) bool {
	var corrupt flate.CorruptInputError
	return errors.Is(err, gzip.ErrHeader) || errors.Is(err, gzip.ErrChecksum) || errors.Is(err, io.ErrUnexpectedEOF) ||
		errors.As(err, &corrupt)
}
