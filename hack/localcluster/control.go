package localcluster

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
)

// The control socket takes one line, "stop" or "restart NAME", and answers "ok" or
// what went wrong. The answer to stop comes when nothing of the cluster is left.
const (
	controlSocket  = "localcluster.sock"
	commandStop    = "stop"
	commandRestart = "restart"
	answerOK       = "ok"
)

func openControl(dir string) (net.Listener, error) {
	return net.Listen("unix", filepath.Join(dir, controlSocket))
}

// serveControl answers requests until the listener closes. The returned function
// tells those who asked for a stop how it went.
func (s *supervisor) serveControl(control net.Listener, stop func()) (stopped func(error)) {
	result := make(chan struct{})
	var outcome error
	var waiting sync.WaitGroup
	go func() {
		for {
			conn, err := control.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				switch command, name := readCommand(conn); command {
				case commandStop:
					waiting.Add(1)
					defer waiting.Done()
					stop()
					<-result
					answer(conn, outcome)
				case commandRestart:
					answer(conn, s.restart(name))
				default:
					answer(conn, fmt.Errorf("unknown command %q", command))
				}
			}()
		}
	}()
	return func(err error) {
		outcome = err
		close(result)
		waiting.Wait()
	}
}

func readCommand(conn io.Reader) (command, argument string) {
	line, err := bufio.NewReader(conn).ReadString('\n')
	if err != nil {
		return "", ""
	}
	command, argument, _ = strings.Cut(strings.TrimSpace(line), " ")
	return command, argument
}

func answer(conn io.Writer, err error) {
	text := answerOK
	if err != nil {
		text = err.Error()
	}
	// Who asked may have left: then there is nobody to tell.
	_, _ = io.WriteString(conn, text)
}

// request sends a command to the supervisor of dir and waits for its answer.
func request(ctx context.Context, dir string, command ...string) error {
	conn, err := new(net.Dialer).DialContext(ctx, "unix", filepath.Join(dir, controlSocket))
	if err != nil {
		return fmt.Errorf("no cluster runs in %s: %w", dir, err)
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	if _, err := fmt.Fprintln(conn, strings.Join(command, " ")); err != nil {
		return fmt.Errorf("asking the supervisor of %s: %w", dir, err)
	}
	text, err := io.ReadAll(conn)
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case err != nil:
		return fmt.Errorf("asking the supervisor of %s: %w", dir, err)
	case len(text) == 0 && command[0] == commandStop:
		return nil // it exited before it could answer: it is stopped
	case string(text) != answerOK:
		return errors.New(string(text))
	}
	return nil
}

// Stop ends the cluster in dir and returns when nothing of it is left.
func Stop(ctx context.Context, dir string) error {
	return request(ctx, dir, commandStop)
}

// Restart starts a daemon of the cluster in dir again, killing it first if it
// runs. It returns when the process runs, not when it serves.
func Restart(ctx context.Context, dir, daemon string) error {
	return request(ctx, dir, commandRestart, daemon)
}

// List finds the directories of all running clusters, wherever they are: the
// kernel knows who listens on a control socket.
func List() ([]string, error) {
	sockets, err := os.ReadFile("/proc/net/unix")
	if err != nil {
		return nil, fmt.Errorf("listing unix sockets: %w", err)
	}
	var dirs []string
	for line := range strings.Lines(string(sockets)) {
		_, path, found := strings.Cut(strings.TrimSpace(line), " /")
		if found && filepath.Base(path) == controlSocket {
			dirs = append(dirs, filepath.Dir("/"+path))
		}
	}
	slices.Sort(dirs)
	return slices.Compact(dirs), nil
}
