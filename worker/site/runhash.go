package site

import (
	"bytes"
	"encoding/json"
	"maps"
	"slices"
	"strconv"
	"strings"
	"unicode"
)

// runHash is the identity that Ubuntu's tools give a running test: KEY_VALUE; for each parameter in the order of the keys,
// the value as Python prints it. It is a key in running.json, so readers see it.
func runHash(params map[string]json.RawMessage) string {
	var out strings.Builder
	for _, key := range slices.Sorted(maps.Keys(params)) {
		decoder := json.NewDecoder(bytes.NewReader(params[key]))
		decoder.UseNumber()
		var value any
		if err := decoder.Decode(&value); err != nil {
			value = string(params[key])
		}
		out.WriteString(key + "_")
		if text, ok := value.(string); ok {
			out.WriteString(text) // bare, as str() gives it; inside of lists it is quoted
		} else {
			pythonRepr(&out, value)
		}
		out.WriteByte(';')
	}
	return out.String()
}

// pythonRepr writes a JSON value as Python's repr would.
func pythonRepr(out *strings.Builder, value any) {
	switch v := value.(type) {
	case nil:
		out.WriteString("None")
	case bool:
		if v {
			out.WriteString("True")
		} else {
			out.WriteString("False")
		}
	case json.Number:
		out.WriteString(v.String())
	case string:
		pythonString(out, v)
	case []any:
		out.WriteByte('[')
		for i, item := range v {
			if i > 0 {
				out.WriteString(", ")
			}
			pythonRepr(out, item)
		}
		out.WriteByte(']')
	case map[string]any:
		out.WriteByte('{')
		for i, key := range slices.Sorted(maps.Keys(v)) {
			if i > 0 {
				out.WriteString(", ")
			}
			pythonString(out, key)
			out.WriteString(": ")
			pythonRepr(out, v[key])
		}
		out.WriteByte('}')
	}
}

func pythonString(out *strings.Builder, text string) {
	quote := '\''
	if strings.ContainsRune(text, '\'') && !strings.ContainsRune(text, '"') {
		quote = '"'
	}
	out.WriteRune(quote)
	for _, r := range text {
		switch {
		case r == quote || r == '\\':
			out.WriteByte('\\')
			out.WriteRune(r)
		case r == '\n':
			out.WriteString(`\n`)
		case r == '\r':
			out.WriteString(`\r`)
		case r == '\t':
			out.WriteString(`\t`)
		case unicode.IsPrint(r):
			out.WriteRune(r)
		case r < 0x100:
			out.WriteString(`\x` + hexDigits(r, 2))
		case r < 0x10000:
			out.WriteString(`\u` + hexDigits(r, 4))
		default:
			out.WriteString(`\U` + hexDigits(r, 8))
		}
	}
	out.WriteRune(quote)
}

func hexDigits(r rune, digits int) string {
	text := strconv.FormatInt(int64(r), 16)
	return strings.Repeat("0", digits-len(text)) + text
}
