package queue

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/request"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/result"
)

// What a status message says of a private run: that there is one.
const (
	PrivatePackage = "private-test"
	privateLog     = "Running private test"
)

// Status tells the world every few seconds that a test runs, and once that it runs no longer. It goes to StatusExchange.
type Status struct {
	Release      string          `json:"release"`
	Architecture string          `json:"architecture"`
	Package      string          `json:"package"`
	Running      bool            `json:"running"`
	Params       json.RawMessage `json:"params"`   // the request's parameters, unchanged: listeners identify a run by them
	Duration     int64           `json:"duration"` // whole seconds
	LogTail      string          `json:"logtail"`

	// These two travel as headers: the body is a contract with other listeners, which know neither.
	Handle string `json:"-"` // of the running request, by which it is cancelled or requeued
	Worker string `json:"-"` // who runs it
}

// The headers of a status message.
const (
	HandleHeader = "handle"
	WorkerHeader = "worker"
)

// NewStatus describes a run of the request whose body is given. Of a private run it tells nothing but that one runs.
func NewStatus(q request.Queue, r request.Request, body []byte, running bool, duration time.Duration, logTail string,
) Status {
	s := Status{
		Release: q.Release, Architecture: q.Architecture, Package: r.Package, Running: running,
		Params: parameters(body), Duration: int64(duration / time.Second), LogTail: logTail,
	}
	if r.Private() {
		s.Package, s.Params, s.LogTail = PrivatePackage, json.RawMessage("{}"), privateLog
	}
	return s
}

// parameters is the JSON object of a request's body.
func parameters(body []byte) json.RawMessage {
	if _, object, found := bytes.Cut(body, []byte("\n")); found && json.Valid(object) {
		return object
	}
	return json.RawMessage("{}")
}

// Body is the message without its headers.
func (s Status) Body() ([]byte, error) { return encode(s) }

// Message is the message.
func (s Status) Message() (Message, error) {
	body, err := s.Body()
	headers := map[string]string{}
	for name, value := range map[string]string{HandleHeader: s.Handle, WorkerHeader: s.Worker} {
		if value != "" {
			headers[name] = value
		}
	}
	return Message{Body: body, Headers: headers, Persistent: true}, err
}

// StatusOf reads a status message that was delivered, also the upstream worker's, which has no headers.
func StatusOf(d Delivery) (Status, error) {
	s, err := ParseStatus(d.Body)
	s.Handle, s.Worker = d.Header(HandleHeader), d.Header(WorkerHeader)
	return s, err
}

// ParseStatus reads the body of a status message.
func ParseStatus(body []byte) (Status, error) {
	var s Status
	if err := json.Unmarshal(body, &s); err != nil {
		return Status{}, fmt.Errorf("status message: %w", err)
	}
	return s, nil
}

// Completion tells the world that a result is in the store. It goes to CompletionExchange. It is a hint: what counts is
// the result itself.
type Completion struct {
	Location    result.Location
	ExitCode    int
	Version     string // of the package that was tested, or one of result's words for none
	Duration    time.Duration
	Requester   string
	Triggers    []string
	AllProposed bool
	TestName    string
}

// NewCompletion describes the result of a request.
func NewCompletion(at result.Location, r request.Request, outcome result.Result) Completion {
	return Completion{
		Location: at, ExitCode: outcome.ExitCode, Version: outcome.TestedVersion(), Duration: outcome.Duration,
		Requester: r.Requester, Triggers: r.Triggers, AllProposed: r.AllProposed, TestName: r.TestName,
	}
}

// wireCompletion has the message's keys and types.
type wireCompletion struct {
	Architecture string      `json:"architecture"`
	Container    string      `json:"container"`
	Duration     wireSeconds `json:"duration"`
	Env          string      `json:"env"`
	ExitCode     int         `json:"exitcode"`
	Package      string      `json:"package"`
	Release      string      `json:"release"`
	Requester    *string     `json:"requester"`
	Directory    string      `json:"swift_dir"`
	Version      string      `json:"testpkg_version"`
	Triggers     *string     `json:"triggers"`
	UUID         string      `json:"uuid"`
}

// resultID names a result. Databases of Ubuntu's website may have a column for an id, and take no two results with the same
// one; to those, a message without is one with the empty text, so all but the first would be lost. It is made from the place,
// so that a message which comes twice is still one result.
func resultID(at result.Location) string {
	return uuid.NewSHA1(uuid.NameSpaceURL, []byte(at.Container+"/"+at.Dir())).String()
}

// wireSeconds is written as the text of the file "duration"; other publishers send a number.
type wireSeconds time.Duration

func (s wireSeconds) MarshalJSON() ([]byte, error) {
	return json.Marshal(strconv.FormatInt(int64(time.Duration(s)/time.Second), 10) + "\n")
}

func (s *wireSeconds) UnmarshalJSON(raw []byte) error {
	text := string(raw)
	if strings.HasPrefix(text, `"`) {
		if err := json.Unmarshal(raw, &text); err != nil {
			return err
		}
	}
	seconds, err := strconv.ParseInt(strings.TrimSpace(text), 10, 64)
	if err != nil || seconds < 0 || seconds > int64(time.Duration(1<<62)/time.Second) {
		return fmt.Errorf("duration %s: want whole seconds", raw)
	}
	*s = wireSeconds(time.Duration(seconds) * time.Second)
	return nil
}

// Body is the message.
func (c Completion) Body() ([]byte, error) {
	wire := wireCompletion{
		Architecture: c.Location.Architecture, Container: c.Location.Container, Duration: wireSeconds(c.Duration),
		ExitCode: c.ExitCode, Package: c.Location.Package, Release: c.Location.Release, Directory: c.Location.Dir(),
		Version: c.Version, UUID: resultID(c.Location),
	}
	if c.Requester != "" {
		line := c.Requester + "\n" // the text of the file of that name
		wire.Requester = &line
	}
	if len(c.Triggers) > 0 {
		joined := strings.Join(c.Triggers, " ")
		wire.Triggers = &joined
	}
	var env []string
	if c.AllProposed {
		env = append(env, "all-proposed=1")
	}
	if c.TestName != "" {
		env = append(env, "testname="+c.TestName)
	}
	wire.Env = strings.Join(env, ",")
	return encode(wire)
}

// ParseCompletion reads a completion message, also the upstream worker's. The location is checked for its form only.
func ParseCompletion(body []byte) (Completion, error) {
	var wire wireCompletion
	if err := json.Unmarshal(body, &wire); err != nil {
		return Completion{}, fmt.Errorf("completion message: %w", err)
	}
	at, err := result.ParseDir(wire.Directory)
	if err != nil {
		return Completion{}, fmt.Errorf("completion message: swift_dir: %w", err)
	}
	at.Container = wire.Container
	c := Completion{Location: at, ExitCode: wire.ExitCode, Version: wire.Version, Duration: time.Duration(wire.Duration)}
	if wire.Requester != nil {
		c.Requester = strings.TrimSpace(*wire.Requester)
	}
	if wire.Triggers != nil {
		c.Triggers = strings.Fields(*wire.Triggers)
	}
	for entry := range strings.SplitSeq(wire.Env, ",") {
		if name, found := strings.CutPrefix(entry, "testname="); found {
			c.TestName = name
		} else if strings.HasPrefix(entry, "all-proposed=") {
			c.AllProposed = true
		}
	}
	return c, nil
}

// encode is JSON without the escapes for HTML, which no listener undoes before it compares texts.
func encode(value any) ([]byte, error) {
	var buffer bytes.Buffer
	encoder := json.NewEncoder(&buffer)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(value); err != nil {
		return nil, fmt.Errorf("write the message: %w", err)
	}
	return bytes.TrimSuffix(buffer.Bytes(), []byte("\n")), nil
}
