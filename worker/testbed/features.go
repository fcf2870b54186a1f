package testbed

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"strings"
)

// Features are the options that newer versions of autopkgtest have and Debian 12's 5.28 has not.
type Features struct {
	PPA                 bool // --add-apt-source takes ppa:OWNER/NAME
	ForeignArchitecture bool // -a, --architecture
}

// probeFeatures asks the program itself, because a version number does not say what a distribution has put in.
func probeFeatures(ctx context.Context, program string) (Features, error) {
	// Its exit code is 20 although nothing is wrong (5.28), so only a help without a well-known option is an error.
	out, err := exec.CommandContext(ctx, program, "--help").Output()
	if !strings.Contains(string(out), "--output-dir") {
		return Features{}, fmt.Errorf("%s --help: does not print its options: %w", program, errors.Join(err, ErrMissing))
	}
	return parseFeatures(string(out)), nil
}

func parseFeatures(help string) Features {
	return Features{
		PPA:                 strings.Contains(help, "ppa:"),
		ForeignArchitecture: strings.Contains(help, "--architecture"),
	}
}
