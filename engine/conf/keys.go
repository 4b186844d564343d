package conf

import "gopkg.in/yaml.v3"

// Keys are the keys of a mapping, in their order, for looking at a document
// before anything is known of it; ok is false when the node is no mapping.
func Keys(n *yaml.Node) (names []string, ok bool) {
	if n == nil || n.Kind != yaml.MappingNode {
		return nil, false
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		names = append(names, n.Content[i].Value)
	}
	return names, true
}
