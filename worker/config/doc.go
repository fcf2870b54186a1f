// Package config is the definition of the project's configuration and credentials files: one struct per file, with a
// strict reader and a writer, so that what writes a file and what reads it cannot disagree.
//
// It knows the form of values, not whether what they name exists, and it imports nothing else of this project but the type of
// secrets. The files are INI; credentials of the broker are lines that a gatekeeper's configuration can include. Start reading
// at Worker for a configuration, at Broker and Store for credentials.
package config
