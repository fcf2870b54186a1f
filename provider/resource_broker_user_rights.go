package provider

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/hashicorp/terraform-plugin-framework-validators/objectvalidator"
	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema"
	"github.com/hashicorp/terraform-plugin-framework/schema/validator"
	"github.com/hashicorp/terraform-plugin-framework/types"
	"github.com/hashicorp/terraform-plugin-framework/types/basetypes"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/config"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/management"
)

// brokerUserText is what the reference says of the resource. What a role can still do belongs there: rights in RabbitMQ are
// coarse, and whoever hands out credentials must know.
const brokerUserText = "A user of the broker with the rights of its role and no others.\n\n" +
	"The password is generated and kept in `credentials_file` alone: neither configuration nor state nor plan has it, " +
	"and the broker gets a salted hash. As long as the file is there, no apply changes the password, not even one " +
	"without a state; when the file is lost, the next apply gives this one user a new password.\n\n" +
	"## Roles\n\n" +
	"| role | is for | what it can still do |\n|---|---|---|\n" +
	"| `requester` | britney and other tools: publish requests, nothing else | put a message into any queue whose name is known |\n" +
	"| `operator` | `autopkgtest-cloud`: publish requests, cancel and requeue running tests, put back or drop rejected requests | the " +
	"same; read and purge `rejected-requests` |\n" +
	"| `worker` | `autopkgtest-worker`: take requests, announce results, hear commands | read and purge request queues, announce " +
	"results and states that are none, delete the exchange `teststatus.fanout` |\n" +
	"| `upstream-worker` | the worker of Ubuntu's own cloud, which declares all that it uses | the same as `worker`, but for commands; " +
	"make and delete queues that are called `debci-...`, with what is in them; delete both exchanges |\n" +
	"| `collector` | `autopkgtest-collector`, or the upstream website's listeners: listen to announcements | purge and delete its two " +
	"queues, delete both exchanges |\n" +
	"| `monitor` | metrics: lengths of queues, over AMQP or the management API (tag `monitoring`) | see the names of all users, " +
	"queues and connections; no message, and no change |\n\n" +
	"Every user of the virtual host can ask for the length of any queue whose name it knows.\n\n" +
	"A request is published to the broker's default exchange, whose queues the broker cannot tell apart. So a `requester`, " +
	"and an `operator`, can put a message into every queue whose name is known: beside the request queues these are " +
	"`complete-listener` (the website then looks in the store for a result that is not there), `running-listener` (the " +
	"website then shows a test that does not run) and `rejected-requests`. The queues in which workers hear commands have random " +
	"names, and workers obey nothing that did not come through the exchange `autopkgtest.control`.\n\n" +
	"A `worker` may configure only what vanishes with the broker: it can neither delete nor remake a request queue, nor the " +
	"exchange for results. `autopkgtest_broker` and `autopkgtest_request_queues` make these, and a worker that misses one says so " +
	"and waits."

// userRights are what a user shall have in the broker.
type userRights struct {
	permissions management.Permissions
	tags        []string
	limits      map[management.Limit]int
	key         string // of its line in a credentials file
	reason      string // end of a sentence: why just these
}

func rightsOfRole(role management.Role) userRights {
	return userRights{permissions: role.Permissions(), tags: role.Tags(), key: role.Key(), reason: "its role needs"}
}

func (m *brokerUserModel) rights(ctx context.Context) userRights {
	rights := rightsOfRole(management.Role(m.Role.ValueString()))
	if !m.Permissions.IsNull() {
		rights = userRights{
			permissions: patternsOf(ctx, m.Permissions).permissions(), tags: management.OurTags, key: config.KeyURI,
			reason: "is configured",
		}
	}
	rights.limits = m.limits()
	return rights
}

// of are the rights of one generation of the user.
func (r userRights) of(g management.Generation) userRights {
	r.tags = slices.Concat(r.tags, g.Tags())
	return r
}

// sameFamily says whether a user that is there is a generation of the same user.
func (r userRights) sameFamily(there management.User) bool {
	is, known := management.GenerationOf(there)
	shall, _ := management.GenerationOf(management.User{Name: there.Name, Tags: r.tags})
	return !known || is.User == shall.User
}

func roleNames() []string {
	var names []string
	for _, role := range management.Roles {
		names = append(names, string(role))
	}
	return names
}

// patternsModel are a user's rights in the words of the broker.
type patternsModel struct {
	Configure types.String `tfsdk:"configure"`
	Write     types.String `tfsdk:"write"`
	Read      types.String `tfsdk:"read"`
}

func patternsOf(ctx context.Context, object types.Object) (p patternsModel) {
	if !object.IsNull() && !object.IsUnknown() {
		_ = object.As(ctx, &p, basetypes.ObjectAsOptions{}) // the schema has the same attributes
	}
	return p
}

func (p patternsModel) permissions() management.Permissions {
	return management.Permissions{
		Configure: p.Configure.ValueString(), Write: p.Write.ValueString(), Read: p.Read.ValueString(),
	}
}

func permissionsAttribute() schema.Attribute {
	pattern := func(what string) schema.Attribute {
		return schema.StringAttribute{Required: true, MarkdownDescription: what, Validators: []validator.String{brokerPattern()}}
	}
	return schema.SingleNestedAttribute{
		Optional: true,
		MarkdownDescription: "Rights in the broker's own words, in the place of a `role`: regular expressions on the names of queues and " +
			"exchanges, where the default exchange is called `amq.default`. An empty one, or `^$`, is about nothing. The broker looks " +
			"for a pattern anywhere in a name: begin it with `^` and end it with `$`.\n\nThe broker's expressions are those of Perl " +
			"(PCRE), the provider's are RE2. A pattern that both understand is checked in the plan; one with a look-ahead or a back " +
			"reference gets a warning there, and the broker judges it in the apply.",
		Validators: []validator.Object{objectvalidator.ConflictsWith(path.MatchRoot("role"))},
		Attributes: map[string]schema.Attribute{
			"configure": pattern("What the user may declare and delete."),
			"write":     pattern("What it may publish to, and which queues it may bind."),
			"read":      pattern("What it may consume, purge, and bind queues to."),
		},
	}
}

// brokerPattern takes what the broker takes, as far as that can be known.
func brokerPattern() validator.String {
	return check{"a pattern of names", func(s string) error {
		if err := management.CheckPattern(s); err != nil && !errors.Is(err, management.ErrUnchecked) {
			return fmt.Errorf("the broker would refuse it: %w", err)
		}
		return nil
	}}
}

// warnOfPatterns says in a plan what could not be checked, and what is probably not meant.
func (m *brokerUserModel) warnOfPatterns(ctx context.Context, diags *diag.Diagnostics) {
	patterns := patternsOf(ctx, m.Permissions)
	for _, p := range []struct {
		name  string
		value types.String
	}{{"configure", patterns.Configure}, {"write", patterns.Write}, {"read", patterns.Read}} {
		if p.value.IsNull() || p.value.IsUnknown() {
			continue
		}
		where, text := path.Root("permissions").AtName(p.name), p.value.ValueString()
		if err := management.CheckPattern(text); errors.Is(err, management.ErrUnchecked) {
			diags.AddAttributeWarning(where, "The pattern cannot be checked in a plan",
				err.Error()+".\n\nThe broker judges it when it is granted: should it refuse, the apply fails and the user keeps the "+
					"rights that it has.")
		}
		if !management.Anchored(text) {
			diags.AddAttributeWarning(where, "The pattern is about parts of names",
				fmt.Sprintf("The broker looks for %q anywhere in a name. Write ^%s$ if whole names are meant, and .* where anything may "+
					"stand.", text, text))
		}
	}
}

// sameTags compares tags, whose order the broker does not keep.
func sameTags(a, b []string) bool {
	return slices.Equal(slices.Sorted(slices.Values(a)), slices.Sorted(slices.Values(b)))
}
