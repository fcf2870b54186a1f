package cloudrc

import (
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"mvdan.cc/sh/v3/syntax"
)

// value is that of a variable or word, as far as it is known.
type value struct {
	text  string
	line  int
	why   *Problem // why it is not known
	typed bool     // it is what people type at a prompt, as a whole
}

// longestJoined bounds a value that is put together, in bytes: each line can double the one before.
const longestJoined = 4 << 10

// add is the value followed by another.
func (v value) add(next value) value {
	switch {
	case v.why != nil || next.text == "" && next.why == nil && !next.typed:
		return v
	case next.why != nil || v.text == "" && !v.typed:
		if !next.typed { // that is said of where it is asked for
			next.line = v.line
		}
		return next
	case v.typed:
		v.why = &Problem{
			Line: v.line, kind: ErrInvalid, Cause: "what is typed at the terminal, with more around it", WayOut: "take the rest away",
		}
		return v
	case next.typed:
		next.why = &Problem{
			Line: next.line, kind: ErrInvalid, Cause: "what is typed at the terminal, with more around it", WayOut: "take the rest away",
		}
		return next
	}
	if len(v.text)+len(next.text) > longestJoined {
		v.why = &Problem{Line: v.line, kind: ErrInvalid, Cause: "a value that grows too long", WayOut: readNotRun}
		v.text = ""
		return v
	}
	v.text += next.text
	return v
}

// place says what a word is part of, for what differs.
type place uint

const (
	assigned    place = 1 << iota // the value of an assignment
	declared                      // the same, as an argument of export
	argument                      // an argument of a command
	condition                     // an argument of a test: what nothing sets is empty
	quoted                        // between double quotes, in any of these
	alternative                   // WORD of ${NAME:-WORD}, in any of these
)

func (p place) is(these place) bool { return p&these != 0 }

const readNotRun = "write the value itself; the file is read, not run"

func (s *shell) unknown(pos syntax.Pos, cause, wayOut string) value {
	return value{line: lineOf(pos), why: &Problem{Source: s.source, Line: lineOf(pos), Cause: cause, WayOut: wayOut, kind: ErrInvalid}}
}

func lineOf(pos syntax.Pos) int { return int(pos.Line()) } //nolint:gosec // MaxRC bounds it

// refuse is the error for what may change any variable.
func (s *shell) refuse(pos syntax.Pos, cause, wayOut string) error {
	return &Problem{Source: s.source, Line: lineOf(pos), Cause: cause, WayOut: wayOut, kind: ErrInvalid}
}

// word evaluates a word; nil is the empty one.
func (s *shell) word(w *syntax.Word, where place) (value, error) {
	if w == nil {
		return value{}, nil
	}
	v := value{line: lineOf(w.Pos())}
	if where.is(declared) && !where.is(quoted) && bracesExpand(w) {
		return s.unknown(w.Pos(), "a pattern in braces", "put the value into single quotes"), nil
	}
	for i, part := range w.Parts {
		next, err := s.part(part, where, i == 0)
		if err != nil {
			return value{}, err
		}
		v = v.add(next)
	}
	return v, nil
}

// bracesExpand says whether a word has {a,b} or {1..3} outside of quotes, of which an argument of export makes several.
func bracesExpand(w *syntax.Word) bool {
	plain := ""
	for _, part := range w.Parts {
		if lit, ok := part.(*syntax.Lit); ok {
			plain += lit.Value
		} else {
			plain += "x"
		}
	}
	_, inside, open := strings.Cut(plain, "{")
	return open && strings.Contains(inside, "}") && (strings.Contains(inside, ",") || strings.Contains(inside, ".."))
}

func (s *shell) part(part syntax.WordPart, where place, first bool) (value, error) {
	line := lineOf(part.Pos())
	switch p := part.(type) {
	case *syntax.Lit:
		if where.is(quoted) {
			return value{text: unescapeQuoted(p.Value, where), line: line}, nil
		}
		return s.literal(p, where, first), nil
	case *syntax.SglQuoted:
		if where.is(quoted) { // "${NAME:-'WORD'}", where they are characters like any other
			if p.Dollar || strings.ContainsAny(p.Value, "$`\\") {
				return s.unknown(p.Pos(), "quotes in quotes", "write the value in plain single quotes"), nil
			}
			return value{text: "'" + p.Value + "'", line: line}, nil
		}
		if p.Dollar {
			text, ok := unescapeANSI(p.Value)
			if !ok {
				return s.unknown(p.Pos(), "an escape in $'...' that is not known here", "write the value in plain single quotes"), nil
			}
			return value{text: text, line: line}, nil
		}
		return value{text: p.Value, line: line}, nil
	case *syntax.DblQuoted:
		v := value{line: line}
		for _, inner := range p.Parts {
			next, err := s.part(inner, where|quoted, false)
			if err != nil {
				return value{}, err
			}
			v = v.add(next)
		}
		return v, nil
	case *syntax.ParamExp:
		return s.parameter(p, where)
	case *syntax.CmdSubst:
		if p.TempFile || p.ReplyVar {
			return value{}, s.refuse(p.Pos(), "a command runs in the middle of a word", readNotRun)
		}
		return s.unknown(p.Pos(), "what a command prints, $(...)", readNotRun), nil
	case *syntax.ProcSubst:
		return s.unknown(p.Pos(), "what a command prints, <(...)", readNotRun), nil
	case *syntax.ArithmExp:
		return value{}, s.refuse(p.Pos(), "a calculation, $((...)), can set any variable", readNotRun)
	case *syntax.ExtGlob:
		return s.unknown(p.Pos(), "a pattern", "put the value into single quotes"), nil
	}
	return value{}, s.refuse(part.Pos(), "a kind of word that is not known here", readNotRun)
}

// literal is text outside of quotes.
func (s *shell) literal(lit *syntax.Lit, where place, first bool) value {
	text := lit.Value
	v := value{line: lineOf(lit.Pos())}
	if strings.Contains(text, ":~") && where.is(assigned|declared) {
		return s.unknown(lit.Pos(), "somebody's home, ~", "write the path in full")
	}
	if rest, tilde := strings.CutPrefix(text, "~"); tilde && first {
		home, known := s.environment["HOME"]
		if own, there := s.variables["HOME"]; there && own.set && own.why == nil && !own.typed {
			home, known = own.text, true
		}
		if !known || rest != "" && rest[0] != '/' {
			return s.unknown(lit.Pos(), "somebody's home, ~", "write the path in full")
		}
		v.text, text = home, rest
	}
	var b strings.Builder
	for i := 0; i < len(text); i++ {
		if text[i] == '\\' && i+1 < len(text) {
			i++
		}
		b.WriteByte(text[i])
	}
	v.text += b.String()
	return v
}

// unescapeQuoted is for text between double quotes, where a backslash counts before few characters only.
func unescapeQuoted(text string, where place) string {
	escaped := "$`\"\\"
	if where.is(alternative) {
		escaped += "}"
	}
	var b strings.Builder
	for i := 0; i < len(text); i++ {
		if text[i] == '\\' && i+1 < len(text) && strings.IndexByte(escaped, text[i+1]) >= 0 {
			i++
		}
		b.WriteByte(text[i])
	}
	return b.String()
}

// escapesANSI are those of $'...' that stand for one character.
var escapesANSI = map[byte]byte{
	'a': 7, 'b': 8, 'e': 27, 'E': 27, 'f': 12, 'n': 10, 'r': 13, 't': 9, 'v': 11, '\\': '\\', '\'': '\'', '"': '"', '?': '?',
}

// unescapeANSI is for $'...'; false for an escape that it does not know.
func unescapeANSI(text string) (string, bool) {
	var b []byte
	for i := 0; i < len(text); i++ {
		if text[i] != '\\' || i+1 == len(text) {
			b = append(b, text[i])
			continue
		}
		i++
		if c, known := escapesANSI[text[i]]; known {
			b = append(b, c)
			continue
		}
		base, most, from := 0, 0, i+1
		switch c := text[i]; {
		case '0' <= c && c <= '7':
			base, most, from = 8, 3, i
		case c == 'x':
			base, most = 16, 2
		case c == 'u':
			base, most = 16, 4
		case c == 'U':
			base, most = 16, 8
		default:
			return "", false
		}
		end := from
		for end < len(text) && end < from+most && isDigit(text[end], base) {
			end++
		}
		n, err := strconv.ParseUint(text[from:end], base, 32)
		if err != nil || n == 0 || base == 8 && n > 255 {
			return "", false // a zero byte ends the value in a shell
		}
		if text[i] == 'u' || text[i] == 'U' {
			if n > utf8.MaxRune {
				return "", false
			}
			b = utf8.AppendRune(b, rune(n)) //nolint:gosec // bounded above
		} else {
			b = append(b, byte(n)) //nolint:gosec // three octal or two hexadecimal digits
		}
		i = end - 1
	}
	return string(b), true
}

func isDigit(c byte, base int) bool {
	_, err := strconv.ParseUint(string(c), base, 8)
	return err == nil
}

// sessionVariables are set in every session, to what nobody knows beforehand.
var sessionVariables = []string{
	"DISPLAY", "EUID", "GROUPS", "HOME", "HOSTNAME", "HOSTTYPE", "IFS", "LANG", "LINENO", "LOGNAME", "MACHTYPE", "MAIL", "OLDPWD",
	"OPTIND", "OSTYPE", "PATH", "PPID", "PS1", "PS2", "PS4", "PWD", "RANDOM", "SECONDS", "SHELL", "SHLVL", "SRANDOM", "TERM", "TMPDIR",
	"UID", "USER", "XDG_CONFIG_HOME", "XDG_RUNTIME_DIR",
}

// isOfSession is for those, for what a shell sets itself, and for a script's arguments.
func isOfSession(name string) bool {
	return !syntax.ValidName(name) || name == "_" || slices.Contains(sessionVariables, name) ||
		strings.HasPrefix(name, "BASH") || strings.HasPrefix(name, "EPOCH") || strings.HasPrefix(name, "SUDO_") ||
		strings.HasPrefix(name, "SSH_")
}

// lookup finds a variable. nobody says that neither the file nor the environment speak of it.
func (s *shell) lookup(name string, pos syntax.Pos) (found variable, nobody bool) {
	if v, there := s.variables[name]; there {
		return v, false
	}
	if text, there := s.environment[name]; there && syntax.ValidName(name) {
		return variable{value: value{text: text, line: lineOf(pos)}, set: true}, false
	}
	if isOfSession(name) {
		return variable{set: true, value: s.unknown(pos, "$"+name+", which is another one in each session", readNotRun)}, false
	}
	return variable{}, true
}

// parameter evaluates $NAME, ${NAME} and ${NAME:-WORD} with its relatives.
func (s *shell) parameter(p *syntax.ParamExp, where place) (value, error) {
	if p.Index != nil || p.Slice != nil || p.Excl || p.NestedParam != nil || p.Param == nil || p.Names != 0 || p.Flags != nil ||
		p.Width || p.IsSet || len(p.Modifiers) > 0 {
		return value{}, s.refuse(p.Pos(), "a kind of ${...} that is not known here", readNotRun)
	}
	name := p.Param.Value
	v, nobody := s.lookup(name, p.Pos())
	if !v.typed {
		v.line = lineOf(p.Pos())
	}
	switch {
	case p.Exp != nil:
		return s.expansion(p, v, where)
	case p.Repl != nil:
		for _, w := range []*syntax.Word{p.Repl.Orig, p.Repl.With} {
			if _, err := s.word(w, where); err != nil {
				return value{}, err
			}
		}
		return s.unknown(p.Pos(), "a replacement, ${"+name+"/...}", readNotRun), nil
	case p.Length:
		return s.unknown(p.Pos(), "a length, ${#"+name+"}", readNotRun), nil
	case nobody && !where.is(condition):
		return s.unknown(p.Pos(), "$"+name+", which nothing in the file sets before this line", readNotRun), nil
	case !v.set:
		return value{line: lineOf(p.Pos())}, nil
	}
	return v.value, nil
}

// expansion evaluates the operators of ${NAME-WORD}. Those that depend on what is not known are not known.
func (s *shell) expansion(p *syntax.ParamExp, v variable, where place) (value, error) {
	where |= alternative
	op, name := p.Exp.Op, p.Param.Value
	null := slices.Contains([]syntax.ParExpOperator{
		syntax.DefaultUnsetOrNull, syntax.AlternateUnsetOrNull, syntax.AssignUnsetOrNull, syntax.ErrorUnsetOrNull,
	}, op)
	has := v.set && (!null || v.text != "" || v.typed)
	if v.set && v.why != nil && (null || isOfSession(name)) {
		// The word may set a variable all the same, or not.
		err := s.fork(p.Pos(), func() error { _, err := s.word(p.Exp.Word, where); return err }, nil)
		return v.value, err
	}
	switch op {
	case syntax.DefaultUnset, syntax.DefaultUnsetOrNull:
		if has {
			return v.value, nil
		}
		return s.word(p.Exp.Word, where)
	case syntax.AlternateUnset, syntax.AlternateUnsetOrNull:
		if has {
			return s.word(p.Exp.Word, where)
		}
		return value{line: lineOf(p.Pos())}, nil
	case syntax.AssignUnset, syntax.AssignUnsetOrNull:
		if has {
			return v.value, nil
		}
		given, err := s.word(p.Exp.Word, where)
		if err != nil {
			return value{}, err
		}
		if !syntax.ValidName(name) {
			return value{}, s.refuse(p.Pos(), "$"+name+" cannot be set", readNotRun)
		}
		s.set(name, given)
		return given, nil
	case syntax.ErrorUnset, syntax.ErrorUnsetOrNull:
		if has {
			return v.value, nil
		}
		return value{}, s.refuse(p.Pos(), "the file ends here when "+name+" is not set, and nothing sets it before",
			"set it before this line")
	}
	if _, err := s.word(p.Exp.Word, where); err != nil {
		return value{}, err
	}
	return s.unknown(p.Pos(), "a part of $"+name, readNotRun), nil
}
