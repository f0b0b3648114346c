package localcluster

import (
	"fmt"
	"io"
	"sync"
	"time"
)

// progressLog writes each line, with the time since the start, to all its
// writers. A writer that fails (a caller that is gone) does not keep the line
// from the others.
type progressLog struct {
	start   time.Time
	mu      sync.Mutex
	writers []io.Writer
}

func (p *progressLog) printf(format string, args ...any) {
	elapsed := time.Since(p.start).Seconds()
	p.write(fmt.Sprintf("localcluster: %5.1f s  %s\n", elapsed, fmt.Sprintf(format, args...)))
}

// Write passes on a child's own progress lines.
func (p *progressLog) Write(lines []byte) (int, error) {
	p.write(string(lines))
	return len(lines), nil
}

func (p *progressLog) write(text string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, w := range p.writers {
		_, _ = io.WriteString(w, text)
	}
}
