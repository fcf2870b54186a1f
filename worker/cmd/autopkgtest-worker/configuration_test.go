package main

import (
	"bytes"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/config"
)

// writeConfiguration writes a worker.conf that differs from a good one in its delivery timeout.
func writeConfiguration(t *testing.T, delivery time.Duration) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "worker.conf")
	conf := config.Worker{
		BrokerCredentials: "/nowhere/broker", StoreCredentials: "/nowhere/store", Releases: []string{"noble"},
		Architectures: []string{"amd64"}, Slots: 1, StateDirectory: "/nowhere/state", Timeout: 8 * time.Hour,
		Images: "/nowhere/images", DeliveryTimeout: delivery,
	}
	if err := os.WriteFile(path, conf.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestLoadConfiguration(t *testing.T) {
	t.Parallel()
	for _, delivery := range []time.Duration{0, 48 * time.Hour} {
		if conf, err := loadConfiguration(writeConfiguration(t, delivery)); err != nil || conf.DeliveryTimeout != delivery {
			t.Errorf("delivery timeout %s: read %s, %v", delivery, conf.DeliveryTimeout, err)
		}
	}
	path := writeConfiguration(t, 20*time.Hour)
	_, err := loadConfiguration(path)
	if err == nil {
		t.Fatal("a delivery timeout that is too short is accepted")
	}
	for _, word := range []string{path, "[amqp] delivery_timeout", "[autopkgtest] timeout", "36h15m", "after 20h", "raise", "lower"} {
		if !strings.Contains(err.Error(), word) {
			t.Errorf("error %q does not say %q", err, word)
		}
	}
}

func TestUnknownDeliveryTimeout(t *testing.T) {
	t.Parallel()
	for delivery, told := range map[time.Duration]bool{0: true, 48 * time.Hour: false} {
		conf := config.Worker{Timeout: 8 * time.Hour, SpoolPatience: config.DefaultSpoolPatience, DeliveryTimeout: delivery}
		var log bytes.Buffer
		warnOfUnknown(conf, slog.New(slog.NewTextHandler(&log, nil)))
		for _, text := range []string{log.String(), describeDeliveryTimeout(conf)} {
			if strings.Contains(text, "unknown") != told || told && !strings.Contains(text, "36h15m") {
				t.Errorf("delivery timeout %s: told %q", delivery, text)
			}
		}
	}
}
