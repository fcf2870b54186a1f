package testbed

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/config"
)

// Sources are the extra archives of a run, as autopkgtest is told of them.
type Sources struct {
	Lines  []string // values of --add-apt-source
	Copies []Copy   // keys and passwords: files, because a command line is for everybody to read
}

// Copy is a file that autopkgtest copies into the testbed before it does anything else there.
type Copy struct {
	Name    string // in the folder that the run sees as setupInside
	To      string // in the testbed
	Content []byte
	Secret  bool
}

// The files in a testbed. Only root may read the passwords: apt is started by root.
const (
	authInTestbed    = "/etc/apt/auth.conf.d/autopkgtest-cloud.conf"
	keyringInTestbed = "/etc/apt/keyrings/autopkgtest-cloud-%d.gpg"
	authName         = "auth.conf"
)

// ppa is [USER:TOKEN@]OWNER/NAME[:FINGERPRINT], whose form request.Parse has checked.
type ppa struct{ user, token, owner, name, fingerprint string }

func parsePPA(text string) ppa {
	var p ppa
	if credentials, rest, found := strings.Cut(text, "@"); found {
		p.user, p.token, _ = strings.Cut(credentials, ":")
		text = rest
	}
	text, p.fingerprint, _ = strings.Cut(text, ":")
	p.owner, p.name, _ = strings.Cut(text, "/")
	return p
}

// public is the archive's name without what is secret.
func (p ppa) public() string { return p.owner + "/" + p.name }

// sourcesOf prepares the extra archives of a request. A newer autopkgtest finds a public one, and its signing key, by
// itself. For an older one, and for those with a password, which must not stand on a command line, the line that apt wants
// is made here, and the signing key must be in the operator's folder: an archive whose signatures nobody checks is not
// used.
func sourcesOf(ppas []string, release string, conf config.PPA, features Features) (Sources, error) {
	var sources Sources
	var auth strings.Builder
	named, err := archivesOf(ppas)
	if err != nil {
		return Sources{}, err
	}
	for i, p := range named {
		if features.PPA && p.token == "" {
			sources.Lines = append(sources.Lines, p.word())
			continue
		}
		keyring, err := p.keyring(conf.Keys)
		if err != nil {
			return Sources{}, err
		}
		url := p.url(conf)
		to := fmt.Sprintf(keyringInTestbed, i+1)
		sources.Copies = append(sources.Copies, Copy{Name: filepath.Base(to), To: to, Content: keyring})
		if p.token != "" {
			fmt.Fprintf(&auth, "machine %s login %s password %s\n", machineOf(url), p.user, p.token)
		}
		// The blank in front is for autopkgtest: looking for the archive's own lines, to derive those of a pocket from
		// them, it would take this one for one of them. apt does not mind.
		line := fmt.Sprintf(" [signed-by=%s] %s %s main", to, url, release)
		sources.Lines = append(sources.Lines, " deb"+line+"\n deb-src"+line)
	}
	if auth.Len() > 0 {
		sources.Copies = append(sources.Copies, Copy{Name: authName, To: authInTestbed, Content: []byte(auth.String()), Secret: true})
	}
	return sources, nil
}

// word is what a newer autopkgtest takes.
func (p ppa) word() string {
	word := "ppa:" + p.public()
	if p.fingerprint != "" {
		word += ":" + p.fingerprint
	}
	return word
}

// archivesOf reads a request's PPAs, each once: apt refuses an archive that is there twice, with two keys.
func archivesOf(ppas []string) ([]ppa, error) {
	var all []ppa
	for _, text := range ppas {
		p := parsePPA(text)
		twin := slices.IndexFunc(all, func(other ppa) bool {
			return other.public() == p.public() && (other.token == "") == (p.token == "")
		})
		if twin < 0 {
			all = append(all, p)
			continue
		}
		first := &all[twin]
		if first.fingerprint != "" && p.fingerprint != "" && !strings.EqualFold(first.fingerprint, p.fingerprint) {
			return nil, fmt.Errorf("%w: the PPA %s is named twice, with different keys", ErrUnsupported, p.public())
		}
		first.fingerprint = cmp.Or(first.fingerprint, p.fingerprint)
	}
	return all, nil
}

// url is where the archive lies.
func (p ppa) url(conf config.PPA) string {
	template := conf.URL
	if p.token != "" {
		template = conf.PrivateURL
	}
	return strings.NewReplacer("$OWNER", p.owner, "$NAME", p.name).Replace(template)
}

// machineOf is a URL as auth.conf has it: without the scheme of https, so that apts of all ages know it, with that of
// others, so that a password is never sent in the clear unless the operator's URL says so.
func machineOf(url string) string { return strings.TrimPrefix(url, "https://") + "/" }

// keySuffixes are those of files that hold keys, in the order in which they are tried.
var keySuffixes = []string{".asc", ".gpg"}

// keyring returns the archive's signing key. Whoever asks for a fingerprint gets that key and no other.
func (p ppa) keyring(folder string) ([]byte, error) {
	unsupported := func(format string, args ...any) error {
		return fmt.Errorf("%w: the PPA %s: %s", ErrUnsupported, p.public(), fmt.Sprintf(format, args...))
	}
	if p.fingerprint != "" && !fullFingerprint.MatchString(p.fingerprint) {
		return nil, unsupported("its key's fingerprint has %d digits, want all 40: shorter ones can be forged", len(p.fingerprint))
	}
	// These names stand in the log, for whoever is asked for the key; the folder is nobody's business.
	names := []string{filepath.Join(p.owner, p.name)}
	if p.fingerprint != "" {
		names = append([]string{strings.ToUpper(p.fingerprint)}, names...)
	}
	const way = "ask the operators of the test cloud to put the PPA's signing key there, exported with gpg --export, or to use an " +
		"autopkgtest that fetches it itself"
	if folder == "" {
		return nil, unsupported("its signing key is unknown: the worker's configuration has no folder of keys ([ppa] keys); %s", way)
	}
	for _, name := range names {
		for _, suffix := range keySuffixes {
			content, err := os.ReadFile(filepath.Join(folder, name+suffix))
			if errors.Is(err, fs.ErrNotExist) {
				continue
			}
			if err != nil {
				return nil, unsupported("the file %s of signing keys cannot be read", name+suffix)
			}
			keyring, err := selectKeys(content, p.fingerprint)
			if err != nil {
				return nil, unsupported("the file %s of signing keys: %v", name+suffix, err)
			}
			return keyring, nil
		}
	}
	return nil, unsupported("its signing key is unknown: the folder of keys ([ppa] keys) has no %s.asc; %s",
		strings.Join(names, ".asc and no "), way)
}

var fullFingerprint = regexp.MustCompile(`^[0-9a-fA-F]{40}$`)
