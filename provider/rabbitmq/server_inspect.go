package rabbitmq

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"strconv"
	"time"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/provider/host"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/config"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/management"
)

// Inspect says how the node is, and changes nothing. It is fast enough for every plan, so it does not ask the node for
// its delivery timeout: that is the one in the configuration, which Apply compared with the node's. A node that is not
// there is no error: Present is false.
func Inspect(ctx context.Context, d *host.Directory, s Settings) (Info, error) {
	s, err := s.filled()
	if err != nil {
		return Info{}, err
	}
	found, err := d.Inspect(ctx, Service)
	if err != nil {
		return Info{}, err
	}
	i := info(d, s)
	// A lost manifest is written again. It does not mean that there is no broker.
	i.Present = found.Present || HoldsData(d)
	if !i.Present {
		return i, nil
	}
	if i.Incarnation, err = readIncarnation(d); err != nil {
		return Info{}, err
	}
	configured, err := Configured(d)
	if err != nil {
		return Info{}, err
	}
	i.DeliveryTimeout = configured.DeliveryTimeout
	if s.TLS != nil {
		kept, err := keptMaterial(d)
		if err != nil {
			return Info{}, err
		}
		i.Authority = string(kept.Authority)
	}
	if i.Problem, err = problem(ctx, d, s, i, found); err != nil {
		return Info{}, err
	}
	return i, nil
}

// problem finds the first thing that is wrong, the gravest first.
func problem(ctx context.Context, d *host.Directory, s Settings, i Info, found host.Inspection) (string, error) {
	if i.Incarnation == "" {
		return "the broker's database in " + d.ServicePath(Service, "data") + " is gone or new, and with it all users and " +
			"queues and the requests in them; an apply begins with an empty broker", nil
	}
	password, lost, err := readAdministrator(d, i.Administrator)
	if err != nil || lost != "" {
		return lost, err
	}
	if found.Problem != "" {
		return found.Problem, nil
	}
	n := where(d, s, i)
	if s.TLS != nil {
		text, err := n.keep(d, s, time.Now())
		if err != nil || text != "" {
			return text, err
		}
	}
	if name, err := differs(d, n); err != nil || name != "" {
		return fmt.Sprintf("the file %s is not as this version and these settings write it", name), err
	}
	free, err := room(d.ServicePath(Service, "data"))
	if err != nil {
		return "", err
	}
	if free < s.Reserve {
		return fmt.Sprintf("the broker takes no messages: the file system of %s has %d MiB left, less than the %d MiB of "+
			"its reserve", d.ServicePath(Service), free>>20, s.Reserve>>20), nil
	}
	text := unserved(ctx, d, n, i, password)
	if n.Cluster != nil && ctx.Err() == nil {
		text = n.memberProblem(ctx, d, text)
	}
	if ctx.Err() != nil {
		return "", context.Cause(ctx)
	}
	return text, nil
}

// unserved says what the running node does not do; empty if it does its work.
func unserved(ctx context.Context, d *host.Directory, n node, i Info, password config.Secret) string {
	serves, err := administratorServes(ctx, i, password)
	if err == nil {
		err = answersAMQP(ctx, net.JoinHostPort(i.Host, strconv.Itoa(i.Port)))
	}
	if err == nil && i.AMQPS != "" {
		err = answersTLS(ctx, d, i, n)
	}
	switch {
	case err != nil:
		return "the broker does not serve: " + err.Error()
	case !serves:
		return "the broker's user " + i.Administrator + " cannot do its work with the password in " + i.CredentialsFile +
			"; an apply sets it again"
	}
	m, err := management.New(i.ManagementURL, i.Administrator, password)
	if err == nil {
		err = m.Alarms(ctx)
	}
	var alarm *management.Error
	switch {
	case errors.As(err, &alarm) && alarm.Status == http.StatusServiceUnavailable:
		return "the broker takes no messages: " + alarm.Reason + "; the log " + d.LogPath("rabbitmq") + " says which"
	case err != nil:
		return "the broker does not serve: " + err.Error()
	}
	stopped, err := m.StoppedVHosts(ctx, n.Name)
	switch {
	case err != nil:
		return "the broker does not serve: " + err.Error()
	case len(stopped) > 0:
		return stoppedText(stopped, n.Name) + ", where its clients are refused; an apply starts what is down, and the log " +
			d.LogPath("rabbitmq") + " may say why it is"
	}
	return ""
}

// keep gives the node the certificate that it shall have, or says what an apply does about it.
func (n *node) keep(d *host.Directory, s Settings, now time.Time) (string, error) {
	if s.TLS.Given() {
		var err error
		n.Material, err = wantedMaterial(d, s, now)
		var field *FieldError
		if errors.As(err, &field) {
			return err.Error(), nil
		}
		return "", err
	}
	kept, err := keptMaterial(d)
	if err != nil {
		return "", err
	}
	n.Material = kept
	leaf, unusable := kept.leaf(now)
	if unusable != nil {
		//nolint:nilerr // that it cannot be used is what was asked for
		return "the broker's certificate " + d.ServicePath(Service, certificateFile) + " cannot be used: " + unusable.Error(), nil
	}
	switch {
	case !kept.fresh(s.names(d), now):
		return fmt.Sprintf("the broker's certificate ends on %s, or is not for all names that it should; an apply renews it",
			leaf.NotAfter.UTC().Format(time.DateOnly)), nil
	}
	return "", nil
}

// differs names the first file that an apply would write anew.
func differs(d *host.Directory, n node) (string, error) {
	var err error
	if n.Cookie, err = readCookie(d); err != nil {
		return "", err
	}
	wanted, err := definition(n)
	if err != nil {
		return "", err
	}
	for _, file := range wanted.Files {
		content, err := d.ReadFile(serviceFile(file.Name))
		if errors.Is(err, fs.ErrNotExist) || err == nil && !bytes.Equal(content, file.Content) {
			return d.ServicePath(Service, file.Name), nil
		}
		if err != nil {
			return "", err
		}
	}
	for _, process := range wanted.Processes {
		if limit, err := d.LogLimit(process.Name); err != nil || limit != process.Log.Filled() {
			return d.Path("log", process.Name, "config"), err
		}
	}
	return "", nil
}
