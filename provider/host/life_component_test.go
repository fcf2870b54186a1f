//go:build component

package host

import (
	"testing"
	"time"
)

func simpleService(t testing.TB, d *Directory, words string) Service {
	return Service{Name: "toy", Files: []File{{Name: "etc/toy.conf", Content: []byte("a=1\n")}}, Data: []string{"data"},
		Processes: []Process{{Name: "toy", Argv: []string{program(t, d)}, Env: []string{helperVariable + "=" + words}}}}
}

func TestConvergeAgain(t *testing.T) {
	t.Parallel()
	d := newDirectory(t)
	s := simpleService(t, d, "stay")
	begin := time.Now()
	report, err := d.Converge(t.Context(), s)
	t.Logf("%v %+v %v", time.Since(begin), report, err)
	begin = time.Now()
	report, err = d.Converge(t.Context(), s)
	t.Logf("%v %+v %v", time.Since(begin), report, err)
	begin = time.Now()
	i, err := d.Inspect(t.Context(), "toy")
	t.Logf("%v %+v %v", time.Since(begin), i, err)
	s.Files[0].Content = []byte("b=2\n")
	begin = time.Now()
	report, err = d.Converge(t.Context(), s)
	t.Logf("%v %+v %v", time.Since(begin), report, err)
	s2 := simpleService(t, d, "stay")
	s2.Name, s2.Processes[0].Name = "toy2", "toy2"
	begin = time.Now()
	report, err = d.Converge(t.Context(), s2)
	t.Logf("%v %+v %v", time.Since(begin), report, err)
	begin = time.Now()
	t.Logf("%v %v", d.Withdraw(t.Context(), "toy"), time.Since(begin))
}
