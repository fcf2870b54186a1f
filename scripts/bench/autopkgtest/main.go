// Command autopkgtest is a stub of the real one, for measuring what is ours around it: it starts no testbed and runs no test.
// It leaves at once what a small package with two tests leaves, as large and as hard to compress as the real thing, and notes
// in testinfo.json when it was started (startedKey).
package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// startedKey has nanoseconds since 1970, by the machine's clock.
const startedKey = "started"

// help has the words that the worker looks for.
const help = `stub of autopkgtest
  --output-dir DIR
  --architecture ARCH
  --add-apt-source ppa:OWNER/NAME
`

// canary is the package that tells a worker whether its testbeds are sound.
const canary = "autopkgtest-canary"

func main() {
	started := time.Now()
	if slices.Equal(os.Args[1:], []string{"--help"}) {
		fmt.Print(help)
		return
	}
	output := argument("--output-dir")
	if output == "" {
		fmt.Fprintln(os.Stderr, "stub autopkgtest: no --output-dir")
		os.Exit(20)
	}
	ofCanary := slices.ContainsFunc(os.Args[1:], func(arg string) bool { return filepath.Base(arg) == canary })
	if err := write(output, files(started, ofCanary)); err != nil {
		fmt.Fprintln(os.Stderr, "stub autopkgtest:", err)
		os.Exit(1)
	}
	if ofCanary {
		os.Exit(2)
	}
}

func argument(name string) string {
	if i := slices.Index(os.Args, name); i > 0 && i+1 < len(os.Args) {
		return os.Args[i+1]
	}
	return ""
}

// The sizes are those of a package with two small tests.
const (
	packages  = 250
	logLines  = 2500
	noiseSize = 40 << 10
)

// files are those of the output folder. They are the same each time, but for the time.
func files(started time.Time, ofCanary bool) map[string][]byte {
	random := rand.New(rand.NewPCG(1, 2))
	info, _ := json.MarshalIndent(map[string]any{ // texts and numbers alone
		"virt_server": "autopkgtest-virt-stub", "custom_environment": environment(), "nproc": "2", startedKey: started.UnixNano(),
	}, "", "  ")
	summary := "smoke                PASS\nupstream-tests       PASS\n"
	if ofCanary {
		summary = "canary               PASS\nroot-on-testbed      PASS\nreboot               SKIP a stub has nothing to boot\n"
	}
	list := packageList(random)
	return map[string][]byte{
		"log": log(random), "testinfo.json": append(info, '\n'), "summary": []byte(summary),
		"testpkg-version": []byte("green 1:2-3\n"), "testbed-packages": list,
		"smoke-packages": list, "smoke-stdout": []byte(strings.Repeat("ok\n", 300)), "upstream-tests-packages": list,
		"upstream-tests-stdout": log(random)[:30<<10], "artifacts/core": noise(random),
	}
}

// environment is what the command line tells the tests.
func environment() []string {
	entries := []string{}
	for _, arg := range os.Args {
		if entry, found := strings.CutPrefix(arg, "--env="); found {
			entries = append(entries, entry)
		}
	}
	return entries
}

// word is a name as packages have them.
func word(random *rand.Rand) string {
	text := make([]byte, 4+random.IntN(9))
	for i := range text {
		text[i] = byte('a' + random.IntN(26))
	}
	return "lib" + string(text)
}

func packageList(random *rand.Rand) []byte {
	var list bytes.Buffer
	for range packages {
		fmt.Fprintf(&list, "%s:amd64\t%d.%d-%d\n", word(random), random.IntN(9), random.IntN(40), random.IntN(9))
	}
	return list.Bytes()
}

func log(random *rand.Rand) []byte {
	var text bytes.Buffer
	verbs := []string{"Selecting previously unselected package", "Preparing to unpack", "Unpacking", "Setting up",
		"Processing triggers for"}
	for n := range logLines {
		fmt.Fprintf(&text, "%4ds %s %s:amd64 (%d.%d-%d) ...\r\n", n/20, verbs[random.IntN(len(verbs))], word(random), random.IntN(9),
			random.IntN(40), random.IntN(9))
	}
	return text.Bytes()
}

// noise does not compress.
func noise(random *rand.Rand) []byte {
	content := make([]byte, noiseSize)
	for i := range content {
		content[i] = byte(random.Uint32())
	}
	return content
}

func write(folder string, files map[string][]byte) error {
	if err := os.MkdirAll(filepath.Join(folder, "artifacts"), 0o755); err != nil {
		return err
	}
	var failed error
	for name, content := range files {
		failed = errors.Join(failed, os.WriteFile(filepath.Join(folder, name), content, 0o644))
	}
	return failed
}
