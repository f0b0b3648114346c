package localcluster

import (
	"bufio"
	"bytes"
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"sync"
	"syscall"
)

// debianPython is the interpreter that has Debian's Ceph bindings. Another one
// may come first in PATH.
const debianPython = "/usr/bin/python3"

//go:embed monitor.py
var monitorScript string

// monitor is one connection for all commands of a bring-up. Starting the ceph
// program for each costs half a second of processor time a piece.
type monitor struct {
	cmd    *exec.Cmd
	input  io.WriteCloser
	output *bufio.Reader
	errors bytes.Buffer // complete once the process has been waited for
	mu     sync.Mutex
}

// command is what `ceph --format json` would send: prefix and arguments.
type command map[string]any

type reply struct {
	Status  int    `json:"status"` // negative errno
	Output  string `json:"output"`
	Message string `json:"message"`
}

func connectMonitor(l *launcher, env []string, conf string) (*monitor, error) {
	cmd := exec.Command(debianPython, "-c", monitorScript, conf)
	cmd.Env = env
	input, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	output, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	m := &monitor{cmd: cmd, input: input, output: bufio.NewReader(output)}
	cmd.Stderr = &m.errors
	if err := l.start(cmd); err != nil {
		return nil, fmt.Errorf("starting the monitor connection: %w", err)
	}
	return m, nil
}

// ask sends a command to the monitors and decodes its answer into result.
func (m *monitor) ask(ctx context.Context, c command, result any) error {
	replies, err := m.exchange(ctx, "mon", c)
	if err != nil {
		return err
	}
	if err := json.Unmarshal([]byte(replies[0].Output), result); err != nil {
		return fmt.Errorf("ceph %v answered %q: %w", c["prefix"], replies[0].Output, err)
	}
	return nil
}

// do has the monitors carry out commands that don't depend on each other.
func (m *monitor) do(ctx context.Context, commands ...command) error {
	_, err := m.exchange(ctx, "mon", commands...)
	return err
}

// askManager sends a command to the active manager.
func (m *monitor) askManager(ctx context.Context, c command) error {
	_, err := m.exchange(ctx, "mgr", c)
	return err
}

func (m *monitor) exchange(ctx context.Context, target string, commands ...command) ([]reply, error) {
	var requests []map[string]any
	for _, c := range commands {
		c["format"] = "json"
		requests = append(requests, map[string]any{"target": target, "command": c})
	}
	replies, err := m.send(ctx, requests)
	if err != nil {
		return nil, fmt.Errorf("ceph %v: %w", commands[0]["prefix"], errors.Join(err, context.Cause(ctx)))
	}
	if len(replies) != len(commands) {
		return nil, fmt.Errorf("ceph %v: %d answers to %d commands", commands[0]["prefix"], len(replies), len(commands))
	}
	for i, r := range replies {
		if r.Status != 0 {
			return nil, fmt.Errorf("ceph %v: %w: %s", commands[i]["prefix"], syscall.Errno(-r.Status), r.Message)
		}
	}
	return replies, nil
}

func (m *monitor) send(ctx context.Context, requests any) (replies []reply, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	// librados blocks for as long as nobody answers; only its process's end helps.
	defer context.AfterFunc(ctx, func() { _ = m.cmd.Process.Kill() })()
	if err := json.NewEncoder(m.input).Encode(requests); err != nil {
		return nil, err
	}
	line, err := m.output.ReadBytes('\n')
	if err != nil {
		m.close()
		return nil, fmt.Errorf("%w\n%s", err, lastLines(m.errors.String(), reportedLines))
	}
	return replies, json.Unmarshal(line, &replies)
}

func (m *monitor) close() {
	_ = m.cmd.Process.Kill() // it holds nothing that would be lost
	_ = m.cmd.Wait()
}
