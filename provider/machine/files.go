package machine

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"

	"github.com/pkg/sftp"
)

// sftp is one session for all: a server allows few.
func (m *Machine) sftp() (*sftp.Client, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.files == nil {
		client, err := sftp.NewClient(m.client, sftp.UseConcurrentWrites(true))
		if err != nil {
			return nil, m.target.problem(ErrRemote, "gives no access to its files", err,
				"Its sshd needs the subsystem sftp (Subsystem sftp internal-sftp)")
		}
		m.files = client
	}
	return m.files, nil
}

// ReadFile reads a regular file of at most limit bytes, and says its mode. A missing one is [fs.ErrNotExist].
func (m *Machine) ReadFile(ctx context.Context, path string, limit int64) ([]byte, fs.FileMode, error) {
	client, err := m.sftp()
	if err != nil {
		return nil, 0, err
	}
	type outcome struct {
		content []byte
		mode    fs.FileMode
		err     error
	}
	done := make(chan outcome, 1)
	go func() {
		content, mode, err := read(client, path, limit)
		done <- outcome{content, mode, err}
	}()
	select {
	case o := <-done:
		if o.err != nil && m.ended() {
			return nil, 0, m.target.lost(o.err)
		}
		if o.err != nil {
			return nil, 0, fmt.Errorf("read %s on %s: %w", path, m.target, o.err)
		}
		return o.content, o.mode, nil
	case <-ctx.Done():
		return nil, 0, fmt.Errorf("read %s on %s: %w", path, m.target, ctx.Err())
	}
}

func read(client *sftp.Client, path string, limit int64) ([]byte, fs.FileMode, error) {
	info, err := client.Stat(path)
	if err != nil {
		return nil, 0, err
	}
	if !info.Mode().IsRegular() {
		return nil, 0, errors.New("not a regular file")
	}
	file, err := client.Open(path)
	if err != nil {
		return nil, 0, err
	}
	defer file.Close()
	content, err := io.ReadAll(io.LimitReader(file, limit+1))
	if err == nil && int64(len(content)) > limit {
		err = fmt.Errorf("larger than %d bytes", limit)
	}
	return content, info.Mode(), err
}
