package provider

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"regexp"
	"time"

	"github.com/hashicorp/terraform-plugin-framework-validators/stringvalidator"
	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema"
	"github.com/hashicorp/terraform-plugin-framework/schema/validator"
	"github.com/hashicorp/terraform-plugin-log/tflog"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/provider/rabbitmq"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/config"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/management"
)

var rotationPattern = regexp.MustCompile(`^[a-zA-Z0-9][a-zA-Z0-9._-]{0,31}$`)

func rotationAttribute() schema.Attribute {
	return schema.StringAttribute{
		Optional: true,
		MarkdownDescription: "Any word, `2026-11` say. When it changes, the user gets new credentials without a gap: a second user " +
			"`NAME-ROTATION` is made in the broker with the same rights, then the credentials file is replaced in one step, and the old " +
			"user goes on for its grace. Services read the new file while they run; those of other machines that refer to " +
			"`credentials_file` get their copy in the same apply. Setting it for the first time, and leaving it out again, are " +
			"rotations, too.",
		Validators: []validator.String{check{"a word for a rotation", func(s string) error {
			if !rotationPattern.MatchString(s) {
				return fmt.Errorf("%q: it becomes part of a user's name: at most 32 letters, digits, dots, underscores and dashes", s)
			}
			return nil
		}}},
	}
}

func graceAttribute() schema.Attribute {
	return schema.StringAttribute{
		Optional: true,
		MarkdownDescription: "How long the old user works on after a rotation. Its end is kept in the broker and never put off: a longer " +
			"grace is for the next rotation, a shorter one also for old users that are there. With `0s` they go at once, and their " +
			"connections are closed: for a password that has leaked. Default: `1h`, for the role `upstream-worker` a `grace_idle` of " +
			"`1h`: it holds one connection while tests run, and an end by the clock would take them away. Our own worker goes on with " +
			"the new user within 15 s, and its tests with it.",
		Validators: []validator.String{durationAtLeast(0)},
	}
}

func graceIdleAttribute() schema.Attribute {
	return schema.StringAttribute{
		Optional: true,
		MarkdownDescription: "In the place of `grace`: the old user works on until nobody was seen connected as it for so long, at least " +
			"`5m`. Whoever is connected is seen once a minute by `autopkgtest-cloud expire`, and by every apply; a connection that " +
			"comes and goes in between is not, so make it longer than its clients' pauses.",
		Validators: []validator.String{durationAtLeast(management.ShortestIdle), stringvalidator.ConflictsWith(path.MatchRoot("grace"))},
	}
}

func (m *brokerUserModel) grace() management.Grace {
	switch {
	case !m.GraceIdle.IsNull():
		return management.Grace{For: durationOf(m.GraceIdle), Idle: true}
	case !m.Grace.IsNull():
		return management.Grace{For: durationOf(m.Grace)}
	}
	return management.Role(m.Role.ValueString()).Grace()
}

// warnOfGrace says in a plan what an end by the clock costs a worker that does not know of rotations.
func (m *brokerUserModel) warnOfGrace(diags *diag.Diagnostics) {
	grace := durationOf(m.Grace)
	if management.Role(m.Role.ValueString()) != management.UpstreamWorker || grace <= 0 || grace >= rabbitmq.DefaultDeliveryTimeout {
		return
	}
	diags.AddAttributeWarning(path.Root("grace"), "The old user may go while its tests run",
		fmt.Sprintf("The upstream worker holds one connection from its start to its end. A rotation closes it after %s, and the requests "+
			"that it has then are given out again, after how much of their tests whatsoever.\n\nLeave grace out, or use grace_idle, and "+
			"restart the worker when no test runs: the old user goes when it is no longer used.", config.DurationText(grace)))
}

// renews says whether an apply may put other credentials into the files than those of the state.
func (m *brokerUserModel) renews(state *brokerUserModel) bool {
	return state == nil || state.Status.ValueString() != inPlace || !m.Name.Equal(state.Name) || !m.Rotation.Equal(state.Rotation) ||
		!m.Role.Equal(state.Role) || !m.Broker.Equal(state.Broker) || !m.TLSEndpoint.Equal(state.TLSEndpoint)
}

// heldAccount is the account in the credentials file; none where there is no file that could be used.
func heldAccount(c *call[brokerUserModel], family management.Family) (brokerAccount, error) {
	rotations := []string{c.model.Rotation.ValueString()}
	files := []string{c.model.CredentialsFile.ValueString()}
	if c.prior != nil {
		rotations = append(rotations, c.prior.Rotation.ValueString())
		if !c.prior.CredentialsFile.Equal(c.model.CredentialsFile) {
			files = append(files, c.prior.CredentialsFile.ValueString()) // the file moves
		}
	}
	if c.model.leaked() || c.prior.leaked() {
		return brokerAccount{}, nil
	}
	for _, file := range files {
		account, err := config.ReadBroker(file)
		switch {
		case err == nil && !family.Knows(account.Username, rotations...):
			return brokerAccount{}, at(path.Root("credentials_file"), &problem{
				title:  fmt.Sprintf("%s holds the credentials of the user %q", file, account.Username),
				detail: "Two users would share the file. Choose another path, or move the file away if it is of no use any more.",
			})
		case err == nil:
			return brokerAccount{Username: account.Username, Password: account.Password}, nil
		case errors.Is(err, fs.ErrNotExist), errors.Is(err, config.ErrExposed), errors.Is(err, config.ErrInvalid):
		default:
			return brokerAccount{}, at(path.Root("credentials_file"), err)
		}
	}
	return brokerAccount{}, nil
}

// retire gives the old generations what the new one may do and their end, and removes those whose end has come.
func retire(ctx context.Context, client *management.Client, old []management.Member, wanted userRights, grace management.Grace) error {
	for i := range old {
		m := &old[i]
		if tags := wanted.of(m.Generation).tags; !sameTags(m.Account.Tags, tags) {
			m.Account.Tags = tags
			if err := client.PutUser(ctx, m.Account); err != nil {
				return err
			}
		}
		err := errors.Join(client.PutPermissions(ctx, m.Name(), wanted.permissions), putUserLimits(ctx, client, m.Name(), wanted.limits))
		if err != nil {
			return err
		}
	}
	removed, err := client.Retire(ctx, old, grace)
	if len(removed) > 0 {
		tflog.Info(ctx, "old users whose end has come are removed", map[string]any{"users": removed})
	}
	if err != nil || len(old) == 0 {
		return err
	}
	return client.Sync(ctx)
}

// generationProblem says in a sentence what is wrong with a user's other generations.
func generationProblem(ctx context.Context, client *management.Client, family management.Family, held string) (string, error) {
	if len(family.Members) < 2 {
		return family.Problem(held, time.Time{}, nil)
	}
	now, err := client.Now(ctx)
	if err != nil {
		return "", err
	}
	return family.Problem(held, now, func(name string) (bool, error) { return client.Connected(ctx, name) })
}
