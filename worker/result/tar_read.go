package result

import (
	"archive/tar"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"
)

// ErrDamaged is wrapped by the errors of ReadTar that speak of the content: reading again will not help.
var ErrDamaged = errors.New("damaged result")

func damaged(format string, args ...any) error {
	return fmt.Errorf("%w: "+format, append([]any{ErrDamaged}, args...)...)
}

// Limits of what is read, far above real results: the largest lists of packages are below 1 MiB.
const (
	maxTar    = 64 << 20
	maxLine   = 4 << 10
	maxMember = 16 << 20
)

// ReadTar reads result.tar, also upstream's. It reads no more than 64 MiB and is strict about what it believes: each
// member once, a regular file, of the right form; members that it does not know are skipped. An exit code is required,
// everything else may be missing, as it is when a run ended early. An error that wraps ErrDamaged means that the content
// is bad, any other is the reader's.
func ReadTar(r io.Reader) (Result, error) {
	bounded := &boundedReader{reader: r, left: maxTar}
	members, err := readMembers(tar.NewReader(bounded))
	if bounded.err != nil {
		return Result{}, fmt.Errorf("read %s: %w", TarObject, bounded.err)
	}
	if err != nil {
		return Result{}, fmt.Errorf("read %s: %w", TarObject, err)
	}
	result := Result{
		Request:         members[memberRequest],
		Summary:         members[memberSummary],
		TestbedPackages: members[memberTestbedPackages],
		TestInfo:        members[memberTestInfo],
		Requester:       strings.TrimSpace(string(members[memberRequester])),
		Handle:          strings.TrimSpace(string(members[memberHandle])),
	}
	for _, read := range []func(map[string][]byte) error{
		result.readExitCode, result.readVersion, result.readDuration, result.readTestInfo,
	} {
		if err := read(members); err != nil {
			return Result{}, fmt.Errorf("read %s: %w", TarObject, err)
		}
	}
	return result, nil
}

// boundedReader keeps the difference between a reader that failed and content that is bad.
type boundedReader struct {
	reader io.Reader
	left   int64
	err    error // what the reader said, unless it was the end
}

func (b *boundedReader) Read(p []byte) (int, error) {
	if b.left <= 0 {
		b.err = damaged("larger than %d bytes", maxTar)
		return 0, b.err
	}
	n, err := b.reader.Read(p[:min(int64(len(p)), b.left)])
	b.left -= int64(n)
	if err != nil && !errors.Is(err, io.EOF) {
		b.err = err
	}
	return n, err
}

var memberLimits = map[string]int64{
	memberExitCode: maxLine, memberVersion: maxLine, memberDuration: maxLine, memberRequester: maxLine,
	memberHandle: maxLine, memberTestInfo: maxMember, memberTestbedPackages: maxMember, memberSummary: maxMember, memberRequest: maxMember,
}

func readMembers(in *tar.Reader) (map[string][]byte, error) {
	members := map[string][]byte{}
	for {
		header, err := in.Next()
		if errors.Is(err, io.EOF) {
			return members, nil
		}
		if err != nil {
			return nil, damaged("not a tar archive: %v", err)
		}
		name := strings.TrimPrefix(header.Name, "./")
		limit, wanted := memberLimits[name]
		if !wanted {
			continue
		}
		if header.Typeflag != tar.TypeReg {
			return nil, damaged("%s is not a regular file", name)
		}
		if _, twice := members[name]; twice {
			return nil, damaged("%s is there twice", name)
		}
		if header.Size > limit {
			return nil, damaged("%s has %d bytes, at most %d are accepted", name, header.Size, limit)
		}
		content, err := io.ReadAll(io.LimitReader(in, limit))
		if err != nil {
			return nil, damaged("%s: %v", name, err)
		}
		members[name] = content
	}
}

func (r *Result) readExitCode(members map[string][]byte) error {
	content, ok := members[memberExitCode]
	if !ok {
		return damaged("no %s", memberExitCode)
	}
	code, err := strconv.Atoi(strings.TrimSpace(string(content)))
	if err != nil || !validExitCode(code) {
		return damaged("%s is %q, want a number", memberExitCode, content)
	}
	r.ExitCode = code
	return nil
}

func (r *Result) readVersion(members map[string][]byte) error {
	content, ok := members[memberVersion]
	if !ok {
		return nil
	}
	fields := strings.Fields(string(content))
	if len(fields) != 2 || !packagePattern.MatchString(fields[0]) {
		return damaged("%s is %q, want SOURCE VERSION", memberVersion, content)
	}
	r.Source, r.Version = fields[0], fields[1]
	return nil
}

func (r *Result) readDuration(members map[string][]byte) error {
	content, ok := members[memberDuration]
	if !ok {
		return nil
	}
	const longest = 10 * 365 * 24 * 3600
	seconds, err := strconv.ParseInt(strings.TrimSpace(string(content)), 10, 64)
	if err != nil || seconds < 0 || seconds > longest {
		return damaged("%s is %q, want seconds", memberDuration, content)
	}
	r.Duration = time.Duration(seconds) * time.Second
	return nil
}

func (r *Result) readTestInfo(members map[string][]byte) error {
	content, ok := members[memberTestInfo]
	if !ok {
		return nil
	}
	var info map[string]json.RawMessage
	if err := json.Unmarshal(content, &info); err != nil {
		return damaged("%s: %v", memberTestInfo, err)
	}
	raw, ok := info[keyEnvironment]
	if !ok {
		return nil
	}
	var environment []string
	if err := json.Unmarshal(raw, &environment); err != nil {
		return damaged("%s: %s is not a list of strings", memberTestInfo, keyEnvironment)
	}
	for _, entry := range environment {
		if triggers, found := strings.CutPrefix(entry, triggerVariable); found {
			r.Triggers = strings.Fields(triggers)
		} else {
			r.Env = append(r.Env, entry)
		}
	}
	return nil
}
