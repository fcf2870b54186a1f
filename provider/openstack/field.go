package openstack

// FieldError is an error that one field of what was asked for is to blame for. Field is called as in configurations.
type FieldError struct {
	Field string
	Err   error
}

// Error is that of the cause.
func (e *FieldError) Error() string { return e.Err.Error() }

// Unwrap returns the cause.
func (e *FieldError) Unwrap() error { return e.Err }

// in says which field an error is about.
func in(field string, err error) error {
	if err == nil {
		return nil
	}
	return &FieldError{Field: field, Err: err}
}
