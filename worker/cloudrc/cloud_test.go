package cloudrc

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// compare shows clouds without their secrets, which are compared by content.
var compare = cmp.Options{
	cmp.Comparer(func(a, b Secret) bool { return a.Reveal() == b.Reveal() }),
	cmpopts.IgnoreUnexported(Cloud{}),
}

// parse reads a file of testdata.
func parse(t *testing.T, file string) Cloud {
	t.Helper()
	content, err := os.ReadFile(filepath.Join("testdata", file))
	if err != nil {
		t.Fatal(err)
	}
	cloud, err := ParseRC(file, content, nil)
	if err != nil {
		t.Fatal(err)
	}
	return cloud
}

// TestFormsOfRC has the forms that people have, with all that is said in them.
func TestFormsOfRC(t *testing.T) {
	t.Parallel()
	defaults := Domain{ID: "default"}
	for file, want := range map[string]Cloud{
		"novarc-v2.rc": {
			AuthURL: "http://10.24.0.132:5000/v3", GivenURL: "http://10.24.0.132:5000/v2.0/", Region: "lcy01", Interface: InterfacePublic,
			Method: MethodPassword, Username: "prod-ues-proposed-migration", UserDomain: defaults,
			ProjectName: "prod-ues-proposed-migration_project", ProjectDomain: defaults, Password: `s3kr"it $HOME`,
			SecretFiles: []string{"novarc-v2.rc"},
		},
		"openrc-v3.rc": {
			AuthURL: "https://keystone.lgw01.example:5000/v3", GivenURL: "https://keystone.lgw01.example:5000/v3", Region: "lgw01",
			Interface: InterfacePublic, Method: MethodPassword, Username: "scalingstack", UserDomain: Domain{Name: "Default"},
			ProjectName: "scalingstack", ProjectDomain: Domain{Name: "Default"}, CAFile: "/etc/ssl/certs/lgw01-ca.pem",
		},
		"dashboard-v2.rc": {
			AuthURL: "https://keystone.example:5000/v3", GivenURL: "https://keystone.example:5000/v2.0", Region: "lcy02",
			Interface: InterfaceInternal, Method: MethodPassword, Username: "migration", UserDomain: defaults,
			ProjectID: "5ac623fdd6b1497baf2a8213e63fc1b5", ProjectName: "proposed migration",
		},
		"dashboard-v3.rc": {
			AuthURL: "https://keystone.example/identity/v3", GivenURL: "https://keystone.example/identity", Interface: InterfacePublic,
			Method: MethodPassword, Username: "s14436", UserDomain: Domain{Name: "snic"},
			ProjectID: "5ac623fdd6b1497baf2a8213e63fc1b5", ProjectName: "scalingstack",
		},
		"dashboard-credential.rc": {
			AuthURL: "https://keystone.example:5000/v3", GivenURL: "https://keystone.example:5000/v3", Region: "RegionOne",
			Interface: InterfacePublic, Method: MethodCredential, Credential: Credential{ID: "9f3e1b6a0c", Secret: "hunter2-credential"},
			SecretFiles: []string{"dashboard-credential.rc"},
		},
		"deployed.rc": {
			AuthURL: "http://192.0.2.10:5000/v3", GivenURL: "http://192.0.2.10:5000", Region: "RegionOne", Interface: InterfaceInternal,
			Method: MethodPassword, Username: "admin", UserDomain: Domain{Name: "Default"}, ProjectName: "admin",
			ProjectDomain: Domain{Name: "Default"}, Password: "hunter2-deployed", SecretFiles: []string{"deployed.rc"},
		},
	} {
		t.Run(file, func(t *testing.T) {
			t.Parallel()
			want.Source = file
			if diff := cmp.Diff(want, parse(t, file), compare); diff != "" {
				t.Errorf("(-want +got): %s", diff)
			}
		})
	}
}

// TestPrompt: what a file asks for comes from its caller, and the message says where it is asked.
func TestPrompt(t *testing.T) {
	t.Parallel()
	asking := parse(t, "openrc-v3.rc")
	err := asking.Complete()
	if !errors.Is(err, ErrNoSecret) || !strings.Contains(err.Error(), "openrc-v3.rc:14: OS_PASSWORD is asked for at the terminal") {
		t.Errorf("%v", err)
	}
	if answered := asking.WithPassword("typed"); answered.Complete() != nil || answered.Password.Reveal() != "typed" {
		t.Errorf("%v", answered.Complete())
	}
	if asking.WithPassword("").Complete() == nil {
		t.Error("an empty password is an answer")
	}
	telling := parse(t, "novarc-v2.rc")
	if telling.Complete() != nil || telling.WithPassword("other").Password.Reveal() != telling.Password.Reveal() {
		t.Error("a file's own password does not count")
	}
	lacking, err := ParseRC("rc", []byte("export OS_AUTH_URL=https://k/v3 OS_USERNAME=u OS_PROJECT_NAME=p\n"), nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := lacking.Complete(); !errors.Is(err, ErrNoSecret) ||
		!strings.Contains(err.Error(), "rc: OS_PASSWORD is missing: write it, as export OS_PASSWORD=..., or hand it over") {
		t.Errorf("%v", err)
	}
	for _, content := range []string{
		"export OS_APPLICATION_CREDENTIAL_ID=i\nread -s S\nexport OS_APPLICATION_CREDENTIAL_SECRET=$S\n",
		"export OS_TOKEN\nread -p 'Token: ' OS_TOKEN\nexport OS_PROJECT_NAME=p",
	} {
		cloud, err := ParseRC("rc", []byte("export OS_AUTH_URL=https://k/v3\n"+content), nil)
		if err != nil {
			t.Fatal(err)
		}
		if !errors.Is(cloud.Complete(), ErrNoSecret) || !strings.Contains(cloud.Complete().Error(), "rc:3") {
			t.Errorf("%v", cloud.Complete())
		}
		if answered := cloud.WithPassword("typed"); answered.Complete() != nil ||
			answered.Credential.Secret.Reveal()+answered.Token.Reveal() != "typed" {
			t.Errorf("%+v is not answered", answered)
		}
	}
}

// required is what every file needs, in one line.
const required = "export OS_AUTH_URL=https://k.example:5000/v3 OS_USERNAME=u OS_PROJECT_NAME=p OS_PASSWORD=hunter2 OS_REGION_NAME=r\n"

func TestDefaults(t *testing.T) {
	t.Parallel()
	plain := func(change func(*Cloud)) Cloud {
		c := Cloud{
			Source: "rc", AuthURL: "https://k.example:5000/v3", GivenURL: "https://k.example:5000/v3", Region: "r",
			Interface: InterfacePublic, Method: MethodPassword, Username: "u", UserDomain: Domain{ID: "default"}, ProjectName: "p",
			ProjectDomain: Domain{ID: "default"}, Password: "hunter2", SecretFiles: []string{"rc"},
		}
		change(&c)
		return c
	}
	for content, change := range map[string]func(*Cloud){
		"": func(*Cloud) {},
		"OS_USER_DOMAIN_NAME=x OS_PROJECT_DOMAIN_ID=y": func(c *Cloud) { c.UserDomain, c.ProjectDomain = Domain{Name: "x"}, Domain{ID: "y"} },
		"OS_DOMAIN_NAME=x OS_USER_DOMAIN_ID=y":         func(c *Cloud) { c.UserDomain, c.ProjectDomain = Domain{ID: "y"}, Domain{Name: "x"} },
		"OS_DEFAULT_DOMAIN=x":                          func(c *Cloud) { c.UserDomain, c.ProjectDomain = Domain{ID: "x"}, Domain{ID: "x"} },
		"OS_USER_ID=i; unset OS_USERNAME":              func(c *Cloud) { c.Username, c.UserID, c.UserDomain = "", "i", Domain{} },
		"OS_TENANT_NAME=old":                           func(*Cloud) {},
		"OS_TENANT_NAME=old; unset OS_PROJECT_NAME":    func(c *Cloud) { c.ProjectName = "old" },
		"OS_TENANT_ID=i; unset OS_PROJECT_NAME":        func(c *Cloud) { c.ProjectName, c.ProjectID, c.ProjectDomain = "", "i", Domain{} },
		"OS_INTERFACE=adminURL":                        func(c *Cloud) { c.Interface = InterfaceAdmin },
		"OS_ENDPOINT_TYPE=internal":                    func(c *Cloud) { c.Interface = InterfaceInternal },
		"OS_INSECURE=True":                             func(c *Cloud) { c.Insecure = true },
		"OS_INSECURE=false":                            func(*Cloud) {},
		"OS_VERIFY=no":                                 func(c *Cloud) { c.Insecure = true },
		"OS_CERT=/c OS_KEY=/k":                         func(c *Cloud) { c.CertificateFile, c.KeyFile = "/c", "/k" },
		"OS_NO_SUCH_THING=$(whatever) PATH=$HOME/bin":  func(*Cloud) {},
		"OS_AUTH_URL=https://k.example:5000":           func(c *Cloud) { c.GivenURL = "https://k.example:5000" },
		"OS_AUTH_URL=https://k.example:5000/v2.0/":     func(c *Cloud) { c.GivenURL = "https://k.example:5000/v2.0/" },
		"OS_AUTH_URL=https://k.example:5000/v3.14/":    func(c *Cloud) { c.GivenURL = "https://k.example:5000/v3.14/" },
		"OS_AUTH_TYPE=v3token OS_TOKEN=t": func(c *Cloud) {
			c.Method, c.Token, c.Password = MethodToken, "t", ""
		},
		"OS_APPLICATION_CREDENTIAL_ID=i OS_APPLICATION_CREDENTIAL_SECRET=s": func(*Cloud) {}, // there is a password
		"OS_APPLICATION_CREDENTIAL_NAME=n OS_APPLICATION_CREDENTIAL_SECRET=s; unset OS_PASSWORD": func(c *Cloud) {
			c.Method, c.Password, c.Credential = MethodCredential, "", Credential{Name: "n", Secret: "s"}
			c.ProjectName, c.ProjectDomain = "", Domain{}
		},
	} {
		t.Run(content, func(t *testing.T) {
			t.Parallel()
			got, err := ParseRC("rc", []byte(required+content), nil)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(plain(change), got, compare); diff != "" {
				t.Errorf("(-want +got): %s", diff)
			}
		})
	}
}

// TestRefused: each message has the file, the line, the cause and a way out, and never the password.
func TestRefused(t *testing.T) {
	t.Parallel()
	for content, want := range map[string]string{
		// what only a shell could tell
		"export OS_PASSWORD=$(pass show cloud)":              "rc:2: OS_PASSWORD depends on what a command prints, $(...): write the value itself",
		"\n\nP=`pass show cloud`\nexport OS_PASSWORD=\"$P\"": "rc:4: OS_PASSWORD depends on what a command prints",
		"OS_PASSWORD=<(pass)":                                "rc:2: OS_PASSWORD depends on what a command prints, <(...)",
		"OS_CACERT=$HOME/ca.pem":                             "rc:2: OS_CACERT depends on $HOME, which is another one in each session",
		"OS_CACERT=${HOME:-/root}/ca.pem":                    "rc:2: OS_CACERT depends on $HOME",
		"OS_CACERT=~/ca.pem":                                 "rc:2: OS_CACERT depends on somebody's home, ~: write the path in full",
		"OS_CACERT=~joe/ca.pem":                              "rc:2: OS_CACERT depends on somebody's home",
		"\nOS_USERNAME=$OS_NOBODY":                           "rc:3: OS_USERNAME depends on $OS_NOBODY, which nothing in the file sets before this line",
		"OS_USERNAME=${1}":                                   "rc:2: OS_USERNAME depends on $1",
		"OS_USERNAME=${OS_PASSWORD%2}":                       "rc:2: OS_USERNAME depends on a part of $OS_PASSWORD",
		"export OS_USERNAME={a,b}":                           "rc:2: OS_USERNAME depends on a pattern in braces",
		"A=0123456789abcdef; A=$A$A$A$A$A$A$A$A; A=$A$A$A$A$A$A$A$A\nA=$A$A$A$A$A$A$A$A\nOS_USERNAME=$A": "rc:3: OS_USERNAME depends on a value that grows too long",
		"OS_USERNAME=(a b)":                          "rc:2: OS_USERNAME depends on an array",
		"if [ -t 0 ]; then\nOS_REGION_NAME=x\nfi":    "rc:2: OS_REGION_NAME depends on a condition that only running the file could tell",
		"[ -f /etc/x ] && OS_REGION_NAME=x":          "rc:2: OS_REGION_NAME depends on a condition",
		"test \"$HOME\" = /root || OS_REGION_NAME=x": "rc:2: OS_REGION_NAME depends on a condition",
		"OS_PASSWORD=$'\\cA'":                        "rc:2: OS_PASSWORD depends on an escape in $'...'",
		"read OS_USERNAME":                           "rc:2: OS_USERNAME is asked for at the terminal: write it into the file",
		"read -s P; OS_PASSWORD=x$P":                 "OS_PASSWORD depends on what is typed at the terminal, with more around it",
		"read OS_USERNAME OS_PASSWORD":               "rc:2: OS_USERNAME depends on a part of what is typed",
		"read OS_PASSWORD < /etc/secret":             "rc:2: OS_PASSWORD depends on what read finds in another file",
		"read OS_PASSWORD <<< hunter2":               "rc:2: OS_PASSWORD depends on what read finds",
		"eval \"OS_REGION_NAME=x\"":                  "rc:2: the command eval can set any variable",
		"\n. /etc/openrc":                            "rc:3: the command . can set any variable: name that file instead",
		"source ~/.openrc":                           "rc:2: the command source can set any variable",
		"nova list":                                  "rc:2: a command that is not known here",
		"$COMMAND":                                   "rc:2: a command that is not known here",
		"e\"val\" x":                                 "rc:2: a command that is not known here",
		"exit 0":                                     "rc:2: the command exit can set any variable",
		"alias echo=export":                          "rc:2: a command that is not known here",
		"echo() { OS_REGION_NAME=x; }":               "rc:2: a function takes the place of a command",
		"f() { OS_REGION_NAME=x; }\nf":               "rc:3: a command that is not known here",
		"echo x | read OS_REGION_NAME":               "rc:2: commands are joined by a pipe",
		"OS_REGION_NAME=x &":                         "rc:2: a command is started in the background",
		"while true; do OS_REGION_NAME=x; done":      "rc:2: a command that only a shell could follow",
		"case $X in *) OS_REGION_NAME=x;; esac":      "rc:2: a command that only a shell could follow",
		"for i in 1 2; do OS_REGION_NAME=$i; done":   "rc:2: a loop that only a shell could follow",
		"for i in OS_REGION_NAME; do unset $i; done": "rc:2: unset gets names that only a shell could tell",
		"unset $(env | cut -d= -f1)":                 "rc:2: unset gets names",
		"echo $((OS_REGION_NAME=5))":                 "rc:2: a calculation, $((...)), can set any variable",
		"[[ OS_REGION_NAME=5 -eq 5 ]]":               "rc:2: a calculation can set any variable",
		"((OS_REGION_NAME=5))":                       "rc:2: a command that only a shell could follow",
		"let OS_REGION_NAME=5":                       "rc:2: a command that only a shell could follow",
		"OS_X[OS_REGION_NAME=5]=1":                   "rc:2: an element of an array is set",
		"OS_X=([OS_REGION_NAME=5]=1)":                "rc:2: an element of an array is set",
		"echo ${X[OS_REGION_NAME=5]}":                "rc:2: a kind of ${...} that is not known here",
		"echo ${!X:=y}":                              "rc:2: a kind of ${...} that is not known here",
		"echo ${ OS_REGION_NAME=x; }":                "rc:2: a command runs in the middle of a word",
		"printf -v OS_REGION_NAME x":                 "rc:2: printf may set a variable",
		"printf \"$X\" OS_REGION_NAME":               "rc:2: printf may set a variable",
		"printf \"$X-v\" OS_REGION_NAME":             "rc:2: printf may set a variable",
		"printf \\\\-v OS_REGION_NAME x":             "rc:2: printf may set a variable",
		"read -p $PROMPT X":                          "rc:2: read has an option whose argument only a shell could tell",
		"read -p$PROMPT X":                           "rc:2: read gets a name that only a shell could tell",
		"read -a X":                                  "rc:2: read has an option that is not known here",
		"echo x {OS_REGION_NAME}>/dev/null":          "rc:2: a redirection sets a variable",
		"declare -i OS_REGION_NAME=5":                "rc:2: declare has an option",
		"export $X":                                  "rc:2: export has an option, or a name that only a shell could tell",
		"readonly OS_REGION_NAME=x":                  "rc:2: readonly does more than to set variables: use export",
		"set -n":                                     "rc:2: set gets more than an option",
		": ${OS_NOBODY:?}":                           "rc:2: the file ends here when OS_NOBODY is not set",
		"export OS_CLOUD=lcy":                        "rc:2: OS_CLOUD refers to an entry of clouds.yaml",
		"export OS_PASSWORD=hunter2(":                "rc:2: not the syntax of a shell",
		"export OS_PASSWORD='hunter2":                "rc:2: not the syntax of a shell: reached EOF without closing quote `'`",
		"\nOS_PASSWORD=${hunter2 hunter2}":           "rc:3: not the syntax of a shell: not a valid parameter expansion operator",
		"OS_REGION_NAME=x\r\n":                       "rc:2: the line ends as on Windows",
		"OS_REGION_NAME=\x00":                        "rc:2: it holds a zero byte",
		"OS_REGION_NAME=\xff":                        "rc:2: not the syntax of a shell: invalid UTF-8",
		"#" + strings.Repeat("x", MaxRC):             "rc: it is larger than 32768 bytes: is it the right file?",
		// what is known, and wrong
		"unset OS_AUTH_URL":                          "rc: OS_AUTH_URL is missing: write it, as export OS_AUTH_URL=...",
		"unset OS_USERNAME OS_PROJECT_NAME":          "rc: OS_USERNAME and OS_PROJECT_NAME (or OS_PROJECT_ID) are missing",
		"OS_AUTH_URL=keystone.example:5000":          "rc:2: OS_AUTH_URL is no address of an Identity service: write it as https://HOST:5000/v3",
		"OS_AUTH_URL=https://u:hunter2@k.example/v3": "rc:2: OS_AUTH_URL holds a user or a password",
		"OS_AUTH_URL=https://k.example/v2.0/tokens":  "rc:2: OS_AUTH_URL goes on after the version",
		"OS_AUTH_TYPE=v3totp":                        "rc:2: OS_AUTH_TYPE is a kind of login that is not known here: use password",
		"OS_TRUST_ID=x":                              "rc:2: OS_TRUST_ID asks for a kind of login",
		"OS_SYSTEM_SCOPE=all":                        "rc:2: OS_SYSTEM_SCOPE asks for a kind of login",
		"OS_INTERFACE=hunter2":                       "rc:2: OS_INTERFACE is none of a service's interfaces: write public, internal or admin",
		"OS_INSECURE=hunter2":                        "rc:2: OS_INSECURE is neither yes nor no",
		"OS_CACERT=ca.pem":                           `rc:2: OS_CACERT = "ca.pem" is relative, and to what differs from run to run: write the path in full`,
		"OS_CERT=/c.pem":                             "rc: OS_CERT and OS_KEY belong together, and one is missing",
		"OS_AUTH_TYPE=v3applicationcredential":       "rc: OS_APPLICATION_CREDENTIAL_ID is missing",
		"unset OS_USERNAME OS_PASSWORD; OS_APPLICATION_CREDENTIAL_NAME=n": "rc: OS_USERNAME (only a credential's ID goes without) is missing",
	} {
		t.Run(content[:min(len(content), 60)], func(t *testing.T) {
			t.Parallel()
			_, err := ParseRC("rc", []byte(required+content), nil)
			if err == nil {
				t.Fatal("it is accepted")
			}
			if !strings.Contains(err.Error(), want) || !errors.Is(err, ErrInvalid) {
				t.Errorf("got  %v\nwant %s", err, want)
			}
			if strings.Contains(err.Error(), "hunter2") {
				t.Errorf("the message shows the password: %v", err)
			}
			var problem *Problem
			if !errors.As(err, &problem) || problem.Cause == "" || problem.WayOut == "" || problem.Source != "rc" {
				t.Errorf("%#v", problem)
			}
		})
	}
	if _, err := ParseRC("notes.txt", nil, nil); err == nil || !strings.Contains(err.Error(), "is it the file of a cloud?") {
		t.Errorf("an empty file: %v", err)
	}
}

// TestIgnored: what cannot touch a cloud's settings is no error, however odd it is.
func TestIgnored(t *testing.T) {
	t.Parallel()
	for _, content := range []string{
		"export PATH=$HOME/bin:$PATH PS1=\"\\u $(git branch)\"",
		"if [ -t 0 ]; then echo hello; fi",
		"if [ -f ~/.bashrc ]; then export EDITOR=vi; fi",
		"[ -t 1 ] && tput bold",
		"stty -echo; stty echo; clear",
		"( . /etc/profile; OS_USERNAME=other )",
		"deactivate() { unset OS_USERNAME; }",
		"X=$(cat <(true)) Y=`date` Z=(a b) W=${X/a/b}${#X}${X%a}",
		"echo \"$(OS_USERNAME=other)\" $HOME ~ *",
		"read -p \"Press return, $USER\" && true",
		"unset -f nova",
		"[[ $TERM == xterm* ]] && export COLORS=1",
		"OS_REGION_NAME=r; [ -t 0 ] && OS_REGION_NAME=r",
	} {
		got, err := ParseRC("rc", []byte(required+content), nil)
		if err != nil || got.Username != "u" || got.Region != "r" {
			t.Errorf("%s\n%v, %v", content, got, err)
		}
	}
}

// TestEnvironmentOfRC: what the caller says of the session counts.
func TestEnvironmentOfRC(t *testing.T) {
	t.Parallel()
	content := []byte(required + "OS_CACERT=~/ca.pem OS_CERT=$HOME/c OS_KEY=${HOME}/k; OS_REGION_NAME=${OS_OTHER:-none}; [ -z \"$SITE\" ] || OS_USERNAME=$SITE")
	got, err := ParseRC("rc", content, map[string]string{"HOME": "/home/joe", "OS_OTHER": "other", "SITE": "x"})
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"/home/joe/ca.pem", "/home/joe/c", "/home/joe/k", "other", "x"}
	if diff := cmp.Diff(want, []string{got.CAFile, got.CertificateFile, got.KeyFile, got.Region, got.Username}); diff != "" {
		t.Error(diff)
	}
	if _, err := ParseRC("rc", []byte("unset $(env); "+required), map[string]string{"OS_OTHER": "x"}); err == nil {
		t.Error("nobody knows what is unset of a session that has variables")
	}
}

func TestWarnings(t *testing.T) {
	t.Parallel()
	secure := parse(t, "novarc-v2.rc")
	if got := secure.Warnings(); got != nil {
		t.Errorf("%q", got)
	}
	secure.Insecure = true
	got := secure.Warnings()
	if len(got) != 1 || !strings.Contains(got[0], "region lcy01 of cloud http://10.24.0.132:5000/v3") || !strings.Contains(got[0], "OS_CACERT") {
		t.Errorf("%q", got)
	}
}

func TestCloudPrintsNoSecret(t *testing.T) {
	t.Parallel()
	for _, file := range []string{"deployed.rc", "dashboard-credential.rc"} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x"} {
			if text := fmt.Sprintf(verb, parse(t, file)); strings.Contains(text, "hunter2") || strings.Contains(text, fmt.Sprintf("%x", "hunter2")) {
				t.Errorf("%s shows the secret: %s", verb, text)
			}
		}
	}
	if got, want := parse(t, "deployed.rc").String(), "region RegionOne of cloud http://192.0.2.10:5000/v3 (project admin, user admin, from deployed.rc)"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}
