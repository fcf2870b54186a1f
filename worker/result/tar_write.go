package result

import (
	"archive/tar"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"
)

// The members of result.tar.
const (
	memberExitCode        = "exitcode"
	memberVersion         = "testpkg-version"
	memberTestInfo        = "testinfo.json"
	memberDuration        = "duration"
	memberRequester       = "requester"
	memberTestbedPackages = "testbed-packages"
	memberSummary         = "summary"
	memberRequest         = "request" // this one and the next are ours; other readers ignore them
	memberHandle          = "handle"
)

const (
	keyEnvironment  = "custom_environment"
	triggerVariable = "ADT_TEST_TRIGGERS="
)

// WriteTar writes result.tar: the same bytes for the same result, members at the top level, members without content left
// out. It sees to it that readers find what they need even when autopkgtest was stopped early: a version
// (TestedVersion), and a testinfo.json that names the triggers.
func (r Result) WriteTar(w io.Writer) error {
	if !packagePattern.MatchString(r.Source) {
		return fmt.Errorf("write %s: %q is not a source package's name", TarObject, r.Source)
	}
	if !validExitCode(r.ExitCode) || r.Duration < 0 {
		return fmt.Errorf("write %s: exit code %d after %s cannot be", TarObject, r.ExitCode, r.Duration)
	}
	testInfo, err := r.testInfo()
	if err != nil {
		return fmt.Errorf("write %s: %w", TarObject, err)
	}
	out := tar.NewWriter(w)
	for _, member := range []struct {
		name    string
		content []byte
	}{
		{memberExitCode, line(strconv.Itoa(r.ExitCode))},
		{memberVersion, line(r.Source + " " + r.TestedVersion())},
		{memberTestInfo, testInfo},
		{memberDuration, line(strconv.FormatInt(int64(r.Duration/time.Second), 10))},
		{memberRequester, line(r.Requester)},
		{memberTestbedPackages, r.TestbedPackages},
		{memberSummary, r.Summary},
		{memberRequest, r.Request},
		{memberHandle, line(r.Handle)},
	} {
		if len(member.content) == 0 {
			continue
		}
		// No time: the store keeps one, and the same result is to give the same bytes.
		header := &tar.Header{Name: member.name, Mode: 0o644, Size: int64(len(member.content)), Format: tar.FormatUSTAR}
		if err := out.WriteHeader(header); err != nil {
			return fmt.Errorf("write %s: %s: %w", TarObject, member.name, err)
		}
		if _, err := out.Write(member.content); err != nil {
			return fmt.Errorf("write %s: %s: %w", TarObject, member.name, err)
		}
	}
	if err := out.Close(); err != nil {
		return fmt.Errorf("write %s: %w", TarObject, err)
	}
	return nil
}

func line(text string) []byte {
	if text == "" {
		return nil
	}
	return []byte(text + "\n")
}

// testInfo is autopkgtest's testinfo.json with custom_environment completed; a minimal one if there is none or if it is
// damaged, as after a kill.
func (r Result) testInfo() ([]byte, error) {
	info := map[string]json.RawMessage{}
	if err := json.Unmarshal(r.TestInfo, &info); err != nil || info == nil {
		info = map[string]json.RawMessage{}
	}
	var environment []string
	if err := json.Unmarshal(info[keyEnvironment], &environment); err != nil {
		environment = nil
	}
	for _, entry := range r.Env {
		if !slices.Contains(environment, entry) {
			environment = append(environment, entry)
		}
	}
	if len(r.Triggers) > 0 {
		environment = slices.DeleteFunc(environment, func(entry string) bool {
			return strings.HasPrefix(entry, triggerVariable)
		})
		environment = append(environment, triggerVariable+strings.Join(r.Triggers, " "))
	}
	if environment != nil {
		raw, err := json.Marshal(environment)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", memberTestInfo, err)
		}
		info[keyEnvironment] = raw
	}
	content, err := json.MarshalIndent(info, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("%s: %w", memberTestInfo, err)
	}
	return append(content, '\n'), nil
}

// ownVersion gives the version of a trigger SOURCE/VERSION if it is the given source's.
func ownVersion(trigger, source string) (string, bool) {
	name, version, found := strings.Cut(trigger, "/")
	return version, found && name == source && version != ""
}
