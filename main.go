// The Terraform provider for autopkgtest clouds: registry.terraform.io/autopkgtest-cloud/autopkgtest.
package main

//go:generate go run -modfile=tools/docs/go.mod github.com/hashicorp/terraform-plugin-docs/cmd/tfplugindocs generate --provider-name autopkgtest --rendered-website-dir docs/provider

import (
	"context"
	"flag"
	"log"

	"github.com/hashicorp/terraform-plugin-framework/providerserver"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/provider"
)

// version is set by the linker.
var version = "dev"

func main() {
	debug := flag.Bool("debug", false, "wait for a debugger and print how Terraform is to be started")
	flag.Parse()

	err := providerserver.Serve(context.Background(), provider.New(version), providerserver.ServeOpts{
		Address: provider.Address,
		Debug:   *debug,
	})
	if err != nil {
		log.Fatal(err)
	}
}
