package rabbitmq

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/config"
)

// Watermark is the memory with which the node takes no more messages until it has less: a share of the machine's, or a number
// of bytes.
type Watermark struct {
	Percent int
	Bytes   uint64 // counts if Percent is zero
}

// DefaultWatermark is RabbitMQ's own.
var DefaultWatermark = Watermark{Percent: 40}

// With less memory than this a node blocks its publishers before the first request; with more than this share, the kernel may
// end it before it has blocked anybody, since it needs twice the memory for a moment when it collects garbage.
const (
	leastWatermark = 128 << 20
	mostWatermark  = 80
)

// ParseWatermark reads 40%, or a size as 2G.
func ParseWatermark(text string) (Watermark, error) {
	if share, ok := strings.CutSuffix(text, "%"); ok {
		percent, err := strconv.Atoi(share)
		if err != nil || percent < 1 || percent > mostWatermark {
			return Watermark{}, fmt.Errorf("%q: a share of the memory is 1%% to %d%%; with more the kernel may end the broker before "+
				"it holds its publishers back", text, mostWatermark)
		}
		return Watermark{Percent: percent}, nil
	}
	bytes, err := boundedSize(text, leastWatermark)
	if err != nil {
		return Watermark{}, fmt.Errorf("%w; or a share of the machine's memory, for example 40%%", err)
	}
	return Watermark{Bytes: bytes}, nil
}

// String is what ParseWatermark reads.
func (w Watermark) String() string {
	if w.Percent != 0 {
		return strconv.Itoa(w.Percent) + "%"
	}
	return config.Size(w.Bytes).String()
}

// Conf is the line of rabbitmq.conf without its first word. The template reads it.
func (w Watermark) Conf() string {
	if w.Percent != 0 {
		return fmt.Sprintf("relative = %.2f", float64(w.Percent)/100)
	}
	return fmt.Sprintf("absolute = %d", w.Bytes)
}

// ParseReserve reads the room that a node leaves free on its disk, as 256M.
func ParseReserve(text string) (uint64, error) { return boundedSize(text, leastReserve) }

// leastReserve is RabbitMQ's own default, rounded up.
const leastReserve = 64 << 20

func boundedSize(text string, least uint64) (uint64, error) {
	size, err := config.ParseSize(text)
	if err != nil {
		return 0, err
	}
	bytes, limited := size.Limit()
	switch {
	case !limited:
		return 0, fmt.Errorf("%q: there must be a limit; a broker without one ends when the machine has no more", text)
	case bytes < least:
		return 0, fmt.Errorf("%q is too little: at least %s", text, config.Size(least))
	}
	return bytes, nil
}
