package run

import "context"

// prepare makes the run's folder and sees that there are testbeds. Both can fail for a while: a full disk, an image that is
// just being built. The request is kept meanwhile: given back, it would come again at once. A crash here leaves a folder that
// the next start removes.
func (l *life) prepare(ctx context.Context) State {
	ready := l.persist(ctx, "preparing the run", never, func(context.Context) error {
		folder, err := l.state.makeRun(l.id)
		if err != nil {
			return err
		}
		l.folder = folder
		return l.worker.testbeds.Ready(l.delivery.Queue)
	})
	if !ready {
		return Handback
	}
	return Run
}
