package result

import (
	"crypto/sha1"
	"encoding/hex"
	"fmt"
	"regexp"
	"time"
)

// RunID names a run: YYYYMMDD_HHMMSS_hhhhh@, the time of its publication in UTC and a few digits that keep the runs of
// one second apart. Older ones lack the digits. Run ids sort by time, and the gatekeeper only ever asks for greater ones
// than it has seen, so they are to be given out in the order of publication.
type RunID string

const (
	runIDTime   = "20060102_150405"
	runIDDigits = 5
)

var runIDPattern = regexp.MustCompile(`^[0-9]{8}_[0-9]{6}(?:_[0-9a-zA-Z]{1,64})?@$`)

// NewRunID makes the id of a run published at t: the digits are taken from the request's body, architecture and release,
// as the upstream worker does.
func NewRunID(t time.Time, body []byte, arch, release string) RunID {
	hash := sha1.New()
	hash.Write(body)
	hash.Write([]byte(arch))
	hash.Write([]byte(release))
	digits := hex.EncodeToString(hash.Sum(nil))[:runIDDigits]
	return RunID(t.UTC().Format(runIDTime) + "_" + digits + "@")
}

// Valid says whether the id has the form of one, with a time that exists.
func (id RunID) Valid() bool {
	_, err := id.Time()
	return err == nil
}

// Time is the moment that the id was made at, to the second, in UTC.
func (id RunID) Time() (time.Time, error) {
	if !runIDPattern.MatchString(string(id)) {
		return time.Time{}, fmt.Errorf("run id %q: want YYYYMMDD_HHMMSS_DIGITS@", string(id))
	}
	t, err := time.Parse(runIDTime, string(id[:len(runIDTime)]))
	if err != nil {
		return time.Time{}, fmt.Errorf("run id %q: no such time", string(id))
	}
	return t, nil
}
