package cloudrc

import (
	"bytes"
	"fmt"
	"maps"
	"regexp"
	"strconv"

	"gopkg.in/yaml.v3"
)

// mostNodes bounds what aliases can make of a small file.
const mostNodes = 100_000

// document is a YAML file that is being read.
type document struct {
	name  string
	nodes int
}

func (d *document) problem(line int, kind error, cause, wayOut string) error {
	return &Problem{Source: d.name, Line: line, Cause: cause, WayOut: wayOut, kind: kind}
}

// yamlLine finds the line in the parser's message.
var yamlLine = regexp.MustCompile(`^yaml: (?:line ([0-9]+): )?`)

// countsFromZero is how those of the parser's messages begin whose lines do.
var countsFromZero = regexp.MustCompile(`^did not find expected (node content|key|'-' indicator|',' or|<)`)

// syntaxProblem says what the parser says, without what might be a password. The line is the one in which the list or mapping begins
// that is broken.
func (d *document) syntaxProblem(err error, content []byte) error {
	text := yamlLine.ReplaceAllString(err.Error(), "")
	line := 0
	if match := yamlLine.FindStringSubmatch(err.Error()); match[1] != "" {
		line, _ = strconv.Atoi(match[1])
	}
	if countsFromZero.MatchString(text) {
		line++
	}
	line = min(line, 1+bytes.Count(content, []byte("\n"))) // the end of a file has one too many
	return d.problem(line, ErrInvalid, "not YAML: "+maskWords(text),
		"look at indentation and quotes; a value with special characters belongs into single quotes")
}

// meant is what a node stands for, which another one may be that it refers to.
func meant(node *yaml.Node) *yaml.Node {
	for node.Kind == yaml.AliasNode && node.Alias != nil {
		node = node.Alias
	}
	return node
}

// mapping returns the keys of a node, with those that it merges in. Their number is bounded, since aliases may go in circles.
func (d *document) mapping(node *yaml.Node) (map[string]*yaml.Node, error) {
	node = meant(node)
	if node.Kind == yaml.ScalarNode && node.Tag == "!!null" {
		return nil, nil
	}
	if node.Kind != yaml.MappingNode {
		return nil, d.problem(node.Line, ErrInvalid, "there have to be keys with values", "write each on a line of its own, as KEY: VALUE")
	}
	if d.nodes += len(node.Content); d.nodes > mostNodes {
		return nil, d.problem(node.Line, ErrInvalid, "its references go too far", "write out what they stand for")
	}
	own, merged := map[string]*yaml.Node{}, map[string]*yaml.Node{}
	for i := 0; i+1 < len(node.Content); i += 2 {
		key, content := node.Content[i], node.Content[i+1]
		if key.Tag == "!!merge" {
			if err := d.merge(merged, content); err != nil {
				return nil, err
			}
			continue
		}
		if first, there := own[key.Value]; there {
			return nil, d.problem(key.Line, ErrInvalid, fmt.Sprintf("the key %s is in line %d already", key.Value, first.Line),
				"keep one of them")
		}
		own[key.Value] = content
	}
	maps.Copy(merged, own)
	return merged, nil
}

// merge adds what `<<` refers to, one mapping or a list; of a list the first counts.
func (d *document) merge(into map[string]*yaml.Node, node *yaml.Node) error {
	node = meant(node)
	list := []*yaml.Node{node}
	if node.Kind == yaml.SequenceNode {
		list = node.Content
	}
	for _, one := range list {
		keys, err := d.mapping(one)
		if err != nil {
			return err
		}
		for key, content := range keys {
			if _, there := into[key]; !there {
				into[key] = content
			}
		}
	}
	return nil
}
