// Package cloudimage keeps the images from which clouds make testbeds: it takes a disk, as distributions publish them for clouds, or
// has one built, uploads it to the image service of each cloud, proves it there on a server of its own, and only then shows it to workers,
// who take the newest image that their pattern matches.
//
// The image before stays until the new one is proven, and an hour longer, for servers that were just asked for. When a canary fails it
// stays in use. What the job is doing, and what it has published, stands in a file (Status).
//
// It does not know how an image service is told all this (openstack.Publication does), nor how servers are made (package nova does).
// Start reading at Keep.
package cloudimage
