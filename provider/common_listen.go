package provider

import (
	"fmt"
	"strings"

	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/path"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/provider/host"
)

// checkOwnAddress refuses an address that this machine does not have.
func checkOwnAddress(diags *diag.Diagnostics, server string, where path.Path, address string) {
	if err := host.CheckAddress(address); err != nil {
		explain(diags, "The "+server+" cannot listen there", at(where, err))
	}
}

// warnOfReach says in a plan what it means that other machines can reach a server. The text has a place for its addresses.
func warnOfReach(diags *diag.Diagnostics, server string, addresses []string, text string) {
	if beyond := host.Beyond(addresses); len(beyond) > 0 {
		diags.AddAttributeWarning(path.Root("listen"), "Other machines will reach the "+server,
			fmt.Sprintf(text, strings.Join(beyond, ", ")))
	}
}
