package testbed

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
)

// The extract of a log that status messages carry, as the upstream worker makes it.
const (
	headLines     = 5
	tailBytes     = 2000
	headSeparator = "[... 🠉 HEAD 🠉 ... 🠋 TAIL 🠋 ...]\n"

	// maxHead bounds the head, because nothing bounds the length of a line.
	maxHead = 8 << 10
)

// LogTail reads the extract of a log that a run is still writing: its first five lines, which tell what is run where, a
// separator, and the last lines, at most 2000 bytes of them. It reads no more of the log than that.
func LogTail(path string) (string, error) {
	file, err := os.Open(path)
	if err != nil {
		return "", fmt.Errorf("read the end of a log: %w", err)
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return "", fmt.Errorf("read the end of a log: %w", err)
	}
	if !info.Mode().IsRegular() {
		return "", fmt.Errorf("read the end of a log: %s is not a file", path)
	}
	head, err := readHead(io.NewSectionReader(file, 0, maxHead))
	if err != nil {
		return "", fmt.Errorf("read %s: %w", path, err)
	}
	start, cut := int64(len(head)), false
	if far := info.Size() - tailBytes; far > start {
		start, cut = far, true
	}
	tail, err := io.ReadAll(io.NewSectionReader(file, start, tailBytes))
	if err != nil {
		return "", fmt.Errorf("read %s: %w", path, err)
	}
	text := string(tail)
	if cut {
		_, text, _ = strings.Cut(text, "\n") // the first line is a piece of one
	}
	return strings.ToValidUTF8(head+headSeparator+text, "\uFFFD"), nil
}

func readHead(from io.Reader) (string, error) {
	var head strings.Builder
	reader := bufio.NewReader(from)
	for range headLines {
		line, err := reader.ReadString('\n')
		head.WriteString(line)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return "", err
		}
	}
	return head.String(), nil
}
