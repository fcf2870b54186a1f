package main

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/provider/host"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/config"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/management"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/store"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/store/swift"
)

// stack is the real broker and the real store, which `stack run` has started for us and removes when we have ended.
type stack struct {
	directory  *host.Directory
	broker     config.Broker // an administrator
	management *management.Client
	account    config.Store
	store      store.Store // the account, straight
}

// stackName is the name that `stack run` gives to its stacks.
const stackName = "test"

func openStack() (*stack, error) {
	variables := map[string]string{}
	for _, name := range []string{"DIRECTORY", "AMQP", "MANAGEMENT", "SWIFT"} {
		variables[name] = os.Getenv("AUTOPKGTEST_TEST_" + name)
		if variables[name] == "" {
			return nil, fmt.Errorf("AUTOPKGTEST_TEST_%s is not set: this is run by `stack run`, as `make chaos` does", name)
		}
	}
	s := new(stack)
	var err error
	if s.directory, err = host.Open(variables["DIRECTORY"], stackName); err != nil {
		return nil, err
	}
	if s.broker, err = config.ParseBroker(variables["AMQP"]); err != nil {
		return nil, err
	}
	address, err := url.Parse(variables["MANAGEMENT"])
	if err != nil {
		return nil, errors.New("AUTOPKGTEST_TEST_MANAGEMENT is not a URL")
	}
	address.User = nil
	if s.management, err = management.New(address.String(), s.broker.Username, s.broker.Password); err != nil {
		return nil, err
	}
	if s.account, err = config.ReadStore(variables["SWIFT"]); err != nil {
		return nil, err
	}
	s.store = swift.New(s.account)
	return s, nil
}

// pids are the processes of a service by name, those that run.
func (s *stack) pids(ctx context.Context, service string) (map[string]int, error) {
	found, err := s.directory.Inspect(ctx, service)
	if err != nil {
		return nil, err
	}
	pids := map[string]int{}
	for name, status := range found.Processes {
		if status.PID != 0 {
			pids[name] = status.PID
		}
	}
	return pids, nil
}
