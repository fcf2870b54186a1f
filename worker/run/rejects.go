package run

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/queue"
)

// rejects is the folder for rejected requests that the broker does not take: HANDLE.json each, whole or absent.
type rejects struct{ folder string }

const rejectsFolder = "rejected"

func (r rejects) path(handle string) string { return filepath.Join(r.folder, handle+".json") }

// save brings a request to the disk, for sure when it returns nil.
func (r rejects) save(handle string, refused queue.Rejected) error {
	content, err := json.Marshal(refused)
	if err != nil {
		return fmt.Errorf("keep the rejected request: %w", err)
	}
	draft := r.path(handle) + draftSuffix
	err = os.MkdirAll(r.folder, 0o700)
	if err == nil {
		err = os.WriteFile(draft, content, 0o600)
	}
	if err == nil {
		err = syncPath(draft)
	}
	if err == nil {
		err = os.Rename(draft, r.path(handle))
	}
	if err == nil {
		err = syncPath(r.folder)
	}
	if err != nil {
		return fmt.Errorf("keep the rejected request: %w", err)
	}
	return nil
}

// count is how many requests lie in the folder.
func (r rejects) count() (count int) {
	entries, _ := os.ReadDir(r.folder) // none until there is a first one
	for _, entry := range entries {
		if !strings.HasSuffix(entry.Name(), draftSuffix) {
			count++
		}
	}
	return count
}

// publish sends the folder's requests and removes those that are safe. It ends with the first one that the broker does not
// take: the next would fare no better. A file that cannot be read is left for people.
func (r rejects) publish(ctx context.Context, session session) (count int, err error) {
	entries, err := os.ReadDir(r.folder)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("look for rejected requests: %w", err)
	}
	var damaged error
	for _, entry := range entries {
		path := filepath.Join(r.folder, entry.Name())
		if strings.HasSuffix(entry.Name(), draftSuffix) {
			continue // its request was not acknowledged, or is being written
		}
		var refused queue.Rejected
		content, err := os.ReadFile(path)
		if err == nil {
			err = json.Unmarshal(content, &refused)
		}
		if err != nil {
			damaged = errors.Join(damaged, fmt.Errorf("%s cannot be read, and stays: %w", path, err))
			continue
		}
		within, cancel := context.WithTimeoutCause(ctx, rejectLimit, errors.New("no confirm in time"))
		err = refused.PublishTo(within, session)
		cancel()
		if err != nil {
			return count, err
		}
		if err := os.Remove(path); err != nil {
			return count, fmt.Errorf("a rejected request was published and will be again: %w", err)
		}
		count++
	}
	return count, damaged
}
