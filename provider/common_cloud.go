package provider

import (
	"context"
	"maps"
	"os"
	"slices"
	"strings"

	"github.com/hashicorp/terraform-plugin-framework/attr"
	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/provider/forward"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/cloudrc"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/config"
)

// cloudField is an attribute of what a cloud is reached with.
type cloudField struct {
	name, text string
	secret     bool
	of         func(cloudrc.Cloud) attr.Value
}

// textField is null where there is no text.
func textField(name, text string, of func(cloudrc.Cloud) string) cloudField {
	return cloudField{name: name, text: text, of: func(c cloudrc.Cloud) attr.Value { return textOrNull(of(c)) }}
}

func boolField(name, text string, of func(cloudrc.Cloud) bool) cloudField {
	return cloudField{name: name, text: text, of: func(c cloudrc.Cloud) attr.Value { return types.BoolValue(of(c)) }}
}

// openFields are no secrets.
var openFields = []cloudField{
	textField("source", "Where it stands.", func(c cloudrc.Cloud) string { return c.Source }),
	textField("region", "Region.", func(c cloudrc.Cloud) string { return c.Region }),
	textField("auth_url", "Identity service, version 3, which is the only one that is spoken today.",
		func(c cloudrc.Cloud) string { return c.AuthURL }),
	textField("given_auth_url", "The same as the source has it, maybe with version 2 or none.",
		func(c cloudrc.Cloud) string { return c.GivenURL }),
	textField("interface", "`public`, `internal` or `admin`.", func(c cloudrc.Cloud) string { return c.Interface }),
	textField("method", "How one logs in: `password`, `token` or `application credential`.",
		func(c cloudrc.Cloud) string { return string(c.Method) }),
	textField("username", "User.", func(c cloudrc.Cloud) string { return c.Username }),
	textField("user_id", "ID of the user, which counts before the name.", func(c cloudrc.Cloud) string { return c.UserID }),
	textField("user_domain_name", "Domain of the user.", func(c cloudrc.Cloud) string { return c.UserDomain.Name }),
	textField("user_domain_id", "ID of that domain: `default` where nothing else is said.",
		func(c cloudrc.Cloud) string { return c.UserDomain.ID }),
	textField("project_name", "Project, which once was called a tenant.", func(c cloudrc.Cloud) string { return c.ProjectName }),
	textField("project_id", "ID of the project, which counts before the name.", func(c cloudrc.Cloud) string { return c.ProjectID }),
	textField("project_domain_name", "Domain of the project.", func(c cloudrc.Cloud) string { return c.ProjectDomain.Name }),
	textField("project_domain_id", "ID of that domain: `default` where nothing else is said.",
		func(c cloudrc.Cloud) string { return c.ProjectDomain.ID }),
	textField("application_credential_id", "ID of the application credential.",
		func(c cloudrc.Cloud) string { return c.Credential.ID }),
	textField("application_credential_name", "Name of the application credential.",
		func(c cloudrc.Cloud) string { return c.Credential.Name }),
	textField("ca_file", "Path of the certificates to believe in; null for those that the machine knows.",
		func(c cloudrc.Cloud) string { return c.CAFile }),
	textField("certificate_file", "Path of the certificate that the client shows.",
		func(c cloudrc.Cloud) string { return c.CertificateFile }),
	textField("key_file", "Path of its key.", func(c cloudrc.Cloud) string { return c.KeyFile }),
	boolField("insecure", "Whether the source wants the cloud's certificates not to be verified.",
		func(c cloudrc.Cloud) bool { return c.Insecure }),
	boolField("needs_password", "Whether the source asks for the password at a terminal, or has none.",
		func(c cloudrc.Cloud) bool { return c.Complete() != nil }),
}

// secretFields are for ephemeral values alone.
var secretFields = []cloudField{
	secretField("password", "Password.", func(c cloudrc.Cloud) cloudrc.Secret { return c.Password }),
	secretField("token", "Token.", func(c cloudrc.Cloud) cloudrc.Secret { return c.Token }),
	secretField("application_credential_secret", "Secret of the application credential.",
		func(c cloudrc.Cloud) cloudrc.Secret { return c.Credential.Secret }),
}

func secretField(name, text string, of func(cloudrc.Cloud) cloudrc.Secret) cloudField {
	field := textField(name, text, func(c cloudrc.Cloud) string { return of(c).Reveal() })
	field.secret = true
	return field
}

// isTruth says whether it is a yes or a no, and not a text.
func (f cloudField) isTruth() bool {
	_, is := f.of(cloudrc.Cloud{}).(types.Bool)
	return is
}

func cloudTypes(fields []cloudField) map[string]attr.Type {
	kinds := map[string]attr.Type{}
	for _, f := range fields {
		kinds[f.name] = types.StringType
		if f.isTruth() {
			kinds[f.name] = types.BoolType
		}
	}
	return kinds
}

func cloudObject(fields []cloudField, c cloudrc.Cloud) types.Object {
	v := values{}
	for _, f := range fields {
		v[f.name] = f.of(c)
	}
	return object(cloudTypes(fields), v)
}

// regionsMap has an object for each region.
func regionsMap(fields []cloudField, regions cloudrc.Regions) types.Map {
	elements := values{}
	for name, c := range regions {
		elements[name] = cloudObject(fields, c)
	}
	return types.MapValueMust(types.ObjectType{AttrTypes: cloudTypes(fields)}, elements)
}

// cloudSources are the attributes that say where to look.
type cloudSources struct {
	files      types.List
	cloud      types.String
	cloudsFile types.String
}

const (
	cloudFilesText = "RC files, each for one region: absolute paths, or `ssh://USER@HOST:PORT/PATH`. They are read and never run. " +
		"One that holds its password may be readable by its owner alone."
	cloudEntryText = "Entry of a `clouds.yaml`, one or several regions. Default: the only entry, if `clouds_file` is set."
	cloudsFileText = "Path of the `clouds.yaml`; a `secure.yaml` beside it counts before it. Default: where OpenStack's clients look, " +
		"with the environment of the provider."
	cloudSourcesText = "Without `files`, `cloud` and `clouds_file` the `OS_*` variables of the provider's environment are read. " +
		"Each source has to name its region, and no two the same."
	cloudRegionsText = "What each region is reached with, by its name."
)

// read reads all the sources, and adds to diags what the operator has to know. An error says which attribute it concerns, if one.
func (c cloudSources) read(ctx context.Context, s *settings, diags *diag.Diagnostics) (cloudrc.Regions, error) {
	read := map[string]forward.File{}
	var all []cloudrc.Cloud
	names, _ := listOf(c.files)
	for i, name := range names {
		one, err := c.readFile(ctx, s, name, read)
		if err != nil {
			return nil, at(path.Root("files").AtListIndex(i), err)
		}
		all = append(all, one)
	}
	others, err := c.readOthers(len(names) == 0, read)
	if err != nil {
		return nil, err
	}
	regions, err := cloudrc.Join(append(all, others...)...)
	if err != nil {
		return nil, err
	}
	return regions, c.check(ctx, s, regions, read, diags)
}

// readOthers reads what is no RC file; the environment if nothing else is named.
func (c cloudSources) readOthers(alone bool, read map[string]forward.File) ([]cloudrc.Cloud, error) {
	lookup := c.lookup(read)
	switch {
	case c.cloud.ValueString() != "":
		found, err := lookup.ReadClouds(c.cloud.ValueString())
		return found, at(path.Root("cloud"), err)
	case c.cloudsFile.ValueString() != "":
		found, err := lookup.ReadClouds("")
		return found, at(path.Root("clouds_file"), err)
	case alone:
		return lookup.FromEnvironment()
	}
	return nil, nil
}

// readFile reads an RC file, wherever it is.
func (cloudSources) readFile(ctx context.Context, s *settings, name string, read map[string]forward.File) (cloudrc.Cloud, error) {
	file, err := s.readAnywhere(ctx, name)
	if err != nil {
		return cloudrc.Cloud{}, err
	}
	read[name] = file
	return cloudrc.ParseRC(name, file.Content, nil)
}

// lookup looks with the provider's own environment.
func (c cloudSources) lookup(read map[string]forward.File) cloudrc.Lookup {
	environment := map[string]string{}
	for _, variable := range os.Environ() {
		name, text, _ := strings.Cut(variable, "=")
		environment[name] = text
	}
	directory, _ := os.Getwd() // without one, nothing is looked for there
	return cloudrc.Lookup{
		File: c.cloudsFile.ValueString(), Environment: environment, Directory: directory,
		Read: func(name string) ([]byte, error) {
			file, err := readHere(name)
			read[name] = file
			return file.Content, err
		},
	}
}

// check looks whether secrets are readable by others and whether certificates are there, and warns.
func (cloudSources) check(ctx context.Context, s *settings, regions cloudrc.Regions, read map[string]forward.File,
	diags *diag.Diagnostics) error {
	for _, name := range slices.Sorted(maps.Keys(regions)) {
		c := regions[name]
		for _, source := range c.SecretFiles {
			file, is := read[source]
			if !is {
				continue // the environment
			}
			if err := config.CheckMode(source, file.Mode); err != nil {
				return err
			}
		}
		_, err := c.TLS(func(file string) ([]byte, error) { return s.readFile(ctx, beside(c.Source, file)) })
		if err != nil {
			return err
		}
		for _, warning := range c.Warnings() {
			diags.AddWarning("The cloud's certificates are not verified", warning)
		}
	}
	return nil
}

// readAnywhere reads a file with its mode.
func (s *settings) readAnywhere(ctx context.Context, name string) (forward.File, error) {
	if path, ok := s.files.here(name); ok {
		return readHere(path)
	}
	return s.files.fetch(ctx, name)
}
