package host

import (
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"testing"
	"time"
)

func TestPortsOfABlock(t *testing.T) {
	t.Parallel()
	d := &Directory{base: firstPort + 300*blockSize, amqp: AMQPPort}
	if got, want := d.Port(RoleWeb), 24809; got != want {
		t.Errorf("port of the website %d, want %d", got, want)
	}
	if got, want := d.Address(), "127.77.1.44"; got != want {
		t.Errorf("address %s, want %s", got, want)
	}
	if _, _, standard := d.AMQP(); !standard {
		t.Error("5672 is not the standard port")
	}
	if d.amqp = d.Port(RoleAMQPFallback); d.amqp != 24800 {
		t.Errorf("fallback %d", d.amqp)
	}
	if _, port, standard := d.AMQP(); standard || port != 24800 {
		t.Errorf("fallback: %d, %t", port, standard)
	}
}

func TestCheckBase(t *testing.T) {
	t.Parallel()
	for base, good := range map[int]bool{20000: true, 20016: true, 32272: true, 0: false, 20001: false, 32288: false, -16: false} {
		if err := checkBase(base); (err == nil) != good {
			t.Errorf("%d: %v", base, err)
		}
	}
}

func TestChooseBlockTakesTheNextFreeOne(t *testing.T) {
	t.Parallel()
	first, err := chooseBlock("/a/path")
	if err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", first+7))
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	if second, err := chooseBlock("/a/path"); err != nil || second == first {
		t.Errorf("block %d after %d: %v", second, first, err)
	}
}

func TestCheckPort(t *testing.T) {
	t.Parallel()
	// Not a port that the kernel chooses: it would give it to somebody else once it is closed.
	port, err := chooseBlock(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	for name, address := range map[string]string{"itself": "127.0.0.1", "all addresses": ""} {
		t.Run(name, func(t *testing.T) {
			listener, err := net.Listen("tcp", fmt.Sprintf("%s:%d", address, port))
			if err != nil {
				t.Fatal(err)
			}
			err = CheckPort("127.0.0.1", port)
			if !errors.Is(err, ErrPortTaken) {
				t.Fatalf("error %v", err)
			}
			for _, says := range []string{fmt.Sprintf("127.0.0.1:%d", port), fmt.Sprintf("process %d (", os.Getpid()), "another port"} {
				if !strings.Contains(err.Error(), says) {
					t.Errorf("error %q does not say %q", err, says)
				}
			}
			if err := listener.Close(); err != nil {
				t.Fatal(err)
			}
			// Other tests start children, which hold our descriptors until they are other programs.
			eventually(t, "a free port", 5*time.Second, func() error { return CheckPort("127.0.0.1", port) })
		})
	}
	if err := CheckPort("192.0.2.1", 80); !errors.Is(err, ErrInvalid) {
		t.Errorf("an address of another machine: %v", err)
	}
}

func TestParseSocketAddress(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"0100007F:1628":                         "127.0.0.1:5672",
		"00000000:0050":                         "0.0.0.0:80",
		"00000000000000000000000000000000:1F90": "[::]:8080",
		"00000000000000000000000001000000:1F90": "[::1]:8080",
		"0000000000000000FFFF00000100007F:1F90": "127.0.0.1:8080",
		"nonsense":                              "",
		"0100007F:12345":                        "",
	} {
		got, ok := parseSocketAddress(text)
		if ok != (want != "") || ok && got.String() != want {
			t.Errorf("%s: %v, %t, want %q", text, got, ok, want)
		}
	}
}
