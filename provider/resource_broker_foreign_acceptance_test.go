//go:build acceptance

package provider

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/hashicorp/terraform-plugin-testing/helper/resource"
	"github.com/hashicorp/terraform-plugin-testing/plancheck"
	"github.com/hashicorp/terraform-plugin-testing/terraform"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/provider/host"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/provider/rabbitmq"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/config"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/management"
)

// foreignBroker is a broker that the configuration does not deploy: it only knows an address and a file.
type foreignBroker struct {
	t          *testing.T
	d          *host.Directory
	info       rabbitmq.Info
	management *management.Client
	folder     string // for files of the test
}

func newForeignBroker(t *testing.T) *foreignBroker {
	t.Helper()
	ctx := t.Context()
	account, err := host.Choose("")
	if err != nil {
		t.Fatal(err)
	}
	b := &foreignBroker{t: t, folder: t.TempDir()}
	if b.d, err = host.Create(ctx, host.Options{Path: newStack(t), Stack: "theirs", Account: account}); err != nil {
		t.Fatal(err)
	}
	if b.info, err = rabbitmq.Apply(ctx, b.d, rabbitmq.Settings{}); err != nil {
		t.Fatal(err)
	}
	administrator, err := config.ReadBroker(b.info.CredentialsFile)
	if err != nil {
		t.Fatal(err)
	}
	b.management, err = management.New(b.info.ManagementURL, administrator.Username, administrator.Password)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// user makes a user of the broker and a credentials file with the password of the file, which need not be the user's.
func (b *foreignBroker) user(name string, actual, written config.Secret, tags ...string) (file string) {
	b.t.Helper()
	err := b.management.PutUser(b.t.Context(), management.User{Name: name, PasswordHash: management.HashPassword(actual), Tags: tags})
	if err != nil {
		b.t.Fatal(err)
	}
	file = filepath.Join(b.folder, name)
	content := config.Broker{Username: name, Password: written, Host: b.info.Host}.File(config.KeyURI)
	if err := os.WriteFile(file, content, 0o600); err != nil {
		b.t.Fatal(err)
	}
	return file
}

// configuration is a broker at an address, opened by a file.
func (b *foreignBroker) configuration(url, file, extra string) string {
	return fmt.Sprintf(`
provider "autopkgtest" {}
resource "autopkgtest_broker" "test" {
  broker = {
    management_url   = %q
    credentials_file = %q
  }
  %s
}
`, url, file, extra)
}

// untouched says whether nothing of what the resource makes is there.
func (b *foreignBroker) untouched() {
	b.t.Helper()
	ctx := b.t.Context()
	for _, exchange := range management.Fanouts {
		if _, err := b.management.ExchangeIs(ctx, exchange); !errors.Is(err, management.ErrNotFound) {
			b.t.Errorf("the exchange %s: %v", exchange.Name, err)
		}
	}
	for _, policy := range new(brokerResourceModel).queuePolicies() {
		if there, err := b.management.HasPolicy(ctx, policy); err != nil || there {
			b.t.Errorf("the policy %s: %v, %v", policy.Name, there, err)
		}
	}
	if limits, err := b.management.Limits(ctx); err != nil || len(limits) > 0 {
		b.t.Errorf("limits: %v, %v", limits, err)
	}
}

// TestAccForeignBroker is the life of a broker that somebody else installed, in order.
func TestAccForeignBroker(t *testing.T) {
	t.Parallel()
	b := newForeignBroker(t)
	refusesForeign(t, b)
	b.untouched()
	hardensForeign(t, b)
	b.untouched()
}

// refusesForeign: what a plan can know it says, at the attribute, and nothing was begun.
func refusesForeign(t *testing.T, b *foreignBroker) {
	good := b.info.CredentialsFile
	for name, tc := range map[string]struct {
		configuration string
		want          string
		attribute     string // that Terraform points to; empty where it is inside of broker, whose resource it names then
	}{
		"a wrong password": {b.configuration(b.info.ManagementURL, b.user("typo", "right", "wrong", "administrator"), ""),
			`The broker refuses the user and password(.|\n)*401(.|\n)*change_password`, ""},
		"no tag": {b.configuration(b.info.ManagementURL, b.user("untagged", "x", "x"), ""),
			`The user is not an administrator of the broker(.|\n)*Not management user(.|\n)*set_user_tags`, ""},
		"not an administrator": {b.configuration(b.info.ManagementURL, b.user("watcher", "x", "x", "monitoring"), ""),
			`The user is not an administrator of the broker(.|\n)*"watcher" has the tags \["monitoring"\]`, ""},
		"the default user itself": {b.configuration(b.info.ManagementURL, b.user(guest, guest, guest, "administrator"), ""),
			`guest cannot remove itself(.|\n)*administrator of another name`, ""},
		"its own user": {b.configuration(b.info.ManagementURL, good, `absent_users = ["admin"]`),
			`admin cannot remove itself`, ""},
		"no file":          {b.configuration(b.info.ManagementURL, "/nonexistent/file", ""), `/nonexistent/file`, ""},
		"no address":       {b.configuration("broker.example", good, ""), `is not the address of a management API`, ""},
		"a secret address": {b.configuration("http://u:hunter2@broker.example:15672", good, ""), `holds credentials`, ""},
		"no authority": {strings.Replace(b.configuration(b.info.ManagementURL, good, ""), "broker = {", "broker = {\n ca_file = \"/nonexistent/ca\"\n", 1),
			`/nonexistent/ca`, ""},
		"a limit that is none":     {b.configuration(b.info.ManagementURL, good, `listener_limit = "lots"`), `"lots" is not a size`, "listener_limit"},
		"a limit that is too low":  {b.configuration(b.info.ManagementURL, good, `rejected_limit = "1K"`), `at least 1M`, "rejected_limit"},
		"a mirror of itself":       {b.configuration(b.info.ManagementURL, good, `mirrors = "1"`), `"1": write all, or the number of nodes`, "mirrors"},
		"no connections":           {b.configuration(b.info.ManagementURL, good, `max_connections = 0`), `between 10 and`, "max_connections"},
		"no queues":                {b.configuration(b.info.ManagementURL, good, `max_queues = -1`), `between 10 and`, "max_queues"},
		"a user without a name":    {b.configuration(b.info.ManagementURL, good, `absent_users = [""]`), `length must be between`, "absent_users"},
		"a protocol that is maybe": {b.configuration(b.info.ManagementURL, good, `require_amqp_0_8 = "maybe"`), `bool`, "require_amqp_0_8"},
	} {
		t.Run(name, func(t *testing.T) {
			resource.Test(t, resource.TestCase{ProtoV6ProviderFactories: factories, Steps: []resource.TestStep{{
				Config: tc.configuration, PlanOnly: true, ExpectError: words(tc.attribute + `(.|\n)*` + tc.want),
			}}})
		})
	}
	t.Run("nobody answers", func(t *testing.T) {
		resource.Test(t, resource.TestCase{ProtoV6ProviderFactories: factories, Steps: []resource.TestStep{{
			Config:      b.configuration("http://127.0.0.1:1", good, "timeouts = {\n create = \"2s\"\n}"),
			ExpectError: words(`The broker's management API does not answer(.|\n)*127.0.0.1:1(.|\n)*rabbitmq_management enabled`),
		}}})
	})
	for _, name := range []string{"typo", "untagged", "watcher"} {
		if err := b.management.DeleteUser(t.Context(), name); err != nil {
			t.Error(err)
		}
	}
	if _, err := b.management.User(t.Context(), guest); err != nil {
		t.Errorf("a plan has removed guest: %v", err)
	}
}

func hardensForeign(t *testing.T, b *foreignBroker) {
	ctx := context.Background()
	const address = "autopkgtest_broker.test"
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Error(err)
		}
	}
	first := b.configuration(b.info.ManagementURL, b.info.CredentialsFile, `
  absent_users    = ["guest", "rabbitmq-admin"]
  max_connections = 500
  max_queues      = 2000
  mirrors         = "all"
`)
	administrator := func(name string) {
		must(b.management.PutUser(ctx, management.User{Name: name, PasswordHash: management.HashPassword("x"), Tags: []string{"administrator"}}))
	}
	administrator(guest)
	administrator("rabbitmq-admin")
	policies := func(listeners, rejected, mirrors string) []management.Policy {
		m := brokerResourceModel{ListenerLimit: textOrNull(listeners), RejectedLimit: textOrNull(rejected), Mirrors: textOrNull(mirrors)}
		return m.queuePolicies()
	}
	hardened := func(connections, queues int, policies []management.Policy, absent ...string) resource.TestCheckFunc {
		return func(*terraform.State) error {
			limits, err := b.management.Limits(ctx)
			if err != nil || limits[management.MaxConnections] != connections || limits[management.MaxQueues] != queues {
				return fmt.Errorf("limits: %v, %w", limits, err)
			}
			for _, policy := range policies {
				right, err := b.management.PolicyIs(ctx, policy)
				if policy.Empty() && !errors.Is(err, management.ErrNotFound) || !policy.Empty() && !right {
					return fmt.Errorf("policy %s: right=%t, %w", policy.Name, right, err)
				}
			}
			for _, name := range absent {
				if _, err := b.management.User(ctx, name); !errors.Is(err, management.ErrNotFound) {
					return fmt.Errorf("the user %s is there: %w", name, err)
				}
			}
			return nil
		}
	}
	steps := []resource.TestStep{{Config: first, Check: hardened(500, 2000, policies("64M", "256M", "all"), guest, "rabbitmq-admin")}}
	drift := func(reason string, damage func()) {
		added := repaired(address, reason, first, damage)
		added[1].Check = hardened(500, 2000, policies("64M", "256M", "all"), guest, "rabbitmq-admin")
		steps = append(steps, added...)
	}
	put := func(path, body string) { must(b.call(http.MethodPut, path, body)) }
	drift("the user rabbitmq-admin is there", func() { administrator("rabbitmq-admin") })
	drift("the policy autopkgtest-listeners is missing", func() { must(b.management.DeletePolicy(ctx, policies("1M", "1M", "2")[0])) })
	drift("the policy autopkgtest-rejected is missing", func() { must(b.management.DeletePolicy(ctx, policies("1M", "1M", "2")[1])) })
	drift("the policy autopkgtest-mirrors is missing", func() { must(b.management.DeletePolicy(ctx, policies("1M", "1M", "2")[2])) })
	drift("the policy autopkgtest-mirrors says something else", func() { must(b.management.PutPolicy(ctx, policies("1M", "1M", "2")[2])) })
	drift("the policy autopkgtest-listeners says something else", func() { must(b.management.PutPolicy(ctx, policies("1M", "1M", "2")[0])) })
	drift("the policy autopkgtest-rejected says something else", func() {
		put("policies/%2F/autopkgtest-rejected", `{"pattern":"^rejected-requests$","apply-to":"queues","priority":10,"definition":{"max-length":1}}`)
	})
	drift("has a max-connections of 20, not of 500", func() { must(b.management.SetLimit(ctx, management.MaxConnections, 20)) })
	drift("has no max-queues, and should have 2000", func() { must(b.management.ClearLimit(ctx, management.MaxQueues)) })
	drift("the administrator admin may not use all", func() {
		must(b.management.PutPermissions(ctx, "admin", management.Permissions{Configure: "^$", Write: "^$", Read: "^$"}))
	})
	drift("the virtual host / is missing, and with it all queues", func() { must(b.call(http.MethodDelete, "vhosts/%2F", "")) })

	second := b.configuration(strings.Replace(b.info.ManagementURL, "127.0.0.1", "localhost", 1), b.info.CredentialsFile, `
  absent_users     = []
  listener_limit   = "0"
  rejected_limit   = "2M"
  max_queues       = 300
  require_amqp_0_8 = false
`)
	update := func(configuration string, check resource.TestCheckFunc, prepare func()) {
		steps = append(steps, resource.TestStep{
			PreConfig: prepare, Config: configuration, Check: check,
			ConfigPlanChecks: resource.ConfigPlanChecks{
				PreApply:             []plancheck.PlanCheck{plancheck.ExpectResourceAction(address, plancheck.ResourceActionUpdate)},
				PostApplyPostRefresh: []plancheck.PlanCheck{plancheck.ExpectEmptyPlan()},
			},
		})
	}
	update(second, hardened(0, 300, policies("0", "2M", "")), nil)
	// A broker that starts while the apply waits, as on a machine that has just booted.
	update(first, hardened(500, 2000, policies("64M", "256M", "all")), func() {
		must(b.d.Stop(ctx, rabbitmq.Service))
		started := make(chan error, 1)
		go func() {
			time.Sleep(time.Second) // the machine boots
			_, err := rabbitmq.Apply(ctx, b.d, rabbitmq.Settings{})
			started <- err
		}()
		t.Cleanup(func() { must(<-started) })
	})
	small := b.configuration(b.info.ManagementURL, b.info.CredentialsFile, `
  listener_limit = "1M"
  rejected_limit = "1M"
`)
	update(small, func(*terraform.State) error { return errors.Join(b.boundsListeners(), b.boundsRejected()) }, nil)
	steps = append(steps, resource.TestStep{
		ResourceName: address, ImportState: true, ImportStateId: b.info.ManagementURL, ExpectError: words("not imported but adopted"),
	}, resource.TestStep{
		Config: first, Taint: []string{address}, Check: hardened(500, 2000, policies("64M", "256M", "all")),
		ConfigPlanChecks: resource.ConfigPlanChecks{
			PreApply: []plancheck.PlanCheck{plancheck.ExpectResourceAction(address, plancheck.ResourceActionDestroyBeforeCreate)},
		},
	})
	resource.Test(t, resource.TestCase{ProtoV6ProviderFactories: factories, Steps: steps})
}

// publishes 20 messages of 300 kB to an exchange, and says how many the broker took, and how many the exchange's queue keeps:
// that of rejected requests, or one of its own that nobody reads.
func (b *foreignBroker) publishes(exchange string) (taken, kept int, err error) {
	administrator, err := config.ReadBroker(b.info.CredentialsFile)
	if err != nil {
		return 0, 0, err
	}
	connection, err := amqp.Dial(administrator.URI().Reveal())
	if err != nil {
		return 0, 0, err
	}
	defer connection.Close()
	channel, err := connection.Channel()
	if err != nil {
		return 0, 0, err
	}
	name := management.RejectedQueue
	if exchange != management.RejectedExchange {
		queue, err := channel.QueueDeclare("", false, true, true, false, nil)
		if err != nil {
			return 0, 0, err
		}
		if err := channel.QueueBind(queue.Name, "", exchange, false, nil); err != nil {
			return 0, 0, err
		}
		name = queue.Name
	}
	if err := channel.Confirm(false); err != nil {
		return 0, 0, err
	}
	for range 20 {
		confirmation, err := channel.PublishWithDeferredConfirmWithContext(b.t.Context(), exchange, "", false, false,
			amqp.Publishing{Body: make([]byte, 300_000)})
		if err != nil {
			return 0, 0, err
		}
		ok, err := confirmation.WaitContext(b.t.Context())
		if err != nil {
			return 0, 0, err
		}
		if ok {
			taken++
		}
	}
	queue, err := channel.QueueDeclarePassive(name, name == management.RejectedQueue, false, false, false, nil)
	return taken, queue.Messages, err
}

// boundsListeners: somebody who listens and does not read costs the oldest messages, and nobody else notices.
func (b *foreignBroker) boundsListeners() error {
	taken, kept, err := b.publishes("testcomplete.fanout")
	if err == nil && (taken != 20 || kept < 1 || kept > 4) {
		err = fmt.Errorf("of 20 messages of 300 kB the broker took %d, and keeps %d for one who does not read", taken, kept)
	}
	return err
}

// boundsRejected: what there is no room for is refused, so that its sender keeps it; and what was taken is kept.
func (b *foreignBroker) boundsRejected() error {
	taken, kept, err := b.publishes(management.RejectedExchange)
	if err == nil && (taken != kept || kept < 3 || kept > 5) {
		err = fmt.Errorf("of 20 rejected requests of 300 kB the broker took %d, and keeps %d", taken, kept)
	}
	return errors.Join(err, b.management.DeleteQueue(b.t.Context(), management.RejectedQueue, false), b.management.DeclareQueue(b.t.Context(),
		management.RejectedQueue), b.management.Bind(b.t.Context(), management.RejectedExchange, management.RejectedQueue))
}

// call speaks the management API where our client has no word for it, because no program of ours does this.
func (b *foreignBroker) call(method, path, body string) error {
	administrator, err := config.ReadBroker(b.info.CredentialsFile)
	if err != nil {
		return err
	}
	request, err := http.NewRequestWithContext(b.t.Context(), method, b.info.ManagementURL+"/api/"+path, strings.NewReader(body))
	if err != nil {
		return err
	}
	request.SetBasicAuth(administrator.Username, administrator.Password.Reveal())
	answer, err := http.DefaultClient.Do(request)
	if err == nil && answer.StatusCode >= http.StatusMultipleChoices {
		err = errors.New(answer.Status)
	}
	return errors.Join(err, answer.Body.Close())
}
