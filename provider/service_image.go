package provider

import (
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/provider/host"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/config"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/request"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/testbed"
)

const (
	imageConf  = "etc/image.conf"
	imagesPath = "images"
)

// imageService names the service that keeps an image, and its process.
func imageService(release, architecture string) string {
	return "image-" + release + "-" + architecture
}

// imageDefinition is the job that keeps an image fresh.
func imageDefinition(d *host.Directory, conf config.Image, binary host.Binary) host.Service {
	name := imageService(conf.Release, conf.Architecture)
	var stopWait time.Duration
	if conf.Cloud != nil {
		stopWait = time.Minute // a cloud deletes the server of a canary
	}
	return host.Service{
		Name:   name,
		Format: definitionFormat,
		Files:  []host.File{{Name: imageConf, Content: conf.Bytes()}},
		Binary: &binary,
		Processes: []host.Process{{
			Name:       name,
			Namespaces: true, // in which it builds the image, and tries it out
			StopWait:   stopWait,
			Argv:       []string{d.BinaryPath(binary), "image", "--config", d.ServicePath(name, imageConf)},
		}},
	}
}

func imagePath(d *host.Directory, release, architecture string) string {
	return testbed.ImagePath(d.Path(imagesPath), request.Queue{Release: release, Architecture: architecture})
}

// errNotBuilt: there is no image yet, and the job is at work.
var errNotBuilt = errors.New("the image is not there yet")

// imageState says whether an image can be used, and why not.
func imageState(image string) (testbed.ImageInfo, error) {
	info, err := testbed.ReadImageInfo(image)
	if errors.Is(err, os.ErrNotExist) {
		return info, fmt.Errorf("%w: the job has not begun", errNotBuilt)
	}
	if err != nil {
		return info, err
	}
	if _, err := os.Stat(image); err != nil || info.Canary != testbed.CanaryPassed {
		if info.Phase == testbed.PhaseFailed {
			return info, errors.New(info.Error)
		}
		return info, fmt.Errorf("%w: %s", errNotBuilt, info.Phase)
	}
	return info, nil
}

// imageFolder is the one folder that all images lie in.
func imageFolder(images []string) (string, error) {
	folder := ""
	for _, image := range images {
		dir := filepath.Dir(image)
		if folder != "" && dir != folder {
			return "", fmt.Errorf("a worker looks for its images in one folder, and these are in %s and in %s", folder, dir)
		}
		folder = dir
	}
	return folder, nil
}

// imagePaths are the images that a worker would open.
func imagePaths(conf config.Worker) []string {
	var paths []string
	for _, release := range conf.Releases {
		for _, architecture := range conf.Architectures {
			path := testbed.ImagePath(conf.Images, request.Queue{Release: release, Architecture: architecture})
			if _, err := os.Stat(path); err == nil {
				paths = append(paths, path)
			}
		}
	}
	return paths
}

// describeMirror names where an image comes from, without a password.
func describeMirror(mirror string) string {
	if mirror == "" {
		return "the archives that apt on this machine uses"
	}
	address, err := url.Parse(mirror)
	if err != nil {
		return "an address that cannot be read"
	}
	return strings.TrimRight(address.Redacted(), "/")
}
