package host

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"os/user"
	"path/filepath"
	"sort"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// helperVariable makes the test binary behave as a small program instead of running tests.
const helperVariable = "HOST_TEST_HELPER"

func TestMain(m *testing.M) {
	if script := os.Getenv(helperVariable); script != "" {
		os.Exit(helper(strings.Fields(script)))
	}
	flag.Parse()
	// The tests with a real runsvdir mostly wait for it. Without more of them at a time than there are processors they
	// would take minutes.
	if err := flag.Set("test.parallel", "8"); err != nil {
		panic(err)
	}
	os.Exit(m.Run())
}

// helper is the program that tests put under supervision. Its words:
//
//	fds FILE       write the open descriptors into FILE, then stay until TERM
//	stay           stay until TERM
//	note FILE      write a line into FILE, then stay until TERM
//	linger         stay for a good second, then fail
//	stubborn       stay, whatever TERM says
//	drain FILE     on TERM, take a second and then write FILE
//	converge STACK NUMBER   put a service into a stack's folder, as a provider does
func helper(words []string) int {
	terms := make(chan os.Signal, 1)
	signal.Notify(terms, syscall.SIGTERM)
	switch words[0] {
	case "fds":
		if err := os.WriteFile(words[1], []byte(describeDescriptors()), 0o600); err != nil {
			fmt.Println(err)
			return 1
		}
		<-terms
	case "stay":
		fmt.Println("staying")
		<-terms
	case "note":
		if err := note(words[1]); err != nil {
			fmt.Println(err)
			return 1
		}
		<-terms
	case "linger":
		time.Sleep(1200 * time.Millisecond)
		fmt.Println("lingered")
		return 1
	case "stubborn":
		for {
			<-terms
		}
	case "drain":
		<-terms
		time.Sleep(time.Second)
		if err := os.WriteFile(words[1], []byte("drained\n"), 0o600); err != nil {
			return 1
		}
	case "converge":
		d, s, err := stackOfHelper(context.Background(), words[1], words[2])
		if err == nil {
			_, err = d.Converge(context.Background(), s)
		}
		if err != nil {
			fmt.Println(err)
			return 1
		}
	default:
		fmt.Println("unknown word", words[0])
		return 2
	}
	return 0
}

// note adds a line to a file: so many lines, so many starts.
func note(path string) error {
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(file, "started as", os.Getpid())
	return errors.Join(err, file.Close())
}

// stackOfHelper makes or adopts a stack and defines a service for it, whose files hold the number.
func stackOfHelper(ctx context.Context, path, number string) (*Directory, Service, error) {
	account, err := anyAccount()
	if err != nil {
		return nil, Service{}, err
	}
	d, err := Create(ctx, Options{Path: path, Stack: "test", Account: account})
	if err != nil {
		return nil, Service{}, err
	}
	s := Service{Name: "toy", Files: []File{{Name: "etc/toy.conf", Content: []byte(number)}}, Data: []string{"data"}}
	for _, name := range []string{"toy-a", "toy-b"} {
		s.Processes = append(s.Processes, Process{Name: name, Argv: []string{"/bin/sleep", "1000"}})
	}
	return d, s, nil
}

// describeDescriptors lists what this process has open, without the descriptor that reads the list.
func describeDescriptors() string {
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return err.Error()
	}
	var lines []string
	for _, entry := range entries {
		if target, err := os.Readlink("/proc/self/fd/" + entry.Name()); err == nil {
			lines = append(lines, entry.Name()+" "+target)
		}
	}
	sort.Strings(lines)
	return strings.Join(lines, "\n") + "\n"
}

// testAccount is who owns the stacks of tests: the user who runs them; for root the dedicated account, or nobody where
// there is none.
func testAccount(t testing.TB) Account {
	t.Helper()
	account, err := anyAccount()
	if err != nil {
		t.Fatal(err)
	}
	return account
}

func anyAccount() (Account, error) {
	account, err := Choose("")
	if err != nil {
		return accountOf(user.Lookup("nobody"))
	}
	return account, nil
}

// place is a folder that the account can reach. Those of t.TempDir are closed to others.
func place(t testing.TB) string {
	t.Helper()
	account := testAccount(t)
	path, err := os.MkdirTemp("", "host-test-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(path); err != nil {
			t.Error(err)
		}
	})
	if os.Geteuid() == 0 {
		if err := os.Chown(path, account.UID, account.GID); err != nil {
			t.Fatal(err)
		}
	}
	return path
}

// newDirectory makes a stack in a folder of its own, and takes care that nothing of it is left after the test.
func newDirectory(t testing.TB) *Directory {
	t.Helper()
	path := filepath.Join(place(t), "stack")
	d, err := Create(t.Context(), Options{Path: path, Stack: "test", Account: testAccount(t)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := Sweep(context.Background(), path); err != nil {
			t.Error(err)
		}
	})
	return d
}

// program copies the test binary to where the account can run it.
func program(t testing.TB, d *Directory) string {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	b, err := LocateFile("helper", self)
	if err != nil {
		t.Fatal(err)
	}
	path, err := d.InstallBinary(t.Context(), b)
	if err != nil {
		t.Fatal(err)
	}
	return path
}

func eventually(t testing.TB, what string, limit time.Duration, check func() error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	for {
		err := check()
		if err == nil {
			return
		}
		if sleep(ctx, pause) != nil {
			t.Fatalf("%s: %v", what, err)
		}
	}
}

func clearCloseOnExec(t *testing.T, file *os.File) {
	t.Helper()
	if _, err := unix.FcntlInt(file.Fd(), unix.F_SETFD, 0); err != nil {
		t.Fatal(err)
	}
}
