// Command autopkgtest is a stub of the real one, for tests of everything around it: it starts no testbed and runs no test.
// After a moment it leaves a folder of output as the real one does, or one that breaks off, and ends as it is told by an
// entry of the request's environment:
//
//	--env=CHAOS=KIND,MILLISECONDS,BYTES     see Kind in package plan
//
// Without that entry all is well. The canary of testbeds passes at once.
package main

import (
	"bytes"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	mathrand "math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/scripts/chaos/plan"
)

// help has the words that the worker looks for.
const help = `stub of autopkgtest
  --output-dir DIR
  --architecture ARCH
  --add-apt-source ppa:OWNER/NAME
`

// exitUsage is what the real one says to a command line that it does not understand.
const exitUsage = 20

func main() {
	os.Exit(start(os.Args[1:], os.Stdout, os.Stderr))
}

func start(args []string, stdout, stderr io.Writer) int {
	if len(args) == 1 && args[0] == "--help" {
		_, _ = io.WriteString(stdout, help)
		return 0
	}
	c, err := parse(args)
	if err != nil {
		fmt.Fprintln(stderr, "stub autopkgtest:", err)
		return exitUsage
	}
	code, err := c.run(mathrand.IntN(10) < 7)
	if err != nil {
		fmt.Fprintln(stderr, "stub autopkgtest:", err)
		return 1
	}
	return code
}

// canary is the package that tells a worker whether its testbeds are sound.
const canary = "autopkgtest-canary"

// call is what the command line asks for.
type call struct {
	args    []string
	output  string
	pkg     string
	env     []string
	outcome plan.Outcome
}

func parse(args []string) (call, error) {
	c := call{args: args, outcome: plan.Outcome{Kind: plan.Pass}, pkg: "unknown"}
	for i, arg := range args {
		if arg == "--" {
			break
		}
		switch entry, isEnv := strings.CutPrefix(arg, "--env="); {
		case isEnv:
			c.env = append(c.env, entry)
		case arg == "--output-dir" && i+1 < len(args):
			c.output = args[i+1]
		case strings.HasPrefix(arg, "--"):
		case i > 0 && strings.HasPrefix(args[i-1], "--") && takesValue(args[i-1]):
		default:
			c.pkg = filepath.Base(strings.TrimSuffix(arg, "/"))
		}
	}
	if c.output == "" {
		return call{}, errors.New("no --output-dir")
	}
	for _, entry := range c.env {
		if told, found := strings.CutPrefix(entry, "CHAOS="); found {
			var err error
			if c.outcome, err = ParseOutcome(told); err != nil {
				return call{}, err
			}
		}
		// Tests from git are named by their URL, results by the package.
		if name, found := strings.CutPrefix(entry, "CHAOS_PACKAGE="); found {
			c.pkg = name
		}
	}
	return c, nil
}

func takesValue(option string) bool {
	return option == "--output-dir" || option == "--setup-commands" || option == "-a"
}

// ParseOutcome reads the entry's value.
func ParseOutcome(text string) (plan.Outcome, error) {
	fields := strings.Split(text, ",")
	if len(fields) != 3 {
		return plan.Outcome{}, fmt.Errorf("CHAOS=%s: want KIND,MILLISECONDS,BYTES", text)
	}
	milliseconds, err := strconv.Atoi(fields[1])
	size, err2 := strconv.Atoi(fields[2])
	if err := errors.Join(err, err2); err != nil {
		return plan.Outcome{}, fmt.Errorf("CHAOS=%s: %w", text, err)
	}
	return plan.Outcome{Kind: plan.Kind(fields[0]), Took: time.Duration(milliseconds) * time.Millisecond, Size: size}, nil
}

// run works for a while and leaves its output. A kind that is not the package's own result comes up only when it is due:
// otherwise the tests pass.
func (c call) run(due bool) (int, error) {
	kind := c.outcome.Kind
	if !due && !kind.OfPackage() {
		kind = plan.Pass
	}
	o, err := openOutput(c.output)
	if err != nil {
		return 0, err
	}
	defer func() { _ = o.log.Close() }()
	o.say("stub autopkgtest: no test is run here; command line: %s", strings.Join(c.args, " "))
	o.say("host: chaos; %s is going to end as %q", c.pkg, kind)
	half := c.outcome.Took / 2
	time.Sleep(half)
	code := o.end(c, kind, c.outcome.Took-half)
	return code, o.err
}

// end leaves what the kind leaves, and returns the exit code.
func (o *output) end(c call, kind plan.Kind, rest time.Duration) int {
	if c.pkg == canary {
		o.write("testinfo.json", c.testInfo())
		o.write("summary", []byte("canary               PASS\nroot-on-testbed      PASS\n"+
			"reboot               SKIP a stub has nothing to boot\n"))
		return 2
	}
	if kind == plan.Usage {
		o.say("stub: error: something unexpected")
		return exitUsage
	}
	if kind == plan.Tmpfail { // it does not get to a version, and says little of itself
		o.write("testinfo.json", []byte(`{"virt_server": "autopkgtest-virt-stub"}`+"\n"))
		o.write("summary", []byte("testbed failure: the stub's testbed has gone\n"))
		o.say("<VirtSubproc>: failure: the stub's testbed has gone")
		return 16
	}
	if kind == plan.Crash {
		o.say("Traceback (most recent call last):\n  File \"runner/autopkgtest\", line 1, in <module>")
		return 1
	}
	o.write("testpkg-version", []byte(c.pkg+" 1.0-1\n"))
	if kind == plan.Signal { // nor does one that is killed get to its testinfo.json
		time.Sleep(rest)
		o.say("stub: going to kill myself in the mid")
		_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
		select {} // it comes
	}
	o.write("testinfo.json", c.testInfo())
	if kind == plan.BadPkg {
		o.say("blame: %s\nbadpkg: Test dependencies are unsatisfiable.", c.pkg)
		o.write("summary", []byte("stub                 FAIL badpkg\n"))
		return 12
	}
	o.write("testbed-packages", packages())
	if kind == plan.Neutral {
		o.write("summary", []byte("*                    SKIP no tests in this package\n"))
		return 8
	}
	o.say("test stub: [-----------------------")
	time.Sleep(rest)
	o.artifact(c.outcome.Size)
	o.say("test stub: -----------------------]")
	word, code := "PASS", 0
	if kind == plan.Fail {
		word, code = "FAIL non-zero exit status 1", 4
	}
	o.write("stub-packages", packages())
	o.write("stub-stdout", []byte(strings.Repeat("what a test prints\n", 200)))
	summary := "stub                 " + word + "\n"
	if kind == plan.Skip {
		summary, code = summary+"other                SKIP needs more than a stub\n", 2
	}
	o.write("summary", []byte(summary))
	return code
}

func (c call) testInfo() []byte {
	info := map[string]any{
		"virt_server": "autopkgtest-virt-stub", "custom_environment": c.env, "nproc": "2", "kernel_version": "stub",
	}
	content, _ := json.MarshalIndent(info, "", "  ") // strings alone
	return append(content, '\n')
}

// packages is as long as the real list of a small testbed.
func packages() []byte {
	var list bytes.Buffer
	for n := range 180 {
		fmt.Fprintf(&list, "libstub%d-0:amd64\t1.%d-1+b1\n", n, n)
	}
	return list.Bytes()
}

// output is the folder that is being written.
type output struct {
	folder string
	log    *os.File
	err    error // the first one
}

func openOutput(folder string) (*output, error) {
	log, err := os.OpenFile(filepath.Join(folder, "log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return nil, err
	}
	return &output{folder: folder, log: log}, nil
}

func (o *output) keep(err error) {
	if o.err == nil {
		o.err = err
	}
}

func (o *output) say(format string, arguments ...any) {
	line := fmt.Sprintf(format, arguments...)
	_, err := fmt.Fprintf(o.log, "autopkgtest [%s]: %s\n", time.Now().Format("15:04:05"), line)
	o.keep(err)
}

func (o *output) write(name string, content []byte) {
	o.keep(os.WriteFile(filepath.Join(o.folder, name), content, 0o644))
}

// artifact does not compress, so that its upload takes its time.
func (o *output) artifact(size int) {
	folder := filepath.Join(o.folder, "artifacts")
	if err := os.MkdirAll(folder, 0o755); err != nil {
		o.keep(err)
		return
	}
	content := make([]byte, size)
	_, _ = rand.Read(content) // never fails
	o.write(filepath.Join("artifacts", "noise"), content)
}
