package testbed

import (
	"regexp"
	"strings"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/config"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/request"
)

// Profile is what an operator's configuration says of all runs.
type Profile struct {
	conf      config.Worker
	variables Variables
	backend   string
	words     []virtWord // what follows `--`; none: the backend makes it
	small     string     // what $PACKAGESIZE stands for
	large     string

	// foreign says that the words are for testbeds of amd64 when tests of i386 are asked for.
	foreign bool
}

// virtWord is a word of what follows `--`. One that was quoted stays one word, whatever its variables stand for.
type virtWord struct {
	text   string
	quoted bool
}

// NewProfile reads a configuration. It fails when a run could not be made of it: a variable that nobody has set.
func NewProfile(conf config.Worker, variables Variables) (Profile, error) {
	p := Profile{conf: conf, variables: variables, backend: conf.Backend}
	where := "[virt] args"
	switch {
	case conf.Virt.Arguments != "":
		for _, word := range strings.Fields(conf.Virt.Arguments) {
			p.words = append(p.words, virtWord{text: word})
		}
		p.backend, p.foreign = p.words[0].text, true
		p.small, p.large = conf.Virt.PackageSizeDefault, conf.Virt.PackageSizeBig
	case conf.Backend == "nova":
		where = "[nova]"
		p.quoted("nova")
		p.quoted(conf.Nova.NovaWords("$" + variableSize)...)
		p.small, p.large = conf.Nova.Flavor, conf.Nova.BigFlavor
	case conf.Backend == "lxc" && conf.LXC.Container != "":
		where = "[lxc]"
		p.quoted("lxc")
		p.quoted(conf.LXC.Options...)
		p.quoted(conf.LXC.Container)
	}
	for _, big := range []bool{false, true} {
		for _, word := range p.virtualization(request.Queue{}, Traits{Big: big}) {
			if err := complete(where, word); err != nil {
				return Profile{}, err
			}
		}
	}
	return p, nil
}

func (p *Profile) quoted(words ...string) {
	for _, word := range words {
		p.words = append(p.words, virtWord{text: word, quoted: true})
	}
}

// Backend is the name under which the backend is registered.
func (p Profile) Backend() string { return p.backend }

// Apply adds to a job what the configuration says of it.
func (p Profile) Apply(job Job, traits Traits) Job {
	job.Traits = traits
	job.ExtraArguments = p.conf.ExtraArguments
	replace := p.variables.replacement(job.Queue, traits, p.size(traits))
	job.SetupCommands = nil
	for _, command := range []string{p.conf.SetupCommand, p.conf.SetupCommand2} {
		if command != "" {
			job.SetupCommands = append(job.SetupCommands, replace.text(command))
		}
	}
	job.Debug = p.conf.Debug
	job.PPA = p.conf.PPA
	if job.BackendArguments = p.virtualization(job.Queue, traits); job.BackendArguments != nil {
		job.Image = "" // the operator's arguments name their own
		if p.foreign && job.Queue.Architecture == foreignArchitecture {
			job.TestbedArchitecture = hostOfForeign
		}
	}
	return job
}

// BackendArguments is what follows `--` for the tests of a queue whose packages have no traits of their own; nil when the
// backend makes it.
func (p Profile) BackendArguments(q request.Queue) []string { return p.virtualization(q, Traits{}) }

func (p Profile) size(traits Traits) string {
	if traits.Big && p.large != "" {
		return p.large
	}
	return p.small
}

// Tests of i386 are run in testbeds of amd64: there are no others any more.
const (
	foreignArchitecture = "i386"
	hostOfForeign       = "amd64"
)

// processors is an option of lxd's. Its virtual machines do not start with more than one on s390x.
var processors = regexp.MustCompile(`\blimits\.cpu=[0-9]+`)

// virtualization is what follows `--`.
func (p Profile) virtualization(q request.Queue, traits Traits) []string {
	if len(p.words) == 0 {
		return nil
	}
	replace := p.variables.replacement(q, traits, p.size(traits))
	args := []string{}
	for _, word := range p.words {
		text := replace.text(word.text)
		if p.foreign && q.Architecture == foreignArchitecture {
			text = strings.ReplaceAll(text, foreignArchitecture, hostOfForeign)
		}
		if q.Architecture == "s390x" {
			text = processors.ReplaceAllString(text, "limits.cpu=1")
		}
		if word.quoted {
			args = append(args, text)
			continue
		}
		args = append(args, strings.Fields(text)...)
	}
	return args
}
