package cloudrc

import (
	"maps"
	"strings"

	"mvdan.cc/sh/v3/syntax"
)

// variable is one of the file. One that is not set was unset by the file.
type variable struct {
	value
	set bool
}

// shell follows a file as a shell would, and does nothing. A value that cannot be known is remembered with its reason, which is an
// error where the value is needed; what may change variables that nobody can name is an error at once.
type shell struct {
	source      string
	environment map[string]string
	variables   map[string]variable
}

func (s *shell) set(name string, v value) { s.variables[name] = variable{value: v, set: true} }

// truth is how a command ends, as far as it is known.
type truth int

const (
	perhaps truth = iota
	yes
	no
)

func truthOf(b bool) truth {
	if b {
		return yes
	}
	return no
}

func (t truth) not() truth {
	switch t {
	case yes:
		return no
	case no:
		return yes
	}
	return perhaps
}

// fork follows two ways of which one is taken, nobody knows which; nil does nothing. What differs after them is not known.
func (s *shell) fork(pos syntax.Pos, one, other func() error) error {
	before := maps.Clone(s.variables)
	if one != nil {
		if err := one(); err != nil {
			return err
		}
	}
	first := s.variables
	s.variables = before
	if other != nil {
		if err := other(); err != nil {
			return err
		}
	}
	for name := range first {
		if _, there := s.variables[name]; !there {
			s.variables[name] = variable{}
		}
	}
	for name, b := range s.variables {
		a := first[name]
		if a.set == b.set && a.text == b.text && a.typed == b.typed && a.why == b.why {
			continue
		}
		s.set(name, s.unknown(pos, "a condition that only running the file could tell", "take the condition out"))
	}
	return nil
}

func (s *shell) statements(list []*syntax.Stmt) (truth, error) {
	last := yes
	for _, statement := range list {
		var err error
		if last, err = s.statement(statement); err != nil {
			return perhaps, err
		}
	}
	return last, nil
}

func (s *shell) statement(statement *syntax.Stmt) (truth, error) {
	if statement.Background || statement.Coprocess || statement.Disown {
		return perhaps, s.refuse(statement.Pos(), "a command is started in the background", "take it out; the file is read, not run")
	}
	reads := false
	for _, r := range statement.Redirs {
		if r.N != nil && strings.Trim(r.N.Value, "0123456789") != "" {
			return perhaps, s.refuse(r.Pos(), "a redirection sets a variable", "take it out; the file is read, not run")
		}
		for _, w := range []*syntax.Word{r.Word, r.Hdoc} {
			if _, err := s.word(w, argument); err != nil {
				return perhaps, err
			}
		}
		switch r.Op {
		case syntax.RdrIn, syntax.RdrInOut, syntax.DplIn, syntax.Hdoc, syntax.DashHdoc, syntax.WordHdoc:
			reads = true
		}
	}
	result, err := s.command(statement.Cmd, reads)
	if statement.Negated {
		result = result.not()
	}
	return result, err
}

// command follows one; nil is a redirection alone. reads says that its input is not the terminal.
func (s *shell) command(command syntax.Command, reads bool) (truth, error) {
	switch c := command.(type) {
	case nil:
		return perhaps, nil
	case *syntax.CallExpr:
		return s.call(c, reads)
	case *syntax.DeclClause:
		return yes, s.declare(c)
	case *syntax.IfClause:
		return s.branch(c)
	case *syntax.BinaryCmd:
		return s.binary(c)
	case *syntax.Block:
		return s.statements(c.Stmts)
	case *syntax.Subshell:
		return perhaps, nil // what it sets ends with it
	case *syntax.TestClause:
		return s.test(c.X)
	case *syntax.ForClause:
		return perhaps, s.loop(c)
	case *syntax.FuncDecl:
		if c.Name == nil || isKnown(c.Name.Value) {
			return perhaps, s.refuse(c.Pos(), "a function takes the place of a command", "take it out; the file is read, not run")
		}
		return yes, nil // a call of it is a command that is not known
	}
	return perhaps, s.refuse(command.Pos(), "a command that only a shell could follow", "take it out; the file is read, not run")
}

func (s *shell) branch(c *syntax.IfClause) (truth, error) {
	if len(c.Cond) == 0 { // else
		return s.statements(c.Then)
	}
	holds, err := s.statements(c.Cond)
	if err != nil {
		return perhaps, err
	}
	then := func() error { _, err := s.statements(c.Then); return err }
	otherwise := func() error {
		if c.Else == nil {
			return nil
		}
		_, err := s.branch(c.Else)
		return err
	}
	switch holds {
	case yes:
		return perhaps, then()
	case no:
		return perhaps, otherwise()
	}
	return perhaps, s.fork(c.Pos(), then, otherwise)
}

func (s *shell) binary(c *syntax.BinaryCmd) (truth, error) {
	if c.Op != syntax.AndStmt && c.Op != syntax.OrStmt {
		return perhaps, s.refuse(c.OpPos, "commands are joined by a pipe", "take them out; the file is read, not run")
	}
	left, err := s.statement(c.X)
	if err != nil {
		return perhaps, err
	}
	goesOn := yes
	if c.Op == syntax.OrStmt {
		goesOn = no
	}
	switch left {
	case goesOn:
		return s.statement(c.Y)
	case perhaps:
		return perhaps, s.fork(c.Pos(), func() error { _, err := s.statement(c.Y); return err }, nil)
	}
	return left, nil
}

// loop knows the one that clears a session of old variables, and that does nothing in a session which has none.
func (s *shell) loop(c *syntax.ForClause) error {
	refused := s.refuse(c.Pos(), "a loop that only a shell could follow", "take it out; the file is read, not run")
	items, ok := c.Loop.(*syntax.WordIter)
	if !ok || c.Select {
		return refused
	}
	for _, w := range items.Items {
		if _, err := s.word(w, argument); err != nil {
			return err
		}
	}
	s.set(items.Name.Value, s.unknown(c.Pos(), "what a loop goes through", readNotRun))
	for _, statement := range c.Do {
		call, ok := statement.Cmd.(*syntax.CallExpr)
		if !ok || len(call.Args) == 0 || call.Args[0].Lit() != "unset" {
			return refused
		}
		if _, err := s.statement(statement); err != nil {
			return err
		}
	}
	return nil
}

// assign follows NAME=VALUE and NAME+=VALUE.
func (s *shell) assign(a *syntax.Assign, where place) error {
	if a.Index != nil {
		return s.refuse(a.Pos(), "an element of an array is set", "take it out; a cloud's settings are plain variables")
	}
	if a.Array != nil {
		for _, element := range a.Array.Elems {
			if element.Index != nil {
				return s.refuse(a.Pos(), "an element of an array is set", "take it out; a cloud's settings are plain variables")
			}
			if _, err := s.word(element.Value, argument); err != nil {
				return err
			}
		}
		s.set(a.Name.Value, s.unknown(a.Pos(), "an array", "write one value"))
		return nil
	}
	v, err := s.word(a.Value, where)
	if err != nil {
		return err
	}
	if a.Append {
		old, nobody := s.lookup(a.Name.Value, a.Pos())
		if nobody || !old.set {
			old.value = value{}
		}
		v = old.add(v)
	}
	if !v.typed {
		v.line = lineOf(a.Pos())
	}
	s.set(a.Name.Value, v)
	return nil
}

// declare follows export, and declare -x.
func (s *shell) declare(c *syntax.DeclClause) error {
	switch c.Variant.Value {
	case "export", "declare", "typeset":
	default:
		return s.refuse(c.Pos(), c.Variant.Value+" does more than to set variables", "use export")
	}
	for _, a := range c.Args {
		switch {
		case a.Naked && a.Name != nil && a.Index == nil: // export NAME
		case a.Naked:
			if option := a.Value.Lit(); c.Variant.Value != "export" && (option == "-x" || option == "-gx") {
				continue
			}
			return s.refuse(a.Pos(), c.Variant.Value+" has an option, or a name that only a shell could tell", "use export NAME=VALUE")
		default:
			if err := s.assign(a, declared); err != nil {
				return err
			}
		}
	}
	return nil
}
