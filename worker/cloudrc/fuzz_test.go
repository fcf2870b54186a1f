package cloudrc

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// secretInFuzz is no word that a message could have by chance.
const secretInFuzz = "Xq7hunter2Zk"

// checkProblem: every error has a source and a way out, a line of the file, and not the secret.
func checkProblem(t *testing.T, err error, content []byte) {
	t.Helper()
	if err == nil {
		return
	}
	var problem *Problem
	if !errors.As(err, &problem) || problem.Source != "f" || problem.Cause == "" || problem.WayOut == "" {
		t.Errorf("%#v", err)
		return
	}
	if problem.Line < 0 || problem.Line > 1+bytes.Count(content, []byte("\n")) {
		t.Errorf("line %d of %d", problem.Line, bytes.Count(content, []byte("\n")))
	}
	if strings.Contains(err.Error(), secretInFuzz) {
		t.Errorf("the message shows the secret: %v", err)
	}
}

func FuzzParseRC(f *testing.F) {
	paths, err := filepath.Glob("testdata/*.rc")
	if err != nil || len(paths) == 0 {
		f.Fatal(err)
	}
	for _, path := range paths {
		content, err := os.ReadFile(path)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(content)
	}
	for _, content := range []string{
		"export OS_PASSWORD='" + secretInFuzz + "'\nOS_AUTH_URL=$OS_PASSWORD OS_INTERFACE=$OS_PASSWORD OS_INSECURE=$OS_PASSWORD",
		"[[ $OS_PASSWORD =~ x && ( -n y || -z $X ) ]] || { echo; }", "for i in a; do unset $i; done", "printf '%s' \"${X:=y}\"",
		"read -rsp 'x' -t 5 OS_PASSWORD", "if [ $X = 1 ]; then :; elif ! test -n x; then X+=1; else (exit); fi <<EOF\n${Y:-z}\nEOF",
		"OS_PASSWORD=(" + secretInFuzz, "export OS_PASSWORD=${" + secretInFuzz + " x}",
	} {
		f.Add([]byte(content))
	}
	f.Fuzz(func(t *testing.T, content []byte) {
		cloud, err := ParseRC("f", content, map[string]string{"HOME": "/h", "SECRET": secretInFuzz})
		checkProblem(t, err, content)
		if err == nil && (cloud.AuthURL == "" || cloud.Complete() == nil && cloud.Password+cloud.Token+cloud.Credential.Secret == "") {
			t.Errorf("%#v is not complete", cloud)
		}
	})
}

func FuzzParseClouds(f *testing.F) {
	for _, content := range []string{
		cloudsYAML, secureYAML, entryYAML("    regions: [a, {name: b, values: {auth: {password: x}}}]\n"),
		"clouds: {c: {auth: {password: *" + secretInFuzz + "}}}", "clouds: {c: &a {<<: *a}}", "clouds: {c: {<<: [*a, {}]}}",
		"clouds: {c: {auth: {password: '" + secretInFuzz + "', auth_url: '" + secretInFuzz + "'}, verify: " + secretInFuzz + "}}",
	} {
		f.Add([]byte(content), []byte(secureYAML))
	}
	f.Fuzz(func(t *testing.T, content, secure []byte) {
		for _, entry := range []string{"", "c", "lcy"} {
			clouds, err := ParseClouds(Document{"f", content}, &Document{"f", secure}, entry)
			checkProblem(t, err, slices.MaxFunc([][]byte{content, secure}, func(a, b []byte) int {
				return bytes.Count(a, []byte("\n")) - bytes.Count(b, []byte("\n"))
			}))
			if err == nil && len(clouds) == 0 {
				t.Error("neither a cloud nor an error")
			}
		}
	})
}
