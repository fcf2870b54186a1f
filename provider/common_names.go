package provider

import (
	"fmt"
	"slices"
	"strings"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/request"
)

// normalContext is how configurations write the context that has no name.
const normalContext = "normal"

// contextNames are the contexts as configurations write them, in the order of request.Contexts.
func contextNames() []string {
	names := make([]string, len(request.Contexts))
	for i, c := range request.Contexts {
		names[i] = contextName(c)
	}
	return names
}

func contextName(c request.Context) string {
	if c == request.Normal {
		return normalContext
	}
	return string(c)
}

// contextWords are contexts in the words of configurations.
func contextWords(contexts []string) []string {
	words := make([]string, len(contexts))
	for i, c := range contexts {
		words[i] = contextName(request.Context(c))
	}
	return words
}

func contextFromName(name string) (request.Context, error) {
	if name == normalContext {
		name = string(request.Normal)
	}
	if !slices.Contains(request.Contexts, request.Context(name)) {
		return "", fmt.Errorf("unknown context %q: the contexts are %s", name, strings.Join(contextNames(), ", "))
	}
	return request.Context(name), nil
}

// The rules for one word at a time are those of a whole queue, with the other words known to be good.

func checkRelease(release string) error {
	return request.Queue{Release: release, Architecture: "amd64"}.Validate()
}

// foreignArchitectures are names that others have for Debian's architectures.
var foreignArchitectures = map[string]string{
	"x86_64": "amd64", "x64": "amd64", "aarch64": "arm64", "i686": "i386", "i586": "i386", "x86": "i386", "armv7l": "armhf",
	"armv7hl": "armhf", "armv7": "armhf", "ppc64le": "ppc64el", "powerpc64le": "ppc64el", "riscv": "riscv64",
}

func checkArchitecture(architecture string) error {
	if debian, foreign := foreignArchitectures[strings.ToLower(architecture)]; foreign {
		return fmt.Errorf("%q is not Debian's name, by which workers and requesters know it: write %q", architecture, debian)
	}
	return request.Queue{Release: "noble", Architecture: architecture}.Validate()
}

// queuesOf are the queues of each context x release x architecture, in that order.
func queuesOf(contexts []request.Context, releases, architectures []string) []request.Queue {
	var queues []request.Queue
	for _, c := range contexts {
		for _, release := range releases {
			for _, architecture := range architectures {
				queues = append(queues, request.Queue{Context: c, Release: release, Architecture: architecture})
			}
		}
	}
	return queues
}
