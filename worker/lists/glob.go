package lists

import "errors"

// pattern is a compiled glob. As in Python's fnmatchcase, which the lists were written for, a set is negated by an
// exclamation mark, and a backslash is a character as any other.
type pattern []token

// token matches one byte, or any number of them.
type token struct {
	star   bool
	negate bool
	ranges [][2]byte // none: any byte
}

var errOpenSet = errors.New("a [ without its ]")

func compile(glob string) (pattern, error) {
	var p pattern
	for i := 0; i < len(glob); i++ {
		switch c := glob[i]; c {
		case '*':
			if len(p) == 0 || !p[len(p)-1].star {
				p = append(p, token{star: true})
			}
		case '?':
			p = append(p, token{})
		case '[':
			set, length, err := compileSet(glob[i:])
			if err != nil {
				return nil, err
			}
			p = append(p, set)
			i += length - 1
		default:
			p = append(p, literal(c))
		}
	}
	return p, nil
}

func literal(c byte) token { return token{ranges: [][2]byte{{c, c}}} }

// compileSet reads a set at the beginning of a text, and tells its length.
func compileSet(text string) (token, int, error) {
	t := token{ranges: [][2]byte{}}
	i := 1
	if i < len(text) && text[i] == '!' {
		t.negate = true
		i++
	}
	for first := true; i < len(text); first = false {
		if text[i] == ']' && !first {
			return t, i + 1, nil
		}
		from, to := text[i], text[i]
		i++
		if i+1 < len(text) && text[i] == '-' && text[i+1] != ']' {
			to = text[i+1]
			i += 2
		}
		t.ranges = append(t.ranges, [2]byte{from, to}) // one that runs backwards matches nothing
	}
	return token{}, 0, errOpenSet
}

func (t token) matches(c byte) bool {
	if t.ranges == nil {
		return true
	}
	for _, r := range t.ranges {
		if r[0] <= c && c <= r[1] {
			return !t.negate
		}
	}
	return t.negate
}

// match tries the whole name. It goes back to the last star only, so it takes at most the product of both lengths.
func (p pattern) match(name string) bool {
	at, star, resume := 0, -1, 0
	for i := 0; i < len(name); {
		switch {
		case at < len(p) && p[at].star:
			star, resume = at, i
			at++
		case at < len(p) && p[at].matches(name[i]):
			at++
			i++
		case star >= 0:
			resume++
			at, i = star+1, resume
		default:
			return false
		}
	}
	for at < len(p) && p[at].star {
		at++
	}
	return at == len(p)
}
