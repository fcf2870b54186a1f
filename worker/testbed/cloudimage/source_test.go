package cloudimage

import (
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/config"
)

// rawDisk is a disk whose first sector ends as that of one that boots.
func rawDisk(content string) string {
	return content + strings.Repeat("\x00", 510-len(content)) + "\x55\xaa"
}

func sumText(content string) string {
	sum := sha256.Sum256([]byte(content))
	return hex.EncodeToString(sum[:])
}

// TestSource: a disk is what its checksum says, wherever the two come from.
func TestSource(t *testing.T) {
	t.Parallel()
	disk, qcow, folder := rawDisk("noble"), "QFI\xfb"+strings.Repeat("\x00", 600), t.TempDir()
	content := map[string]string{
		"disk.img": disk, "disk.qcow2": qcow, "disk.img.xz": "\xfd7zXZ" + strings.Repeat("\x00", 600), "page": strings.Repeat("<html>", 100),
		"short": "no", "SHA256SUMS": sumText(qcow) + " *disk.qcow2\n" + sumText(disk) + "  disk.img\n",
		"BSD": "SHA256 (disk.img) = " + sumText(disk) + "\n", "OLD": sumText("before") + "  disk.img\n",
	}
	for name, text := range content {
		if err := os.WriteFile(filepath.Join(folder, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	server := httptest.NewServer(http.FileServer(http.Dir(folder)))
	t.Cleanup(server.Close)
	for name, c := range map[string]struct{ source, checksum, format, fails string }{
		"a file as it is":         {"/disk.img", "", "raw", ""},
		"a file and its sum":      {"/disk.img", sumText(disk), "raw", ""},
		"a file and a list":       {"/disk.qcow2", "/SHA256SUMS", "qcow2", ""},
		"all from the web":        {"URL/disk.qcow2", "URL/SHA256SUMS", "qcow2", ""},
		"a list of another kind":  {"URL/disk.img", "/BSD", "raw", ""},
		"another disk":            {"URL/disk.img", sumText("before"), "", "is to have " + sumText("before")},
		"a list of another disk":  {"URL/disk.img", "URL/OLD", "", "just being replaced"},
		"not in the list":         {"URL/page", "URL/SHA256SUMS", "", "SHA256SUMS: it has no SHA-256 of page"},
		"no list":                 {"URL/disk.img", "URL/sums", "", "404"},
		"no disk":                 {"URL/none.img", sumText(disk), "", "404"},
		"no file":                 {"/none.img", "", "", "none.img"},
		"packed":                  {"/disk.img.xz", "", "", "packed with xz"},
		"an answer of a web page": {"/page", "", "", "no disk that boots"},
		"half a sector":           {"/short", "", "", "shorter than a sector"},
		"nobody there":            {"http://127.0.0.1:9/disk.img", sumText(disk), "", "127.0.0.1:9"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			place := func(text string) string {
				if strings.HasPrefix(text, "/") {
					return filepath.Join(folder, text)
				}
				return strings.Replace(text, "URL", server.URL, 1)
			}
			s := source{config.CloudImage{Source: place(c.source), Checksum: place(c.checksum)}, server.Client()}
			sum, err := s.sum(t.Context())
			if err == nil {
				got, failed := s.disk(t.Context(), sum, t.TempDir())
				if err = failed; err == nil && (got.Format != c.format || got.SHA256 != sum || len(got.SHA512) != 128 || got.Size == 0) {
					t.Errorf("%+v", got)
				}
			}
			if (err == nil) != (c.fails == "") || err != nil && !strings.Contains(err.Error(), c.fails) {
				t.Errorf("%v, want %q", err, c.fails)
			}
		})
	}
}
