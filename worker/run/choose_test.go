package run

import (
	"fmt"
	"testing"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/config"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/request"
)

// waitingQueues is a broker for a chooser: how many requests wait in which queue.
type waitingQueues map[request.Queue]int

// pick asks the queues in the chooser's order until one has a request.
func (w waitingQueues) pick(c *chooser) (request.Queue, bool) {
	var empty []request.Queue
	for _, q := range c.order() {
		if w[q] > 0 {
			w[q]--
			c.took(q, empty)
			return q, true
		}
		empty = append(empty, q)
	}
	return request.Queue{}, false
}

func allQueues(contexts []request.Context, releases, architectures int) []request.Queue {
	var queues []request.Queue
	for _, context := range contexts {
		for r := range releases {
			for a := range architectures {
				queues = append(queues, request.Queue{Context: context, Release: fmt.Sprintf("r%d", r), Architecture: fmt.Sprintf("a%d", a)})
			}
		}
	}
	return queues
}

// full is enough for a queue never to run empty in these tests.
const full = 1 << 20

func TestChooserKeepsTheWeights(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		releases, architectures int
		contexts                []request.Context
		weights                 map[string]int
	}{
		"one release":                {1, 1, request.Contexts, config.DefaultWeights},
		"two releases":               {2, 1, request.Contexts, config.DefaultWeights},
		"two architectures":          {1, 2, request.Contexts, config.DefaultWeights},
		"two contexts":               {2, 2, []request.Context{request.Normal, request.Huge}, config.DefaultWeights},
		"other weights":              {2, 1, request.Contexts, map[string]int{"": 1, "ppa": 1, "huge": 1, "upstream": 5}},
		"a context without a weight": {1, 1, request.Contexts, map[string]int{"": 3}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			queues := allQueues(test.contexts, test.releases, test.architectures)
			c, waiting := newChooser(queues, test.weights), waitingQueues{}
			sum := 0.0
			for _, context := range test.contexts {
				sum += c.weight(context)
			}
			for _, q := range queues {
				waiting[q] = full
			}
			const picks = 400
			served, since := map[request.Queue]int{}, map[request.Queue]int{}
			for range picks {
				q, _ := waiting.pick(c)
				served[q]++
				for _, other := range queues {
					since[other]++
					if since[other] > longestWait+1 {
						t.Fatalf("%s was passed over %d times", other.Name(), since[other])
					}
				}
				since[q] = 0
			}
			for _, context := range test.contexts {
				got := 0
				for _, q := range queues {
					if q.Context == context {
						got += served[q]
					}
				}
				want := picks * c.weight(context) / sum
				if low, high := want*0.85, want*1.15; float64(got) < low || float64(got) > high {
					t.Errorf("context %q: %d of %d, want %.0f to %.0f", context, got, picks, low, high)
				}
				for _, q := range queues {
					if q.Context == context {
						fair := float64(got) / float64(test.releases*test.architectures)
						if n := float64(served[q]); n < fair-1 || n > fair+1 {
							t.Errorf("%s: %.0f of the %d of its context, want %.0f", q.Name(), n, got, fair)
						}
					}
				}
			}
		})
	}
}

func TestChooserServesOneFilledQueueWithEveryPick(t *testing.T) {
	t.Parallel()
	queues := allQueues(request.Contexts, 3, 2)
	for _, only := range queues {
		c, waiting := newChooser(queues, config.DefaultWeights), waitingQueues{only: 50}
		for range 50 {
			if q, found := waiting.pick(c); !found || q != only {
				t.Fatalf("picked %s, want %s", q.Name(), only.Name())
			}
		}
	}
}

// With more queues than the bound, no order can hold it; then nobody waits longer than a turn of all.
func TestChooserPassesNobodyOver(t *testing.T) {
	t.Parallel()
	for _, releases := range []int{4, 8} {
		queues := allQueues(request.Contexts, releases, 2)
		c, waiting := newChooser(queues, config.DefaultWeights), waitingQueues{}
		for _, q := range queues {
			waiting[q] = full
		}
		since, worst := map[request.Queue]int{}, 0
		for range 1000 {
			q, _ := waiting.pick(c)
			for _, other := range queues {
				since[other]++
				worst = max(worst, since[other])
			}
			since[q] = 0
		}
		if most := max(longestWait, len(queues)) + longestWait; worst > most {
			t.Errorf("%d queues: one was passed over %d times, want at most %d", len(queues), worst, most)
		}
	}
}

// A context that had nothing for long gets its share from then on, and not all that it missed.
func TestChooserSavesNothingUp(t *testing.T) {
	t.Parallel()
	queues := allQueues([]request.Context{request.Normal, request.Huge}, 2, 1)
	c, waiting := newChooser(queues, config.DefaultWeights), waitingQueues{}
	for _, q := range queues {
		if q.Context == request.Normal {
			waiting[q] = full
		}
	}
	for range 200 {
		waiting.pick(c)
	}
	for _, q := range queues {
		waiting[q] = full
	}
	huge := 0
	for range 50 {
		if q, _ := waiting.pick(c); q.Context == request.Huge {
			huge++
		}
	}
	if huge < 8 || huge > 12 {
		t.Errorf("huge had %d of 50 after a long silence, want about 10", huge)
	}
}
