package host

import (
	"bufio"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"net/netip"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
)

// socket is a listening socket, as far as /proc lets us know.
type socket struct {
	inode string
	user  int
	pid   int    // 0 where we may not look
	name  string // the command of pid
}

func (s socket) String() string {
	if s.pid != 0 {
		return fmt.Sprintf("process %d (%s)", s.pid, s.name)
	}
	if s.inode == "" {
		return "another program"
	}
	name := strconv.Itoa(s.user)
	if u, err := user.LookupId(name); err == nil {
		name = u.Username
	}
	return "a process of user " + name
}

// listenerOf finds one who listens on address:port, also by listening on all addresses.
func listenerOf(address string, port int) socket {
	if all := listenersOf(address, port); len(all) > 0 {
		return all[0]
	}
	return socket{}
}

// listenersOf finds all who are in the way of listening on address:port. For all addresses these can be several.
func listenersOf(address string, port int) (all []socket) {
	want, err := netip.ParseAddr(address)
	if err != nil {
		return nil
	}
	for _, table := range []string{"/proc/net/tcp", "/proc/net/tcp6"} {
		for _, s := range searchTable(table, want, port) {
			s.pid, s.name = socketOwner(s.inode)
			all = append(all, s)
		}
	}
	return all
}

// searchTable reads the kernel's table of sockets (Documentation/networking/proc_net_tcp.rst): "sl local_address
// rem_address st ... uid timeout inode", addresses in hexadecimal, state 0A is listening.
func searchTable(table string, want netip.Addr, port int) (found []socket) {
	file, err := os.Open(table)
	if err != nil {
		return nil
	}
	defer file.Close()
	for lines := bufio.NewScanner(file); lines.Scan(); {
		fields := strings.Fields(lines.Text())
		if len(fields) < 10 || fields[3] != "0A" {
			continue
		}
		address, ok := parseSocketAddress(fields[1])
		if !ok || int(address.Port()) != port ||
			address.Addr() != want && !address.Addr().IsUnspecified() && !want.IsUnspecified() {
			continue
		}
		if uid, err := strconv.Atoi(fields[7]); err == nil {
			found = append(found, socket{inode: fields[9], user: uid})
		}
	}
	return found
}

// parseSocketAddress reads "0100007F:1628". The address is made of 32-bit words in the byte order of the machine.
func parseSocketAddress(text string) (netip.AddrPort, bool) {
	words, portText, _ := strings.Cut(text, ":")
	raw, err := hex.DecodeString(words)
	if err != nil {
		return netip.AddrPort{}, false
	}
	for i := 0; i+4 <= len(raw); i += 4 {
		binary.BigEndian.PutUint32(raw[i:], binary.NativeEndian.Uint32(raw[i:]))
	}
	address, ok := netip.AddrFromSlice(raw)
	port, err := strconv.ParseUint(portText, 16, 16)
	return netip.AddrPortFrom(address.Unmap(), uint16(port)), ok && err == nil
}

// socketOwner finds a process that holds the socket, among those whose descriptors we may see.
func socketOwner(inode string) (pid int, name string) {
	links, err := filepath.Glob("/proc/[0-9]*/fd/*")
	if err != nil {
		return 0, ""
	}
	for _, link := range links {
		if target, err := os.Readlink(link); err != nil || target != "socket:["+inode+"]" {
			continue
		}
		pid, err := strconv.Atoi(strings.Split(link, "/")[2])
		if err != nil {
			continue
		}
		if p, ok := readProcess(pid); ok {
			return pid, p.command
		}
	}
	return 0, ""
}
