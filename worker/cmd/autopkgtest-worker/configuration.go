package main

import (
	"fmt"
	"log/slog"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/config"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/run"
)

// loadConfiguration reads worker.conf, and refuses one with which the broker would take requests away from running tests.
func loadConfiguration(path string) (config.Worker, error) {
	conf, err := config.LoadWorker(path)
	if err != nil {
		return config.Worker{}, err
	}
	if err := run.CheckDeliveryTimeout(conf.DeliveryTimeout, conf.Timeout, conf.SpoolPatience); err != nil {
		return config.Worker{}, fmt.Errorf("%s: [amqp] delivery_timeout does not fit [autopkgtest] timeout and spool_patience: %w",
			path, err)
	}
	return conf, nil
}

// warnOfUnknown tells what can happen with a broker of which nobody has told us how long it waits.
func warnOfUnknown(conf config.Worker, log *slog.Logger) {
	if conf.DeliveryTimeout == 0 {
		log.Warn("the broker's delivery timeout is unknown: if it is shorter than a request may be held, the broker hands it to "+
			"another worker while its tests run, and they are run again; write it into [amqp] delivery_timeout",
			"held_at_most", config.DurationText(run.LongestHold(conf.Timeout, conf.SpoolPatience)))
	}
}

// describeDeliveryTimeout is the same for a table.
func describeDeliveryTimeout(conf config.Worker) string {
	longest := config.DurationText(run.LongestHold(conf.Timeout, conf.SpoolPatience))
	if conf.DeliveryTimeout == 0 {
		return fmt.Sprintf("unknown; one shorter than %s leads to repeated runs: see [amqp] delivery_timeout", longest)
	}
	return fmt.Sprintf("%s; a request is held for at most %s", config.DurationText(conf.DeliveryTimeout), longest)
}
