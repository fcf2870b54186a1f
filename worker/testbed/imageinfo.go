package testbed

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/request"
)

// ImageSuffix is the end of an image's file name; what is known of it has the same name with InfoSuffix.
const (
	ImageSuffix = ".tar.zst"
	InfoSuffix  = ".json"
)

// ImagePath is the path of a queue's image in a folder of images.
func ImagePath(folder string, queue request.Queue) string {
	return filepath.Join(folder, queue.Release+"-"+queue.Architecture+ImageSuffix)
}

// InfoPath is the path of the file that describes an image.
func InfoPath(image string) string { return strings.TrimSuffix(image, ImageSuffix) + InfoSuffix }

// Phase is what the job that keeps an image is doing.
type Phase string

// The phases. An image that has been swapped in stays in use while the next one is built.
const (
	PhaseBuilding Phase = "building"
	PhaseCanary   Phase = "canary"
	PhaseReady    Phase = "ready"   // the job waits until the image is old
	PhaseFailed   Phase = "failed"  // the job waits before it tries again; Error says why
	PhaseStopped  Phase = "stopped" // somebody ended the job before there was an image; it begins anew when it is started
)

// CanaryPassed is the value of ImageInfo.Canary of every image that was swapped in by us.
const CanaryPassed = "passed"

// ImageInfo is the file beside an image: what the image is, and what the job that keeps it is doing. Before the first
// image is there, only release, architecture, phase and error are.
type ImageInfo struct {
	Release      string    `json:"release"`
	Architecture string    `json:"architecture"`
	Recipe       string    `json:"recipe,omitempty"` // hash of how it was built
	SHA256       string    `json:"sha256,omitempty"` // of the image
	Built        time.Time `json:"built,omitzero"`
	Canary       string    `json:"canary,omitempty"`
	Proven       time.Time `json:"proven,omitzero"` // when the canary passed
	Mirror       string    `json:"mirror,omitempty"`

	// Sources are the archives beside the mirror that apt in the image uses, and Proxy is how it gets to them. Tests reach
	// them wherever they are, see Network.
	Sources []string `json:"sources,omitempty"`
	Proxy   string   `json:"proxy,omitempty"`

	// Pockets are those that the archive had beside the release when the image was built, see Invocation.Pockets.
	Pockets []string `json:"pockets,omitempty"`

	Phase Phase     `json:"phase"`
	Since time.Time `json:"since,omitzero"` // of the phase
	Error string    `json:"error,omitempty"`
}

// maxInfo bounds the file; it has some hundred bytes.
const maxInfo = 64 << 10

// ReadImageInfo reads the file beside an image.
func ReadImageInfo(image string) (ImageInfo, error) {
	file, err := os.Open(InfoPath(image))
	if err != nil {
		return ImageInfo{}, fmt.Errorf("read what is known of an image: %w", err)
	}
	defer file.Close()
	var info ImageInfo
	if err := json.NewDecoder(io.LimitReader(file, maxInfo)).Decode(&info); err != nil {
		return ImageInfo{}, fmt.Errorf("%s: %w", file.Name(), err)
	}
	return info, nil
}

// ErrNoImage means that there is no image for a queue.
var ErrNoImage = errors.New("no testbed image")

// DescribeImage returns what is known of an image that is there. One that somebody has put there by hand, without a
// description, is taken as it is: without pockets, and of the queue's own architecture.
func DescribeImage(image string) (ImageInfo, error) {
	stat, err := os.Stat(image)
	if err != nil || !stat.Mode().IsRegular() {
		info, _ := ReadImageInfo(image) // only to say why there is none
		if info.Error != "" {
			return ImageInfo{}, fmt.Errorf("%w at %s: the last attempt to build it failed: %s", ErrNoImage, image, info.Error)
		}
		return ImageInfo{}, fmt.Errorf("%w at %s: autopkgtest-worker image builds it", ErrNoImage, image)
	}
	info, err := ReadImageInfo(image)
	if errors.Is(err, os.ErrNotExist) {
		return ImageInfo{}, nil
	}
	return info, err
}
