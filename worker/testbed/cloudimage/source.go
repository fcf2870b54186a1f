package cloudimage

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path"
	"path/filepath"
	"strings"
	"time"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/config"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/openstack"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/testbed"
)

const (
	// sumsLimit and fetchLimit bound the wait for a list of sums and for a disk.
	sumsLimit  = time.Minute
	fetchLimit = time.Hour
	// maxSums bounds a list of sums; Ubuntu's have some kilobytes.
	maxSums = 1 << 20
	// diskSpace is for a disk whose size nobody tells.
	diskSpace = 4 << 30
)

// source is where a disk comes from.
type source struct {
	conf   config.CloudImage
	client *http.Client
}

// sum is the SHA-256 that the disk is to have now.
func (s source) sum(ctx context.Context) (string, error) {
	switch checksum := s.conf.Checksum; {
	case checksum == "":
		sums, err := sumsOf(s.conf.Source)
		return sums.SHA256, err
	case config.IsSHA256(checksum):
		return checksum, nil
	}
	ctx, cancel := context.WithTimeoutCause(ctx, sumsLimit, errors.New("not done within "+sumsLimit.String()))
	defer cancel()
	content, _, err := s.open(ctx, s.conf.Checksum)
	if err != nil {
		return "", err
	}
	defer content.Close()
	sum, err := findSum(io.LimitReader(content, maxSums), path.Base(s.conf.Source))
	if err != nil {
		return "", fmt.Errorf("%s: %w", s.conf.Checksum, err)
	}
	return sum, nil
}

// findSum reads a list as sha256sum writes it, also in its form for BSD.
func findSum(list io.Reader, name string) (string, error) {
	lines := bufio.NewScanner(list)
	for lines.Scan() {
		fields := strings.Fields(lines.Text())
		switch {
		case len(fields) == 2 && strings.TrimPrefix(fields[1], "*") == name && config.IsSHA256(fields[0]):
			return fields[0], nil
		case len(fields) == 4 && fields[0] == "SHA256" && fields[1] == "("+name+")" && config.IsSHA256(fields[3]):
			return fields[3], nil
		}
	}
	if err := lines.Err(); err != nil {
		return "", err
	}
	return "", fmt.Errorf("it has no SHA-256 of %s", name)
}

// disk brings the disk to this machine, if it is elsewhere, and says what it is. Its bytes are those of the sum.
func (s source) disk(ctx context.Context, sum, folder string) (openstack.Disk, error) {
	file := s.conf.Source
	if config.IsURL(s.conf.Source) {
		file = filepath.Join(folder, "disk")
		if err := s.download(ctx, file); err != nil {
			return openstack.Disk{}, err
		}
	}
	disk, err := sumsOf(file)
	if err != nil {
		return openstack.Disk{}, err
	}
	if disk.SHA256 != sum {
		return openstack.Disk{}, fmt.Errorf("%s has the SHA-256 %s, and is to have %s: either it is just being replaced, or it is not "+
			"what was meant", s.conf.Source, disk.SHA256, sum)
	}
	disk.Format, err = formatOf(file)
	return disk, err
}

func (s source) download(ctx context.Context, to string) (err error) {
	ctx, cancel := context.WithTimeoutCause(ctx, fetchLimit, errors.New("not done within "+fetchLimit.String()))
	defer cancel()
	content, size, err := s.open(ctx, s.conf.Source)
	if err != nil {
		return err
	}
	defer content.Close()
	if size < 0 {
		size = diskSpace
	}
	if err := testbed.CheckSpace(filepath.Dir(to), uint64(size)); err != nil {
		return err
	}
	file, err := os.OpenFile(to, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("fetch a disk: %w", err)
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	if _, err := io.Copy(file, content); err != nil {
		if ctx.Err() != nil {
			err = context.Cause(ctx)
		}
		return fmt.Errorf("fetch %s: %w", s.conf.Source, err)
	}
	return nil
}

// open opens a file of this machine or of the web, with its size; negative if it is not known.
func (s source) open(ctx context.Context, place string) (io.ReadCloser, int64, error) {
	if !config.IsURL(place) {
		file, err := os.Open(place)
		if err != nil {
			return nil, 0, err
		}
		return file, -1, nil
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, place, nil)
	if err != nil {
		return nil, 0, err
	}
	answer, err := s.client.Do(request)
	if err != nil {
		return nil, 0, err
	}
	if answer.StatusCode != http.StatusOK {
		answer.Body.Close()
		return nil, 0, fmt.Errorf("fetch %s: %s", place, answer.Status)
	}
	return answer.Body, answer.ContentLength, nil
}

// sumsOf reads a disk once, and knows all but its format.
func sumsOf(file string) (openstack.Disk, error) {
	content, err := os.Open(file)
	if err != nil {
		return openstack.Disk{}, fmt.Errorf("read a disk: %w", err)
	}
	defer content.Close()
	short, long := sha256.New(), sha512.New()
	size, err := io.Copy(io.MultiWriter(short, long), content)
	if err != nil {
		return openstack.Disk{}, fmt.Errorf("read %s: %w", file, err)
	}
	return openstack.Disk{
		Path: file, Size: size, SHA256: hex.EncodeToString(short.Sum(nil)), SHA512: hex.EncodeToString(long.Sum(nil)),
	}, nil
}

// packed are the beginnings of files that hold a disk and are none.
var packed = map[string]string{"\xfd7zXZ": "xz", "\x1f\x8b": "gzip", "BZh": "bzip2", "\x28\xb5\x2f\xfd": "zstd", "PK\x03\x04": "zip"}

// formatOf tells qcow2, as distributions have it for clouds, from a raw disk.
func formatOf(file string) (string, error) {
	content, err := os.Open(file)
	if err != nil {
		return "", fmt.Errorf("read a disk: %w", err)
	}
	defer content.Close()
	head := make([]byte, 512)
	if _, err := io.ReadFull(content, head); err != nil {
		return "", fmt.Errorf("%s is no disk: it is shorter than a sector", file)
	}
	if bytes.HasPrefix(head, []byte("QFI\xfb")) {
		return "qcow2", nil
	}
	for magic, name := range packed {
		if bytes.HasPrefix(head, []byte(magic)) {
			return "", fmt.Errorf("%s is packed with %s: no cloud unpacks it; name the disk itself", file, name)
		}
	}
	if !bytes.HasSuffix(head, []byte{0x55, 0xaa}) {
		return "", fmt.Errorf("%s is no disk that boots: neither is it qcow2, nor does its first sector end as a raw disk's", file)
	}
	return "raw", nil
}
