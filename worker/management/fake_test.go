package management

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/config"
)

// fakeBroker is the management API as RabbitMQ 3.10.8 answers: status codes, bodies and texts are recorded from it. The
// server is faked and not the client, so that real requests with their escaping cross a real socket.
type fakeBroker struct {
	*httptest.Server

	mu          sync.Mutex
	users       map[string]map[string]any
	permissions map[string]map[string]any
	exchanges   map[string]map[string]any
	queues      map[string]map[string]any
	bindings    map[string]bool           // EXCHANGE QUEUE
	policies    map[string]map[string]any // KIND NAME
	limits      map[string]any
	userLimits  map[string]map[string]any // nil for a broker that has none
	flags       map[string]string         // nil for a broker that has none
	noVHost     bool
	vhosts      map[string]map[string]string // states by name and node; no others are listed
	unstartable map[string]bool              // those of them that cannot be started
	version     string
	requests    []string // METHOD PATH BODY
	failWith    int      // answer everything with this status
	afterwards  int      // end that after so many answers
}

// fakeNode is the node that answers.
const fakeNode = "x@localhost"

const fakePassword = "fakeAdminPassword"

func newFakeBroker(t *testing.T) (*fakeBroker, *Client) {
	t.Helper()
	f := &fakeBroker{
		users:       map[string]map[string]any{"admin": {"name": "admin", "tags": []string{"administrator"}}},
		permissions: map[string]map[string]any{},
		exchanges:   map[string]map[string]any{},
		queues:      map[string]map[string]any{},
		bindings:    map[string]bool{},
		policies:    map[string]map[string]any{},
		limits:      map[string]any{},
		userLimits:  map[string]map[string]any{},
		flags:       map[string]string{"user_limits": "enabled"},
		vhosts:      map[string]map[string]string{"/": {fakeNode: "running"}},
		version:     "3.10.8",
	}
	f.Server = httptest.NewServer(f)
	t.Cleanup(f.Close)
	m, err := New(f.URL, "admin", config.Secret(fakePassword))
	if err != nil {
		t.Fatal(err)
	}
	return f, m
}

func (f *fakeBroker) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	body := map[string]any{}
	raw, _ := io.ReadAll(r.Body)
	_ = json.Unmarshal(raw, &body)
	f.requests = append(f.requests, fmt.Sprintf("%s %s %s", r.Method, r.URL.RequestURI(), raw))

	if f.failWith != 0 {
		w.WriteHeader(f.failWith)
		if f.afterwards--; f.afterwards == 0 {
			f.failWith = 0
		}
		fmt.Fprint(w, "<html>no broker behind this door</html>")
		return
	}
	if _, password, _ := r.BasicAuth(); password != fakePassword {
		f.refuse(w, http.StatusUnauthorized, "not_authorized", "Login failed")
		return
	}
	parts := strings.Split(strings.TrimPrefix(r.URL.EscapedPath(), "/api/"), "/")
	for i, part := range parts {
		parts[i], _ = url.PathUnescape(part)
	}
	switch parts[0] {
	case "whoami":
		f.answer(w, f.users["admin"])
	case "overview":
		f.answer(w, map[string]any{"rabbitmq_version": f.version, "node": fakeNode})
	case "vhosts":
		if len(parts) == 1 {
			f.vhostsCall(w)
			return
		}
		if len(parts) == 4 && parts[2] == "start" {
			f.startCall(w, r, parts[1], parts[3])
			return
		}
		f.vhostCall(w, r)
	case "health":
		f.healthCall(w, parts)
	case "policies", "operator-policies":
		name := parts[0] + " " + parts[2]
		f.object(w, r, f.policies, name, func() map[string]any {
			body["name"], body["vhost"] = parts[2], parts[1]
			return body
		})
	case "vhost-limits":
		f.limitsCall(w, r, parts, body)
	case "user-limits":
		f.userLimitsCall(w, r, parts, body)
	case "feature-flags":
		f.flagsCall(w)
	case "users":
		if len(parts) == 1 || parts[1] == "" {
			list := []map[string]any{}
			for _, u := range f.users {
				list = append(list, u)
			}
			f.answer(w, list)
			return
		}
		f.object(w, r, f.users, parts[1], func() map[string]any {
			return map[string]any{
				"name": parts[1], "password_hash": body["password_hash"], "limits": map[string]any{},
				"hashing_algorithm": body["hashing_algorithm"], "tags": strings.Split(fmt.Sprint(body["tags"]), ","),
			}
		})
	case "permissions":
		if f.users[parts[2]] == nil && r.Method == http.MethodPut {
			f.refuse(w, http.StatusBadRequest, "bad_request", "vhost_or_user_not_found")
			return
		}
		f.object(w, r, f.permissions, parts[2], func() map[string]any { return body })
	case "exchanges":
		f.declared(w, r, f.exchanges, parts, body, "exchange")
	case "bindings":
		f.bindingsCall(w, r, parts)
	case "queues":
		f.queuesCall(w, r, parts, body)
	default:
		f.refuse(w, http.StatusNotFound, "Object Not Found", "Not Found")
	}
}

func (f *fakeBroker) vhostCall(w http.ResponseWriter, r *http.Request) {
	switch {
	case r.Method == http.MethodPut:
		f.noVHost = false
		w.WriteHeader(http.StatusCreated)
	case f.noVHost:
		f.refuse(w, http.StatusNotFound, "Object Not Found", "Not Found")
	default:
		f.answer(w, map[string]any{
			"name": "/", "description": "", "tags": []string{}, "default_queue_type": "undefined", "tracing": false,
			"metadata": map[string]any{"description": "", "tags": []string{}}, "cluster_state": map[string]string{fakeNode: "running"},
		})
	}
}

// vhostsCall lists them with the columns that are asked for.
func (f *fakeBroker) vhostsCall(w http.ResponseWriter) {
	list := []map[string]any{}
	for name, state := range f.vhosts {
		list = append(list, map[string]any{"name": name, "cluster_state": state})
	}
	f.answer(w, list)
}

// healthCall answers health/checks/virtual-hosts for this node.
func (f *fakeBroker) healthCall(w http.ResponseWriter, parts []string) {
	down := []string{}
	for name, state := range f.vhosts {
		if state[fakeNode] != "running" {
			down = append(down, name)
		}
	}
	switch {
	case strings.Join(parts, "/") != "health/checks/virtual-hosts":
		f.refuse(w, http.StatusNotFound, "Object Not Found", "Not Found")
	case len(down) == 0:
		f.answer(w, map[string]any{"status": "ok"})
	default:
		w.WriteHeader(http.StatusServiceUnavailable)
		f.answer(w, map[string]any{"status": "failed", "reason": "Some virtual hosts are down", "virtual-hosts": down})
	}
}

// startCall answers vhosts/NAME/start/NODE.
func (f *fakeBroker) startCall(w http.ResponseWriter, r *http.Request, name, node string) {
	switch {
	case r.Method != http.MethodPost:
		f.refuse(w, http.StatusMethodNotAllowed, "Method Not Allowed", "Method Not Allowed")
	case f.vhosts[name] == nil:
		f.refuse(w, http.StatusNotFound, "Object Not Found", "Not Found")
	case f.unstartable[name]:
		f.refuse(w, http.StatusBadRequest, "bad_request", "Request to node "+node+" failed with {error,eacces}")
	default:
		f.vhosts[name][node] = "running"
		w.WriteHeader(http.StatusNoContent)
	}
}

// limitsCall answers vhost-limits/VHOST[/NAME].
func (f *fakeBroker) limitsCall(w http.ResponseWriter, r *http.Request, parts []string, body map[string]any) {
	switch {
	case f.noVHost:
		f.refuse(w, http.StatusNotFound, "Object Not Found", "Not Found")
	case r.Method == http.MethodPut:
		f.limits[parts[2]] = body["value"]
		w.WriteHeader(http.StatusNoContent)
	case r.Method == http.MethodDelete:
		delete(f.limits, parts[2])
		w.WriteHeader(http.StatusNoContent)
	case len(f.limits) == 0:
		f.answer(w, []map[string]any{})
	default:
		f.answer(w, []map[string]any{{"vhost": "/", "value": f.limits}})
	}
}

// userLimitsCall answers user-limits[/USER[/NAME]].
func (f *fakeBroker) userLimitsCall(w http.ResponseWriter, r *http.Request, parts []string, body map[string]any) {
	switch {
	case f.userLimits == nil:
		f.refuse(w, http.StatusNotFound, "Object Not Found", "Not Found")
	case len(parts) == 1:
		f.answer(w, []map[string]any{})
	case r.Method == http.MethodPut:
		if f.userLimits[parts[1]] == nil {
			f.userLimits[parts[1]] = map[string]any{}
		}
		f.userLimits[parts[1]][parts[2]] = body["value"]
		w.WriteHeader(http.StatusNoContent)
	case r.Method == http.MethodDelete:
		delete(f.userLimits[parts[1]], parts[2])
		w.WriteHeader(http.StatusNoContent)
	case len(f.userLimits[parts[1]]) == 0:
		f.answer(w, []map[string]any{})
	default:
		f.answer(w, []map[string]any{{"user": parts[1], "value": f.userLimits[parts[1]]}})
	}
}

func (f *fakeBroker) flagsCall(w http.ResponseWriter) {
	if f.flags == nil {
		f.refuse(w, http.StatusNotFound, "Object Not Found", "Not Found")
		return
	}
	list := []map[string]any{}
	for name, state := range f.flags {
		list = append(list, map[string]any{"name": name, "state": state, "stability": "stable"})
	}
	f.answer(w, list)
}

func (f *fakeBroker) queuesCall(w http.ResponseWriter, r *http.Request, parts []string, body map[string]any) {
	if len(parts) == 2 {
		list := []map[string]any{}
		for _, q := range f.queues {
			counted := map[string]any{"messages": 0, "messages_ready": 0, "messages_unacknowledged": 0}
			maps.Copy(counted, q)
			list = append(list, counted)
		}
		f.answer(w, list)
		return
	}
	q := f.queues[parts[2]]
	if r.Method == http.MethodDelete && r.URL.Query().Get("if-empty") == "true" && q != nil && q["messages"] != nil {
		f.refuse(w, http.StatusBadRequest, "bad_request", fmt.Sprintf("queue '%s' in vhost '/' not empty", parts[2]))
		return
	}
	f.declared(w, r, f.queues, parts, body, "queue")
}

// bindingsCall answers bindings/VHOST/e/EXCHANGE/q/QUEUE.
func (f *fakeBroker) bindingsCall(w http.ResponseWriter, r *http.Request, parts []string) {
	exchange, queue := parts[3], parts[5]
	switch {
	case f.exchanges[exchange] == nil || f.queues[queue] == nil:
		f.refuse(w, http.StatusNotFound, "Object Not Found", "Not Found")
	case r.Method == http.MethodPost:
		f.bindings[exchange+" "+queue] = true
		w.WriteHeader(http.StatusCreated)
	case f.bindings[exchange+" "+queue]:
		f.answer(w, []map[string]any{{"source": exchange, "destination": queue, "destination_type": "queue", "routing_key": ""}})
	default:
		f.answer(w, []any{})
	}
}

func (f *fakeBroker) declared(w http.ResponseWriter, r *http.Request, all map[string]map[string]any, parts []string,
	body map[string]any, kind string) {
	name := parts[2]
	if there := all[name]; r.Method == http.MethodPut && there != nil && there["durable"] != body["durable"] {
		f.refuse(w, http.StatusBadRequest, "bad_request", fmt.Sprintf("inequivalent arg 'durable' for %s '%s' in vhost '/': "+
			"received '%v' but current is '%v'", kind, name, body["durable"], there["durable"]))
		return
	}
	f.object(w, r, all, name, func() map[string]any {
		body["name"], body["vhost"], body["auto_delete"] = name, parts[1], false
		return body
	})
}

func (f *fakeBroker) object(w http.ResponseWriter, r *http.Request, all map[string]map[string]any, name string,
	made func() map[string]any) {
	there := all[name]
	switch {
	case r.Method == http.MethodPut && there == nil:
		all[name] = made()
		w.WriteHeader(http.StatusCreated)
	case r.Method == http.MethodPut:
		all[name] = made()
		w.WriteHeader(http.StatusNoContent)
	case there == nil:
		f.refuse(w, http.StatusNotFound, "Object Not Found", "Not Found")
	case r.Method == http.MethodDelete:
		delete(all, name)
		w.WriteHeader(http.StatusNoContent)
	default:
		f.answer(w, there)
	}
}

func (f *fakeBroker) answer(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(v)
}

func (f *fakeBroker) refuse(w http.ResponseWriter, status int, kind, reason string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(map[string]any{"error": kind, "reason": reason})
}
