package lxd

import (
	"strings"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/testbed"
)

// serverPrefix begins the names that autopkgtest's server makes up.
const serverPrefix = "autopkgtest-lxd-"

// withClient puts our client before LXD's own.
func withClient(f *testbed.Furniture, t testbed.Testbed) {
	f.Files[clientFolder+"/lxc"] = client(t.Name)
	for _, entry := range testbed.Environment("/tmp") {
		if path, found := strings.CutPrefix(entry, "PATH="); found {
			f.Environment = append(f.Environment, "PATH="+clientFolder+":"+path)
		}
	}
}

// client is an lxc that calls the real one. Where autopkgtest's server names a container, the name of the run is put in: with
// the server's own, nobody could tell whose container it is when the run is dead. A name that the operator chose stays.
func client(name string) string {
	return `#!/bin/sh
PATH=${PATH#` + clientFolder + `:}
words=$#
ours=yes
while [ "$words" -gt 0 ]; do
    word=$1
    shift
    case $ours$word in
    yes--)
        ours=
        ;;
    yes` + serverPrefix + `* | yes*:` + serverPrefix + `*)
        word=${word%%` + serverPrefix + `*}` + name + `-${word##*` + serverPrefix + `}
        ;;
    esac
    set -- "$@" "$word"
    words=$((words - 1))
done
exec lxc "$@"
`
}

// remoteOf is the remote, with its colon, on which an operator's arguments have containers made; empty for this machine's own
// daemon. The options of lxc launch, which follow the image, have none that is called like this.
func remoteOf(given []string) string {
	for i, word := range given {
		remote, found := strings.CutPrefix(word, "--remote=")
		if (word == "-r" || word == "--remote") && i+1 < len(given) {
			remote, found = given[i+1], true
		}
		if found {
			return strings.TrimSuffix(remote, ":") + ":"
		}
	}
	return ""
}
