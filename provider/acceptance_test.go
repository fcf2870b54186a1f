//go:build acceptance

package provider

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/terraform-plugin-go/tfprotov6"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/provider/host"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/provider/host/hosttest"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/provider/rabbitmq"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/provider/swift"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/scripts/secrets/scan"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/config"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/management"
)

// The acceptance tests drive the provider with the real terraform against real servers, which they start in throw-away
// folders. They are run by `make test`; a missing terraform or server is a failure, never a skip. What needs the provider
// as a program of its own, or a testbed image, is tested in examples/.

// scratch is the folder below which the tests make their stacks. It is not t.TempDir(), which only its owner may enter: as
// root the services run as another account.
var scratch string

// programs is the place of the services' own programs.
var programs string

func TestMain(m *testing.M) { os.Exit(runAcceptance(m)) }

func runAcceptance(m *testing.M) (code int) {
	complain := func(err error) int {
		fmt.Fprintln(os.Stderr, "acceptance tests cannot run:", err, "\nRun them with make test.")
		return 1
	}
	if os.Getenv("TF_ACC") == "" {
		return complain(errors.New("TF_ACC is not set"))
	}
	if _, err := exec.LookPath("terraform"); err != nil && os.Getenv("TF_ACC_TERRAFORM_PATH") == "" {
		return complain(err)
	}
	os.Unsetenv("TF_CLI_CONFIG_FILE") // a developer's own would change which provider is used
	os.Setenv("CHECKPOINT_DISABLE", "1")
	var err error
	if scratch, err = os.MkdirTemp("", "autopkgtest-acceptance-"); err != nil {
		return complain(err)
	}
	defer os.RemoveAll(scratch)
	if err := os.Chmod(scratch, 0o755); err != nil {
		return complain(err)
	}
	if programs = os.Getenv("AUTOPKGTEST_TEST_BINARIES"); programs == "" {
		return complain(errors.New("AUTOPKGTEST_TEST_BINARIES is not set"))
	}
	// What the tests leave of states, plans and logs is kept until it was looked through.
	work, nowhere := filepath.Join(scratch, "work"), filepath.Join(scratch, "nowhere")
	if err := errors.Join(os.Mkdir(work, 0o700), os.Mkdir(nowhere, 0o700)); err != nil {
		return complain(err)
	}
	// Every step of every test would keep a copy of the folders beside the tests.
	if err := os.Chdir(nowhere); err != nil {
		return complain(err)
	}
	os.Setenv("TF_ACC_PERSIST_WORKING_DIR", "1")
	os.Setenv("TF_ACC_TEMP_DIR", work)
	defer func() {
		if err := noSecretIn(work); err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = 1
		}
	}()
	defer func() {
		if err := endShared(); err != nil {
			fmt.Fprintln(os.Stderr, "the shared stack is left behind:", err)
			code = 1
		}
	}()
	return m.Run()
}

// noSecretIn looks for generated secrets in all that Terraform has written below a folder. The provider echo is a test's own means
// to look into ephemeral values, which it puts into the state.
func noSecretIn(work string) error {
	found, files, err := scan.Tree(work)
	if err != nil {
		return err
	}
	fmt.Printf("secrets: looked through %d files of the tests' working folders\n", files)
	for _, place := range found {
		configuration, _ := filepath.Glob(filepath.Join(filepath.Dir(place.Path), "*.tf"))
		echoes := false
		for _, file := range configuration {
			content, failed := os.ReadFile(file)
			err = errors.Join(err, failed)
			echoes = echoes || strings.Contains(string(content), `provider "echo"`)
		}
		if !echoes {
			err = errors.Join(err, fmt.Errorf("a generated secret, or a private key, is in %s", place))
		}
	}
	return err
}

// TestPlantedSecret: what the end of all tests looks for is found, but where echo was asked to show it.
func TestPlantedSecret(t *testing.T) {
	t.Parallel()
	for configuration, found := range map[string]bool{`provider "autopkgtest" {}`: true, `provider "echo" {}`: false} {
		folder := t.TempDir()
		state := fmt.Sprintf(`{"password": %q}`, config.NewSecret().Reveal())
		if err := errors.Join(os.WriteFile(filepath.Join(folder, "terraform.tfstate"), []byte(state), 0o600),
			os.WriteFile(filepath.Join(folder, "main.tf"), []byte(configuration), 0o600)); err != nil {
			t.Fatal(err)
		}
		if err := noSecretIn(folder); (err != nil) != found {
			t.Errorf("%s: %v", configuration, err)
		}
	}
}

// factories is the provider within the test's own process.
var factories = map[string]func() (tfprotov6.ProviderServer, error){
	"autopkgtest": func() (tfprotov6.ProviderServer, error) { return NewServer("test", Options{}), nil },
}

// newStack names a folder for a stack of the test's own, and ends whatever is in it when the test ends.
func newStack(t *testing.T) string { return hosttest.Folder(t, scratch) }

// shared is a stack with a broker and a store, for the tests of what lives in them. Each uses names of its own.
type sharedStack struct {
	directory  string
	broker     rabbitmq.Info
	store      swift.Info
	management *management.Client
	fanouts    sync.Mutex // held by a test of what has a fixed name in the broker
	brokerHCL  string
	storeHCL   string
}

const sharedName = "shared"

var (
	sharedMu   sync.Mutex
	sharedMade *sharedStack
)

func shared(t *testing.T) *sharedStack {
	t.Helper()
	sharedMu.Lock()
	defer sharedMu.Unlock()
	if sharedMade == nil {
		made, err := makeShared()
		if err != nil {
			t.Fatalf("the shared stack: %v", err)
		}
		sharedMade = made
	}
	return sharedMade
}

func makeShared() (*sharedStack, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	account, err := host.Choose("")
	if err != nil {
		return nil, err
	}
	s := &sharedStack{directory: filepath.Join(scratch, sharedName)}
	d, err := host.Create(ctx, host.Options{Path: s.directory, Stack: sharedName, Account: account})
	if err != nil {
		return nil, err
	}
	if s.broker, err = rabbitmq.Apply(ctx, d, rabbitmq.Settings{}); err != nil {
		return nil, err
	}
	if s.store, err = swift.Apply(ctx, d, swift.Settings{}); err != nil {
		return nil, err
	}
	administrator, err := config.ReadBroker(s.broker.CredentialsFile)
	if err != nil {
		return nil, err
	}
	s.management, err = management.New(s.broker.ManagementURL, administrator.Username, administrator.Password)
	s.brokerHCL = fmt.Sprintf("{\n management_url = %q\n credentials_file = %q\n host = %q\n port = %d\n incarnation = %q\n}",
		s.broker.ManagementURL, s.broker.CredentialsFile, s.broker.Host, s.broker.Port, s.broker.Incarnation)
	s.storeHCL = fmt.Sprintf("{\n storage_url = %q\n credentials_file = %q\n incarnation = %q\n}",
		s.store.StorageURL, s.store.CredentialsFile, s.store.Incarnation)
	return s, err
}

func endShared() error {
	sharedMu.Lock()
	defer sharedMu.Unlock()
	if sharedMade == nil {
		return nil
	}
	return host.Sweep(context.Background(), sharedMade.directory)
}

// configuration is a provider block for the shared stack and what follows it.
func (s *sharedStack) configuration(format string, arguments ...any) string {
	return providerBlock(sharedName, s.directory) + s.expand(fmt.Sprintf(format, arguments...))
}

// expand puts broker and store in the place of BROKER and STORE.
func (s *sharedStack) expand(text string) string {
	return strings.NewReplacer("BROKER", s.brokerHCL, "STORE", s.storeHCL).Replace(text)
}

func providerBlock(stack, directory string) string {
	return fmt.Sprintf("provider \"autopkgtest\" {\n stack = %q\n directory = %q\n binaries = %q\n}\n", stack, directory, programs)
}

var (
	namesMu sync.Mutex
	names   int
)

// unique is a name that no other test uses.
func unique(prefix string) string {
	namesMu.Lock()
	defer namesMu.Unlock()
	names++
	return fmt.Sprintf("%s%d", prefix, names)
}
