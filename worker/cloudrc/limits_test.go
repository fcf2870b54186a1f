package cloudrc

import (
	"strings"
	"testing"
)

// TestLargestFiles: a file of the largest size is read, or refused, without much time or stack, however it is nested.
func TestLargestFiles(t *testing.T) {
	t.Parallel()
	repeat := func(text string) string { return strings.Repeat(text, (MaxRC-1000)/len(text)) }
	many := func(text string) string { return strings.Repeat(text, (MaxClouds-1000)/len(text)) }
	for name, content := range map[string]string{
		"lines":        repeat("OS_X=${OS_Y:-1}\n"),
		"variables":    repeat("A=$A$A\n"),
		"doubled":      "A=aaaaaaaaaaaaaaaa\n" + repeat("A=$A$A\n"),
		"appended":     "A=aaaaaaaaaaaaaaaa\n" + repeat("A+=$A\n"),
		"conditions":   repeat("[ -t 0 ] && X=1\n"),
		"nested tests": repeat("if [ -t 0 ]; then "),
		"subshells":    repeat("( "),
		"blocks":       repeat("{ "),
		"expansions":   "A=" + repeat("${A:-"),
		"quotes":       "A=" + repeat(`"${A:-`),
		"commands":     "A=" + repeat("$("),
		"arithmetic":   "A=$((" + repeat("("),
		"tests":        "[[ " + repeat("( "),
		"negations":    "[[ " + repeat("! ") + "x ]]",
	} {
		t.Run(name, func(t *testing.T) {
			cloud, err := ParseRC("f", []byte(required+content), nil)
			if err == nil && cloud.Username != "u" {
				t.Errorf("%v", cloud)
			}
		})
	}
	for name, content := range map[string]string{
		"flow": many("["), "mappings": many("{a: "), "keys": "clouds:\n" + many("? "), "aliases": "a: &a [1]\nb: [" + many("*a,") + "]\n",
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := ParseClouds(Document{"f", []byte(content)}, nil, "c"); err == nil {
				t.Error("it is accepted")
			}
		})
	}
}
