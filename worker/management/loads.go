package management

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// QueueLoad is what stands in a queue and who takes from it. Only the counts are exact at the time of the call; the rest is
// from the broker's statistics, which lag behind by up to five seconds. A time that is not known is zero.
type QueueLoad struct {
	Queue
	Consumers int // who would be given the next request at once; a busy worker of ours is none
	// Oldest is a time at which the oldest message stood in the queue already: the one that the publisher wrote into it. The
	// broker tells it of the messages at the ends of what it holds in memory, if they carry one: the very oldest may be
	// older, never younger.
	Oldest time.Time
	// Empty is when the broker's statistics had the queue empty for the last time: every message in it is younger. They
	// are samples, one for every five minutes of the last hour.
	Empty time.Time
}

// sampling is which samples of the past are asked for.
type sampling struct{ age, step time.Duration }

// lastHour is as far back as the broker keeps samples of a queue's length by default. It has one for each minute; to
// collect all of them takes it seconds when there are hundreds of queues.
var lastHour = sampling{age: time.Hour, step: 5 * time.Minute}

// listing asks for what is needed and nothing else: with everything, the answer for a few hundred queues is megabytes.
func (s sampling) listing() url.Values {
	return url.Values{
		"columns": {strings.Join([]string{
			"name", "node", "consumers", "head_message_timestamp", "messages_details", "message_stats.publish",
			"message_stats.publish_details",
		}, ",")},
		"lengths_age": {seconds(s.age)}, "lengths_incr": {seconds(s.step)},
		"msg_rates_age": {seconds(s.age)}, "msg_rates_incr": {seconds(s.step)},
	}
}

func seconds(d time.Duration) string { return strconv.Itoa(int(d / time.Second)) }

type series struct {
	Samples []struct {
		Value int   `json:"sample"`
		At    int64 `json:"timestamp"` // milliseconds
	} `json:"samples"` // newest first
}

type loadInfo struct {
	Name      string `json:"name"`
	Node      string `json:"node"`
	Consumers int    `json:"consumers"`
	Head      any    `json:"head_message_timestamp"` // seconds; a text or nothing where it is not known
	Lengths   series `json:"messages_details"`
	Stats     rates  `json:"message_stats"`
}

type rates struct {
	Published int
	Details   series
}

// UnmarshalJSON takes the empty list that the broker answers in the place of an object without fields.
func (r *rates) UnmarshalJSON(text []byte) error {
	if bytes.Equal(text, []byte("[]")) {
		return nil
	}
	var fields struct {
		Published int    `json:"publish"`
		Details   series `json:"publish_details"`
	}
	err := json.Unmarshal(text, &fields)
	r.Published, r.Details = fields.Published, fields.Details
	return err
}

// QueueLoads returns what stands in the queues of VHost, by name, in three calls and without touching a message.
func (m *Client) QueueLoads(ctx context.Context) (map[string]QueueLoad, error) {
	return m.queueLoads(ctx, lastHour)
}

func (m *Client) queueLoads(ctx context.Context, past sampling) (map[string]QueueLoad, error) {
	queues, err := m.Queues(ctx)
	if err != nil {
		return nil, err
	}
	infos, err := ask[[]loadInfo](m, ctx, request{method: http.MethodGet, path: inVHost("queues"), query: past.listing()})
	if err != nil {
		return nil, withoutVHost(err)
	}
	up, err := m.uptimes(ctx)
	if err != nil {
		return nil, err
	}
	loads := make(map[string]QueueLoad, len(queues))
	for name, queue := range queues {
		loads[name] = QueueLoad{Queue: queue}
	}
	for _, info := range infos {
		load, there := loads[info.Name]
		if !there {
			continue // made between the calls
		}
		load.Consumers = info.Consumers
		if at, ok := info.Head.(float64); ok && at > 0 && load.Messages > 0 {
			load.Oldest = time.Unix(int64(at), 0).UTC()
		}
		if load.Messages > 0 {
			load.Empty = info.lastEmpty(load.Messages, up[info.Node]-2*past.step)
		}
		loads[info.Name] = load
	}
	return loads, nil
}

// lastEmpty is the last sample of none. Where the broker has no samples it says zero as well, as for the time before it
// was started. So a zero counts only within the time that it has surely been up, and only if at least as many messages
// were published since as stand in the queue now. All times are by the broker's clock.
func (i loadInfo) lastEmpty(messages int, up time.Duration) time.Time {
	for _, sample := range i.Lengths.Samples {
		age := time.Duration(i.Lengths.Samples[0].At-sample.At) * time.Millisecond
		if age > up {
			break
		}
		if before, known := i.published(sample.At); sample.Value == 0 && known && i.Stats.Published-before >= messages {
			return time.UnixMilli(sample.At).UTC()
		}
	}
	return time.Time{}
}

// published is how many messages had been published by then.
func (i loadInfo) published(at int64) (count int, known bool) {
	for _, sample := range i.Stats.Details.Samples {
		if sample.At == at {
			return sample.Value, true
		}
	}
	return 0, false
}

// uptimes tells for how long each node of the broker has been up.
func (m *Client) uptimes(ctx context.Context) (map[string]time.Duration, error) {
	nodes, err := ask[[]struct {
		Name   string `json:"name"`
		Uptime int64  `json:"uptime"` // milliseconds; nothing for a node that is down
	}](m, ctx, request{method: http.MethodGet, path: "nodes", query: url.Values{"columns": {"name,uptime"}}})
	if err != nil {
		return nil, err
	}
	up := make(map[string]time.Duration, len(nodes))
	for _, node := range nodes {
		up[node.Name] = time.Duration(node.Uptime) * time.Millisecond
	}
	return up, nil
}
