package image

import (
	"bufio"
	"bytes"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// source is one suite of one archive, as apt on this machine knows it. Only what apt gets packages from over the network
// is of interest: the testbeds will have to reach it too.
type source struct {
	URI           string // http or https, without a slash at its end
	Suite         string
	Components    []string
	Architectures []string // empty for all
	SignedBy      string   // path of a keyring, or empty
}

// shown is the archive's address for people: without a password.
func (s source) shown() string {
	u, err := url.Parse(s.URI)
	if err != nil {
		return "an address that cannot be read"
	}
	return u.Redacted()
}

// hostSources reads all of apt's sources below a root folder, which is / but for tests. What cannot be read or understood
// is left out: apt itself is the one to complain about it.
func hostSources(root string) []source {
	var sources []source
	lists, _ := filepath.Glob(filepath.Join(root, "etc/apt/sources.list.d/*.list"))
	for _, path := range append([]string{filepath.Join(root, "etc/apt/sources.list")}, lists...) {
		if content, err := os.ReadFile(path); err == nil {
			sources = append(sources, parseList(content)...)
		}
	}
	stanzas, _ := filepath.Glob(filepath.Join(root, "etc/apt/sources.list.d/*.sources"))
	for _, path := range stanzas {
		if content, err := os.ReadFile(path); err == nil {
			sources = append(sources, parseStanzas(content)...)
		}
	}
	var usable []source
	for _, s := range sources {
		s.URI = strings.TrimRight(followMirrorList(root, s.URI), "/")
		if strings.HasPrefix(s.URI, "http://") || strings.HasPrefix(s.URI, "https://") {
			usable = append(usable, s)
		}
	}
	return usable
}

// parseList reads the one-line form: deb [OPTION=VALUE...] URI SUITE COMPONENT...
func parseList(content []byte) []source {
	var sources []source
	for scanner := bufio.NewScanner(bytes.NewReader(content)); scanner.Scan(); {
		line, _, _ := strings.Cut(scanner.Text(), "#")
		fields := strings.Fields(line)
		if len(fields) == 0 || fields[0] != "deb" {
			continue
		}
		var s source
		fields = fields[1:]
		if len(fields) > 0 && strings.HasPrefix(fields[0], "[") {
			end := slices.IndexFunc(fields, func(field string) bool { return strings.HasSuffix(field, "]") })
			if end < 0 {
				continue
			}
			s.setOptions(strings.Trim(strings.Join(fields[:end+1], " "), "[]"))
			fields = fields[end+1:]
		}
		if len(fields) < 3 { // a suite that ends in a slash has no components: no archive of a distribution
			continue
		}
		s.URI, s.Suite, s.Components = fields[0], fields[1], fields[2:]
		sources = append(sources, s)
	}
	return sources
}

func (s *source) setOptions(options string) {
	for _, option := range strings.Fields(options) {
		name, value, _ := strings.Cut(option, "=")
		switch strings.ToLower(name) {
		case "arch":
			s.Architectures = strings.Split(value, ",")
		case "signed-by":
			s.SignedBy = keyringPath(value)
		}
	}
}

// keyringPath returns the path of a keyring; a key that stands in the source itself or is named by its fingerprint is of
// no use elsewhere.
func keyringPath(value string) string {
	if value = strings.TrimSpace(value); strings.HasPrefix(value, "/") && !strings.ContainsAny(value, "\n, ") {
		return value
	}
	return ""
}

// parseStanzas reads the deb822 form. A stanza stands for every combination of its URIs and suites.
func parseStanzas(content []byte) []source {
	var sources []source
	for _, fields := range stanzas(content) {
		enabled := strings.ToLower(fields["enabled"])
		if !slices.Contains(strings.Fields(fields["types"]), "deb") || enabled == "no" || enabled == "false" || enabled == "0" {
			continue
		}
		components := strings.Fields(fields["components"])
		if len(components) == 0 {
			continue
		}
		for _, uri := range strings.Fields(fields["uris"]) {
			for _, suite := range strings.Fields(fields["suites"]) {
				sources = append(sources, source{URI: uri, Suite: suite, Components: components,
					Architectures: strings.Fields(fields["architectures"]), SignedBy: keyringPath(fields["signed-by"])})
			}
		}
	}
	return sources
}

// stanzas splits a file of fields, their names in small letters. Comments may stand between the lines of a stanza.
func stanzas(content []byte) []map[string]string {
	var all []map[string]string
	fields, last := map[string]string{}, ""
	finish := func() {
		if len(fields) > 0 {
			all = append(all, fields)
		}
		fields, last = map[string]string{}, ""
	}
	scanner := bufio.NewScanner(bytes.NewReader(content))
	scanner.Buffer(nil, 1<<20)
	for scanner.Scan() {
		line := scanner.Text()
		switch {
		case strings.HasPrefix(line, "#"):
		case strings.TrimSpace(line) == "":
			finish()
		case line[0] == ' ' || line[0] == '\t':
			if last != "" {
				fields[last] += "\n" + strings.TrimSpace(line)
			}
		default:
			name, value, found := strings.Cut(line, ":")
			if last = ""; found {
				last = strings.ToLower(strings.TrimSpace(name))
				fields[last] = strings.TrimSpace(value)
			}
		}
	}
	finish()
	return all
}

// followMirrorList resolves the form mirror+file:PATH, which the images of cloud providers have: a file of archives, one
// in each line, the best one first.
func followMirrorList(root, uri string) string {
	path, found := strings.CutPrefix(uri, "mirror+file:")
	if !found {
		return uri
	}
	content, err := os.ReadFile(filepath.Join(root, strings.TrimLeft(path, "/")))
	if err != nil {
		return uri
	}
	for line := range strings.Lines(string(content)) {
		if fields := strings.Fields(line); len(fields) > 0 && strings.HasPrefix(fields[0], "http") {
			return fields[0]
		}
	}
	return uri
}
