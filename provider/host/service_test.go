package host

import (
	"errors"
	"strings"
	"testing"
)

func TestValidate(t *testing.T) {
	t.Parallel()
	good := func() Service {
		return Service{Name: "toy", Files: []File{{Name: "etc/toy.conf"}}, Processes: []Process{{
			Name: "toy-server", Argv: []string{"/bin/true"}, Env: []string{"A=b"}, Reads: []string{"etc/toy.conf"},
			Listen: []string{"127.0.0.1:80"}}}}
	}
	if err := good().validate(); err != nil {
		t.Fatal(err)
	}
	for says, spoil := range map[string]func(s *Service){
		"cannot be one of a folder": func(s *Service) { s.Name = "../toy" },
		`path "../x"`:               func(s *Service) { s.Files[0].Name = "../x" },
		`path "a//b"`:               func(s *Service) { s.Data = []string{"a//b"} },
		"our own way":               func(s *Service) { s.Folders = []string{"runit/x"} },
		`path "service.json"`:       func(s *Service) { s.Makes = []string{"service.json"} },
		"two processes":             func(s *Service) { s.Processes = append(s.Processes, s.Processes[0]) },
		"name that cannot be used":  func(s *Service) { s.Processes[0].Name = "runsvdir" },
		"no absolute path":          func(s *Service) { s.Processes[0].Argv = []string{"true"} },
		"not inside the service's":  func(s *Service) { s.Processes[0].Dir = "/" },
		"control character":         func(s *Service) { s.Processes[0].Env = []string{"A=b\nc"} },
		"environment variable":      func(s *Service) { s.Processes[0].Env = []string{"A-B=c"} },
		"no file of the service":    func(s *Service) { s.Processes[0].Reads = []string{"etc/other"} },
		"address without port":      func(s *Service) { s.Processes[0].Listen = []string{"127.0.0.1"} },
		"not ip:port":               func(s *Service) { s.Processes[0].Listen = []string{"localhost:http"} },
	} {
		t.Run(says, func(t *testing.T) {
			t.Parallel()
			s := good()
			spoil(&s)
			if err := s.validate(); !errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), says) {
				t.Errorf("error %v", err)
			}
		})
	}
}
