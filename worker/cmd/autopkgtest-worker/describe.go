package main

import (
	"fmt"
	"io"
	"os"
	"regexp"
	"strings"
	"time"
	"unicode"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/config"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/lists"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/request"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/testbed"
)

// readRequest reads a message's body from a file, or from standard input for a dash.
func readRequest(path string, in io.Reader) (*request.Request, error) {
	if path != "-" {
		file, err := os.Open(path)
		if err != nil {
			return nil, fmt.Errorf("read the request: %w", err)
		}
		defer func() { _ = file.Close() }()
		in = file
	}
	body, err := io.ReadAll(io.LimitReader(in, request.MaxBody+1))
	if err != nil {
		return nil, fmt.Errorf("read the request: %w", err)
	}
	r, err := request.Parse(body)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return &r, nil
}

// describeRuns tells what holds for all tests. Columns are separated by tabs.
func describeRuns(out io.Writer, s *site) {
	fmt.Fprintf(out, "testbeds\t%s\n", strings.TrimSuffix(s.profile.Backend()+"; "+properties(s).Remark, "; "))
	if s.conf.CheckoutDir != "" {
		fmt.Fprintf(out, "autopkgtest of\t%s\n", s.conf.CheckoutDir)
	}
	for _, v := range s.lists.Versions() {
		state := fmt.Sprintf("%d entries, sha256 %.12s", v.Entries, v.SHA256)
		if v.SHA256 == "" {
			state = "not read"
		}
		fmt.Fprintf(out, "list\t%s\t%s\n", v.Path, state)
	}
	if longest := timeouts(s, "", testbed.Traits{Long: true}).Test; longest > s.conf.Timeout {
		fmt.Fprintf(out, "note\ta test of a package in %s may take %s, but [autopkgtest] timeout ends it after %s\n",
			lists.Long, config.DurationText(longest), config.DurationText(s.conf.Timeout))
	}
}

// describeQueue tells where the tests of a queue are run, and within which time.
func describeQueue(s *site, q request.Queue) string {
	if !lists.Possible(q.Release, q.Architecture) {
		return "refuses all: " + q.Release + " has no testbeds of " + q.Architecture
	}
	words := s.profile.BackendArguments(q)
	if words == nil {
		words = []string{s.profile.Backend()}
		if backend, err := testbed.Lookup(s.profile.Backend()); err == nil {
			words = backend.Arguments(testbed.Testbed{
				Release: q.Release, Architecture: q.Architecture, Image: testbed.ImagePath(s.conf.Images, q),
			})
		}
	}
	plain := timeouts(s, q.Architecture, testbed.Traits{})
	big := timeouts(s, q.Architecture, testbed.Traits{Big: true})
	long := timeouts(s, q.Architecture, testbed.Traits{Long: true})
	return fmt.Sprintf("in %s\tshort %s, install %s, copy %s, build %s (long %s), test %s (big %s, long %s)", shown(words),
		seconds(plain.Short), seconds(plain.Install), seconds(plain.Copy), seconds(plain.Build), seconds(long.Build),
		seconds(plain.Test), seconds(big.Test), seconds(long.Test))
}

// properties are the backend's; none of one that this program does not have.
func properties(s *site) testbed.Properties {
	backend, err := testbed.Lookup(s.profile.Backend())
	if err != nil {
		return testbed.Properties{}
	}
	return backend.Properties()
}

// timeouts are those of a run on this machine.
func timeouts(s *site, architecture string, traits testbed.Traits) testbed.Timeouts {
	return testbed.DefaultTimeouts.For(architecture, traits).Stretched(properties(s).Stretch)
}

func seconds(d time.Duration) string { return fmt.Sprintf("%ds", d/time.Second) }

// describeRequest tells what would be executed for a request, in each queue in which it could come.
func describeRequest(out io.Writer, s *site, runner *testbed.Runner, runnerErr error, r request.Request) {
	found := false
	for _, q := range queues(s.conf) {
		if q.Context != r.Context(false) {
			continue
		}
		found = true
		line, err := commandLine(s, runner, runnerErr, q, r)
		if err != nil {
			line = "nothing: " + strings.ReplaceAll(err.Error(), "\n", "; ")
		}
		fmt.Fprintf(out, "executes\t%s\t%s\n", q.Name(), line)
	}
	if !found {
		fmt.Fprintf(out, "executes\tnothing: the request belongs to the context %q, of which this worker has no queue\n", r.Context(false))
	}
}

func commandLine(s *site, runner *testbed.Runner, runnerErr error, q request.Queue, r request.Request) (string, error) {
	if reason, version, refuse := s.refuse(q, r.Package); refuse {
		return "", fmt.Errorf("it ends with exit code 99 and version %s: %s", version, reason)
	}
	if runnerErr != nil {
		return "", runnerErr
	}
	args, err := runner.CommandLine(s.tailor(testbed.Job{Request: r, Queue: q, Image: testbed.ImagePath(s.conf.Images, q)}))
	if err != nil {
		return "", err
	}
	return shown(withoutSecrets(args, r)), nil
}

// passwordInURL is what stands between the colon and the @ of a URL.
var passwordInURL = regexp.MustCompile(`(://[^/\s:@]*:)[^/\s@]+@`)

// secretName is the name of an environment variable that holds a secret.
var secretName = regexp.MustCompile(`(?i)(token|passw|secret|key|credential)`)

// withoutSecrets masks what only the requester should know: passwords in URLs, and the environment of a private test.
func withoutSecrets(args []string, r request.Request) []string {
	shown := make([]string, len(args))
	for i, arg := range args {
		option, rest, _ := strings.Cut(arg, "=")
		name, _, _ := strings.Cut(rest, "=")
		if option == "--env" && name != "ADT_TEST_TRIGGERS" && (r.Private() || secretName.MatchString(name)) {
			arg = option + "=" + name + "=***"
		}
		shown[i] = passwordInURL.ReplaceAllString(arg, "$1***@")
	}
	return shown
}

// controls are the signs that a shell takes in $'…' for those that it cannot be given as they are.
var controls = strings.NewReplacer(`\`, `\\`, "'", `\'`, "\n", `\n`, "\t", `\t`, "\r", `\r`, "\x1b", `\e`)

// shown is a command line on one line, as it could be typed into a shell.
func shown(args []string) string {
	words := withoutSecrets(args, request.Request{})
	for i, word := range words {
		if strings.ContainsFunc(word, unicode.IsControl) {
			words[i] = "$'" + controls.Replace(word) + "'"
			continue
		}
		words[i] = config.JoinQuoted(words[i : i+1])
	}
	return strings.Join(words, " ")
}
