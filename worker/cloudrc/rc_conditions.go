package cloudrc

import (
	"strings"

	"mvdan.cc/sh/v3/syntax"
)

// testCommand follows [ ... ] and test, whose arguments are ordinary words: an empty one without quotes is none.
func (s *shell) testCommand(c *syntax.CallExpr) (truth, error) {
	words := c.Args[1:]
	if c.Args[0].Lit() == "[" && len(words) > 0 {
		words = words[:len(words)-1]
	}
	var args []value
	certain := true
	for _, w := range words {
		v, err := s.word(w, condition)
		if err != nil {
			return perhaps, err
		}
		if expandsBare(w) {
			if v.why == nil && !v.typed && v.text == "" {
				continue
			}
			if v.typed || v.why != nil || strings.ContainsAny(v.text, " \t\n*?[") {
				certain = false // it may become several
			}
		}
		args = append(args, v)
	}
	if !certain {
		return perhaps, nil
	}
	return testArgs(args), nil
}

// expandsBare says whether a word has an expansion outside of quotes.
func expandsBare(w *syntax.Word) bool {
	for _, part := range w.Parts {
		switch part.(type) {
		case *syntax.Lit, *syntax.SglQuoted, *syntax.DblQuoted:
		default:
			return true
		}
	}
	return false
}

// testArgs is POSIX's table, by the number of arguments.
func testArgs(args []value) truth {
	operator := func(i int) string {
		if args[i].why != nil || args[i].typed {
			return "" // which is none
		}
		return args[i].text
	}
	switch len(args) {
	case 0:
		return no
	case 1:
		return isFilled(args[0])
	case 2:
		switch operator(0) {
		case "!", "-z":
			return isFilled(args[1]).not()
		case "-n":
			return isFilled(args[1])
		}
	case 3:
		switch operator(1) {
		case "=", "==":
			return same(args[0], args[2])
		case "!=":
			return same(args[0], args[2]).not()
		}
		if operator(0) == "!" {
			return testArgs(args[1:]).not()
		}
	}
	return perhaps
}

// isFilled says whether a value is not empty. Nobody answers a prompt with nothing.
func isFilled(v value) truth {
	if v.why != nil {
		return perhaps
	}
	return truthOf(v.typed || v.text != "")
}

func same(a, b value) truth {
	if a.why != nil || b.why != nil || a.typed || b.typed {
		return perhaps
	}
	return truthOf(a.text == b.text)
}

// test follows [[ ... ]].
func (s *shell) test(x syntax.TestExpr) (truth, error) {
	switch t := x.(type) {
	case *syntax.Word:
		v, err := s.word(t, condition)
		return isFilled(v), err
	case *syntax.ParenTest:
		return s.test(t.X)
	case *syntax.UnaryTest:
		return s.unaryTest(t)
	case *syntax.BinaryTest:
		return s.binaryTest(t)
	}
	return perhaps, s.refuse(x.Pos(), "a test that only a shell could make", "take it out; the file is read, not run")
}

func (s *shell) unaryTest(t *syntax.UnaryTest) (truth, error) {
	if t.Op == syntax.TsVarSet || t.Op == syntax.TsRefVar { // an index would be a calculation
		return perhaps, s.refuse(t.Pos(), "a test that only a shell could make", `write it as [ -n "$NAME" ]`)
	}
	inner, err := s.test(t.X)
	switch t.Op {
	case syntax.TsNot, syntax.TsEmpStr:
		return inner.not(), err
	case syntax.TsNempStr:
		return inner, err
	}
	return perhaps, err
}

func (s *shell) binaryTest(t *syntax.BinaryTest) (truth, error) {
	switch t.Op {
	case syntax.AndTest, syntax.OrTest:
		left, err := s.test(t.X)
		if err != nil {
			return perhaps, err
		}
		ends := no
		if t.Op == syntax.OrTest {
			ends = yes
		}
		if left == ends {
			return left, nil
		}
		right := perhaps
		follow := func() (err error) { right, err = s.test(t.Y); return err }
		if left != perhaps {
			err = follow()
			return right, err
		}
		err = s.fork(t.Pos(), follow, nil)
		if right == ends {
			return right, err
		}
		return perhaps, err
	case syntax.TsMatch, syntax.TsMatchShort, syntax.TsNoMatch, syntax.TsReMatch, syntax.TsBefore, syntax.TsAfter,
		syntax.TsNewer, syntax.TsOlder, syntax.TsDevIno:
	default:
		return perhaps, s.refuse(t.Pos(), "a calculation can set any variable", readNotRun)
	}
	var sides [2]value
	plain := true
	for i, x := range []syntax.TestExpr{t.X, t.Y} {
		w, ok := x.(*syntax.Word)
		if !ok {
			return perhaps, s.refuse(x.Pos(), "a test that only a shell could make", "take it out; the file is read, not run")
		}
		var err error
		if sides[i], err = s.word(w, condition); err != nil {
			return perhaps, err
		}
		plain = plain && (i == 0 || !expandsBare(w) && !strings.ContainsAny(w.Lit(), `*?[\(`))
	}
	if !plain {
		return perhaps, nil
	}
	switch t.Op {
	case syntax.TsMatch, syntax.TsMatchShort:
		return same(sides[0], sides[1]), nil
	case syntax.TsNoMatch:
		return same(sides[0], sides[1]).not(), nil
	}
	return perhaps, nil
}
