package provider

import (
	"errors"
	"fmt"

	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/path"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/provider/host"
	deployed "github.com/autopkgtest-cloud/autopkgtest-cloud/provider/openstack"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/openstack"
)

// pathError is an error that concerns one attribute.
type pathError struct {
	path path.Path
	err  error
}

func (e *pathError) Error() string { return e.err.Error() }
func (e *pathError) Unwrap() error { return e.err }

// at says which attribute an error concerns. The first word on it counts.
func at(p path.Path, err error) error {
	var known *pathError
	if err == nil || errors.As(err, &known) {
		return err
	}
	return &pathError{path: p, err: err}
}

// problem is an error with a title and a way out, for what this package finds itself.
type problem struct {
	title  string
	detail string
	err    error
}

func (p *problem) Error() string {
	if p.err != nil {
		return p.title + ": " + p.err.Error()
	}
	return p.title
}

func (p *problem) Unwrap() error { return p.err }

// explain adds err to the diagnostics: what could not be done, the cause, the way out, and the attribute if one is known.
func explain(diags *diag.Diagnostics, what string, err error) { explainMore(diags, what, err, "") }

// explainMore is explain with a paragraph at the end, unless that is empty.
func explainMore(diags *diag.Diagnostics, what string, err error, more string) {
	title, detail := what, err.Error()
	var (
		own   *problem
		host  *host.Problem
		cloud *openstack.Error
	)
	switch {
	case errors.As(err, &own):
		title, detail = own.title, own.detail
		if own.err != nil {
			detail = own.err.Error() + "\n\n" + detail
		}
	case errors.As(err, &host):
		title = what + ": " + host.Thing + " " + host.Cause
		detail = host.WayOut
		if host.Err != nil {
			detail = host.Err.Error() + "\n\n" + detail
		}
		if detail == "" {
			detail = err.Error()
		}
	case errors.As(err, &cloud):
		title = what + ": " + cloud.Cause
		detail = fmt.Sprintf("In %s:\n%s: %s\n\nWay out: %s.", cloud.Where(), cloud.Service, cloud.Summary(), cloud.WayOut)
	}
	var failure *deployed.Failure
	if errors.As(err, &failure) {
		if failure.Log != "" {
			detail += "\n\nThe machine says:\n" + failure.Log
		}
		detail += "\n\nThe end of its console:\n" + failure.Console
	}
	if more != "" {
		detail += "\n\n" + more
	}
	var where *pathError
	if errors.As(err, &where) {
		diags.AddAttributeError(where.path, title, detail)
		return
	}
	diags.AddError(title, detail)
}

// plural counts things in a sentence.
func plural(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}
