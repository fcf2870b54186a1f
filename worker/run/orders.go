package run

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/queue"
)

// commanded is what orders are about: Worker.
type commanded interface {
	Cancel(handle, by string) error
	Requeue(handle, by string) error
	Running() []Running
}

// ordersPause is waited before a worker that cannot hear commands tries again. It works all the same.
const ordersPause = 30 * time.Second

// hearOrders obeys operators until the context ends with the session.
func (w *Worker) hearOrders(ctx context.Context, session *queue.Session, requests commanded) {
	told := ""
	var obeying sync.WaitGroup
	defer obeying.Wait()
	heard := func() {
		if told != "" {
			w.log.Info("commands of operators are heard again")
		}
		told = ""
	}
	for {
		err := session.HearOrders(ctx, heard, func(o queue.Order) {
			obeying.Go(func() { // the next order does not wait for the end of a test
				if err := session.Answer(ctx, o, w.obey(o, requests)); err != nil && ctx.Err() == nil {
					w.log.Warn("an operator's command was not answered", "command", string(o.Verb), "run", o.Handle,
						"by", o.By, "error", err)
				}
			})
		})
		if ctx.Err() != nil {
			return
		}
		if err != nil && told != err.Error() {
			told = err.Error()
			w.log.Warn("commands of operators (cancel, requeue) are not heard; trying until they are", "error", err)
		}
		if !sleep(ctx, ordersPause) {
			return
		}
	}
}

// obey does what an order says and tells what came of it.
func (w *Worker) obey(o queue.Order, requests commanded) queue.Answer {
	answer := queue.Answer{Handle: o.Handle, Worker: w.name}
	if o.Err != nil {
		w.log.Warn("an operator's command is not obeyed", "by", o.By, "error", o.Err)
		answer.Error = o.Err.Error()
		return answer
	}
	all := requests.Running()
	i := slices.IndexFunc(all, func(r Running) bool { return r.ID == o.Handle })
	if i < 0 {
		return answer
	}
	answer.Known = true
	log := w.log.With("release", all[i].Queue.Release, "arch", all[i].Queue.Architecture, "package", all[i].Package,
		"run", o.Handle, "command", string(o.Verb), "by", o.By)
	log.Info("an operator's command")
	do := requests.Cancel
	if o.Verb == queue.Requeue {
		do = requests.Requeue
	}
	if err := do(o.Handle, o.By); err != nil {
		log.Warn("an operator's command cannot be done", "error", err)
		answer.Error = err.Error()
		return answer
	}
	answer.OK = true
	return answer
}
