package rabbitmq

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/provider/host"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/config"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/management"
)

func TestSettings(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		settings Settings
		timeout  time.Duration
		says     string // part of the error; empty for none
	}{
		"defaults":             {Settings{}, DefaultDeliveryTimeout, ""},
		"longer":               {Settings{DeliveryTimeout: 100 * time.Hour}, 100 * time.Hour, ""},
		"shorter than a tick":  {Settings{DeliveryTimeout: time.Second}, 0, "the delivery timeout 1s"},
		"negative":             {Settings{DeliveryTimeout: -time.Hour}, 0, "the delivery timeout -1h0m0s"},
		"parts of a ms":        {Settings{DeliveryTimeout: time.Hour + 1}, 0, "whole milliseconds"},
		"no port":              {Settings{Port: 65536}, 0, "the port 65536"},
		"a port of one's own":  {Settings{Port: 5673}, DefaultDeliveryTimeout, ""},
		"negative port number": {Settings{Port: -1}, 0, "the port -1"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := test.settings.filled()
			if test.says != "" {
				if !errors.Is(err, host.ErrInvalid) || !strings.Contains(err.Error(), test.says) {
					t.Fatalf("error = %v, want one of kind ErrInvalid that says %q", err, test.says)
				}
				return
			}
			if err != nil || got.DeliveryTimeout != test.timeout || got.Reserve == 0 {
				t.Errorf("filled() = %+v, %v", got, err)
			}
		})
	}
}

func TestAdministratorIsImportedWithAHash(t *testing.T) {
	t.Parallel()
	const password = "THEPASSWORD"
	text, err := administratorDefinitions("admin", password)
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(text), password) {
		t.Error("the definitions hold the password itself")
	}
	var loaded struct {
		Users []struct {
			Name, Password_hash, Hashing_algorithm string
			Tags                                   []string
		}
		Permissions []struct{ User, VHost, Configure, Write, Read string }
	}
	if err := json.Unmarshal(text, &loaded); err != nil {
		t.Fatal(err)
	}
	if len(loaded.Users) != 1 || len(loaded.Permissions) != 1 {
		t.Fatalf("the definitions change more than one user: %s", text)
	}
	user := loaded.Users[0]
	if !(management.User{PasswordHash: user.Password_hash}).HasPassword(password) ||
		user.Hashing_algorithm != "rabbit_password_hashing_sha256" {
		t.Errorf("the hash is not that of the password: %s", text)
	}
}

func TestRetry(t *testing.T) {
	t.Parallel()
	refused := errors.New("refused")
	for name, test := range map[string]struct {
		limit    time.Duration
		failures int // before the first success
		calls    int
		want     error
	}{
		"at once":        {time.Minute, 0, 1, nil},
		"the third time": {time.Minute, 2, 3, nil},
		"past the limit": {0, 9, 1, refused},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				calls := 0
				err := retry(t.Context(), test.limit, func(context.Context) error {
					time.Sleep(time.Second)
					if calls++; calls <= test.failures {
						return refused
					}
					return nil
				})
				if !errors.Is(err, test.want) || calls != test.calls {
					t.Errorf("error = %v after %d calls, want %v after %d", err, calls, test.want, test.calls)
				}
			})
		})
	}
}

func TestAnswersAMQP(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		answer string
		ok     bool
	}{
		"a method frame":               {"\x01\x00\x00", true},
		"another version of AMQP":      {"AMQP\x00\x01\x00\x00", false},
		"closed without a word":        {"", false},
		"something else, as a website": {"HTTP/1.0 400 Bad Request", false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			listener, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			served := make(chan error, 1)
			go func() { served <- answerOnce(listener, test.answer) }()
			if err := answersAMQP(t.Context(), listener.Addr().String()); (err == nil) != test.ok {
				t.Errorf("error = %v, want none: %v", err, test.ok)
			}
			if err := <-served; err != nil {
				t.Error(err)
			}
		})
	}
}

func answerOnce(listener net.Listener, answer string) error {
	defer listener.Close()
	connection, err := listener.Accept()
	if err != nil {
		return err
	}
	defer connection.Close()
	header := make([]byte, 8)
	if _, err := connection.Read(header); err != nil {
		return err
	}
	if string(header) != "AMQP\x00\x00\x09\x01" {
		return fmt.Errorf("the client sent %q", header)
	}
	_, err = connection.Write([]byte(answer))
	return err
}

func TestConfigurationIsReadBack(t *testing.T) {
	t.Parallel()
	n := exampleNode()
	n.DeliveryTimeout, n.Reserve = 25*time.Hour, 1<<30
	n.Plain = endpoints([]string{"192.0.2.1", "::1"}, 5673)
	for _, memory := range []Watermark{{Percent: 33}, {Bytes: 2 << 30}} {
		n.Memory = memory
		want := Settings{
			DeliveryTimeout: n.DeliveryTimeout, Reserve: n.Reserve, Memory: memory, Listen: []string{"192.0.2.1", "::1"}, Port: 5673,
		}
		for _, file := range exampleDefinition(t, n).Files {
			if file.Name != "etc/rabbitmq.conf" {
				continue
			}
			if diff := cmp.Diff(want, parseConfiguration(file.Content)); diff != "" {
				t.Errorf("read back (-want +got):\n%s", diff)
			}
		}
	}
	if got := parseConfiguration([]byte("nothing of the kind\nlisteners.tcp.1 = x\n")); got.DeliveryTimeout != 0 || got.Listen != nil {
		t.Errorf("read %+v from a file without it", got)
	}
}

func TestRoom(t *testing.T) {
	t.Parallel()
	err := enoughRoom("/srv/stack", 300<<20, 256<<20)
	if !errors.Is(err, host.ErrNoSpace) {
		t.Fatalf("error = %v, want ErrNoSpace", err)
	}
	for _, part := range []string{"/srv/stack", "300 MiB", "256 MiB", "512 MiB"} {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("%q does not say %q", err, part)
		}
	}
	if err := enoughRoom("/srv/stack", 512<<20, 256<<20); err != nil {
		t.Error(err)
	}
}

func TestPasswordsAreTheirOwnEncoding(t *testing.T) {
	t.Parallel()
	seen := map[config.Secret]bool{}
	for range 100 {
		p := config.NewSecret()
		if seen[p] || len(p) < 22 {
			t.Fatal("a password came twice or is short")
		}
		seen[p] = true
		for _, r := range p.Reveal() {
			if !strings.ContainsRune("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789", r) {
				t.Fatalf("a password has the character %q, which some configuration file reads in its own way", r)
			}
		}
	}
}
