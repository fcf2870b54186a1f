package testbed

// Traits are what a package's tests need that others do not.
type Traits struct {
	Big     bool // a large testbed, and more time
	Long    bool // much more time
	Machine bool // a virtual machine instead of a container, if the backend can make both
}
