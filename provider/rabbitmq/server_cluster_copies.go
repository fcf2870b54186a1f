package rabbitmq

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/provider/host"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/management"
)

// copies is where a queue is, as names of nodes. It is asked of the node itself: the management API of RabbitMQ 3.10 goes on telling of
// an idle queue what was true before.
type copies struct {
	Name     string
	Messages int // -1 where the leader does not tell
	Leader   string
	All      []string
	Whole    []string
}

// behind says whether a node has a copy that is not whole.
func (c copies) behind(node string) bool {
	return slices.Contains(c.All, node) && !slices.Contains(c.Whole, node)
}

// onlyOn says whether something would be lost with a node.
func (c copies) onlyOn(node string) bool {
	elsewhere := func(name string) bool { return name != node }
	return c.Messages != 0 && c.Leader == node && !slices.ContainsFunc(c.Whole, elsewhere)
}

// copiesExpression makes a line of each queue. (rabbitmqctl list_queues would have every other member connect to it, which a
// rabbitmqctl that listens nowhere cannot have.)
const copiesExpression = `lists:flatten([begin
	Nodes = fun(Processes) -> string:join(["-" | [atom_to_list(node(P)) || P <- Processes]], ",") end,
	Messages = case catch rabbit_amqqueue:info(Q, [messages]) of [{messages, N}] when is_integer(N) -> N; _ -> -1 end,
	io_lib:format("~s ~b ~s ~s ~s;", [base64:encode(element(4, amqqueue:get_name(Q))), Messages, node(amqqueue:get_pid(Q)),
		Nodes(amqqueue:get_slave_pids(Q)), Nodes(amqqueue:get_sync_slave_pids(Q))])
end || Q <- rabbit_amqqueue:list(<<"` + management.VHost + `">>), is_pid(amqqueue:get_pid(Q))]).`

// erlangText is a part of a text as rabbitmqctl prints it: long ones in several parts.
var erlangText = regexp.MustCompile(`"([^"]*)"`)

func (n node) queues(ctx context.Context, d *host.Directory) ([]copies, error) {
	answer, err := control(ctx, d, n, nil, "eval", copiesExpression)
	if err != nil {
		return nil, fmt.Errorf("ask the broker where its queues are: %w", err)
	}
	return parseCopies(answer)
}

func parseCopies(answer string) (all []copies, err error) {
	var text strings.Builder
	for _, part := range erlangText.FindAllStringSubmatch(answer, -1) {
		text.WriteString(part[1])
	}
	for line := range strings.SplitSeq(strings.TrimSuffix(text.String(), ";"), ";") {
		if line == "" {
			continue
		}
		fields := strings.Fields(line)
		if len(fields) != 5 {
			return nil, fmt.Errorf("ask the broker where its queues are: %q is no answer", line)
		}
		name, err := base64.StdEncoding.DecodeString(fields[0])
		if err != nil {
			return nil, fmt.Errorf("ask the broker where its queues are: %w", err)
		}
		messages, err := strconv.Atoi(fields[1])
		if err != nil {
			return nil, fmt.Errorf("ask the broker where its queues are: %w", err)
		}
		all = append(all, copies{
			Name: string(name), Messages: messages, Leader: fields[2],
			All: strings.Split(fields[3], ",")[1:], Whole: strings.Split(fields[4], ",")[1:],
		})
	}
	return all, nil
}

// Held are the queues, with the number of their messages, that would be lost with a member of a cluster that is up.
func Held(ctx context.Context, d *host.Directory) (held []string, err error) {
	n, err := configuredNode(d)
	if err != nil {
		return nil, err
	}
	all, err := n.queues(ctx, d)
	for _, queue := range all {
		if queue.onlyOn(n.Name) {
			held = append(held, fmt.Sprintf("%s (%d)", queue.Name, queue.Messages))
		}
	}
	slices.Sort(held)
	return held, err
}

// unsynchronised names the queues of which this member has a copy that is not whole yet.
func (n node) unsynchronised(ctx context.Context, d *host.Directory) (behind []string, err error) {
	all, err := n.queues(ctx, d)
	for _, queue := range all {
		if queue.behind(n.Name) {
			behind = append(behind, queue.Name)
		}
	}
	slices.Sort(behind)
	return behind, err
}

// awaitSynchronised waits until this member could take any leader's place.
func (n node) awaitSynchronised(ctx context.Context, d *host.Directory) error {
	for end := time.Now().Add(copyLimit); ; {
		behind, err := n.unsynchronised(ctx, d)
		if err == nil && len(behind) == 0 {
			return nil
		}
		if err == nil {
			err = errors.New(behindText(behind))
		}
		if ctx.Err() != nil || time.Now().After(end) {
			return &host.Problem{
				Kind: host.ErrNotReady, Thing: n.Name, Cause: "runs, and is not a full member yet", Err: err,
				WayOut: "Nothing is lost, as long as the others run. Apply again, with a longer timeout if the queues are large",
			}
		}
		select {
		case <-ctx.Done():
		case <-time.After(copyPause):
		}
	}
}

const (
	copyLimit = 10 * time.Minute // a queue of a gigabyte takes a minute
	copyPause = time.Second
)

func behindText(queues []string) string {
	text := strings.Join(queues[:min(len(queues), 3)], ", ")
	if more := len(queues) - 3; more > 0 {
		text += fmt.Sprintf(" and %d more", more)
	}
	return "its copies of the queues " + text + " are not whole yet"
}
