package provider

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/provider/rabbitmq"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/management"
)

// planLook bounds what a plan waits for a broker.
const planLook = 5 * time.Second

// plan looks at a broker that is there already, and refuses what an apply would refuse. A broker of a stack of ours may be about to
// be repaired by the same apply, so only its version counts; of somebody else's, everything does as soon as it is named.
func (brokerKind) plan(ctx context.Context, p *planning[brokerResourceModel]) {
	if !knownObject(p.model.Broker) {
		return
	}
	b := brokerOf(ctx, p.model.Broker)
	theirs := b.Incarnation.IsNull() && (p.state == nil || !p.state.Broker.Equal(p.model.Broker))
	refuse := func(err error) {
		if theirs {
			explain(p.diags, "The broker cannot be managed", err)
		}
	}
	credentials := path.Root("broker").AtName("credentials_file")
	account, err := p.readBroker(ctx, b.CredentialsFile.ValueString())
	if err != nil {
		refuse(at(credentials, err))
		return
	}
	if err := notOurselves(p.model.AbsentUsers, account.Username, b); err != nil {
		explain(p.diags, "The broker cannot be hardened", err)
		return
	}
	ctx, cancel := context.WithTimeout(ctx, planLook)
	defer cancel()
	client, err := p.broker(ctx, b)
	if err != nil {
		refuse(err)
		return
	}
	switch err := client.Prove(ctx); {
	case errors.Is(err, management.ErrUnavailable):
		if theirs {
			p.diags.AddAttributeWarning(path.Root("broker").AtName("management_url"), "The broker does not answer now",
				err.Error()+"\n\nThe apply waits for it, for two minutes unless timeouts say otherwise.")
		}
		return
	case err != nil:
		refuse(unfit(err))
		return
	}
	if p.model.RequireAMQP08.IsUnknown() {
		return
	}
	if err := checkProtocol(ctx, client, p.model.RequireAMQP08.ValueBool()); err != nil {
		explain(p.diags, "The broker cannot be used", err)
	}
	if err := checkMirrors(ctx, p.model, client); err != nil && !errors.Is(err, management.ErrUnavailable) {
		explain(p.diags, "The broker cannot be used", err)
	}
}

// knownObject says whether nothing in it comes later.
func knownObject(object types.Object) bool {
	if object.IsNull() || object.IsUnknown() {
		return false
	}
	for _, value := range object.Attributes() {
		if value.IsUnknown() {
			return false
		}
	}
	return true
}

// notOurselves refuses to make an end of the user that the calls are made as.
func notOurselves(absent types.Set, username string, b brokerModel) error {
	names, _ := stringsOf(absent)
	if !slices.Contains(names, username) {
		return nil
	}
	return at(path.Root("broker").AtName("credentials_file"), &problem{
		title: fmt.Sprintf("%s cannot remove itself", username),
		detail: "Make an administrator of another name in the broker, and put its credentials into " +
			b.CredentialsFile.ValueString() + ".",
	})
}

// checkProtocol refuses a broker of a version that is not known, or that britney cannot speak with.
func checkProtocol(ctx context.Context, client *management.Client, required bool) error {
	version, err := client.Version(ctx)
	if err != nil {
		return err
	}
	err = rabbitmq.CheckVersion(version, required)
	switch {
	case errors.Is(err, rabbitmq.ErrNoAMQP08):
		return at(path.Root("require_amqp_0_8"), &problem{
			title: fmt.Sprintf("RabbitMQ %s does not speak AMQP 0-8", version),
			detail: "britney cannot request tests from it; all other clients work. Use RabbitMQ 3.x, or accept this with " +
				"require_amqp_0_8 = false.",
		})
	case err != nil:
		return at(path.Root("broker").AtName("management_url"), &problem{
			title: "The broker is of a version that is not known", err: err,
			detail: "What it does with users, policies and queues may differ. Use RabbitMQ 3.8 to 3.13, or a newer version of this " +
				"provider.",
		})
	}
	return nil
}
