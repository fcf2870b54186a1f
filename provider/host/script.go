package host

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"
	"text/template"
	"time"
)

// unfinished stands in a run script in place of the inputs while they are being changed: a process that happens to be
// restarted in that moment must be restarted once more.
const unfinished = "unfinished"

// runScript becomes the process. The middle part is about a runsv that was killed: its process lives on without one, the
// new runsv runs this script, and two of a kind would fight for ports or work. The old one is known by the pid that
// this script left, and by its environment in case the number has been given to somebody else since.
var runScript = template.Must(template.New("run").Parse(`#!/bin/sh
# Written by autopkgtest-cloud. A change made by hand is undone by the next apply.
exec 2>&1
{{range .Environment}}export {{.}}
{{end}}
ours() {
	[ -r "/proc/$1/environ" ] && tr '\0' '\n' 2>/dev/null <"/proc/$1/environ" |
		grep -cxF -e "` + DirectoryMark + `=$` + DirectoryMark + `" -e "` + ProcessMark + `=$` + ProcessMark + `" |
		grep -qx 2
}
if [ -s pid ] && read -r old <pid && [ "$old" != $$ ] && ours "$old"; then
	echo "ending process $old, which has lost its supervisor"
	kill -TERM "$old"
	waited=0
	while [ "$waited" -lt {{.Tenths}} ] && ours "$old"; do
		sleep 0.1
		waited=$((waited + 1))
	done
	! ours "$old" || kill -KILL "$old"
fi
echo $$ >pid
cd {{.Dir}} || exit 1
exec{{range .Argv}} {{.}}{{end}}
`))

// logScript: svlogd alone keeps the log bounded, by log/PROCESS/config.
var logScript = template.Must(template.New("log").Parse(`#!/bin/sh
export {{.Mark}}
exec svlogd -tt {{.Folder}}
`))

// logMark is the ProcessMark of a process's svlogd.
func logMark(process string) string { return process + "/log" }

// render writes a process's run script with the given inputs.
func (d *Directory) render(service string, p Process, inputs string) (string, error) {
	environment := append(d.environment(p.Name, d.ServicePath(service)), p.Env...)
	environment = append(environment, inputsMark+"="+inputs)
	data := struct {
		Environment, Argv []string
		Dir               string
		Tenths            int64
	}{Dir: quote(d.ServicePath(service, p.Dir)), Tenths: int64(p.stopWait() / (100 * time.Millisecond))}
	for _, variable := range environment {
		key, value, _ := strings.Cut(variable, "=")
		data.Environment = append(data.Environment, key+"="+quote(value))
	}
	for _, argument := range p.Argv {
		data.Argv = append(data.Argv, quote(argument))
	}
	var b strings.Builder
	if err := runScript.Execute(&b, data); err != nil {
		return "", fmt.Errorf("write the run script of process %s: %w", p.Name, err)
	}
	return b.String(), nil
}

func (d *Directory) renderLog(name string) (string, error) {
	var b strings.Builder
	err := logScript.Execute(&b, map[string]string{
		"Mark":   ProcessMark + "=" + quote(logMark(name)),
		"Folder": quote(d.Path("log", name)),
	})
	if err != nil {
		return "", fmt.Errorf("write the log script of process %s: %w", name, err)
	}
	return b.String(), nil
}

// quote makes one shell word of any text.
func quote(text string) string { return "'" + strings.ReplaceAll(text, "'", `'\''`) + "'" }

// fingerprint names all that a process is started with: its script, and what is in the files that it reads.
func fingerprint(script string, contents [][]byte) string {
	sum := sha256.New()
	for _, part := range append([][]byte{[]byte(script)}, contents...) {
		sum.Write([]byte(strconv.Itoa(len(part)) + ":"))
		sum.Write(part)
	}
	return hex.EncodeToString(sum.Sum(nil))[:24]
}

// newInputs gives a fingerprint a number of its own. A file can change and change back; a process that was restarted in
// between runs with what was there then, and its inputs tell.
func newInputs(fingerprint string) string { return fingerprint + "-" + rand.Text()[:8] }

// sameInputs says whether inputs were made from the fingerprint.
func sameInputs(inputs, fingerprint string) bool { return strings.HasPrefix(inputs, fingerprint+"-") }

// markUnfinished puts the word in place of the inputs of a script.
func markUnfinished(script string) string {
	if inputs := scriptInputs(script); inputs != "" {
		return strings.Replace(script, "export "+inputsMark+"='"+inputs+"'", "export "+inputsMark+"='"+unfinished+"'", 1)
	}
	return script
}
