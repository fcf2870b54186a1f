package testbed

// WithImages names the folder of images, in which Canary finds those of a queue; see ImagePath.
func WithImages(folder string) Option { return func(r *Runner) { r.images = folder } }

// WithState names a folder of this machine that is the program's alone: Canary works in it, and a backend that needs an
// image unpacked keeps it there. Without it, both are done below the folder for temporary files.
func WithState(folder string) Option { return func(r *Runner) { r.state = folder } }

// AllowExposed takes backends whose tests can read and change this machine. See Properties.Exposes.
func AllowExposed() Option { return func(r *Runner) { r.exposed = true } }

// WithTailor names what adds to a job what the operator's configuration says of all runs. Whoever calls Run has done that
// already; it is for the canary, which is a run like any other.
func WithTailor(tailor func(Job) Job) Option { return func(r *Runner) { r.tailor = tailor } }

// WithWorker names the worker whose testbeds these are, for backends that leave something where others see it. No other worker
// has the name, and it is the same after a restart.
func WithWorker(name string) Option { return func(r *Runner) { r.worker = name } }
