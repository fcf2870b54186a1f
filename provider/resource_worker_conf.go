package provider

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/hashicorp/terraform-plugin-framework/attr"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/provider/host"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/cloudrc"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/config"
)

// A worker's configuration is what its attributes say, or that and an operator's worker.conf. Each setting has one source: where both
// have one they must agree, or an operator would change a file that nobody reads.

// rcFileAttribute stands for one of the RC files among the files that a worker is given.
func rcFileAttribute(index int) string { return fmt.Sprintf("rc_files[%d]", index) }

// workerConfiguration is all that the worker reads, but for its credentials.
func (s *settings) workerConfiguration(ctx context.Context, m *workerModel, d *host.Directory, credentials copies) (config.Worker, error) {
	derived, err := m.derived(credentials)
	if err != nil {
		return config.Worker{}, err
	}
	derived = append(derived,
		config.Derived{Section: "autopkgtest", Key: "state_directory", Value: d.ServicePath(workerService, workerState)},
		config.Derived{Section: "health", Key: "listen", Value: workerHealth(d)})
	accounts, err := s.derivedAccounts(ctx, m, false)
	if err == nil {
		err = s.checkRCFiles(ctx, m)
	}
	if err != nil {
		return config.Worker{}, err
	}
	return s.withWorkerConf(ctx, m, append(derived, accounts...))
}

// withWorkerConf puts settings into the operator's file, or into an empty one.
func (s *settings) withWorkerConf(ctx context.Context, m *workerModel, derived []config.Derived) (config.Worker, error) {
	name := m.WorkerConf.ValueString()
	if name == "" {
		return config.ParseBase("the worker's configuration", nil, derived)
	}
	file, err := s.readAnywhere(ctx, name)
	if err != nil {
		return config.Worker{}, at(path.Root("worker_conf"), err)
	}
	conf, err := config.ParseBase(name, file.Content, derived)
	return conf, at(path.Root("worker_conf"), err)
}

// derived are the attributes in the words of worker.conf. What is null is not derived, unless nothing but the deployment can know it.
func (m *workerModel) derived(credentials copies) (all []config.Derived, err error) {
	set := func(attribute attr.Value, one config.Derived) {
		one.Unknown = attribute.IsUnknown()
		all = append(all, one)
	}
	text := func(attribute attr.Value, section, key, value string, same func(string, string) bool) {
		set(attribute, config.Derived{Section: section, Key: key, Value: value, Same: same})
	}
	words := func(attribute types.Set, key string) {
		values, known := stringsOf(attribute)
		all = append(all, config.Derived{
			Section: "autopkgtest", Key: key, Value: strings.Join(values, " "), Same: config.SameWords, Unknown: !known,
		})
	}
	text(m.BrokerCredentials, "amqp", "credentials_file", credentials.paths["broker_credentials_file"], nil)
	text(m.StoreCredentials, "swift", "credentials_file", credentials.paths["store_credentials_file"], nil)
	text(m.DeliveryTimeout, "amqp", "delivery_timeout", m.DeliveryTimeout.ValueString(), config.SameDuration)
	words(m.Releases, "releases")
	words(m.Architectures, "architectures")
	words(m.Contexts, "contexts")
	text(m.Slots, "autopkgtest", "slots", strconv.FormatInt(m.Slots.ValueInt64(), 10), nil)
	text(m.Timeout, "autopkgtest", "timeout", m.Timeout.ValueString(), config.SameDuration)
	text(m.DrainTimeout, "autopkgtest", "drain_timeout", m.DrainTimeout.ValueString(), config.SameDuration)
	text(m.SpoolPatience, "autopkgtest", "spool_patience", m.SpoolPatience.ValueString(), config.SameDuration)
	if !m.Images.IsNull() {
		images, known := stringsOf(m.Images)
		folder := ""
		if known {
			if folder, err = imageFolder(images); err != nil {
				return nil, at(path.Root("images"), err)
			}
		}
		all = append(all, config.Derived{Section: "unshare", Key: "images", Value: folder, Unknown: !known})
	}
	if !m.RCFiles.IsNull() {
		files, known := listOf(m.RCFiles)
		var copied []string
		for i := range files {
			copied = append(copied, credentials.paths[rcFileAttribute(i)])
		}
		all = append(all, config.Derived{Section: "nova", Key: "rc_files", Value: strings.Join(copied, " "), Unknown: !known})
	}
	if !m.KeyFile.IsNull() {
		text(m.KeyFile, "nova", "key_file", credentials.paths["key_file"], nil)
	}
	if !m.KeyName.IsNull() {
		set(m.KeyName, config.Derived{Section: "nova", Key: "novaopts", Option: "keyname", Value: m.KeyName.ValueString()})
	}
	return all, nil
}

// derivedAccounts are what the credentials files say, for a worker.conf of 2015, which has accounts in itself. Without such a file
// nothing is read. planning says that credentials files may still have to be made.
func (s *settings) derivedAccounts(ctx context.Context, m *workerModel, planning bool) ([]config.Derived, error) {
	if m.WorkerConf.ValueString() == "" {
		return nil, nil
	}
	broker, err := s.readBroker(ctx, m.BrokerCredentials.ValueString())
	if err != nil && !planning {
		return nil, at(path.Root("broker_credentials_file"), err)
	}
	all := derivedAccount("amqp", m.BrokerCredentials, err, []config.Derived{
		{Key: "host", Value: broker.Host}, {Key: "user", Value: broker.Username}, {Key: "password", Value: broker.Password.Reveal()},
	})
	store, err := s.readStore(ctx, m.StoreCredentials.ValueString())
	if err != nil && !planning {
		return nil, at(path.Root("store_credentials_file"), err)
	}
	return append(all, derivedAccount("swift", m.StoreCredentials, err, []config.Derived{
		{Key: "auth_url", Value: store.AuthURL, Same: sameIdentity}, {Key: "username", Value: store.Username},
		{Key: "password", Value: store.Password.Reveal()}, {Key: "tenant", Value: store.Tenant}, {Key: "region_name", Value: store.Region},
	})...), nil
}

// derivedAccount completes the settings of an account. They are unknown where its file could not be read; but a file that is still to be
// made gets a password that nobody can have written down.
func derivedAccount(section string, file types.String, unread error, all []config.Derived) []config.Derived {
	coming := !file.IsUnknown() && errors.Is(unread, fs.ErrNotExist)
	for i := range all {
		one := &all[i]
		one.Section, one.Elsewhere, one.Secret = section, true, one.Key == "password"
		one.Unknown = unread != nil && (!one.Secret || !coming)
	}
	return all
}

// sameIdentity compares addresses of an Identity service, whatever version of its API they name.
func sameIdentity(file, derived string) bool {
	bare := func(address string) string {
		address = strings.TrimRight(address, "/")
		for _, version := range []string{"/v2.0", "/v3"} {
			address = strings.TrimSuffix(address, version)
		}
		return address
	}
	return bare(file) == bare(derived)
}

// planWorkerConf refuses what the apply would, as far as it is known: credentials files may be made by the apply itself.
func planWorkerConf(ctx context.Context, p *planning[workerModel]) {
	m := p.model
	if m.WorkerConf.ValueString() == "" {
		return
	}
	// Where the copies will lie does not matter here, only that the file names none of its own.
	places := copies{paths: map[string]string{}}
	for _, g := range m.givens() {
		if !g.name.IsNull() {
			places.paths[g.attribute] = "/" + g.copyName
		}
	}
	derived, err := m.derived(places)
	if err == nil {
		var accounts []config.Derived
		accounts, err = p.derivedAccounts(ctx, m, true)
		derived = append(derived, accounts...)
	}
	if err == nil {
		_, err = p.withWorkerConf(ctx, m, derived)
	}
	if err != nil && !machineAway(err) {
		explain(p.diags, "The operator's worker.conf cannot be used", err)
	}
	if err := p.checkRCFiles(ctx, m); err != nil && !errors.Is(err, fs.ErrNotExist) && !machineAway(err) {
		explain(p.diags, "A cloud's RC file cannot be used", err)
	}
}

// checkRCFiles reads them as the worker will, which would come up with a region less where one is wrong.
func (s *settings) checkRCFiles(ctx context.Context, m *workerModel) error {
	files, known := listOf(m.RCFiles)
	if !known {
		return nil
	}
	var clouds []cloudrc.Cloud
	for i, name := range files {
		cloud, err := s.rcFile(ctx, name)
		if err != nil {
			return at(path.Root("rc_files").AtListIndex(i), err)
		}
		clouds = append(clouds, cloud)
	}
	_, err := cloudrc.Join(clouds...)
	return at(path.Root("rc_files"), err)
}

func (s *settings) rcFile(ctx context.Context, name string) (cloudrc.Cloud, error) {
	file, err := s.fetchSecret(ctx, name)
	if err != nil {
		return cloudrc.Cloud{}, err
	}
	cloud, err := cloudrc.ParseRC(name, file.Content, nil)
	if err == nil {
		err = cloud.Complete()
	}
	return cloud, err
}

// workerConfFinding says whether the worker still has what the operator's file says.
func (s *settings) workerConfFinding(ctx context.Context, m *workerModel, d *host.Directory) finding {
	name := m.WorkerConf.ValueString()
	if name == "" {
		return finding{}
	}
	credentials, err := s.copied(ctx, d, workerService, m.givens()...)
	var wanted config.Worker
	if err == nil {
		wanted, err = s.workerConfiguration(ctx, m, d, credentials)
	}
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return finding{Problem: "the operator's file " + name + ", or one that it goes with, is gone: " + err.Error()}
	case errors.Is(err, config.ErrInvalid):
		return finding{Problem: "the operator's file " + name + " cannot be used: " + err.Error()}
	case err != nil:
		return finding{Unseen: err.Error()}
	}
	kept, err := d.ReadFile(filepath.Join("services", workerService, workerConf))
	if err == nil && !bytes.Equal(kept, wanted.Bytes()) {
		return finding{Problem: "the operator's file " + name + " has changed"}
	}
	return finding{}
}
