package cloudimage

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/testbed"
)

// Status is what is known of an image and of the job that keeps it.
type Status struct {
	Release      string        `json:"release"`
	Architecture string        `json:"architecture"`
	Images       []Image       `json:"images,omitempty"` // one for each region; none before the first turn
	Built        Built         `json:"built,omitzero"`
	Phase        testbed.Phase `json:"phase"`
	Since        time.Time     `json:"since,omitzero"`
	Error        string        `json:"error,omitempty"`
}

// Image is what workers take in a region.
type Image struct {
	Region    string    `json:"region"`
	Source    string    `json:"source"`       // path of the region's RC file
	ID        string    `json:"id,omitempty"` // empty: there is none yet
	Name      string    `json:"name,omitempty"`
	SHA256    string    `json:"sha256,omitempty"` // of its disk
	Published time.Time `json:"published,omitzero"`
	Error     string    `json:"error,omitempty"` // why it is not what it should be
}

// StatusPath is where the status of a release's image for an architecture stands in a folder of images.
func StatusPath(folder, release, architecture string) string {
	return filepath.Join(folder, release+"-"+architecture+".cloud.json")
}

// Complete says whether workers find an image in all regions.
func (s Status) Complete() bool {
	for _, image := range s.Images {
		if image.ID == "" {
			return false
		}
	}
	return len(s.Images) > 0
}

// maxStatus bounds the file; it has some hundred bytes for each region.
const maxStatus = 1 << 20

// ReadStatus reads the file. Before the job has begun it fails with os.ErrNotExist.
func ReadStatus(path string) (Status, error) {
	file, err := os.Open(path)
	if err != nil {
		return Status{}, fmt.Errorf("read what is known of an image: %w", err)
	}
	defer file.Close()
	var s Status
	if err := json.NewDecoder(io.LimitReader(file, maxStatus)).Decode(&s); err != nil {
		return Status{}, fmt.Errorf("%s: %w", path, err)
	}
	return s, nil
}

// enter notes what the job does now. The file is replaced as a whole: readers never see half of it.
func (k *keeper) enter(phase testbed.Phase, why error) error {
	k.status.Phase, k.status.Since, k.status.Error = phase, time.Now().UTC().Truncate(time.Second), ""
	if why != nil {
		k.status.Error = why.Error()
	}
	text, err := json.MarshalIndent(k.status, "", "  ")
	if err == nil {
		err = os.WriteFile(k.path+".new", append(text, '\n'), 0o644)
	}
	if err == nil {
		err = os.Rename(k.path+".new", k.path)
	}
	if err != nil {
		return fmt.Errorf("write what is known of an image: %w", err)
	}
	return nil
}
