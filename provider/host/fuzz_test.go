package host

import (
	"os"
	"testing"
)

// FuzzFolder reads a mark, a manifest and a status that somebody has written: the account may write anything there, and
// root reads it.
func FuzzFolder(f *testing.F) {
	f.Add([]byte(`{"project":"autopkgtest-cloud","stack":"a","format":1,"ports":{"base":20480,"amqp":5672}}`))
	f.Add([]byte(`{"service":"toy","files":{"../x":{"mode":"0600","secret":true}},"binary":{"name":"..","sha256":"a"}}`))
	f.Add([]byte(`{"processes":[{"name":"../../x"}],"data":["/etc"],"makes":[""]}`))
	f.Add(make([]byte, statusSize))
	path := f.TempDir()
	root, err := os.OpenRoot(path)
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { root.Close() })
	if err := os.MkdirAll(path+"/services/toy/runit/x/supervise", 0o755); err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		for _, name := range []string{markName, "services/toy/" + manifestName, "services/toy/runit/x/supervise/status"} {
			if err := os.WriteFile(path+"/"+name, data, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if m, err := readMark(root, path); err == nil && m.Project != project {
			t.Errorf("%q is taken for our mark", data)
		}
		d := &Directory{path: path, account: Account{Name: "x", UID: 1}}
		if m, err := readManifest(root, "toy"); err == nil {
			d.inspectFiles(root, m, &Inspection{})
			for _, p := range m.Processes {
				d.supervised(root, "toy", p.Name).inspect(t.Context(), snapshot{})
			}
		}
		d.supervised(root, "toy", "x").inspect(t.Context(), snapshot{})
	})
}
