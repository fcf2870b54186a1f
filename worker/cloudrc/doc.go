// Package cloudrc reads what an OpenStack cloud is reached with: RC files, as nova's users and the dashboard write them,
// clouds.yaml with secure.yaml, and the variables of an environment.
//
// An RC file is a program for a shell, and it is read, never run: the package follows assignments, quotes, defaults, simple tests and
// the prompt for the password, as bash would. What only running it could tell is an error with its line, if a value that is needed
// depends on it. It is read as in a session without variables of its own. All forms end in the same type, and the defaults are those of
// OpenStack's own clients.
//
// The package talks to no cloud, and it imports nothing else of this project but the type of secrets. ParseRC and ParseClouds read no
// file either; Lookup and TLS do, by a function of the caller's. gophercloud has a reader of clouds.yaml, which is not used here: it looks
// into the environment of the process, it knows neither lines nor lists of regions, and its errors can show a value. Start reading at
// Cloud, then at ParseRC.
package cloudrc
