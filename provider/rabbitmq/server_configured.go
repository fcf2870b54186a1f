package rabbitmq

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/provider/host"
)

// Configured is what the configuration in a stack's folder says; zero values where it is lost, or silent. Where a given
// certificate came from it does not tell.
func Configured(d *host.Directory) (Settings, error) {
	content, err := d.ReadFile(serviceFile("etc/rabbitmq.conf"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return Settings{}, err
	}
	s := parseConfiguration(content)
	address, port, _ := d.AMQP()
	if slices.Equal(s.Listen, []string{address}) {
		s.Listen = nil
	}
	if s.Port == port {
		s.Port = 0
	}
	if s.Cluster, err = configuredCluster(d); err != nil {
		return Settings{}, err
	}
	if s.Cluster != nil && slices.Equal(s.Listen, []string{s.Cluster.Address}) {
		s.Listen = nil
	}
	s.Log, err = d.LogLimit("rabbitmq")
	return s, err
}

var (
	memberName = regexp.MustCompile(`(?m)^NODENAME=rabbit@([0-9.]+)$`)
	memberPort = regexp.MustCompile(`(?m)^# the port of the distribution: ([0-9]+)$`)
	memberList = regexp.MustCompile(`(?m)nodes\.[0-9]+ = rabbit@([0-9.]+)$`)
)

// configuredCluster is nil for a node alone. Where the cookie came from it does not tell.
func configuredCluster(d *host.Directory) (*Cluster, error) {
	own, err := d.ReadFile(serviceFile(environmentFile))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	name, port := memberName.FindSubmatch(own), memberPort.FindSubmatch(own)
	if name == nil || port == nil {
		return nil, nil
	}
	c := &Cluster{Address: string(name[1])}
	c.Port, _ = strconv.Atoi(string(port[1])) // digits
	members, err := d.ReadFile(serviceFile(membersFile))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	for _, match := range memberList.FindAllSubmatch(members, -1) {
		c.Members = append(c.Members, string(match[1]))
	}
	return c, nil
}

// configuredNode is enough of the node for rabbitmqctl.
func configuredNode(d *host.Directory) (node, error) {
	c, err := configuredCluster(d)
	if err != nil {
		return node{}, err
	}
	s := Settings{Cluster: c}
	return where(d, s, info(d, s)), nil
}

func parseConfiguration(content []byte) (s Settings) {
	for line := range bytes.Lines(content) {
		key, value, _ := strings.Cut(strings.TrimSpace(string(line)), " = ")
		number, _ := strconv.ParseInt(value, 10, 64)
		switch {
		case key == "consumer_timeout":
			s.DeliveryTimeout = time.Duration(number) * time.Millisecond
		case key == "disk_free_limit.absolute":
			s.Reserve = uint64(max(number, 0))
		case key == "vm_memory_high_watermark.absolute":
			s.Memory.Bytes = uint64(max(number, 0))
		case key == "vm_memory_high_watermark.relative":
			share, _ := strconv.ParseFloat(value, 64)
			s.Memory.Percent = int(share*100 + 0.5)
		case strings.HasPrefix(key, "listeners.tcp."):
			if colon := strings.LastIndex(value, ":"); colon > 0 {
				s.Listen = append(s.Listen, value[:colon])
				s.Port, _ = strconv.Atoi(value[colon+1:]) // ours to write
			}
		}
	}
	return s
}

// CheckRoom says whether a node that leaves so much room has any on the file system of a folder, which need not be there yet.
func CheckRoom(folder string, reserve uint64) error {
	free, err := roomFor(folder)
	if err != nil {
		return err
	}
	return enoughRoom(folder, free, reserve)
}

// CheckWatermark refuses a watermark that this machine's memory cannot reach.
func CheckWatermark(w Watermark) error {
	total, err := memory()
	if err != nil || w.Percent != 0 || w.Bytes <= total*mostWatermark/100 {
		return err
	}
	return fmt.Errorf("this machine has %d MiB of memory; with a watermark above %d%% of that, the kernel may end the broker before "+
		"it holds its publishers back", total>>20, mostWatermark)
}
