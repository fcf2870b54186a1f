package nova

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/openstack"
)

// failed notes for the worker why there is no testbed.
func (s Setup) failed(err error) error {
	said, readErr := s.account().read()
	if readErr != nil {
		said = record{Source: s.Plan.Source}
	}
	said.Failure = &failure{Region: regional(err), Text: err.Error()}
	return errors.Join(err, s.account().write(said))
}

// regional says whether the next testbed may fail in the region in the same way, whatever it is made of.
func regional(err error) bool {
	return !errors.Is(err, openstack.ErrNotFound) && !errors.Is(err, openstack.ErrInvalid) && !errors.Is(err, context.Canceled)
}

// public is an error in the words that may stand in the log of a test: without the paths and accounts of the operator's.
func public(err error) string {
	var joined interface{ Unwrap() []error }
	if errors.As(err, &joined) {
		var parts []string
		for _, part := range joined.Unwrap() {
			parts = append(parts, public(part))
		}
		return strings.Join(parts, "; ")
	}
	var cloud *openstack.Error
	if errors.As(err, &cloud) {
		return fmt.Sprintf("%s: %s", cloud.Service, cloud.Summary())
	}
	return "the testbed cannot be made or reached; the log of the worker tells why"
}
