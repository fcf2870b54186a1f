package testbed

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
)

// prepareNetwork brings up the loopback and closes the way out for what a run must not reach, before anybody is there who
// could try. The tests' root owns a user namespace below the one that owns the network, so it cannot open it again.
func prepareNetwork(network insideNetwork) error {
	if network.Filter != "" {
		if err := loadRules(context.Background(), network.Filter); err != nil {
			return fmt.Errorf("close the run's network: %w", err)
		}
	}
	script := "link set lo up\n"
	if network.Gateway {
		// Nobody is beside the run but its gateway, so that who is looked for there gets an answer at once.
		script += "link set " + wayOutDevice + " up\n" + alone("/32", runAddress, runGateway, Nameserver)
		if network.IPv6 {
			script += alone("/128", runAddress6, runGateway6)
		}
	} else if network.IPv6 {
		script += "address add " + runAddress6 + "/64 dev " + wayOutDevice + " nodad\n" +
			"route add default via " + runGateway6 + " dev " + wayOutDevice + "\n"
	}
	if err := configure(context.Background(), script); err != nil {
		return fmt.Errorf("prepare the run's network: %w", err)
	}
	return nil
}

// replaceFilter loads another one in one step: at no time is there none.
func replaceFilter(ruleset string) error {
	if err := loadRules(context.Background(), "flush ruleset\n"+ruleset); err != nil {
		return fmt.Errorf("close the run's network: %w", err)
	}
	return nil
}

// alone is how ip gives the interface an address that has no network, and the way to its neighbours, of whom the first one is
// the way to everybody else.
func alone(bits, address string, neighbours ...string) string {
	script := "address add " + address + bits + " dev " + wayOutDevice + " nodad\n"
	for _, neighbour := range neighbours {
		script += "route add " + neighbour + bits + " dev " + wayOutDevice + "\n"
	}
	return script + "route add default via " + neighbours[0] + " dev " + wayOutDevice + "\n"
}

// configure gives the lines of a script to ip. Files are its descriptors from 3 on.
func configure(ctx context.Context, script string, files ...*os.File) error {
	return command(ctx, "ip", "iproute2", script, files, "-batch", "-")
}

// loadRules gives rules to nft, which takes all of them or none.
func loadRules(ctx context.Context, rules string) error {
	if err := command(ctx, "nft", "nftables", rules, nil, "-f", "-"); err != nil {
		return fmt.Errorf("%w%s", err, filterHint(err, rules))
	}
	return nil
}

// command gives a text to a program, and its end is the program's.
func command(ctx context.Context, name, debianPackage, text string, files []*os.File, args ...string) error {
	path, err := findCommand(name, debianPackage)
	if err != nil {
		return err
	}
	command := exec.CommandContext(ctx, path, args...)
	command.Stdin = strings.NewReader(text)
	command.ExtraFiles = files
	if out, err := command.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w: %s", name, err, strings.TrimSpace(string(out)))
	}
	return nil
}

// filterHint explains nft's commonest failures: it names none of them well.
func filterHint(err error, rules string) string {
	modules := "nf_tables nft_reject_inet"
	if strings.Contains(rules, "masquerade") {
		modules += " nft_ct nft_connlimit nft_chain_nat nft_masq"
	}
	for _, word := range []string{"No such file or directory", "Protocol not supported", "Operation not supported",
		"Unable to initialize"} {
		if strings.Contains(err.Error(), word) {
			return " (the kernel lacks a part of nftables; as root: modprobe -a " + modules + ")"
		}
	}
	return ""
}
