//go:build acceptance

package provider

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/terraform-plugin-testing/helper/resource"
	"github.com/hashicorp/terraform-plugin-testing/knownvalue"
	"github.com/hashicorp/terraform-plugin-testing/plancheck"
	"github.com/hashicorp/terraform-plugin-testing/statecheck"
	"github.com/hashicorp/terraform-plugin-testing/terraform"
	"github.com/hashicorp/terraform-plugin-testing/tfjsonpath"
	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/config"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/management"
)

// rotated is a user's configuration with further lines.
func rotated(s *sharedStack, name, role string, lines ...string) string {
	return s.configuration(`
resource "autopkgtest_broker_user" "test" {
  broker = BROKER
  name   = %q
  role   = %q
  %s
}
`, name, role, strings.Join(lines, "\n  "))
}

// rotation watches one user from the outside.
type rotation struct {
	*sharedStack
	t    *testing.T
	name string
	file string
}

func newRotation(t *testing.T) *rotation {
	s, name := shared(t), unique("rotated")
	return &rotation{sharedStack: s, t: t, name: name, file: filepath.Join(s.directory, "credentials", name)}
}

func (r *rotation) account() config.Broker {
	account, err := config.ReadBroker(r.file)
	if err != nil {
		r.t.Error(err)
	}
	return account
}

// logsIn tries an account over AMQP.
func logsIn(account config.Broker) error {
	connection, err := amqp.Dial(account.URI().Reveal())
	if err != nil {
		return err
	}
	return connection.Close()
}

// generations are written as NAME, or NAME! for one that is to go.
func (r *rotation) generations() []string {
	family, err := r.management.Family(context.Background(), r.name)
	if err != nil {
		r.t.Error(err)
	}
	var names []string
	for _, m := range family.Members {
		name := strings.Replace(m.Name(), r.name, "u", 1)
		if m.Ending() {
			name += "!"
		}
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// are checks which generations there are, that the file's one is as told, and that it works.
func (r *rotation) are(inFile string, want ...string) resource.TestCheckFunc {
	return func(*terraform.State) error {
		if got := r.generations(); !slices.Equal(got, want) {
			return fmt.Errorf("generations %v, want %v", got, want)
		}
		account := r.account()
		if got := strings.Replace(account.Username, r.name, "u", 1); got != inFile {
			return fmt.Errorf("the file holds %s, want %s", got, inFile)
		}
		return logsIn(account)
	}
}

func inPlaceThenEmpty() resource.ConfigPlanChecks {
	return resource.ConfigPlanChecks{
		PreApply:             []plancheck.PlanCheck{plancheck.ExpectResourceAction(userAddress, plancheck.ResourceActionUpdate)},
		PostApplyPostRefresh: []plancheck.PlanCheck{plancheck.ExpectEmptyPlan()},
	}
}

func forgotten(s *sharedStack) resource.TestStep {
	return resource.TestStep{Config: s.configuration(`
removed {
  from = autopkgtest_broker_user.test
  lifecycle {
    destroy = false
  }
}
`)}
}

func TestAccRotation(t *testing.T) {
	t.Parallel()
	r := newRotation(t)
	ctx := context.Background()
	const november, december = `rotation = "2026-11"`, `rotation = "2026-12"`
	var first, second config.Broker
	var end time.Time
	steps := []resource.TestStep{
		{Config: rotated(r.sharedStack, r.name, "requester"), Check: func(s *terraform.State) error {
			first = r.account()
			return r.are("u", "u")(s)
		}},
		{ // from none to a word
			Config: rotated(r.sharedStack, r.name, "requester", november), ConfigPlanChecks: inPlaceThenEmpty(),
			ConfigStateChecks: []statecheck.StateCheck{
				statecheck.ExpectKnownValue(userAddress, tfjsonpath.New("username"), knownvalue.StringExact(r.name+"-2026-11")),
			},
			Check: func(s *terraform.State) error {
				if err := logsIn(first); err != nil {
					return fmt.Errorf("the old credentials within their grace: %w", err)
				}
				second = r.account()
				text, err := os.ReadFile(r.file)
				if err != nil || !strings.Contains(string(text), "ADT_AMQP = amqp://"+r.name+"-2026-11:") {
					return fmt.Errorf("britney could not include the file: %w", err)
				}
				family, err := r.management.Family(ctx, r.name)
				if err != nil {
					return err
				}
				m, _ := family.Member(r.name)
				end = m.Ends
				if left := time.Until(end); left < 50*time.Minute || left > 61*time.Minute {
					return fmt.Errorf("the old user goes in %s", left)
				}
				return r.are("u-2026-11", "u!", "u-2026-11")(s)
			},
		},
		{ // another role is for all of them
			Config: rotated(r.sharedStack, r.name, "monitor", november), ConfigPlanChecks: inPlaceThenEmpty(),
			Check: func(s *terraform.State) error {
				for _, name := range []string{r.name, r.name + "-2026-11"} {
					u, err := r.management.User(ctx, name)
					if err != nil || !slices.Contains(u.Tags, "monitoring") {
						return fmt.Errorf("%s has the tags %v, %w", name, u.Tags, err)
					}
					if may, err := r.management.Permissions(ctx, name); err != nil || may != management.Monitor.Permissions() {
						return fmt.Errorf("%s may %v, %w", name, may, err)
					}
				}
				return r.are("u-2026-11", "u!", "u-2026-11")(s)
			},
		},
		{Config: rotated(r.sharedStack, r.name, "requester", november)},
		forgotten(r.sharedStack),
		{ // the state is lost: nothing is rotated, no end is put off
			Config: rotated(r.sharedStack, r.name, "requester", november, `grace = "10h"`),
			Check: func(s *terraform.State) error {
				family, err := r.management.Family(ctx, r.name)
				if err != nil {
					return err
				}
				if m, _ := family.Member(r.name); !m.Ends.Equal(end) {
					return fmt.Errorf("the end moved from %s to %s", end, m.Ends)
				}
				if r.account() != second {
					return errors.New("the credentials changed")
				}
				return r.are("u-2026-11", "u!", "u-2026-11")(s)
			},
		},
	}
	// The end has come, and no job removed the old user.
	due := repaired(userAddress, "the old generation "+r.name+" was to go at 2020-01-01T00:00:00Z and is still there",
		rotated(r.sharedStack, r.name, "requester", november, `grace = "10h"`), func() {
			u, err := r.management.User(ctx, r.name)
			if err == nil {
				u.Tags = append(slices.Clone(management.OurTags), "expires-2020-01-01T00:00:00Z")
				err = r.management.PutUser(ctx, u)
			}
			if err != nil {
				t.Error(err)
			}
		})
	due[1].Check = r.are("u-2026-11", "u-2026-11")
	steps = append(steps, due...)
	steps = append(steps,
		resource.TestStep{ // leaked: at once, connections too
			PreConfig: func() {},
			Config:    rotated(r.sharedStack, r.name, "requester", december, `grace = "0s"`), ConfigPlanChecks: inPlaceThenEmpty(),
			Check: r.are("u-2026-12", "u-2026-12"),
		},
		resource.TestStep{ // back to a word that was there: never the same user
			Config: rotated(r.sharedStack, r.name, "requester", november), ConfigPlanChecks: inPlaceThenEmpty(),
			Check: r.are("u-2026-11", "u-2026-11", "u-2026-12!"),
		},
		resource.TestStep{
			Config: rotated(r.sharedStack, r.name, "requester", december), ConfigPlanChecks: inPlaceThenEmpty(),
			Check: r.are("u-2026-12~1", "u-2026-11!", "u-2026-12!", "u-2026-12~1"),
		},
		resource.TestStep{ // a shorter grace is for what is there as well
			Config: rotated(r.sharedStack, r.name, "requester", december, `grace = "0s"`), ConfigPlanChecks: inPlaceThenEmpty(),
			Check: r.are("u-2026-12~1", "u-2026-12~1"),
		},
		resource.TestStep{ // and back to none
			Config: rotated(r.sharedStack, r.name, "requester"), ConfigPlanChecks: inPlaceThenEmpty(),
			Check: r.are("u", "u", "u-2026-12~1!"),
		},
	)
	// What goes wrong with generations is said and mended.
	plain := rotated(r.sharedStack, r.name, "requester")
	interrupted := repaired(userAddress, "the old generation "+r.name+"-2026-12~1 has no end", plain, func() {
		u, err := r.management.User(ctx, r.name+"-2026-12~1")
		if err == nil {
			u.Tags = append(slices.Clone(management.OurTags), "generation-of-"+r.name)
			err = r.management.PutUser(ctx, u)
		}
		if err != nil {
			t.Error(err)
		}
	})
	interrupted[1].Check = r.are("u", "u", "u-2026-12~1!")
	steps = append(steps, interrupted...)
	restored := repaired(userAddress, "the credentials file holds "+r.name+"-2026-12~1, which goes at", plain, func() {
		u, err := r.management.User(ctx, r.name+"-2026-12~1")
		account := r.account()
		account.Username, account.Password = u.Name, config.NewSecret()
		u.PasswordHash = management.HashPassword(account.Password)
		if err = errors.Join(err, r.management.PutUser(ctx, u), os.WriteFile(r.file, account.File(config.KeyGatekeeper), 0o600)); err != nil {
			t.Error(err)
		}
	})
	restored[1].Check = r.are("u~1", "u!", "u-2026-12~1!", "u~1")
	steps = append(steps, restored...)
	resource.Test(t, resource.TestCase{ProtoV6ProviderFactories: factories, Steps: steps})
	if left := r.generations(); len(left) > 0 {
		t.Errorf("the destroyed user's generations are still in the broker: %v", left)
	}
}

// TestAccRevocation: with no grace the old user's connections are closed.
func TestAccRevocation(t *testing.T) {
	t.Parallel()
	r := newRotation(t)
	closed := make(chan *amqp.Error, 1)
	resource.Test(t, resource.TestCase{ProtoV6ProviderFactories: factories, Steps: []resource.TestStep{
		{Config: rotated(r.sharedStack, r.name, "worker"), Check: func(*terraform.State) error {
			connection, err := amqp.Dial(r.account().URI().Reveal())
			if err != nil {
				return err
			}
			connection.NotifyClose(closed)
			return nil
		}},
		{Config: rotated(r.sharedStack, r.name, "worker", `rotation = "leak"`, `grace = "0s"`), Check: r.are("u-leak", "u-leak")},
	}})
	select {
	case reason := <-closed:
		if reason == nil || reason.Code != amqp.ConnectionForced {
			t.Errorf("the connection ended with %v", reason)
		}
	case <-time.After(10 * time.Second):
		t.Error("the revoked user is still connected")
	}
}

// TestAccGraceIdle: an old user stays while somebody is connected as it.
func TestAccGraceIdle(t *testing.T) {
	t.Parallel()
	r := newRotation(t)
	ctx := context.Background()
	var connection *amqp.Connection
	configuration := rotated(r.sharedStack, r.name, "requester", `rotation = "a"`, `grace_idle = "5m"`)
	aged := func() {
		u, err := r.management.User(ctx, r.name)
		if err == nil {
			u.Tags = append(slices.Clone(management.OurTags), "expires-2020-01-01T00:00:00Z", "idle-5m0s")
			err = r.management.PutUser(ctx, u)
		}
		if err != nil {
			t.Error(err)
		}
	}
	steps := []resource.TestStep{
		{Config: rotated(r.sharedStack, r.name, "requester"), Check: func(*terraform.State) (err error) {
			connection, err = amqp.Dial(r.account().URI().Reveal())
			return err
		}},
		{Config: configuration, ConfigPlanChecks: inPlaceThenEmpty(), Check: r.are("u-a", "u!", "u-a")},
		{ // used: the plan has nothing to do, and whoever looks moves the end
			PreConfig: func() {
				aged()
				if removed, err := r.management.Expire(ctx); err != nil || slices.Contains(removed, r.name) {
					t.Errorf("removed %v, %v", removed, err)
				}
				family, err := r.management.Family(ctx, r.name)
				if m, _ := family.Member(r.name); err != nil || time.Until(m.Ends) < 4*time.Minute {
					t.Errorf("the end of a user that is used is %s, %v", m.Ends, err)
				}
				aged()
			},
			Config:           configuration,
			ConfigPlanChecks: resource.ConfigPlanChecks{PreApply: []plancheck.PlanCheck{plancheck.ExpectEmptyPlan()}},
		},
	}
	unused := repaired(userAddress, "was to go at 2020-01-01T00:00:00Z", configuration, func() {
		if err := connection.Close(); err != nil {
			t.Error(err)
		}
		// The broker forgets a connection a moment after it has ended.
		for deadline := time.Now().Add(20 * time.Second); ; {
			used, err := r.management.Connected(ctx, r.name)
			if err == nil && !used {
				return
			}
			if time.Now().After(deadline) {
				t.Errorf("still connected: %t, %v", used, err)
				return
			}
			time.Sleep(50 * time.Millisecond)
		}
	})
	unused[1].Check = r.are("u-a", "u-a")
	resource.Test(t, resource.TestCase{ProtoV6ProviderFactories: factories, Steps: append(steps, unused...)})
}

func TestAccRotationRefuses(t *testing.T) {
	t.Parallel()
	r := newRotation(t)
	ctx := context.Background()
	other := management.User{Name: r.name + "-arm64", PasswordHash: management.HashPassword("x"), Tags: management.OurTags}
	if err := r.management.PutUser(ctx, other); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = r.management.DeleteUser(ctx, other.Name) })
	for name, tc := range map[string]struct{ lines, want string }{
		"a word with a space":     {`rotation = "2026 11"`, `(?s)Not a word for a rotation.*rotation`},
		"a word with the mark":    {`rotation = "2026~1"`, `Not a word for a rotation`},
		"no duration":             {`grace = "soon"`, `"soon" is not a duration`},
		"both kinds of grace":     {"grace = \"1h\"\n grace_idle = \"1h\"", `(?s)"grace"\s+cannot\s+be\s+specified\s+when\s+"grace_idle"`},
		"too short to be seen":    {`grace_idle = "1m"`, `1m is too short: at least 5m`},
		"another resource's user": {`rotation = "arm64"`, `(?s)name += .*belongs\s+to\s+another\s+autopkgtest_broker_user|belongs\s+to\s+another\s+autopkgtest_broker_user`},
	} {
		t.Run(name, func(t *testing.T) {
			resource.Test(t, resource.TestCase{ProtoV6ProviderFactories: factories, Steps: []resource.TestStep{{
				Config: rotated(r.sharedStack, r.name, "worker", tc.lines), ExpectError: regexp.MustCompile(tc.want),
			}}})
		})
	}
	if u, err := r.management.User(ctx, other.Name); err != nil || !u.HasPassword("x") {
		t.Errorf("the other user was touched: %v", err)
	}
}
