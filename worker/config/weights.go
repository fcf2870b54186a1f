package config

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// DefaultWeights are the shares of the contexts when all of them have requests waiting.
var DefaultWeights = map[string]int{"": 4, "ppa": 2, "huge": 1, "upstream": 1}

const maxWeight = 1000

// weights reads CONTEXT=NUMBER, one word each. A context that is not named keeps its default.
func (d *document) weights(section, key string) map[string]int {
	weights := maps.Clone(DefaultWeights)
	var seen []string
	for _, entry := range strings.Fields(d.value(section, key)) {
		word, text, found := strings.Cut(entry, "=")
		name := contextName(word)
		n, err := strconv.Atoi(text)
		switch {
		case !found || err != nil || n < 1 || n > maxWeight:
			d.fail(section, key, "%q is not CONTEXT=NUMBER with a number from 1 to %d", entry, maxWeight)
		case !slices.Contains(contexts, name):
			d.fail(section, key, "unknown context %q: the contexts are %s", word, strings.Join(contextWords(contexts), " "))
		case slices.Contains(seen, name):
			d.fail(section, key, "%q is there twice", word)
		}
		seen = append(seen, name)
		weights[name] = n
	}
	return weights
}

func weightWords(weights map[string]int) []string {
	var words []string
	for i, word := range contextWords(contexts) {
		if n, ok := weights[contexts[i]]; ok {
			words = append(words, fmt.Sprintf("%s=%d", word, n))
		}
	}
	return words
}

// contextName is a context as request.Context has it, of the file's word.
func contextName(word string) string {
	if word == normalContext {
		return ""
	}
	return word
}
