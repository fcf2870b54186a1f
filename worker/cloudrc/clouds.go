package cloudrc

import (
	"cmp"
	"maps"
	"slices"
	"strings"

	"gopkg.in/yaml.v3"
)

// Document is a file: what it is called, and what is in it.
type Document struct {
	Name    string
	Content []byte
}

// ParseClouds reads an entry of a clouds.yaml, one Cloud for each of its regions in their order. What secure has of the entry counts
// before; it may be nil. "" is the only entry of a file that has one. A value is the text as it stands in the file: 0123 is no number.
func ParseClouds(clouds Document, secure *Document, entry string) ([]Cloud, error) {
	return parseClouds(clouds, secure, entry, nil)
}

// parseClouds has values that count before those of the files.
func parseClouds(clouds Document, secure *Document, entry string, over map[string]setting) ([]Cloud, error) {
	d := &document{name: clouds.Name}
	entries, err := d.entries(clouds.Content)
	if err != nil {
		return nil, err
	}
	if entry == "" && len(entries) == 1 {
		entry = slices.Collect(maps.Keys(entries))[0]
	}
	node, there := entries[entry]
	if !there {
		return nil, d.noEntry(entry, entries)
	}
	e, err := d.entry(node)
	if err != nil {
		return nil, err
	}
	if secure != nil {
		if err := e.secure(*secure, entry); err != nil {
			return nil, err
		}
	}
	var found []Cloud
	for _, region := range e.regions {
		s := &settings{
			source: clouds.Name, line: e.line, label: clouds.Name + ", cloud " + entry,
			name: inCloudsYAML, write: writeCloudsYAML, values: maps.Clone(e.values),
		}
		maps.Copy(s.values, region.values)
		s.values["region_name"] = setting{text: region.name, source: clouds.Name, line: region.line}
		maps.Copy(s.values, over)
		cloud, err := s.cloud()
		if err != nil {
			return nil, err
		}
		found = append(found, cloud)
	}
	return found, nil
}

func (d *document) noEntry(entry string, entries map[string]*yaml.Node) error {
	names := strings.Join(slices.Sorted(maps.Keys(entries)), ", ")
	switch {
	case len(entries) == 0:
		return d.problem(0, ErrUnknown, "it has no cloud", "write one below clouds:")
	case entry == "":
		return d.problem(0, ErrUnknown, "it has several clouds, and none is named", "name one of "+names)
	}
	return d.problem(0, ErrUnknown, "there is no cloud "+entry, "name one of "+names)
}

// entries are the clouds of a file by their names.
func (d *document) entries(content []byte) (map[string]*yaml.Node, error) {
	if err := checkText(d.name, content, MaxClouds); err != nil {
		return nil, err
	}
	var root yaml.Node
	if err := yaml.Unmarshal(content, &root); err != nil {
		return nil, d.syntaxProblem(err, content)
	}
	if root.Kind == 0 {
		return nil, nil
	}
	top, err := d.mapping(root.Content[0])
	if err != nil {
		return nil, err
	}
	clouds, there := top["clouds"]
	if !there {
		return nil, d.problem(0, ErrInvalid, "it has no key clouds", "begin it with clouds:, and put the clouds below")
	}
	return d.mapping(clouds)
}

// entry is a cloud of a file.
type entry struct {
	line    int
	values  map[string]setting
	regions []region
}

type region struct {
	name   string
	line   int
	values map[string]setting
}

func (d *document) entry(node *yaml.Node) (*entry, error) {
	e := &entry{line: node.Line}
	keys, err := d.mapping(node)
	if err != nil {
		return nil, err
	}
	if e.values, err = d.flat(keys); err != nil {
		return nil, err
	}
	for _, key := range []string{"profile", "cloud"} {
		if profile, there := e.values[key]; there && profile.text != "" {
			return nil, d.problem(profile.line, ErrInvalid, "the entry builds upon a profile, "+profile.text+", and those are not read",
				"write what it stands for into the entry, auth_url above all, and take the line out")
		}
	}
	e.regions, err = d.regions(keys, e.line)
	return e, err
}

// secure adds what another file has of the same entry.
func (e *entry) secure(file Document, name string) error {
	d := &document{name: file.Name}
	entries, err := d.entries(file.Content)
	if err != nil {
		return err
	}
	node, there := entries[name]
	if !there {
		return nil
	}
	keys, err := d.mapping(node)
	if err != nil {
		return err
	}
	if regions, there := keys["regions"]; there {
		return d.problem(regions.Line, ErrInvalid, "the list of regions belongs into clouds.yaml", "leave the cloud's own secrets here")
	}
	values, err := d.flat(keys)
	maps.Copy(e.values, values)
	return err
}

// flat puts the keys below auth beside the others, before which they count. Keys with more than a value are no settings of ours.
func (d *document) flat(keys map[string]*yaml.Node) (map[string]setting, error) {
	values := map[string]setting{}
	add := func(keys map[string]*yaml.Node, auth bool) error {
		for key, node := range keys {
			line := node.Line
			node = meant(node)
			key = strings.ReplaceAll(key, "-", "_")
			switch {
			case node.Kind == yaml.ScalarNode && node.Tag == "!!null":
			case node.Kind == yaml.ScalarNode:
				values[key] = setting{text: node.Value, source: d.name, line: line}
			case auth || slices.Contains(authKeys, key):
				return d.problem(line, ErrInvalid, inCloudsYAML(key)+" is more than one value",
					"write one, in quotes if it has special characters")
			}
		}
		return nil
	}
	if err := add(keys, false); err != nil {
		return nil, err
	}
	auth, there := keys["auth"]
	if !there {
		return values, nil
	}
	inner, err := d.mapping(auth)
	if err != nil {
		return nil, err
	}
	return values, add(inner, true)
}

// regions reads the list `regions`, of names or of names with values, or else `region_name`, which may be a list as well. Without
// either there is one region without a name.
func (d *document) regions(keys map[string]*yaml.Node, line int) ([]region, error) {
	node, list := keys["regions"], true
	if node == nil {
		node, list = cmp.Or(keys["region_name"], keys["region-name"]), false
	}
	if node == nil {
		return []region{{line: line}}, nil
	}
	node = meant(node)
	if node.Kind == yaml.ScalarNode && !list {
		var found []region
		for _, name := range strings.Split(node.Value, ",") {
			found = append(found, region{name: strings.TrimSpace(name), line: node.Line})
		}
		return found, nil
	}
	if node.Kind != yaml.SequenceNode || len(node.Content) == 0 {
		return nil, d.problem(node.Line, ErrInvalid, "regions is no list", "write each on a line of its own, as - NAME")
	}
	var found []region
	for _, item := range node.Content {
		one, err := d.region(item)
		if err != nil {
			return nil, err
		}
		found = append(found, one)
	}
	return found, nil
}

func (d *document) region(node *yaml.Node) (region, error) {
	line := node.Line
	node = meant(node)
	if node.Kind == yaml.ScalarNode && node.Value != "" {
		return region{name: node.Value, line: line}, nil
	}
	malformed := d.problem(line, ErrInvalid, "a region is no name", "write it as - NAME, or as - name: NAME with values: below")
	if node.Kind != yaml.MappingNode {
		return region{}, malformed
	}
	keys, err := d.mapping(node)
	if err != nil {
		return region{}, err
	}
	name := keys["name"]
	if name == nil || name.Kind != yaml.ScalarNode || name.Value == "" {
		return region{}, malformed
	}
	one := region{name: name.Value, line: line}
	if values := keys["values"]; values != nil {
		inner, err := d.mapping(values)
		if err != nil {
			return region{}, err
		}
		if one.values, err = d.flat(inner); err != nil {
			return region{}, err
		}
	}
	return one, nil
}

// pick leaves the region of a name; clouds whose source names none are of any.
func pick(clouds []Cloud, name string) ([]Cloud, error) {
	if name == "" {
		return clouds, nil
	}
	if len(clouds) == 1 && clouds[0].Region == "" {
		clouds[0].Region = name
		return clouds, nil
	}
	regions, err := Join(clouds...)
	if err != nil {
		return nil, err
	}
	one, err := regions.Cloud(name)
	return []Cloud{one}, err
}
