// Package scripts holds the set-up of a machine, for a program that brings it along to machines without a checkout.
package scripts

import "embed"

// Setup has scripts/setup and what that reads. The list of what services need is there, and nowhere else.
//
//go:embed setup setup-packages
var Setup embed.FS
