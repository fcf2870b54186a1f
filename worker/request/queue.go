package request

// Context is the kind of work that a queue carries. The zero value is the gatekeeper's normal requests.
type Context string

// The contexts that the clients use.
const (
	Normal   Context = ""
	Huge     Context = "huge"
	PPA      Context = "ppa"
	Upstream Context = "upstream"
)

// Contexts lists every context, in the order in which tables show them.
var Contexts = []Context{Normal, Huge, PPA, Upstream}

// Queue identifies a request queue.
type Queue struct {
	Context      Context
	Release      string // one word without a dash: queue names are split on dashes
	Architecture string // Debian's name, without a dash
}
