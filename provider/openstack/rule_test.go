package openstack

import (
	"errors"
	"strings"
	"testing"
)

func draft(change func(*Draft)) Draft {
	d := Draft{Protocol: "tcp", ICMPType: NoPort, ICMPCode: NoPort}
	change(&d)
	return d
}

// TestCanonical: what lets the same pass is equal.
func TestCanonical(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		want   string
		drafts []func(*Draft)
	}{
		{"ingress tcp 22 from 0.0.0.0/0", []func(*Draft){
			func(d *Draft) { d.Ports = "22" },
			func(d *Draft) { d.Ports, d.Protocol, d.CIDR, d.Direction = "22-22", "6", "0.0.0.0/0", "ingress" },
			func(d *Draft) { d.Ports, d.Protocol, d.EtherType = "22", "TCP", "IPv4" },
			func(d *Draft) { d.Ports, d.CIDR = "22", "203.0.113.9/0" },
		}},
		{"ingress tcp 5671-5672 from 192.0.2.0/24", []func(*Draft){
			func(d *Draft) { d.Ports, d.CIDR = "5671-5672", "192.0.2.7/24" },
			func(d *Draft) { d.Ports, d.CIDR, d.EtherType = "5671-5672", "192.0.2.0/24", "IPv4" },
		}},
		{"ingress tcp 22 from 192.0.2.7/32", []func(*Draft){
			func(d *Draft) { d.Ports, d.CIDR = "22", "192.0.2.7" },
			func(d *Draft) { d.Ports, d.CIDR = "22", "192.0.2.7/32" },
		}},
		{"ingress tcp 22 from 2001:db8::/32", []func(*Draft){
			func(d *Draft) { d.Ports, d.CIDR = "22", "2001:0DB8:0::1/32" },
		}},
		{"egress any to ::/0", []func(*Draft){
			func(d *Draft) { d.Direction, d.Protocol, d.CIDR = "egress", "any", "::/0" },
			func(d *Draft) { d.Direction, d.Protocol, d.EtherType = "egress", "", "IPv6" },
		}},
		{"ingress ipv6-icmp type 128 code 0 from ::/0", []func(*Draft){
			func(d *Draft) { d.Protocol, d.EtherType, d.ICMPType, d.ICMPCode = "icmp", "IPv6", 128, 0 },
			func(d *Draft) { d.Protocol, d.CIDR, d.ICMPType, d.ICMPCode = "icmpv6", "::/0", 128, 0 },
			func(d *Draft) { d.Protocol, d.CIDR, d.ICMPType, d.ICMPCode = "58", "::/0", 128, 0 },
			func(d *Draft) { d.Protocol, d.CIDR, d.ICMPType, d.ICMPCode = "1", "::/0", 128, 0 },
		}},
		{"ingress icmp type 0 from 0.0.0.0/0", []func(*Draft){func(d *Draft) { d.Protocol, d.ICMPType = "icmp", 0 }}},
		{"ingress tcp from 0.0.0.0/0", []func(*Draft){func(*Draft) {}, func(d *Draft) { d.Ports = "1-65535" }}},
		{"ingress 200 from the group itself (IPv4)", []func(*Draft){func(d *Draft) { d.Protocol, d.RemoteGroup = "200", Self }}},
		{"ingress tcp 22 from group 17 (IPv6)", []func(*Draft){
			func(d *Draft) { d.Ports, d.RemoteGroup, d.EtherType = "22", "17", "IPv6" },
		}},
	} {
		first, err := NewRule(draft(c.drafts[0]))
		if err != nil || first.String() != c.want {
			t.Errorf("«%s» instead of «%s», %v", first, c.want, err)
		}
		for _, change := range c.drafts[1:] {
			d := draft(change)
			if other, err := NewRule(d); err != nil || other != first {
				t.Errorf("%+v is %+v and not %+v, %v", d, other, first, err)
			}
		}
	}
}

func TestDraftsAreRefused(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		change      func(*Draft)
		field, says string
	}{
		{func(d *Draft) { d.Direction = "in" }, "direction", "none of ingress, egress"},
		{func(d *Draft) { d.EtherType = "ipv4" }, "ethertype", "none of IPv4, IPv6"},
		{func(d *Draft) { d.CIDR = "192.0.2.0/33" }, "cidr", "write it as"},
		{func(d *Draft) { d.CIDR = "::ffff:192.0.2.0/120" }, "cidr", "no network"},
		{func(d *Draft) { d.CIDR = "fe80::1%eth0" }, "cidr", "no network"},
		{func(d *Draft) { d.CIDR, d.EtherType = "::/0", "IPv4" }, "cidr", "a network of IPv6"},
		{func(d *Draft) { d.CIDR, d.RemoteGroup = "192.0.2.0/24", Self }, "remote_group", "another rule"},
		{func(d *Draft) { d.Protocol = "tpc" }, "protocol", "tcp, udp"},
		{func(d *Draft) { d.Protocol = "256" }, "protocol", "from 1 to 255"},
		{func(d *Draft) { d.Protocol = "ipv6-icmp" }, "protocol", "belongs to IPv6"},
		{func(d *Draft) { d.Ports = "ssh" }, "ports", "write 22"},
		{func(d *Draft) { d.Ports = "0" }, "ports", "from 1"},
		{func(d *Draft) { d.Ports = "1-65536" }, "ports", "65535"},
		{func(d *Draft) { d.Ports = "23-22" }, "ports", "write 22-23"},
		{func(d *Draft) { d.Ports, d.Protocol = "22", "any" }, "ports", "not any"},
		{func(d *Draft) { d.Ports, d.Protocol = "22", "icmp" }, "ports", "not icmp"},
		{func(d *Draft) { d.ICMPType = 8 }, "icmp_type", "only icmp"},
		{func(d *Draft) { d.Protocol, d.ICMPType = "icmp", 256 }, "icmp_type", "from 0 to 255"},
		{func(d *Draft) { d.Protocol, d.ICMPCode = "icmp", 3 }, "icmp_code", "without a type"},
	} {
		d := draft(c.change)
		_, err := NewRule(d)
		var wrong *FieldError
		if !errors.As(err, &wrong) || wrong.Field != c.field || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%+v: %v, want %s: …%s", d, err, c.field, c.says)
		}
	}
}
