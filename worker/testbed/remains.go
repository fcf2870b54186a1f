package testbed

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"
)

// remainsFile is the note, in the scratch folder of a run, of what there is to be removed beside the folder.
const remainsFile = "remains.json"

// remainsNote is its content.
type remainsNote struct {
	Backend string
	Remains Remains
}

// noteRemains writes the note before anything is made.
func (r *Runner) noteRemains(folder string, remains Remains) error {
	if _, ok := r.backend.(Cleaner); !ok {
		return nil
	}
	text, err := json.Marshal(remainsNote{r.backend.Name(), remains})
	if err == nil {
		err = os.WriteFile(filepath.Join(folder, remainsFile), text, 0o600)
	}
	if err != nil {
		return fmt.Errorf("note what a run makes: %w", err)
	}
	return nil
}

// remainsLimit bounds a backend's cleaning up: a cloud may take minutes to delete a server.
const remainsLimit = 5 * time.Minute

// removeRemains removes what the runs have made whose scratch folder is a folder, or lies in it: in a run's WorkDir, and in
// a folder of one. A test cannot put a note there, it writes deeper.
func removeRemains(ctx context.Context, folder string) error {
	var failed error
	for _, pattern := range []string{"", scratch, "*/" + scratch} {
		notes, _ := filepath.Glob(filepath.Join(folder, pattern, remainsFile)) // a name with [ finds less; ours have none
		for _, note := range notes {
			failed = errors.Join(failed, removeNoted(ctx, note))
		}
	}
	return failed
}

func removeNoted(ctx context.Context, path string) error {
	ctx, cancel := context.WithTimeoutCause(ctx, remainsLimit, errors.New("not done within "+remainsLimit.String()))
	defer cancel()
	text, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("read what a run has made: %w", err)
	}
	var note remainsNote
	if err := json.Unmarshal(text, &note); err != nil {
		return nil // half of a note was written before anything was made
	}
	backend, err := Lookup(note.Backend)
	if err != nil {
		return fmt.Errorf("a run has left something: %w", err)
	}
	if cleaner, ok := backend.(Cleaner); ok {
		if err := cleaner.Clean(ctx, note.Remains); err != nil {
			return fmt.Errorf("remove what a run of backend %s has left: %w", note.Backend, err)
		}
	}
	return os.Remove(path)
}
