package cloudrc

import (
	"slices"
	"strings"

	"mvdan.cc/sh/v3/syntax"
)

// harmless are the commands that set no variable, whatever their arguments are.
var harmless = map[string]truth{
	":": yes, "true": yes, "false": no, "echo": yes, "clear": perhaps, "sleep": perhaps, "stty": perhaps, "tput": perhaps,
}

// isKnown is for all whose meaning is known here, and which nothing else may have the name of.
func isKnown(command string) bool {
	_, is := harmless[command]
	return is || slices.Contains([]string{"[", "test", "printf", "read", "unset", "set", "export", "declare", "typeset"}, command)
}

// instead says what to do about commands that people do write.
var instead = map[string]string{
	"source": "name that file instead, or copy its lines",
	".":      "name that file instead, or copy its lines",
	"eval":   readNotRun,
	"exit":   "take it out, or what makes the file come to it",
	"return": "take it out, or what makes the file come to it",
}

// call follows a simple command.
func (s *shell) call(c *syntax.CallExpr, reads bool) (truth, error) {
	if len(c.Args) == 0 {
		for _, a := range c.Assigns {
			if err := s.assign(a, assigned); err != nil {
				return perhaps, err
			}
		}
		return yes, nil
	}
	for _, a := range c.Assigns { // for that command alone
		if a.Index != nil || a.Array != nil {
			return perhaps, s.refuse(a.Pos(), "an array is set", "take it out; a cloud's settings are plain variables")
		}
		if _, err := s.word(a.Value, argument); err != nil {
			return perhaps, err
		}
	}
	name := c.Args[0].Lit()
	if result, is := harmless[name]; is {
		return result, s.effects(c.Args[1:])
	}
	switch name {
	case "printf":
		if err := s.effects(c.Args[1:]); err != nil {
			return perhaps, err
		}
		if len(c.Args) > 1 && strings.ContainsRune("-\\\x00", leading(c.Args[1].Parts[0])) {
			return perhaps, s.refuse(c.Pos(), "printf may set a variable, with -v", "begin with its text, in quotes")
		}
		return yes, nil
	case "[", "test":
		return s.testCommand(c)
	case "read":
		return yes, s.read(c, reads)
	case "unset":
		return yes, s.unset(c)
	case "set":
		return yes, s.options(c)
	}
	if way, is := instead[name]; is {
		return perhaps, s.refuse(c.Pos(), "the command "+name+" can set any variable", way)
	}
	return perhaps, s.refuse(c.Pos(), "a command that is not known here can set any variable, or print what is needed",
		"take it out; the file is read, not run")
}

// leading is the first byte of a word as it stands in the file, and 0 where only its value has one.
func leading(part syntax.WordPart) rune {
	text := ""
	switch p := part.(type) {
	case *syntax.Lit:
		text = p.Value
	case *syntax.SglQuoted:
		text = p.Value
	case *syntax.DblQuoted:
		if len(p.Parts) > 0 {
			return leading(p.Parts[0])
		}
	}
	if text == "" {
		return 0
	}
	return rune(text[0])
}

func isQuoted(w *syntax.Word) bool {
	switch w.Parts[0].(type) {
	case *syntax.SglQuoted, *syntax.DblQuoted:
		return true
	}
	return false
}

// effects evaluates arguments for what they do, ${NAME:=WORD}.
func (s *shell) effects(args []*syntax.Word) error {
	for _, w := range args {
		if _, err := s.word(w, argument); err != nil {
			return err
		}
	}
	return nil
}

// read follows the prompt. Its options are bash's.
func (s *shell) read(c *syntax.CallExpr, elsewhere bool) error {
	var names []string
	args := c.Args[1:]
	for i := 0; i < len(args); i++ {
		if _, err := s.word(args[i], argument); err != nil {
			return err
		}
		lit, ok := args[i].Parts[0].(*syntax.Lit)
		if !ok || expandsBare(args[i]) {
			return s.refuse(args[i].Pos(), "read gets a name that only a shell could tell", "write the variable's name")
		}
		if option, is := strings.CutPrefix(lit.Value, "-"); is && len(names) == 0 {
			last := strings.IndexAny(option, "pntdiN")
			if strings.Trim(option[:max(last, 0)], "srEe") != "" || last < 0 && (option == "" || strings.Trim(option, "srEe") != "") {
				return s.refuse(args[i].Pos(), "read has an option that is not known here", "use read -sr NAME")
			}
			if last == len(option)-1 && len(args[i].Parts) == 1 {
				i++                                         // the option's argument
				if i == len(args) || expandsBare(args[i]) { // which may become several
					return s.refuse(c.Pos(), "read has an option whose argument only a shell could tell",
						"put the argument into double quotes")
				}
				if _, err := s.word(args[i], argument); err != nil {
					return err
				}
			}
			continue
		}
		name := args[i].Lit()
		if !syntax.ValidName(name) {
			return s.refuse(args[i].Pos(), "read gets a name that only a shell could tell", "write the variable's name")
		}
		names = append(names, name)
	}
	if len(names) == 0 {
		names = []string{"REPLY"}
	}
	for _, name := range names {
		switch {
		case elsewhere:
			s.set(name, s.unknown(c.Pos(), "what read finds in another file", readNotRun))
		case len(names) > 1:
			s.set(name, s.unknown(c.Pos(), "a part of what is typed at the terminal", "ask for each by a read of its own"))
		default:
			s.set(name, value{line: lineOf(c.Pos()), typed: true})
		}
	}
	return nil
}

// unset follows it. Where nothing is set yet, it does not matter what is unset.
func (s *shell) unset(c *syntax.CallExpr) error {
	for i, w := range c.Args[1:] {
		v, err := s.word(w, argument)
		if err != nil {
			return err
		}
		switch {
		case i == 0 && w.Lit() == "-v":
		case i == 0 && w.Lit() == "-f":
			return s.effects(c.Args[2:])
		case v.why == nil && !v.typed && syntax.ValidName(v.text) && isOneWord(w):
			s.variables[v.text] = variable{}
		case s.isFresh():
		default:
			return s.refuse(w.Pos(), "unset gets names that only a shell could tell", "write them, or unset before anything is set")
		}
	}
	return nil
}

// isOneWord says that a word stays one: it is a name as it stands, or in double quotes.
func isOneWord(w *syntax.Word) bool { return w.Lit() != "" || len(w.Parts) == 1 && isQuoted(w) }

// isFresh says that the session has no variable of OpenStack.
func (s *shell) isFresh() bool {
	for name, v := range s.variables {
		if v.set && strings.HasPrefix(name, variablePrefix) {
			return false
		}
	}
	for name := range s.environment {
		if strings.HasPrefix(name, variablePrefix) {
			return false
		}
	}
	return true
}

// options follows set, as far as it is about how the shell goes on.
func (s *shell) options(c *syntax.CallExpr) error {
	long := []string{"allexport", "errexit", "nounset", "xtrace", "pipefail", "posix"}
	args := c.Args[1:]
	for i, w := range args {
		word := w.Lit()
		option := strings.TrimLeft(word, "+-")
		after := i > 0 && strings.HasSuffix(args[i-1].Lit(), "o")
		if after && slices.Contains(long, word) || len(word) > len(option) && option != "" && strings.Trim(option, "aeuxo") == "" {
			continue
		}
		return s.refuse(w.Pos(), "set gets more than an option that is known here", "take it out; the file is read, not run")
	}
	return nil
}
