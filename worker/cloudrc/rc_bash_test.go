package cloudrc

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// dump prints the variables of OpenStack that a session has after a file, each ended by a zero byte.
const dump = `. "$0" </dev/null >/dev/null 2>&1; for v in ${!OS_@}; do printf '%s=%s\0' "$v" "${!v}"; done`

// bash says what it makes of a file, in a session without variables.
func bash(t *testing.T, content string) map[string]string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "rc")
	if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), "bash", "--norc", "--noprofile", "-c", dump, file)
	cmd.Env = []string{"LC_ALL=C.UTF-8"}
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("bash: %v", err)
	}
	variables := map[string]string{}
	for _, line := range bytes.Split(bytes.TrimSuffix(out, []byte{0}), []byte{0}) {
		if name, value, found := strings.Cut(string(line), "="); found {
			variables[name] = value
		}
	}
	return variables
}

// ours is what the package makes of it; what it does not know has the name of its reason.
func ours(t *testing.T, content string) (known map[string]string, unknown map[string]string, err error) {
	t.Helper()
	s := &shell{source: "rc", variables: map[string]variable{}}
	err = s.run([]byte(content))
	known, unknown = map[string]string{}, map[string]string{}
	for name, v := range s.variables {
		switch {
		case !strings.HasPrefix(name, variablePrefix) || !v.set:
		case v.why != nil:
			unknown[name] = v.why.Cause
		case v.typed:
			unknown[name] = "typed"
		default:
			known[name] = v.text
		}
	}
	return known, unknown, err
}

// TestBashAgrees: all values of these are known, and the same for bash.
func TestBashAgrees(t *testing.T) {
	t.Parallel()
	for _, content := range []string{
		`export OS_A=1 OS_B=2`,
		"OS_A=1\nOS_B=2 OS_C=3",
		`OS_A='s3kr"it $HOME'`,
		`OS_A="a\"b\$c\\d\e"` + "\nOS_B=a\\ b\\'c\\$d",
		"OS_A=\"a\\`b\"",
		`OS_A=$'a\nb\t\'\x41\u00e4\101\\'`,
		`OS_A=$"text"`,
		`OS_A=x"y"'z'\w` + "\nOS_B=${OS_A:+yes}",
		`OS_A=1; OS_B=$OS_A-${OS_A}${OS_A}2`,
		`OS_A=${OS_X:-a b} OS_B=${OS_X-c} OS_C="${OS_X:-d  e}"`,
		`OS_X=; OS_A=${OS_X:-empty} OS_B=${OS_X-unset} OS_C=${OS_X:+a} OS_D=${OS_X+b}`,
		`unset OS_X; OS_A=${OS_X:-empty} OS_B=${OS_X-unset} OS_C=${OS_X:+a} OS_D=${OS_X+b}"$OS_X"`,
		`: ${OS_A:=one} "${OS_B:=two words}" ${OS_C=three}; : ${OS_A:=other}`,
		`echo ${OS_A:=set by echo} > /dev/null`,
		`OS_A="${OS_X:-'quoted'}" OS_B=${OS_X:-'quoted'} OS_C="${OS_X:-"double"}" OS_D="${OS_X:-a\}b}" OS_E=${OS_X:-a\}b}`,
		`OS_A="${OS_X:-a\"b}" OS_B="${OS_X:-a\b}" OS_C=${OS_X:-a\b} OS_D="${OS_X:-~}"`,
		`OS_Y="a b"; OS_A=$OS_Y; export OS_B=$OS_Y OS_C=${OS_Y}`,
		`OS_A=a; OS_A+=b; export OS_A+=c; OS_B+=d`,
		"OS_A=a\\\nb\nOS_B=\"a\\\nb\"\nOS_C='a\\\nb'",
		"OS_A='a\nb'\nOS_B=\"c\n\nd\"",
		`OS_A=a#b # comment` + "\n# OS_A=no\nOS_B='#'",
		`OS_A={a,b} OS_B=a*b OS_C=a?[b] OS_D=a~b OS_E=a/~/b OS_F=a=b:c`,
		`export OS_A=a*b OS_B=a?[b] OS_C={a} OS_D=a=b OS_E='{a,b}' OS_F="{1..3}"`,
		`OS_A=1; if [ -z "$OS_A" ]; then unset OS_A; fi; if [ -z "$OS_B" ]; then OS_B=2; else OS_B=3; fi`,
		`OS_A=; if [ -z "$OS_A" ]; then unset OS_A; fi`,
		`OS_A=1; if [ "$OS_A" = 1 ]; then OS_B=one; elif [ "$OS_A" = 2 ]; then OS_B=two; else OS_B=more; fi`,
		`OS_A=2; if [ "$OS_A" == 1 ]; then OS_B=one; elif test "$OS_A" = 2; then OS_B=two; else OS_B=more; fi`,
		`OS_A=3; if [ "$OS_A" = 1 ]; then OS_B=one; elif [ "$OS_A" = 2 ]; then OS_B=two; else OS_B=more; fi`,
		`[ -z $OS_X ] && OS_A=1; [ -n $OS_X ] && OS_B=1; OS_Y=v; [ -n $OS_Y ] && OS_C=1; [ $OS_X ] || OS_D=1; [ ! -z $OS_Y ] && OS_E=1`,
		`[[ -z $OS_X && -n x ]] && OS_A=1; [[ -n $OS_X || a == a ]] && OS_B=1; [[ ! ( a != b ) ]] || OS_C=1; [[ abc == abc ]] && OS_D=1`,
		`! [ -z "$OS_X" ] || OS_A=1; false || OS_B=1; true && { OS_C=1; OS_D=2; }; false && OS_E=1`,
		`[ -n "$OS_X" ] || [ -n x ] && OS_A=1`,
		`( OS_A=1; unset OS_B ); OS_B=2`,
		`OS_A=1; unset OS_A OS_B; OS_C=1; unset "OS_C"; OS_D=1; N=OS_D; unset "$N"`,
		`for key in $(set | sed -n 's/^\(OS_[^=]*\)=.*/\1/p'); do unset $key; done; OS_A=1`,
		`f() { OS_A=1; }; OS_B=2`,
		`declare -x OS_A=1; typeset OS_B=2; export OS_C; OS_C=3; export OS_C`,
		`IFS= OS_A=temporary echo; OS_B=1`,
		`set -a; OS_A=1; set +a; set -eu -o pipefail; set +e`,
		"cat=1\necho <<EOF\n${OS_A:=here}\nEOF\nOS_B=2",
		"echo <<'EOF'\n${OS_A:=here}\nEOF\nOS_B=2",
		`OS_A=$OS_B$(true) OS_B=known`,
		`N=x; OS_A=${N}y`,
		`OS_A="päss wörd" OS_B=日本`,
		`OS_A=""''; OS_B="$OS_A"`,
		`OS_A='it'\''s' OS_B="it's" OS_C='say "x"'`,
		`OS_A=! OS_B=a!b OS_C=% OS_D=@ OS_E=^x OS_F=, OS_G=a=b=c OS_H=]`,
		`export OS_A="a;b&c|d<e>f(g)h"`,
		`echo hi >/dev/null 2>&1; printf '%s\n' "$OS_X"; OS_A=1`,
	} {
		t.Run(content, func(t *testing.T) {
			t.Parallel()
			if agree(t, content) {
				t.Error("it is refused")
			}
			if _, unknown, _ := ours(t, content); len(unknown) > 0 && !strings.Contains(content, "$(true)") {
				t.Errorf("not known: %v", unknown)
			}
		})
	}
}

func agree(t *testing.T, content string) (refused bool) {
	t.Helper()
	known, unknown, err := ours(t, content)
	if err != nil {
		t.Logf("refused: %v", err)
		return true
	}
	theirs := bash(t, content)
	for name := range unknown {
		delete(theirs, name)
	}
	if diff := cmp.Diff(theirs, known); diff != "" {
		t.Errorf("%s\nbash, and what was read (-, +): %s", content, diff)
	}
	return false
}

// TestBashAgreesWithAnything makes files of parts that one may put anywhere.
func TestBashAgreesWithAnything(t *testing.T) {
	t.Parallel()
	parts := []string{
		"a", " ", `\`, `"`, "'", "$OS_A", "${OS_B}", "${OS_C:-x}", `${OS_D-"y z"}`, "${OS_A:+z}", "${OS_C:=w}", "=", "#", "~", "/", "*",
		"{", "}", ",", "!", "$'\\t'", `\"`, `\$`, ":", "\\\n", "$", "%", "[", "]", "@", "^", "?", "..", "ä",
	}
	words := func(r *rand.Rand) string {
		var b strings.Builder
		for range r.IntN(6) {
			b.WriteString(parts[r.IntN(len(parts))])
		}
		return b.String()
	}
	lines := []func(r *rand.Rand) string{
		func(r *rand.Rand) string { return name(r) + "=" + words(r) },
		func(r *rand.Rand) string { return name(r) + `="` + strings.ReplaceAll(words(r), `"`, "") + `"` },
		func(r *rand.Rand) string { return "export " + name(r) + "=" + words(r) },
		func(r *rand.Rand) string { return "unset " + name(r) },
		func(r *rand.Rand) string { return name(r) + "+=" + words(r) },
		func(r *rand.Rand) string {
			return `if [ -z "$` + name(r) + `" ]; then ` + name(r) + "=then; else unset " + name(r) + "; fi"
		},
		func(r *rand.Rand) string { return "[ -n $" + name(r) + " ] && " + name(r) + "=n || " + name(r) + "=z" },
		func(r *rand.Rand) string {
			return "[[ $" + name(r) + " == " + name(r) + " ]] || " + name(r) + "=" + words(r)
		},
		func(r *rand.Rand) string { return "( " + name(r) + "=sub )" },
	}
	refused := 0
	const files = 400
	for seed := range uint64(files) {
		r := rand.New(rand.NewPCG(seed, 1)) //nolint:gosec // a test repeats itself
		var content strings.Builder
		for range 1 + r.IntN(6) {
			fmt.Fprintln(&content, lines[r.IntN(len(lines))](r))
		}
		if agree(t, content.String()) {
			refused++
		}
	}
	if refused > files*3/4 {
		t.Errorf("%d of %d were refused, which leaves little to compare", refused, files)
	}
}

func name(r *rand.Rand) string { return "OS_" + string(rune('A'+r.IntN(4))) }
