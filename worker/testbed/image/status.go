package image

import (
	"encoding/json"
	"fmt"
	"os"
	"time"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/testbed"
)

// status is the file beside the image. It always describes the image that is in place; phase and error tell of the next.
type status struct {
	path string
	info testbed.ImageInfo
}

// enter notes what the job does now. The file is replaced as a whole: readers never see half of it.
func (s *status) enter(phase testbed.Phase, why error) error {
	s.info.Phase, s.info.Since, s.info.Error = phase, time.Now().UTC().Truncate(time.Second), ""
	if why != nil {
		s.info.Error = why.Error()
	}
	return writeInfo(s.path, s.info)
}

func writeInfo(path string, info testbed.ImageInfo) error {
	text, err := json.MarshalIndent(info, "", "  ")
	if err != nil {
		return err
	}
	next := path + ".new"
	if err := os.WriteFile(next, append(text, '\n'), 0o644); err != nil {
		return fmt.Errorf("write what is known of the image: %w", err)
	}
	if err := os.Rename(next, path); err != nil {
		return fmt.Errorf("write what is known of the image: %w", err)
	}
	return nil
}
