package e2e

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"
)

// commandTimeout ends a tool that waits for a cluster for ever.
const commandTimeout = time.Minute

// output runs a program to its end and returns its standard output.
func output(ctx context.Context, env []string, name string, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, commandTimeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Env = append(os.Environ(), env...)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return stdout.String(), fmt.Errorf("%s %s: %w: %s", name, strings.Join(args, " "), err, strings.TrimSpace(stderr.String()))
	}
	return stdout.String(), nil
}

// child prepares a program that dies with the tests.
func child(env []string, name string, args ...string) *exec.Cmd {
	cmd := exec.Command(name, args...)
	cmd.Env = append(os.Environ(), env...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM}
	return cmd
}

// kubectl is for what users type themselves.
func kubectl(ctx context.Context, args ...string) (string, error) {
	return output(ctx, suite.cluster.Kubernetes.Env(), "kubectl", args...)
}

func mustKubectl(t *testing.T, args ...string) string {
	t.Helper()
	stdout, err := kubectl(t.Context(), args...)
	if err != nil {
		t.Fatal(err)
	}
	return stdout
}
