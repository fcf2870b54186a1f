package testbed

import (
	"context"
	"fmt"
	"os/exec"
	"strings"
)

// prepareNetwork brings up the loopback and closes the way out for what a run must not reach, before anybody is there who
// could try. The tests' root owns a user namespace below the one that owns the network, so it cannot open it again.
func prepareNetwork(config insideConfig) error {
	if err := command("nft", "nftables", config.Filter, "-f", "-"); err != nil {
		return fmt.Errorf("close the run's network: %w%s", err, filterHint(err))
	}
	script := "link set lo up\n"
	if config.IPv6 {
		script += "address add " + runAddress6 + " dev " + wayOutDevice + " nodad\n" +
			"route add default via " + gateway6 + " dev " + wayOutDevice + "\n"
	}
	if err := command("ip", "iproute2", script, "-batch", "-"); err != nil {
		return fmt.Errorf("prepare the run's network: %w", err)
	}
	return nil
}

// command gives a text to a program. It is for the first process, whose end is the program's.
func command(name, debianPackage, text string, args ...string) error {
	path, err := findCommand(name, debianPackage)
	if err != nil {
		return err
	}
	command := exec.CommandContext(context.Background(), path, args...)
	command.Stdin = strings.NewReader(text)
	if out, err := command.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w: %s", name, err, strings.TrimSpace(string(out)))
	}
	return nil
}

// filterHint explains nft's commonest failures: it names none of them well.
func filterHint(err error) string {
	for _, word := range []string{"No such file or directory", "Protocol not supported", "Operation not supported",
		"Unable to initialize"} {
		if strings.Contains(err.Error(), word) {
			return " (the kernel lacks a part of nftables; as root: modprobe -a nf_tables nft_reject_inet)"
		}
	}
	return ""
}
