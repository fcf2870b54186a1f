package provider

import (
	"context"
	"errors"

	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/path"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/management"
)

// proveRequester is how the making of a requester's account ends: what its file says is used as the gatekeeper uses it (see
// [management.Client.ProveRequester]). It adds a warning when the broker does not speak the gatekeeper's dialect.
func proveRequester(ctx context.Context, client *management.Client, account brokerAccount, diags *diag.Diagnostics) error {
	dialect, err := client.ProveRequester(ctx, account)
	if errors.Is(err, management.ErrUnfit) {
		return at(path.Root("role"), &problem{
			title: "The self-test of the user " + account.Username + " has failed",
			detail: "Requests sent with this account would vanish, or it may do more than request tests. " +
				"Apply again to set its rights anew.",
			err: err,
		})
	}
	if err == nil && dialect != management.DialectGatekeeper {
		diags.AddWarning("The self-test of the user "+account.Username+" spoke "+dialect,
			"This broker does not speak "+management.DialectGatekeeper+", so britney cannot use the account. All other clients can.")
	}
	return err
}
