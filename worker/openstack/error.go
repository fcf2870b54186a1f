package openstack

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/gophercloud/gophercloud/v2"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/cloudrc"
)

// Categories of failures, for errors.Is.
var (
	ErrNotFound = errors.New("not in the cloud")
	// ErrConflict: something is there already, or in use.
	ErrConflict = errors.New("in conflict with what is in the cloud")
	// ErrDenied: the login is refused, or the account may not do it.
	ErrDenied = errors.New("denied by the cloud")
	// ErrQuota: the project has used up what it was given. It is no ErrDenied, although the cloud answers with the same status.
	ErrQuota = errors.New("over the project's quota")
	// ErrInvalid: the cloud does not take what it was told.
	ErrInvalid = errors.New("not accepted by the cloud")
	// ErrUnavailable: nobody answers, or the cloud says that it cannot now.
	ErrUnavailable = errors.New("cloud not available")
	// ErrNoService and ErrUnknownRegion are what the catalog says.
	ErrNoService     = errors.New("no such service")
	ErrUnknownRegion = errors.New("no such region")
)

// Error is a failure of a cloud: where, what was asked, what the cloud said, and what to do.
type Error struct {
	cloud   cloudrc.Cloud
	Service Service
	// Method and Path are the request that failed; empty if it is about no request.
	Method, Path string
	// Status is HTTP's; 0 without an answer.
	Status int
	// RequestID is what the cloud's logs know the request by.
	RequestID string
	// Cause and WayOut are parts of a sentence. The cause has the cloud's own words.
	Cause, WayOut string
	// Err is what was wrong where there was no answer.
	Err error

	kind error
}

// NewError is a failure that the caller has found in the cloud's answers. It is one of the categories; service is who is to be asked.
func (r *Region) NewError(kind error, service Service, cause, wayOut string) *Error {
	return &Error{cloud: r.cloud, Service: service, Cause: cause, WayOut: wayOut, kind: kind}
}

// Where is the region, the cloud and the account, for a sentence.
func (e *Error) Where() string { return e.cloud.String() }

// Summary is what was wrong, without the place and the way out.
func (e *Error) Summary() string {
	var b strings.Builder
	if e.Method != "" {
		fmt.Fprintf(&b, "%s %s: ", e.Method, e.Path)
	}
	b.WriteString(e.Cause)
	if e.RequestID != "" {
		fmt.Fprintf(&b, " (request %s)", e.RequestID)
	}
	return b.String()
}

// Error is "WHERE: SERVICE: METHOD PATH: CAUSE (request ID): WAYOUT".
func (e *Error) Error() string {
	return fmt.Sprintf("%s: %s: %s: %s", e.Where(), e.Service, e.Summary(), e.WayOut)
}

// Unwrap returns what was wrong where there was no answer.
func (e *Error) Unwrap() error { return e.Err }

// Is matches the categories.
func (e *Error) Is(target error) bool { return target == e.kind }

// UnlessGone is an error, but for ErrNotFound: whoever removes what is not there has nothing left to do.
func UnlessGone(err error) error {
	if errors.Is(err, ErrNotFound) {
		return nil
	}
	return err
}

// failed turns an error of a call into an Error. One that is an Error stays as it is, and so does the end of the caller's context.
func (r *Region) failed(service Service, err error) error {
	var known *Error
	if err == nil || errors.As(err, &known) {
		return err
	}
	fail := &Error{cloud: r.cloud, Service: service}
	var (
		login   *gophercloud.ErrUnableToReauthenticate
		refusal gophercloud.ErrUnexpectedResponseCode
		broken  *url.Error
	)
	switch {
	case errors.As(err, &login):
		// Its own text has both answers; which of them counts is why there is no new token.
		if !errors.As(login.ErrReauth, &refusal) {
			return r.failed(Identity, login.ErrReauth)
		}
		fail.Service = Identity
		fail.answered(refusal)
		fail.Cause = "the token is not accepted any more, and the login for a new one is refused: " + fail.Cause
	case errors.As(err, &refusal):
		fail.answered(refusal)
	case errors.As(err, &broken):
		fail.Method, fail.Path, fail.Err = method(broken.Op), pathOf(broken.URL), broken.Err
		fail.kind = ErrUnavailable
		fail.Cause = "no answer: " + broken.Err.Error()
		fail.WayOut = "see whether " + hostOf(broken.URL) + " is reachable from this machine; what was begun is finished by the next try"
		if errors.Is(err, context.DeadlineExceeded) {
			fail.Cause = "no answer in the time that there was"
		}
	default:
		return fmt.Errorf("%s: %s: %w", r, service, err)
	}
	return fail
}

// answered fills in what the cloud said, and what to do.
func (e *Error) answered(refusal gophercloud.ErrUnexpectedResponseCode) {
	e.Method, e.Path, e.Status = refusal.Method, pathOf(refusal.URL), refusal.Actual
	e.RequestID = requestID(refusal.ResponseHeader)
	e.Cause = fmt.Sprintf("%d %s", e.Status, http.StatusText(e.Status))
	words := messageOf(refusal.Body)
	if words != "" {
		e.Cause += ": " + words
	}
	e.WayOut, e.kind = e.classify(words)
}

// wayOutOfQuota is what to do when a project has used up what it was given.
const wayOutOfQuota = "remove what is not needed, or ask the cloud's operators for more; openstack quota show tells the limits"

func (e *Error) classify(words string) (wayOut string, kind error) {
	if e.Status == http.StatusUnauthorized || e.Status == http.StatusNotFound && e.isLogin() {
		return e.wayToLogIn(), ErrDenied
	}
	switch e.Status {
	case http.StatusForbidden:
		if isQuota(words) {
			return wayOutOfQuota, ErrQuota
		}
		return "the account needs another role in the project; the cloud's operators know which one", ErrDenied
	case http.StatusRequestEntityTooLarge:
		return wayOutOfQuota, ErrQuota
	case http.StatusNotFound:
		return "it was removed, or was never there, or belongs to another project", ErrNotFound
	case http.StatusConflict:
		if isQuota(words) { // neutron's way to say it
			return wayOutOfQuota, ErrQuota
		}
		return "something is there already, or is still in use; look at it, and try again", ErrConflict
	case http.StatusBadRequest:
		return "correct what the cloud names", ErrInvalid
	case http.StatusTooManyRequests:
		return "the cloud limits how often it is asked; try again later, or with less at once", ErrUnavailable
	case http.StatusInternalServerError, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return "that is the cloud's own fault: try again later, and tell its operators the request's id", ErrUnavailable
	}
	return "that is no answer one expects; tell the cloud's operators the request's id", ErrInvalid
}

// isLogin: Keystone says 404 of an application credential that is gone.
func (e *Error) isLogin() bool {
	return e.Service == Identity && e.Method == http.MethodPost && strings.HasSuffix(e.Path, "/auth/tokens")
}

// wayToLogIn is what to do where a login is not accepted, or what came of one.
func (e *Error) wayToLogIn() string {
	switch e.cloud.Method {
	case cloudrc.MethodToken:
		return "the token is not accepted any more, and there is no password to get another with: put a new one into " + e.cloud.Source +
			" (openstack token issue)"
	case cloudrc.MethodCredential:
		return "the application credential has expired, was removed, or is wrong in " + e.cloud.Source +
			": make another one (openstack application credential create), and put it there"
	default: // a password
		return "the user, its domain, the password or the project is wrong in " + e.cloud.Source + "; try it with: openstack token issue"
	}
}

func isQuota(words string) bool {
	words = strings.ToLower(words)
	return strings.Contains(words, "quota") || strings.Contains(words, "maximum number of")
}

// messageOf is the cloud's words in an answer. Nova, Keystone and Glance say {"KIND": {"message": ...}}, Neutron
// {"NeutronError": {"message": ...}} or {"NeutronError": "..."}; a proxy says what it wants, and the status is enough.
func messageOf(body []byte) string {
	const longest = 500
	var kinds map[string]json.RawMessage
	if json.Unmarshal(body, &kinds) != nil {
		return ""
	}
	for _, kind := range kinds {
		var detailed struct {
			Message string `json:"message"`
		}
		var text string
		if json.Unmarshal(kind, &detailed) == nil && detailed.Message != "" {
			text = detailed.Message
		} else if json.Unmarshal(kind, &text) != nil {
			continue
		}
		if text = strings.Join(strings.Fields(text), " "); text != "" {
			return text[:min(len(text), longest)]
		}
	}
	return ""
}

// method is HTTP's name of what url.Error calls Get.
func method(op string) string { return strings.ToUpper(op) }

func pathOf(address string) string {
	parsed, err := url.Parse(address)
	if err != nil {
		return ""
	}
	return parsed.Path
}

func hostOf(address string) string {
	parsed, err := url.Parse(address)
	if err != nil {
		return "the cloud"
	}
	return parsed.Host
}
