package config

import (
	"errors"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/secret/secrettest"
)

// readFile reads an example.
func readFile(t *testing.T, name string) string {
	t.Helper()
	content, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}

func TestWorkerOf2015(t *testing.T) {
	t.Parallel()
	got, err := LoadWorker("testdata/worker-2015.conf")
	if err != nil {
		t.Fatal(err)
	}
	want := Worker{
		StoreAccount: Store{
			AuthURL: "http://keystone.example.com:5000/v2.0", Username: "prod-tests", Password: "S3KRIT-CHANGEME",
			Tenant: "prod-tests_project", Region: "region-one",
		},
		Releases: []string{"precise", "trusty", "vivid", "wily"}, Architectures: []string{"i386", "amd64"},
		Contexts: []string{"", "huge", "ppa", "upstream"}, Weights: DefaultWeights, Slots: 1, SpoolLimit: 16, SpoolPatience: DefaultSpoolPatience,
		StateDirectory: DefaultStateDirectory, Timeout: DefaultTimeout, DrainTimeout: DefaultTimeout,
		Backend: "nova", CheckoutDir: "/home/ubuntu/autopkgtest",
		SetupCommand: "if grep -q trusty /etc/lsb-release; then apt-get install -y build-essential; fi",
		BigPackages: []string{
			"binutils", "chromium-browser", "glibc", "libreoffice", "linux", "python2.7", "python3.4", "tdb", "firefox", "akonadi",
		},
		LongTests: []string{"gutenprint", "gmp-ecm"},
		Nova: Nova{
			ImagePattern: "ubuntu/ubuntu-$RELEASE-.*-$ARCHITECTURE-server", Flavor: "m1.small", BigFlavor: "m1.large",
			Options: []string{
				"--keyname=testbed", "--net-id=net_tests", "-e", "http_proxy=http://squid.example.com:3128",
				"-e", "https_proxy=http://squid.example.com:3128",
				"-e", "no_proxy=127.0.0.1,127.0.1.1,localhost,localdomain,novalocal,internal",
				"--mirror=http://archive.example.com/ubuntu",
			},
		},
		LXC: LXC{Container: "adt-$RELEASE", Options: []string{"--eatmydata", "--sudo"}},
		PPA: DefaultPPA, Limits: DefaultLimits,
	}
	if diff := cmp.Diff(want, got, comparing); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if !got.HoldsPassword() {
		t.Error("the password in the file is not noticed")
	}
}

func TestWorkerOfToday(t *testing.T) {
	t.Parallel()
	got, err := LoadWorker("testdata/worker-today.conf")
	if err != nil {
		t.Fatal(err)
	}
	want := Worker{
		Releases: []string{"jammy", "noble"}, Architectures: []string{HostArchitecture()},
		Contexts: []string{"", "huge", "ppa", "upstream"}, Weights: DefaultWeights, Slots: 1, SpoolLimit: 16, SpoolPatience: DefaultSpoolPatience,
		StateDirectory: DefaultStateDirectory, Timeout: DefaultTimeout, DrainTimeout: DefaultTimeout,
		Backend: "lxd", ListDirectory: "/srv/lists/", ExtraArguments: []string{"--apt-default-release=noble updates", "--shell"},
		SetupCommand:  "/srv/setup-commands/setup-testbed",
		SetupCommand2: `printf '%s\n' "$RELEASE; $(id)" # not a comment`, Debug: true,
		Virt: Virt{
			Arguments: "lxd --delete-existing --name $NAME $VMOPT -r $LXD_REMOTE " +
				"$LXD_REMOTE:autopkgtest/ubuntu/$RELEASE/$ARCHITECTURE$VMFLAG $PACKAGESIZE",
			PackageSizeDefault: "-c limits.cpu=2 -c limits.memory=4GiB -d root,size=20GiB",
			PackageSizeBig:     "-c limits.cpu=4 -c limits.memory=8GiB -d root,size=100GiB",
		},
		PPA: DefaultPPA, Limits: DefaultLimits,
	}
	if diff := cmp.Diff(want, got, comparing); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if got.HoldsPassword() {
		t.Error("there is no password in the file")
	}
}

// whole has a value for everything.
func whole() Worker {
	return Worker{
		BrokerAccount:   Broker{Username: "worker", Password: `hunter2 #;="'\`, Host: "broker.example.com"},
		DeliveryTimeout: 48 * time.Hour,
		StoreAccount: Store{
			AuthURL: "http://keystone.example.com:5000/v2.0", Username: "u", Password: "hunter2", Tenant: "t", Region: "r",
		},
		Releases: []string{"noble"}, Architectures: []string{"arm64"}, Contexts: []string{"ppa", ""},
		Weights: map[string]int{"": 1, "ppa": 2, "huge": 3, "upstream": 1000}, Slots: 7, SpoolLimit: 3, SpoolPatience: DefaultSpoolPatience, StateDirectory: "/s",
		Timeout: time.Hour, DrainTimeout: 90 * time.Second, Backend: "ssh", CheckoutDir: "/check out",
		ExtraArguments: []string{"--a", "b c", "", "it's", `"`, `\`, "ä"}, SetupCommand: "one; two", SetupCommand2: "three", Debug: true,
		ListDirectory: "/l", BigPackages: []string{"a", "b"}, LongTests: []string{"c*"},
		Virt:   Virt{Arguments: "ssh -s x -- $PACKAGESIZE", PackageSizeDefault: "small", PackageSizeBig: "large"},
		Nova:   Nova{ImagePattern: "i.*", Flavor: "f", BigFlavor: "b", Options: []string{"-e", "A=b c"}},
		LXC:    LXC{Container: "adt-$RELEASE", Options: []string{"--sudo"}},
		PPA:    PPA{URL: "https://ppa.example.com/$OWNER/$NAME", PrivateURL: "https://private.example.com/$OWNER", Keys: "/k"},
		Limits: Limits{Disk: Unlimited, Files: AnyNumber, Log: 3 << 20, Memory: 1025, Processes: 99},
		Network: Network{
			Allow: []Destination{
				{Network: netip.MustParsePrefix("10.0.0.0/8")}, {Network: netip.MustParsePrefix("192.0.2.1/32"), Port: 80},
				{Network: netip.MustParsePrefix("2001:db8::1/128"), Port: 443}, {Name: "mirror.example.com"}, {Name: "git", Port: 9418},
			},
			Mirror: "http://mirror.example.com/ubuntu", Proxy: "http://proxy.example.com:3128",
			Kind: NetworkVeth, Range: netip.MustParsePrefix("10.99.0.0/24"), Range6: netip.MustParsePrefix("fd99::/120"),
		},
		Images: "/i", HealthListen: "127.0.0.1:1",
	}
}

// TestWorkerRoundTrip: what is read is written such that it is read again.
func TestWorkerRoundTrip(t *testing.T) {
	t.Parallel()
	local := whole()
	local.StoreAccount, local.StoreLocal = Store{}, true
	files := whole()
	files.BrokerAccount, files.StoreAccount, files.BrokerCredentials, files.StoreCredentials = Broker{}, Store{}, "/a", "/b"
	workers := map[string]Worker{"whole": whole(), "local": local, "credentials in files": files}
	for _, name := range []string{"worker.conf", "worker-2015.conf", "worker-today.conf"} {
		w, err := LoadWorker("testdata/" + name)
		if err != nil {
			t.Fatal(err)
		}
		workers[name] = w
	}
	for name, want := range workers {
		got, err := LoadWorker(write(t, string(want.Bytes())))
		if err != nil {
			t.Errorf("%s: %v\n%s", name, err, want.Bytes())
			continue
		}
		if diff := cmp.Diff(want, got, comparing); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

func TestWorkerRefuses(t *testing.T) {
	t.Parallel()
	inAutopkgtest := func(lines string) string {
		return strings.Replace(minimalWorker, "slots = 1", "slots = 1\n"+lines, 1)
	}
	for name, test := range map[string]struct{ content, place, reason string }{
		"backend's name":           {inAutopkgtest("backend = Nova"), ":9:", "not a backend's name"},
		"nova without an image":    {inAutopkgtest("backend = nova"), "", "[nova] image_pattern: missing"},
		"nova without a flavor":    {inAutopkgtest("backend = nova") + "[nova]\nimage_pattern = x\n", "", "[nova] flavor: missing"},
		"two backends":             {inAutopkgtest("backend = lxc") + "[virt]\nargs = lxd x\n", ":14:", `the first word is "lxd", but [autopkgtest] backend is "lxc"`},
		"a variable as backend":    {minimalWorker + "[virt]\nargs = $BACKEND x\n", ":13:", "the first word, is not a backend's name"},
		"open quote":               {inAutopkgtest("extra_args = --x 'a"), ":9:", "a quote is open at the end"},
		"open quote in novaopts":   {minimalWorker + "[nova]\nnovaopts = -e \"a\n", ":13:", "a quote is open"},
		"debug":                    {inAutopkgtest("debug = on"), ":9:", "neither true nor false"},
		"relative folder":          {inAutopkgtest("per_package_config_dir = lists"), ":9:", "not an absolute path"},
		"spool of nothing":         {inAutopkgtest("spool_limit = 0"), ":9:", "at least 1"},
		"too many slots":           {inAutopkgtest("spool_limit = 99999999999"), ":9:", "not a number"},
		"weight of nothing":        {inAutopkgtest("weights = normal=0"), ":9:", "a number from 1"},
		"weight of a word":         {inAutopkgtest("weights = normal=much"), ":9:", "is not CONTEXT=NUMBER"},
		"weight alone":             {inAutopkgtest("weights = normal"), ":9:", "is not CONTEXT=NUMBER"},
		"weight of another":        {inAutopkgtest("weights = big=1"), ":9:", `unknown context "big"`},
		"weight twice":             {inAutopkgtest("weights = ppa=1 ppa=2"), ":9:", "there twice"},
		"size":                     {minimalWorker + "[limits]\ndisk = 20GB\n", ":13:", "is not a size"},
		"negative size":            {minimalWorker + "[limits]\ndisk = -1\n", ":13:", "is not a size"},
		"number of files":          {minimalWorker + "[limits]\nfiles = 1M\n", ":13:", "is not a number"},
		"negative number":          {minimalWorker + "[limits]\nprocesses = -1\n", ":13:", "is not a number"},
		"size beyond all disks":    {minimalWorker + "[limits]\ndisk = 9999999999T\n", ":13:", "is not a size"},
		"destination":              {minimalWorker + "[network]\nallow = 10.0.0.1 10.0.0.300\n", ":13:", `"10.0.0.300" is not ADDRESS`},
		"host bits in a network":   {minimalWorker + "[network]\nallow = 10.0.0.1/8\n", ":13:", "the network is 10.0.0.0/8"},
		"password for every test":  {minimalWorker + "[network]\nproxy = http://u:hunter2@proxy:3128\n", ":13:", "would see the password"},
		"way out":                  {minimalWorker + "[network]\nkind = pasta\n", ":13:", `"pasta" is not auto, veth or slirp`},
		"range of no network":      {minimalWorker + "[network]\nrange = 10.0.0.0\n", ":13:", "not a network, ADDRESS/BITS"},
		"range with host bits":     {minimalWorker + "[network]\nrange = 10.0.0.1/24\n", ":13:", "the network is 10.0.0.0/24"},
		"range of one":             {minimalWorker + "[network]\nrange = 10.0.0.1/32\n", ":13:", "from 16 to 31"},
		"range of the wrong kind":  {minimalWorker + "[network]\nrange = fd99::/24\n", ":13:", "of IPv6, which is range6"},
		"two broker accounts":      {strings.Replace(minimalWorker, "[swift]", "password = hunter2\n[swift]", 1), ":2:", "use one of the two"},
		"two store accounts":       {strings.Replace(minimalWorker, "[autopkgtest]", "auth_url\n[autopkgtest]", 1), ":4:", "use one of the two"},
		"port of the broker":       {"[amqp]\nhost = broker:1\n" + strings.Replace(minimalWorker, "[amqp]\ncredentials_file = /a\n", "", 1), ":2:", "alone"},
		"URL of the store":         {strings.Replace(minimalWorker, "credentials_file = /b", "auth_url = keystone:5000", 1), ":4:", "not an http or https URL"},
		"PPA of no URL":            {minimalWorker + "[ppa]\nurl = $OWNER/$NAME\n", ":13:", "not an http or https URL"},
		"section of upstream's":    {minimalWorker + "[virt]\nARGS = lxd\n", ":13:", `unknown key "ARGS"`},
		"2015, a key twice":        {readFile(t, "testdata/worker-2015.conf") + "lxcopts = x\n", ":32:", "already in line 31"},
		"2015, without its images": {strings.Replace(readFile(t, "testdata/worker-2015.conf"), "image_pattern", "#", 1), "", "[nova] image_pattern: missing"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path := write(t, test.content)
			_, err := LoadWorker(path)
			if !errors.Is(err, ErrInvalid) {
				t.Fatalf("error %v, want ErrInvalid", err)
			}
			if !strings.Contains(err.Error(), path+test.place) || !strings.Contains(err.Error(), test.reason) {
				t.Errorf("error %q, want one with %q that says %q", err, path+test.place, test.reason)
			}
			secrettest.HiddenIn(t, password, "the error", err.Error())
		})
	}
}

func TestWorkerBroker(t *testing.T) {
	t.Parallel()
	environment := map[string]string{"RABBIT_HOST": "env-host", "RABBIT_USER": "env-user", "RABBIT_PASSWORD": "hunter2"}
	file := write(t, "uri = amqp://u:hunter2@file-host:7\n")
	for name, test := range map[string]struct {
		worker Worker
		env    map[string]string
		want   Broker
		reason string
	}{
		"file":        {Worker{BrokerCredentials: file}, environment, Broker{Username: "u", Password: "hunter2", Host: "file-host", Port: 7, VHost: "/"}, ""},
		"keys":        {whole(), environment, Broker{Username: "worker", Password: whole().BrokerAccount.Password, Host: "broker.example.com", Port: 5672, VHost: "/"}, ""},
		"environment": {Worker{}, environment, Broker{Username: "env-user", Password: "hunter2", Host: "env-host", Port: 5672, VHost: "/"}, ""},
		"password of the environment": {
			Worker{BrokerAccount: Broker{Host: "h", Username: "u"}}, environment, Broker{Username: "u", Password: "hunter2", Host: "h", Port: 5672, VHost: "/"}, "",
		},
		"nothing":     {Worker{}, nil, Broker{}, "host (RABBIT_HOST), user (RABBIT_USER), password (RABBIT_PASSWORD)"},
		"no password": {Worker{BrokerAccount: Broker{Host: "h", Username: "u"}}, nil, Broker{}, "environment, password (RABBIT_PASSWORD)"},
	} {
		got, err := test.worker.broker(func(key string) string { return test.env[key] })
		if (test.reason == "") != (err == nil) || (err != nil && (!errors.Is(err, ErrNoAccount) || !strings.Contains(err.Error(), test.reason))) {
			t.Errorf("%s: error %v, want %q", name, err, test.reason)
		}
		if diff := cmp.Diff(test.want, got, reveal); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

func TestWorkerStore(t *testing.T) {
	t.Parallel()
	environment := map[string]string{
		"SWIFT_AUTH_URL": "http://keystone:5000/v3/", "SWIFT_USERNAME": "u", "SWIFT_PASSWORD": "hunter2", "SWIFT_PROJECT_NAME": "p",
		"SWIFT_USER_DOMAIN_NAME": "ud", "SWIFT_PROJECT_DOMAIN_NAME": "pd",
	}
	ofEnvironment := Store{
		AuthURL: "http://keystone:5000/v3", Username: "u", Password: "hunter2", Tenant: "p", UserDomain: "ud", ProjectDomain: "pd",
	}
	ofFile := Store{AuthURL: "http://h/auth", Username: "u", Password: "hunter2", StorageURL: "http://h/v1"}
	for name, test := range map[string]struct {
		worker Worker
		env    map[string]string
		want   Store
		local  bool
		reason string
	}{
		"file":                   {Worker{StoreCredentials: write(t, string(ofFile.Bytes()))}, environment, ofFile, false, ""},
		"keys":                   {whole(), nil, whole().StoreAccount, false, ""},
		"environment":            {Worker{}, environment, ofEnvironment, false, ""},
		"empty in the file":      {Worker{StoreLocal: true}, nil, Store{}, true, ""},
		"empty in the file only": {Worker{StoreLocal: true}, environment, ofEnvironment, false, ""},
		"empty in the environment": {
			Worker{}, map[string]string{"SWIFT_AUTH_URL": ""}, Store{}, true, "",
		},
		"nothing":     {Worker{}, nil, Store{}, false, "auth_url (SWIFT_AUTH_URL), username"},
		"no password": {Worker{StoreAccount: Store{AuthURL: "http://x", Username: "u"}}, nil, Store{}, false, "environment, password (SWIFT_PASSWORD)"},
	} {
		got, local, err := test.worker.store(func(key string) (string, bool) { value, ok := test.env[key]; return value, ok })
		if (test.reason == "") != (err == nil) || (err != nil && (!errors.Is(err, ErrNoAccount) || !strings.Contains(err.Error(), test.reason))) {
			t.Errorf("%s: error %v, want %q", name, err, test.reason)
		}
		if diff := cmp.Diff(test.want, got, reveal); diff != "" || local != test.local {
			t.Errorf("%s: local %v (-want +got):\n%s", name, local, diff)
		}
	}
}

func TestSize(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]Size{
		"0": Unlimited, "1": 1, "20G": 20 << 30, "512M": 512 << 20, "3T": 3 << 40, "1K": 1 << 10, "1025": 1025,
	} {
		got, err := ParseSize(text)
		if err != nil || got != want || got.String() != text {
			t.Errorf("%s: %d, printed %s, %v", text, got, got, err)
		}
		if bytes, limited := got.Limit(); limited == (want == Unlimited) || (limited && Size(bytes) != want) {
			t.Errorf("%s: limit %d, %v", text, bytes, limited)
		}
	}
	for _, text := range []string{"", "G", "1g", "1.5G", "+1", "00", "0G", "1 G", "18446744073709551616", "9007199254740992T"} {
		if got, err := ParseSize(text); err == nil {
			t.Errorf("%q is read as %d", text, got)
		}
	}
}

func TestDestination(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]Destination{
		"10.0.0.1":              {Network: netip.MustParsePrefix("10.0.0.1/32")},
		"10.0.0.0/8:80":         {Network: netip.MustParsePrefix("10.0.0.0/8"), Port: 80},
		"fd00::/8":              {Network: netip.MustParsePrefix("fd00::/8")},
		"[fd00::/8]:80":         {Network: netip.MustParsePrefix("fd00::/8"), Port: 80},
		"::1":                   {Network: netip.MustParsePrefix("::1/128")},
		"[::1]:65535":           {Network: netip.MustParsePrefix("::1/128"), Port: 65535},
		"mirror.example.com:80": {Name: "mirror.example.com", Port: 80},
		"mirror":                {Name: "mirror"},
		"1and1.example":         {Name: "1and1.example"},
	} {
		got, err := ParseDestination(text)
		if err != nil || got != want || got.String() != text {
			t.Errorf("%s: %+v, printed %s, %v", text, got, got, err)
		}
	}
	for _, text := range []string{
		"", ":80", "x:", "x:0", "x:65536", "x:http", "127.1", "10.0.0.300", "10.0.0.0/33", "10.0.0.1/8", "[::1", "[::1]80", "[::1]:",
		"[x]:80", "fe80::1%eth0", "-x", "x..y", "http://x", "x/y", "*.example.com",
	} {
		if got, err := ParseDestination(text); err == nil {
			t.Errorf("%q is read as %+v", text, got)
		}
	}
}

func TestSplitQuoted(t *testing.T) {
	t.Parallel()
	for text, want := range map[string][]string{
		"":                  nil,
		"  ":                nil,
		"a  b\tc":           {"a", "b", "c"},
		`-e 'A=b c' d"e"f`:  {"-e", "A=b c", "def"},
		`'' ""`:             {"", ""},
		`a\ b "\"\\\$" '\'`: {"a b", `"\\$`, `\`},
		"$(id);`id`":        {"$(id);`id`"},
	} {
		got, err := SplitQuoted(text)
		if err != nil || !slices.Equal(got, want) {
			t.Errorf("%s: %q, %v; want %q", text, got, err, want)
		}
	}
	for _, text := range []string{"'", `"`, `\`, `a "b' c`} {
		if got, err := SplitQuoted(text); err == nil {
			t.Errorf("%s: %q", text, got)
		}
	}
}

func FuzzSplitQuoted(f *testing.F) {
	for _, text := range []string{"a b", `-e 'A=b c' "d"`, `\`, "'", "ä\u00a0\xff"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		words, err := SplitQuoted(text)
		if err != nil {
			return
		}
		again, err := SplitQuoted(JoinQuoted(words))
		if err != nil || !slices.Equal(words, again) {
			t.Fatalf("%q, then %q, %v", words, again, err)
		}
	})
}

// FuzzWorker: whatever a file holds, reading it ends, its errors show no password, and what is accepted is written such
// that it is read again.
func FuzzWorker(f *testing.F) {
	f.Add([]byte(minimalWorker))
	for _, name := range []string{"worker.conf", "worker-2015.conf", "worker-today.conf"} {
		content, err := os.ReadFile("testdata/" + name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(content)
	}
	f.Add(whole().Bytes())
	f.Fuzz(func(t *testing.T, content []byte) {
		w, err := parseWorker("file", content)
		if err != nil {
			if !errors.Is(err, ErrInvalid) {
				t.Fatalf("error %v does not wrap ErrInvalid", err)
			}
			return
		}
		again, err := parseWorker("file", w.Bytes())
		if err != nil {
			t.Fatalf("what was written is not read: %v\n%s", err, w.Bytes())
		}
		if diff := cmp.Diff(w, again, comparing); diff != "" {
			t.Fatalf("(-first +second):\n%s\n%s", diff, w.Bytes())
		}
	})
}
