package main

import (
	"archive/tar"
	"context"
	"crypto/sha256"
	_ "embed"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"

	"github.com/gophercloud/gophercloud/v2"
	"github.com/gophercloud/gophercloud/v2/openstack/image/v2/imagedata"
	"github.com/gophercloud/gophercloud/v2/openstack/image/v2/images"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/provider/host"
)

//go:embed image.sh
var imageScript string

// imageCommands is the group of the command that makes the guests' image.
const imageCommands = "image"

// guestImage is the path of an archive of kernel, initrd and disk, from the cache or made now, which takes minutes.
func (c *cloud) guestImage(ctx context.Context) (string, error) {
	// A start that was killed may have left one that still writes.
	if err := c.d.EndCommands(ctx, imageCommands); err != nil {
		return "", err
	}
	sum := sha256.Sum256([]byte(imageScript))
	path := filepath.Join(c.cache, "guest-"+hex.EncodeToString(sum[:8])+".tar")
	return path, inCache(ctx, path, func(file *os.File) error {
		fmt.Fprintf(os.Stderr, "openstack: making the image of the guests once; %s keeps it\n", path)
		if err := c.d.Run(ctx, host.Command{
			Argv: append(slices.Clone(asRoot), "sh", "-c", imageScript),
			// Below the folder, so that it goes with it.
			Env:    []string{"TMPDIR=" + c.d.Path()},
			Stdout: file, Group: imageCommands,
		}); err != nil {
			return fmt.Errorf("make the image of the guests: %w", err)
		}
		return nil
	})
}

// uploadGuest makes an image that boots: a disk that refers to its kernel and its initrd, which are images as well. What is there
// already is left.
func (c *cloud) uploadGuest(ctx context.Context, client *gophercloud.ServiceClient, name string, there []images.Image) error {
	path, err := c.guestImage(ctx)
	if err != nil {
		return err
	}
	archive, err := os.Open(path)
	if err != nil {
		return err
	}
	defer archive.Close()
	properties := map[string]string{"os_command_line": "root=/dev/vda rw console=tty0 console=ttyS0 net.ifnames=0"}
	// In the order of the archive; the disk comes last and refers to those before. A pattern for the begin of its name is none of theirs.
	parts := map[string]struct {
		images.CreateOpts
		property string // of the disk, for the part's id
	}{
		"vmlinuz":    {images.CreateOpts{Name: "kernel-" + name, DiskFormat: "aki", ContainerFormat: "aki"}, "kernel_id"},
		"initrd":     {images.CreateOpts{Name: "initrd-" + name, DiskFormat: "ari", ContainerFormat: "ari"}, "ramdisk_id"},
		"root.qcow2": {images.CreateOpts{Name: name, DiskFormat: "qcow2", ContainerFormat: "bare", Properties: properties}, ""},
	}
	for reader := tar.NewReader(archive); ; {
		header, err := reader.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read %s; remove it to have it made anew: %w", path, err)
		}
		part, known := parts[header.Name]
		if !known {
			return fmt.Errorf("%s has %s, which is no part of an image", path, header.Name)
		}
		id := activeImage(there, part.Name)
		if id == "" {
			if id, err = upload(ctx, client, part.CreateOpts, reader); err != nil {
				return err
			}
		}
		if part.property != "" {
			properties[part.property] = id
		}
	}
}

// activeImage is the id of the image of a name; empty where there is none.
func activeImage(there []images.Image, name string) string {
	for _, i := range there {
		if i.Name == name && i.Status == images.ImageStatusActive {
			return i.ID
		}
	}
	return ""
}

// upload makes an image that every project sees.
func upload(ctx context.Context, client *gophercloud.ServiceClient, o images.CreateOpts, content io.Reader) (id string, err error) {
	public := images.ImageVisibilityPublic
	o.Visibility = &public
	made, err := images.Create(ctx, client, o).Extract()
	if err != nil {
		return "", fmt.Errorf("make the image %s: %w", o.Name, err)
	}
	if err := imagedata.Upload(ctx, client, made.ID, content).ExtractErr(); err != nil {
		return "", fmt.Errorf("upload the image %s: %w", o.Name, err)
	}
	return made.ID, nil
}
