package rabbitmq

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/provider/host"
)

// controlLimit bounds one rabbitmqctl, which needs half a second on an idle machine.
const controlLimit = time.Minute

// control runs rabbitmqctl on the node, as the stack's account, and returns what it printed. Secrets travel by stdin.
func control(ctx context.Context, d *host.Directory, n node, stdin io.Reader, arguments ...string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, controlLimit)
	defer cancel()
	var out bytes.Buffer
	err := d.Run(ctx, host.Command{
		Argv: append([]string{controlProgram, "--quiet"}, arguments...),
		Env:  n.environment(), Dir: n.Folder, Stdin: stdin, Stdout: &out,
	})
	return strings.TrimSpace(out.String()), err
}

var environmentValue = regexp.MustCompile(`^\{ok,([0-9]+)\}$`)

// nodeDeliveryTimeout asks the node for the delivery timeout that it runs with. Only the node itself can tell: no
// management API of 3.x has it.
func nodeDeliveryTimeout(ctx context.Context, d *host.Directory, n node) (time.Duration, error) {
	answer, err := control(ctx, d, n, nil, "eval", "application:get_env(rabbit, consumer_timeout).")
	if err != nil {
		return 0, fmt.Errorf("ask the broker for its delivery timeout: %w", err)
	}
	match := environmentValue.FindStringSubmatch(answer)
	if match == nil {
		return 0, fmt.Errorf("ask the broker for its delivery timeout: %q is no answer", answer)
	}
	milliseconds, err := strconv.ParseInt(match[1], 10, 64)
	if err != nil {
		return 0, fmt.Errorf("ask the broker for its delivery timeout: %w", err)
	}
	return time.Duration(milliseconds) * time.Millisecond, nil
}
