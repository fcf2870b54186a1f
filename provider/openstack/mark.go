package openstack

import (
	"strings"

	cloud "github.com/autopkgtest-cloud/autopkgtest-cloud/worker/openstack"
)

// Mark is the tag of what a stack has made. Old clouds take tags of at most 60 characters, which leaves 42 for the stack's name.
func Mark(stack string) string { return cloud.OwnTag + "=" + stack }

// markedStack is the stack whose mark is among tags.
func markedStack(tags []string) (stack string, marked bool) {
	for _, tag := range tags {
		if stack, marked = strings.CutPrefix(tag, cloud.OwnTag+"="); marked {
			return stack, true
		}
	}
	return "", false
}

// Rules have no tags, and a description that can never be changed. It carries the mark, and so tells for ever who added the rule to a
// group that others use, whatever happens to the state.

// withMark is the description of a rule of ours.
func withMark(text, stack string) string {
	if text == "" {
		return Mark(stack)
	}
	return text + " (" + Mark(stack) + ")"
}

// cutMark takes the mark from a description.
func cutMark(description, stack string) (text string, marked bool) {
	if description == Mark(stack) {
		return "", true
	}
	return strings.CutSuffix(description, " ("+Mark(stack)+")")
}
