package config

import (
	"errors"
	"fmt"
	"net/url"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/spf13/pflag"
)

// Nova is section [nova]: servers of OpenStack clouds. The form of 2015 has neither RCFiles nor KeyFile.
type Nova struct {
	ImagePattern string   // regular expression, matched at the begin of an image's name; the newest image counts
	Flavor       string   // name or id
	BigFlavor    string   // default Flavor
	Options      []string // novaopts, see NovaOptions
	RCFiles      []string // one for each region; none: the variables OS_* of the worker's environment
	KeyFile      string   // private key for ssh; empty: those of the worker's account, as ssh takes them
}

// NovaOptions is what novaopts may say, in the words of autopkgtest's set-up script for Nova.
type NovaOptions struct {
	KeyName     string   // --keyname: key pair of the project; empty: the key in KeyFile is given to cloud-init
	Network     string   // --net-id: name or id; empty: the only one that is not external
	Groups      []string // --security-groups: names; none: the project's default
	FloatingIP  bool     // --associate-ip: testbeds are reached by a floating IP
	Pool        string   // --floating-pool: external network of floating IPs, name or id; empty: the only one
	Login       string   // --login: a user who may do everything with sudo; default DefaultNovaLogin
	Mirror      string   // --mirror: URL of the archive
	Environment []string // -e: KEY=VALUE for /etc/environment
}

// DefaultNovaLogin is the user of Ubuntu's images.
const DefaultNovaLogin = "ubuntu"

// NovaTestbed is all that a testbed of a cloud is made from, with variables filled in. NovaWords are its form as words.
type NovaTestbed struct {
	RCFiles       []string
	KeyFile       string
	Flavor, Image string
	NovaOptions
}

// NovaWords are what ParseNovaTestbed reads, for one flavor. They may hold variables.
func (n Nova) NovaWords(flavor string) []string {
	var words []string
	for _, file := range n.RCFiles {
		words = append(words, "--rc-file", file)
	}
	if n.KeyFile != "" {
		words = append(words, "--key-file", n.KeyFile)
	}
	return append(append(words, "--flavor", flavor, "--image", n.ImagePattern), n.Options...)
}

// ParseNovaTestbed reads words of NovaWords.
func ParseNovaTestbed(words []string) (NovaTestbed, error) {
	var t NovaTestbed
	flags := t.flags()
	flags.StringArrayVar(&t.RCFiles, "rc-file", nil, "")
	flags.StringVar(&t.KeyFile, "key-file", "", "")
	flags.StringVar(&t.Flavor, "flavor", "", "")
	flags.StringVar(&t.Image, "image", "", "")
	if err := parseNova(flags, &t.NovaOptions, words); err != nil {
		return NovaTestbed{}, err
	}
	if t.Flavor == "" || t.Image == "" {
		return NovaTestbed{}, errors.New("a testbed needs --flavor and --image")
	}
	return t, nil
}

// ParseNovaOptions reads novaopts. An option that is not known is an error: a testbed without it would be another one.
func ParseNovaOptions(words []string) (NovaOptions, error) {
	var o NovaOptions
	flags := o.flags()
	refused := map[string]*string{}
	for name, short := range map[string]string{"flavor": "f", "image": "i", "name": "n"} {
		refused[name] = flags.StringP(name, short, "", "")
	}
	rebooted := flags.Bool("nova-reboot", false, "")
	if err := parseNova(flags, &o, words); err != nil {
		return NovaOptions{}, err
	}
	for name, instead := range map[string]string{
		"flavor": "the keys flavor and big_flavor say that", "image": "the key image_pattern says that",
		"name": "the worker names each testbed by release, architecture, package and run",
	} {
		if *refused[name] != "" {
			return NovaOptions{}, fmt.Errorf("--%s: %s", name, instead)
		}
	}
	if *rebooted {
		return NovaOptions{}, errors.New("--nova-reboot: testbeds have to reboot by themselves; leave it out")
	}
	return o, nil
}

// novaOption is what words of novaopts say of one option; empty where they say nothing, or are wrong, which is for others to tell.
func novaOption(words []string, name string) string {
	var o NovaOptions
	flags := o.flags()
	if err := parseNova(flags, &o, words); err != nil || !flags.Changed(name) {
		return ""
	}
	return flags.Lookup(name).Value.String()
}

// flags has the options under their short and long names.
func (o *NovaOptions) flags() *pflag.FlagSet {
	flags := pflag.NewFlagSet("", pflag.ContinueOnError)
	flags.Usage = func() {}
	flags.SetInterspersed(true)
	flags.StringVarP(&o.KeyName, "keyname", "k", "", "")
	flags.StringVarP(&o.Network, "net-id", "N", "", "")
	flags.StringSliceVarP(&o.Groups, "security-groups", "s", nil, "")
	flags.BoolVarP(&o.FloatingIP, "associate-ip", "a", false, "")
	flags.StringVar(&o.Pool, "floating-pool", "", "")
	flags.StringVarP(&o.Login, "login", "l", DefaultNovaLogin, "")
	flags.StringVar(&o.Mirror, "mirror", "", "")
	flags.StringArrayVarP(&o.Environment, "env", "e", nil, "")
	return flags
}

var (
	variableName = regexp.MustCompile(`^[a-zA-Z_][a-zA-Z0-9_]*$`)
	loginName    = regexp.MustCompile(`^[a-z_][a-z0-9_-]{0,31}$`)
)

func parseNova(flags *pflag.FlagSet, o *NovaOptions, words []string) error {
	if err := flags.Parse(words); err != nil {
		return fmt.Errorf("%w; known are --keyname, --net-id, --security-groups, --associate-ip, --floating-pool, --login, --mirror "+
			"and -e", err)
	}
	if flags.NArg() > 0 {
		return fmt.Errorf("%q belongs to no option", flags.Arg(0))
	}
	if !loginName.MatchString(o.Login) {
		return fmt.Errorf("--login: %q is not the name of a user", o.Login)
	}
	if slices.Contains(o.Groups, "") {
		return errors.New("--security-groups: names are separated by single commas")
	}
	if o.Pool != "" && !o.FloatingIP {
		return errors.New("--floating-pool: without --associate-ip no testbed has a floating IP; add that, or leave this out")
	}
	if o.Mirror != "" && !strings.Contains(o.Mirror, "$") {
		if parsed, err := url.Parse(o.Mirror); err != nil || parsed.Host == "" || parsed.Scheme != "http" && parsed.Scheme != "https" {
			return errors.New("--mirror is not a URL, http://HOST/PATH")
		}
	}
	for _, entry := range append(slices.Clone(o.Environment), "MIRROR="+o.Mirror) {
		name, value, found := strings.Cut(entry, "=")
		switch {
		case !found || !variableName.MatchString(name):
			return fmt.Errorf("-e: %.20q is not KEY=VALUE", name)
		case strings.ContainsAny(value, "\n\r\x00"):
			return fmt.Errorf("-e: %s has more than one line", name)
		case hasPassword(value):
			return fmt.Errorf("%s: every test, and every account of the project, would see the password in this URL; "+
				"let the server know the testbeds by their addresses", name)
		}
	}
	return nil
}

// hasPassword finds URLs with one.
func hasPassword(value string) bool {
	parsed, err := url.Parse(value)
	if err != nil || parsed.User == nil {
		return false
	}
	_, has := parsed.User.Password()
	return has
}

func (d *document) nova() Nova {
	n := Nova{
		ImagePattern: d.value("nova", "image_pattern"), Flavor: d.value("nova", "flavor"),
		BigFlavor: d.value("nova", "big_flavor"), Options: d.quoted("nova", "novaopts"),
		RCFiles: d.fields("nova", "rc_files"), KeyFile: d.folderOr("nova", "key_file", ""),
	}
	if n.BigFlavor == "" {
		n.BigFlavor = n.Flavor
	}
	if _, err := ParseNovaOptions(n.Options); err != nil {
		d.fail("nova", "novaopts", "%v", err)
	}
	for i, file := range n.RCFiles {
		if !filepath.IsAbs(file) {
			d.fail("nova", "rc_files", "%q is not an absolute path", file)
		}
		if slices.Contains(n.RCFiles[:i], file) {
			d.fail("nova", "rc_files", "%q is there twice", file)
		}
	}
	return n
}

func (n Nova) write(out *writer) {
	out.section("nova")
	out.list("rc_files", n.RCFiles)
	out.key("key_file", n.KeyFile)
	out.key("image_pattern", n.ImagePattern)
	out.key("flavor", n.Flavor)
	out.key("big_flavor", n.BigFlavor)
	out.key("novaopts", JoinQuoted(n.Options))
}
