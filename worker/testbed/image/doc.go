// Package image keeps the images from which the unshare backend makes testbeds: it builds a tarball of a release, proves
// it with a canary package run just as a real one will be, and swaps it in.
//
// An image is never changed in place and never taken away: runs that have begun keep theirs, and when a build or its
// canary fails the last good image stays. What the job is doing stands in a file beside the image (testbed.ImageInfo).
//
// It does not decide where images are used (package testbed does), and it needs no privileges. Start reading at Keep.
package image
