package request

import "regexp"

// credentials is what looks like USER:PASSWORD@ in the address of a private archive.
var credentials = regexp.MustCompile(`[^\s"'/,\[\]@:]+:[^\s"'/,\[\]@]+@`)

// HideSecrets makes the text of a request, or of what is wrong with one, fit for a log or a terminal, which are for more readers
// than a request is.
func HideSecrets(text string) string { return credentials.ReplaceAllString(text, "***@") }
