// The Terraform provider for autopkgtest clouds: registry.terraform.io/autopkgtest-cloud/autopkgtest.
package main

//go:generate go run -modfile=tools/docs/go.mod github.com/hashicorp/terraform-plugin-docs/cmd/tfplugindocs generate --provider-name autopkgtest --rendered-website-dir docs/provider

import (
	"context"
	"flag"
	"log"

	"github.com/hashicorp/terraform-plugin-go/tfprotov6"
	"github.com/hashicorp/terraform-plugin-go/tfprotov6/tf6server"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/provider"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/provider/forward"
)

// version is set by the linker.
var version = "dev"

func main() {
	debug := flag.Bool("debug", false, "wait for a debugger and print how Terraform is to be started")
	flag.Parse()

	var err error
	if flag.Arg(0) == forward.Command {
		err = provider.ServeAgent(context.Background(), version)
	} else {
		var options []tf6server.ServeOpt
		if *debug {
			options = append(options, tf6server.WithManagedDebug())
		}
		err = tf6server.Serve(provider.Address, func() tfprotov6.ProviderServer {
			return provider.NewServer(version, provider.Options{})
		}, options...)
	}
	if err != nil {
		log.Fatal(err)
	}
}
