package host

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net"
	"path/filepath"
	"strconv"
	"strings"
	"text/template"
)

// unitSection is the part of a unit file by which we know our own. systemd passes over sections whose names begin so.
const unitSection = "[X-Autopkgtest-Cloud]\n"

// processUnit is a process's unit.
//
// The log is written by svlogd, as everywhere, which is what bounds it; it has a unit of its own and reads from a pipe in the
// file system. The process opens that pipe for both directions: so it never finds it without a reader, and outlives any svlogd.
//
// What is said of memory: the kernel ends one process of a test that eats too much, and that must not be the end of all others.
var processUnit = template.Must(template.New("unit").Parse(
	`# Written by autopkgtest-cloud. A change made by hand is undone by the next apply.
[Unit]
Description=autopkgtest-cloud: {{.Process}} of the stack {{.Stack}}
Wants=network-online.target {{.LogUnit}}
After=network-online.target {{.LogUnit}}
RequiresMountsFor={{.Folder}}
StartLimitIntervalSec=0

[Service]
Type={{if .Notify}}notify{{else}}exec{{end}}
{{- if .Notify}}
WatchdogSec=2min
{{- end}}
User={{.User}}
Group={{.Group}}
WorkingDirectory={{.WorkingFolder}}
UMask=0022
{{- range .Environment}}
Environment={{.}}
{{- end}}
EnvironmentFile=-{{.Inputs}}
ExecStart=/bin/sh -c {{.Script}} {{.Pipe}}{{range .Argv}} {{.}}{{end}}
Restart=always
RestartSec=1s
KillMode=mixed
TimeoutStopSec={{.StopWait}}
LimitNOFILE=65536
LimitNPROC=infinity
TasksMax=infinity
OOMPolicy=continue
{{.Hardening}}
[Install]
WantedBy=multi-user.target

`))

// logUnit is the unit of a process's svlogd. It is started by the process's.
var logUnit = template.Must(template.New("log unit").Parse(
	`# Written by autopkgtest-cloud. A change made by hand is undone by the next apply.
[Unit]
Description=autopkgtest-cloud: log of {{.Process}} of the stack {{.Stack}}
RequiresMountsFor={{.Folder}}
StartLimitIntervalSec=0

[Service]
Type=exec
User={{.User}}
Group={{.Group}}
UMask=0022
{{- range .Environment}}
Environment={{.}}
{{- end}}
ExecStart=/bin/sh -c {{.Script}} {{.Pipe}} {{.LogFolder}}
Restart=always
RestartSec=100ms
KillMode=mixed
TimeoutStopSec=10s
{{.Hardening}}
`))

// The words of shell before the program and before svlogd. Whoever comes first makes the pipe.
const (
	makePipe      = `[ -p "$0" ] || mkfifo -m 0600 -- "$0" 2>/dev/null; `
	processScript = makePipe + `exec "$@" 1<>"$0" 2>&1`
	svlogdScript  = makePipe + `exec svlogd -tt "$1" 0<>"$0"`
)

// openHardening is what a process may be denied that makes namespaces for others, with programs that are set-uid: nothing that comes
// with a filter of system calls, which would also keep those programs from their rights, and nothing that covers a part of
// /proc, because then the kernel refuses a fresh one to whoever makes a namespace.
const openHardening = `ProtectSystem=strict
ProtectHome=read-only
ReadWritePaths=%s
%s`

// closedHardening is for everybody else.
const closedHardening = openHardening + `NoNewPrivileges=yes
CapabilityBoundingSet=%[3]s
AmbientCapabilities=%[3]s
PrivateDevices=yes
ProtectClock=yes
ProtectControlGroups=yes
ProtectHostname=yes
ProtectKernelLogs=yes
ProtectKernelModules=yes
ProtectKernelTunables=yes
LockPersonality=yes
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
SystemCallArchitectures=native
`

// hardening of a process of the stack.
func (d *Directory) hardening(namespaces bool, listen []string) string {
	private := "PrivateTmp=yes\n"
	for _, shared := range []string{"/tmp/", "/var/tmp/"} {
		if strings.HasPrefix(d.path, shared) {
			private = "" // the stack would not find itself
		}
	}
	if namespaces {
		return fmt.Sprintf(openHardening, d.path, private)
	}
	return fmt.Sprintf(closedHardening, d.path, private, capabilities(listen))
}

// capabilities that a process needs: those for its ports.
func capabilities(listen []string) string {
	for _, address := range listen {
		if _, port, err := net.SplitHostPort(address); err == nil {
			if number, err := strconv.Atoi(port); err == nil && number < 1024 {
				return "CAP_NET_BIND_SERVICE"
			}
		}
	}
	return ""
}

// unitName names the unit of a process, or of its log.
func (d *Directory) unitName(process string) string {
	return unitPrefix + d.stack + "-" + unitPart(process) + unitSuffix
}

// unitPart is a process's part in the name of its unit. That of a log has a slash, which a unit's name cannot have.
func unitPart(process string) string { return strings.Replace(process, "/", ".", 1) }

const (
	unitPrefix = "autopkgtest-"
	unitSuffix = ".service"
)

// pipe is what a process writes to, and its svlogd reads from.
func (d *Directory) pipe(process string) string { return d.Path("log", process, "pipe") }

// renderUnit writes the unit of a process.
func (d *Directory) renderUnit(service string, p Process) (string, error) {
	data := map[string]any{
		"Process": p.Name, "Stack": d.stack, "Folder": d.path, "LogUnit": d.unitName(logMark(p.Name)), "Notify": p.Notify,
		"User": d.account.Name, "Group": d.account.GID, "WorkingFolder": d.ServicePath(service, p.Dir),
		"Environment": assignments(append(d.environment(p.Name, d.ServicePath(service)), p.Env...)),
		"Inputs":      d.Path(unitInputs(service, p.Name)),
		"Script":      word(processScript), "Pipe": word(d.pipe(p.Name)), "Argv": words(p.Argv),
		"StopWait":  fmt.Sprintf("%dms", p.stopWait().Milliseconds()),
		"Hardening": d.hardening(p.Namespaces, p.Listen),
	}
	return d.finishUnit(processUnit, data, service, p.Name)
}

// renderLogUnit writes the unit of a process's log. Its inputs are in the unit itself.
func (d *Directory) renderLogUnit(service string, p Process) (string, error) {
	name := logMark(p.Name)
	environment := append(d.environment(name, d.path), inputsMark+"="+fingerprint("", [][]byte{[]byte(p.Log.Filled().config())}))
	data := map[string]any{
		"Process": p.Name, "Stack": d.stack, "Folder": d.path, "User": d.account.Name, "Group": d.account.GID,
		"Environment": assignments(environment), "Script": word(svlogdScript),
		"Pipe": word(d.pipe(p.Name)), "LogFolder": word(d.Path("log", p.Name)), "Hardening": d.hardening(false, nil),
	}
	return d.finishUnit(logUnit, data, service, name)
}

// finishUnit adds whose the unit is, and the sum by which a change made by hand is seen.
func (d *Directory) finishUnit(from *template.Template, data any, service, process string) (string, error) {
	var b strings.Builder
	if err := from.Execute(&b, data); err != nil {
		return "", fmt.Errorf("write the unit of process %s: %w", process, err)
	}
	fmt.Fprintf(&b, "%sDirectory=%s\nService=%s\nProcess=%s\n", unitSection, d.path, service, process)
	return b.String() + "Sum=" + sumOf(b.String()) + "\n", nil
}

func sumOf(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:])
}

// owner is what a unit file says of whose it is.
type owner struct {
	directory, service, process string
	intact                      bool // it is as it was written
}

// ownerOfUnit reads a unit file; of a stranger's there is none.
func ownerOfUnit(text string) (owner, bool) {
	before, section, found := strings.Cut(text, unitSection)
	if !found {
		return owner{}, false
	}
	var o owner
	written := before + unitSection
	for line := range strings.Lines(section) {
		key, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), "=")
		switch key {
		case "Directory":
			o.directory = value
		case "Service":
			o.service = value
		case "Process":
			o.process = value
		case "Sum":
			o.intact = value == sumOf(written) && text == written+line
		}
		written += line
	}
	return o, true
}

// unitInputs is the file, relative to the stack's folder, from which a process gets its inputs. It is read at each start, so that a
// change of a file of the service does not need a new unit.
func unitInputs(service, process string) string {
	return filepath.Join("services", service, "systemd", process, "inputs")
}

// word makes one word of any text for a command in a unit.
func word(text string) string {
	return `"` + strings.NewReplacer(`$`, `$$`).Replace(escape(text)) + `"`
}

func words(texts []string) []string {
	var all []string
	for _, text := range texts {
		all = append(all, word(text))
	}
	return all
}

// assignments makes what Environment= takes of variables; there a dollar stands for itself. Of two with one name the later counts.
func assignments(variables []string) []string {
	var all []string
	for _, variable := range variables {
		all = append(all, `"`+escape(variable)+`"`)
	}
	return all
}

func escape(text string) string {
	return strings.NewReplacer(`\`, `\\`, `"`, `\"`, `%`, `%%`, "\t", `\t`).Replace(text)
}
