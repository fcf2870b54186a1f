package index

import (
	"context"
	"database/sql"
	"time"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/result"
)

// knownRuns are the runs of one package that need no attempt, while a listing passes through the package's part.
type knownRuns struct {
	of   result.Location // without run id
	runs map[result.RunID]bool
	next map[result.RunID]sql.NullInt64 // problems

	listed map[result.RunID]struct{} // those that skip was asked about
}

// has reports whether the loaded package is that of loc.
func (k *knownRuns) has(loc result.Location) bool {
	loc.RunID = ""
	return k.runs != nil && k.of == loc
}

// load loads the runs of the package of loc. A listing is in order, so each package comes once.
func (k *knownRuns) load(ctx context.Context, x *Index, loc result.Location) error {
	of := loc
	of.RunID = ""
	*k = knownRuns{
		of: of, runs: map[result.RunID]bool{}, next: map[result.RunID]sql.NullInt64{}, listed: map[result.RunID]struct{}{},
	}
	query := "SELECT run_id FROM other_result WHERE release = ? AND arch = ? AND package = ? AND container = ?"
	args := []any{loc.Release, loc.Architecture, loc.Package, loc.Container}
	if distribution(loc) {
		query = "SELECT run_id FROM result JOIN test ON id = test_id WHERE release = ? AND arch = ? AND package = ?"
		args = args[:3]
	}
	for id, err := range each(ctx, x.read, scanString, query, args...) {
		if err != nil {
			return err
		}
		k.runs[result.RunID(id)] = true
	}
	// Everything below the package's folder: U+10FFFF sorts after any run id.
	problems := each(ctx, x.read, scanProblem, "SELECT "+problemFields+
		" FROM problem WHERE container = ? AND dir BETWEEN ? AND ?", loc.Container, of.Dir(), of.Dir()+"\U0010ffff")
	for problem, err := range problems {
		if err != nil {
			return err
		}
		k.next[problem.RunID] = problem.next
	}
	return nil
}

// skip tells whether a run of the loaded package, which is in the listing, needs no attempt now.
func (k *knownRuns) skip(loc result.Location, now time.Time) bool {
	k.listed[loc.RunID] = struct{}{}
	if k.runs[loc.RunID] {
		return true
	}
	next, failed := k.next[loc.RunID]
	return failed && (!next.Valid || now.Unix() < next.Int64)
}

func scanString(rows *sql.Rows) (string, error) {
	var s string
	err := rows.Scan(&s)
	return s, err
}

// otherContainers lists the containers with PPAs that the index has results from.
func (x *Index) otherContainers(ctx context.Context) ([]string, error) {
	return collect(ctx, x.read, scanString, "SELECT DISTINCT container FROM other_result")
}
