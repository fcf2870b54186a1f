package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/autopkgtest-cloud/autopkgtest-cloud"

// architecturePage holds the table of who may import whom. The page is the rule: this test only reads it.
const architecturePage = "docs/architecture.md"

// goPackage is the part of `go list -json` that the rules speak of.
type goPackage struct {
	ImportPath string
	Imports    []string
	// Tests may import more than the code does, but never what makes a cycle of parts: see TestImportRules.
	TestImports  []string
	XTestImports []string
}

func listPackages(t *testing.T) []goPackage {
	t.Helper()
	cmd := exec.Command("go", "list", "-json=ImportPath,Imports,TestImports,XTestImports", "./...")
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	var packages []goPackage
	for decoder := json.NewDecoder(bytes.NewReader(out)); ; {
		var p goPackage
		if err := decoder.Decode(&p); errors.Is(err, io.EOF) {
			return packages
		} else if err != nil {
			t.Fatalf("go list -json: %v", err)
		}
		packages = append(packages, p)
	}
}

// importTable reads the table's rows: package folder → the folders that it may import. A row may end in `/*`, which
// stands for any package below; the cell `any of worker` (or `any`) allows a whole part.
func importTable(t *testing.T) map[string][]string {
	t.Helper()
	page, err := os.ReadFile(architecturePage)
	if err != nil {
		t.Fatal(err)
	}
	_, section, found := strings.Cut(string(page), "## Who may import whom")
	if !found {
		t.Fatalf("%s has no section «Who may import whom»", architecturePage)
	}
	section, _, _ = strings.Cut(section, "\n## ")
	table := map[string][]string{}
	for line := range strings.Lines(section) {
		cells := strings.Split(line, "|")
		if len(cells) < 5 || !strings.Contains(cells[1], "`") {
			continue
		}
		name := strings.Trim(strings.TrimSpace(cells[1]), "`")
		table[name] = strings.FieldsFunc(cells[3], func(r rune) bool { return strings.ContainsRune(" ,`\n", r) })
	}
	return table
}

func matches(pattern, folder string) bool {
	if prefix, ok := strings.CutSuffix(pattern, "/*"); ok {
		return strings.HasPrefix(folder, prefix+"/")
	}
	return pattern == folder
}

func TestImportRules(t *testing.T) {
	t.Parallel()
	table := importTable(t)
	seen := map[string]bool{}
	for _, p := range listPackages(t) {
		folder := strings.TrimPrefix(strings.TrimPrefix(p.ImportPath, module), "/")
		if folder == "" {
			folder = "main.go"
		}
		row := folder
		if _, ok := table[row]; !ok {
			row = path.Dir(folder) + "/*"
		}
		allowed, ok := table[row]
		if !ok {
			t.Errorf("%s has no row in the table of %s: say there what it is and what it may import", folder, architecturePage)
			continue
		}
		seen[row] = true
		for _, imported := range p.Imports {
			if err := checkImport(folder, imported, allowed); err != nil {
				t.Error(err)
			}
		}
		// A test may use any part of its own side of the house, but the worker's tests never reach into the provider.
		for _, imported := range slices.Concat(p.TestImports, p.XTestImports) {
			if strings.HasPrefix(folder, "worker/") && strings.HasPrefix(imported, module+"/provider") {
				t.Errorf("a test of %s imports %s: worker/ must not know provider/", folder, imported)
			}
		}
	}
	for row := range table {
		if !seen[row] {
			t.Errorf("%s: the table's row `%s` stands for no package", architecturePage, row)
		}
	}
}

func checkImport(folder, imported string, allowed []string) error {
	own, ours := strings.CutPrefix(imported, module+"/")
	if ours {
		for _, pattern := range allowed {
			if matches(pattern, own) {
				return nil
			}
		}
		return fmt.Errorf("%s imports %s, which its row in %s does not allow", folder, own, architecturePage)
	}
	terraform := strings.HasPrefix(imported, "github.com/hashicorp/terraform-")
	if terraform && folder != "provider" && folder != "provider/forward" && folder != "main.go" {
		return fmt.Errorf("%s imports %s: only provider/ itself and provider/forward know Terraform", folder, imported)
	}
	return nil
}

// TestImportRulesCatch breaks the rules on purpose, so that a rule that no longer bites is noticed.
func TestImportRulesCatch(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		folder, imported string
		allowed          []string
		caught           bool
	}{
		"own part, allowed":        {"worker/run", module + "/worker/store", []string{"worker/store"}, false},
		"own part, below":          {"worker/cmd/x", module + "/worker/store/swift", []string{"worker/*"}, false},
		"own part, not in the row": {"worker/run", module + "/worker/site", []string{"worker/store"}, true},
		"provider from worker":     {"worker/run", module + "/provider/host", []string{"worker/*"}, true},
		"terraform below provider": {"provider/host", "github.com/hashicorp/terraform-plugin-log/tflog", nil, true},
		"terraform in provider":    {"provider", "github.com/hashicorp/terraform-plugin-log/tflog", nil, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if err := checkImport(test.folder, test.imported, test.allowed); (err != nil) != test.caught {
				t.Errorf("error = %v, want one: %v", err, test.caught)
			}
		})
	}
}
