package main

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/config"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/queue"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/request"
)

func TestRunAutopkgtest(t *testing.T) {
	t.Parallel()
	f := newFixture(t, nil)
	f.env["SUDO_USER"] = "joe"
	f.run(t, 0, "/usr/local/bin/run-autopkgtest", "-s", "noble", "-a", "amd64", "-a", "arm64",
		"--trigger", "green/1:2-1", "--trigger=blue/1", "green", "blue")
	if f.out.Len() > 0 || f.err.Len() > 0 {
		t.Errorf("it says something: %s%s", &f.out, &f.err)
	}
	const params = `{"requester":"joe","submit-time":"2026-11-22 01:21:27.123456+0000","triggers":["green/1:2-1","blue/1"]}`
	want := []message{
		{"debci-noble-amd64", "green\n" + params}, {"debci-noble-amd64", "blue\n" + params},
		{"debci-noble-arm64", "green\n" + params}, {"debci-noble-arm64", "blue\n" + params},
	}
	if diff := cmp.Diff(want, f.broker.messages); diff != "" {
		t.Errorf("messages (-want +got):\n%s", diff)
	}
	if want := (config.Broker{Username: "test_request", Password: "hunter2", Host: "127.77.0.1", Port: 5672, VHost: "/"}); f.broker.account != want {
		t.Errorf("account %s at %s", f.broker.account.Username, f.broker.account.Address())
	}
	if f.broker.closed != 1 {
		t.Errorf("the session was closed %d times", f.broker.closed)
	}
}

// TestFlags: every flag reaches the message and the queue that it decides on, in both forms of the command.
func TestFlags(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		flags string
		queue string
		want  request.Request
	}{
		"plain":         {"", "debci-noble-amd64", request.Request{}},
		"bulk":          {"--bulk", "debci-huge-noble-amd64", request.Request{}},
		"requester":     {"--requester jane", "debci-noble-amd64", request.Request{Requester: "jane"}},
		"all-proposed":  {"--all-proposed", "debci-noble-amd64", request.Request{AllProposed: true}},
		"environment":   {"--env A=b,c --env D=e", "debci-noble-amd64", request.Request{Env: []string{"A=b,c", "D=e"}}},
		"archives":      {"--ppa joe/foo --ppa joe/bar --bulk", "debci-ppa-noble-amd64", request.Request{PPAs: []string{"joe/foo", "joe/bar"}}},
		"tests, git":    {"--test-git https://x/y#z", "debci-upstream-noble-amd64", request.Request{TestGit: "https://x/y#z"}},
		"build, git":    {"--build-git https://x/y --ppa joe/foo", "debci-upstream-noble-amd64", request.Request{BuildGit: "https://x/y", PPAs: []string{"joe/foo"}}},
		"private":       {"--swiftuser reader --readable-by joe --readable-by team --ppa a:b@joe/foo", "debci-ppa-noble-amd64", request.Request{SwiftUser: "reader", ReadableBy: []string{"joe", "team"}, PPAs: []string{"a:b@joe/foo"}}},
		"abbreviations": {"--all --read joe --swift x --req jane", "debci-noble-amd64", request.Request{AllProposed: true, ReadableBy: []string{"joe"}, SwiftUser: "x", Requester: "jane"}},
	} {
		for _, command := range [][]string{{"run-autopkgtest"}, {"autopkgtest-cloud", "request"}} {
			if name == "abbreviations" && len(command) > 1 {
				continue
			}
			t.Run(name+", "+command[0], func(t *testing.T) {
				t.Parallel()
				f := newFixture(t, nil)
				for _, context := range []string{"huge-", "ppa-", "upstream-"} {
					f.broker.queues["debci-"+context+"noble-amd64"] = true
				}
				line := append(append(slices.Clone(command), strings.Fields(test.flags)...),
					"--series", "noble", "--architecture", "amd64", "--trigger", "green/1", "green")
				f.run(t, 0, line...)
				if len(f.broker.messages) != 1 || f.broker.messages[0].Queue != test.queue {
					t.Fatalf("messages %+v, want one in %s", f.broker.messages, test.queue)
				}
				got, err := request.Parse([]byte(f.broker.messages[0].Body))
				if err != nil {
					t.Fatal(err)
				}
				if (got.ID == "") != (command[0] == compatible) {
					t.Errorf("id %q", got.ID)
				}
				got.ID, got.SubmitTime = "", ""
				want := test.want
				want.Package, want.Triggers = "green", []string{"green/1"}
				if diff := cmp.Diff(want, got); diff != "" {
					t.Errorf("(-want +got):\n%s", diff)
				}
			})
		}
	}
}

func TestRequest(t *testing.T) {
	t.Parallel()
	f := newFixture(t, nil)
	order := []string{"autopkgtest-cloud", "request", "-s", "noble", "-a", "amd64", "-a", "arm64", "--trigger", "green/1", "green"}
	f.run(t, 0, order...)
	var ids []string
	for _, m := range f.broker.messages {
		r, err := request.Parse([]byte(m.Body))
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, r.ID)
	}
	if len(ids) != 2 || ids[0] == ids[1] || len(ids[0]) != 36 {
		t.Fatalf("ids %q", ids)
	}
	contains(t, "output", f.out.String(), "PACKAGE", "green", "debci-noble-amd64", "debci-noble-arm64", ids[0], ids[1])

	f.run(t, 0, append(order, "--json")...)
	var printed struct {
		Requests []printedTicket `json:"requests"`
	}
	if err := json.Unmarshal(f.out.Bytes(), &printed); err != nil {
		t.Fatal(err)
	}
	if len(printed.Requests) != 2 {
		t.Fatalf("%s", &f.out)
	}
	want := printedTicket{printed.Requests[1].ID, "debci-noble-arm64", "noble", "arm64", "green", []string{"green/1"}}
	if diff := cmp.Diff(want, printed.Requests[1]); diff != "" || want.ID == "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestRequestUsage(t *testing.T) {
	t.Parallel()
	for line, reason := range map[string]string{
		"-a amd64 --trigger green/1 green":                             "--series is missing",
		"-s noble --trigger green/1 green":                             "--architecture is missing",
		"-s noble -a amd64 green":                                      "--trigger is missing",
		"-s noble -a amd64 --trigger green/1":                          "no package is given",
		"-s noble -a amd64 --trigger green green":                      "want SOURCE/VERSION",
		"-s noble -a amd64 --trigger green/1 Gr_een":                   "not a source package's name",
		"-s trixie-backports -a amd64 --trigger green/1 green":         "has a dash",
		"-s noble -a AMD64 --trigger green/1 green":                    "is not one word",
		"-s noble -a amd64 --trigger green/1 --env x green":            "want NAME=VALUE",
		"-s noble -a amd64 --trigger green/1 --ppa x green":            "a PPA is not of the form",
		"-s noble -a amd64 --trigger green/1 --ppa a:hunter2@b/c x":    `"swiftuser" is missing`,
		"-s noble -a amd64 --trigger green/1 --build-git /etc green":   "not an http, https or git URL",
		"-s noble -a amd64 --trigger green/1 --readable-by x green":    "is for private results",
		"-s noble -a amd64 --trigger green/1 --colour green":           "unknown flag: --colour",
		"-s noble -a amd64 --trigger green/1 green --requester":        "flag needs an argument",
		"-s noble -a amd64 --trigger green/1 --test-git https://x/y x": "",
	} {
		for _, command := range []string{"run-autopkgtest", "autopkgtest-cloud request"} {
			f := newFixture(t, nil)
			f.broker.queues["debci-upstream-noble-amd64"] = true
			arguments := append(strings.Fields(command), strings.Fields(line)...)
			if reason == "" {
				f.run(t, 0, arguments...)
				continue
			}
			f.run(t, exitUsage, arguments...)
			contains(t, "message", f.err.String(), reason, "--help")
			if len(f.broker.messages) > 0 {
				t.Errorf("%q: something was published", arguments)
			}
		}
	}
}

func TestRequestBrokerTrouble(t *testing.T) {
	t.Parallel()
	order := []string{"autopkgtest-cloud", "request", "-s", "noble", "-a", "amd64", "-a", "s390x", "--trigger", "green/1", "green"}
	t.Run("no queue", func(t *testing.T) {
		t.Parallel()
		f := newFixture(t, nil)
		f.run(t, exitUnavailable, order...)
		contains(t, "message", f.err.String(), "there is no queue debci-noble-s390x", "autopkgtest-cloud queues")
		if len(f.broker.messages) > 0 {
			t.Errorf("a part was published: %+v", f.broker.messages)
		}
	})
	t.Run("fails in the middle", func(t *testing.T) {
		t.Parallel()
		f := newFixture(t, nil)
		f.broker.queues["debci-noble-s390x"], f.broker.failAt = true, 2
		f.run(t, exitUnavailable, order...)
		contains(t, "message", f.err.String(), "debci-noble-s390x", "1 of 2 requests were sent before")
	})
	for name, test := range map[string]struct {
		err  error
		code int
	}{
		"unreachable": {queue.ErrUnreachable, exitUnavailable},
		"refused":     {queue.ErrRefused, exitRefused},
		"a bug":       {fmt.Errorf("something else"), exitInternal},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t, nil)
			f.broker.dialErr = test.err
			f.run(t, test.code, order...)
			contains(t, "message", f.err.String(), "127.77.0.1:5672", test.err.Error())
		})
	}
}
