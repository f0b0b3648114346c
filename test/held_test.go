package e2e

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// held is what a process holds at a moment.
type held struct {
	threads, cephThreads, descriptors, goroutines int
	residentMiB, heapMiB                          int
}

func (h held) String() string {
	return fmt.Sprintf("%4d threads, %4d of them Ceph's, %4d descriptors, %5d goroutines, %5d MiB resident, %4d MiB Go heap",
		h.threads, h.cephThreads, h.descriptors, h.goroutines, h.residentMiB, h.heapMiB)
}

// held asks for the metrics first, so that their connection is open in every sample.
func (c *controller) held(ctx context.Context) (h held, err error) {
	_, metrics, err := c.get(ctx, "/metrics")
	if err != nil {
		return held{}, err
	}
	h.goroutines = metric(metrics, "go_goroutines")
	h.heapMiB = metric(metrics, "go_memstats_heap_inuse_bytes") >> 20
	status, err := c.status()
	if err != nil {
		return held{}, err
	}
	h.residentMiB = status["VmRSS"] >> 10
	process := fmt.Sprintf("/proc/%d/", c.cmd.Process.Pid)
	descriptors, err := os.ReadDir(process + "fd")
	if err != nil {
		return held{}, err
	}
	h.descriptors = len(descriptors)
	h.threads = status["Threads"]
	h.cephThreads, err = cephThreads(process)
	return h, err
}

// status is what the kernel says of the process in numbers, sizes in KiB.
func (c *controller) status() (map[string]int, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", c.cmd.Process.Pid))
	status := map[string]int{}
	for line := range strings.Lines(string(text)) {
		if fields := strings.Fields(line); len(fields) > 1 {
			if number, err := strconv.Atoi(fields[1]); err == nil {
				status[strings.TrimSuffix(fields[0], ":")] = number
			}
		}
	}
	return status, err
}

// cpu is what the process and its children that have ended have used.
func (c *controller) cpu() (used time.Duration, err error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", c.cmd.Process.Pid))
	if err != nil {
		return 0, err
	}
	const (
		tick     = time.Second / 100 // proc(5): as sysconf(_SC_CLK_TCK) says, on every Linux
		userTime = 11                // utime, stime, cutime and cstime, after the name in parentheses
	)
	_, rest, _ := strings.Cut(string(text), ") ")
	for _, field := range strings.Fields(rest)[userTime : userTime+4] {
		ticks, err := strconv.Atoi(field)
		if err != nil {
			return 0, err
		}
		used += time.Duration(ticks) * tick
	}
	return used, nil
}

// cephThreads are those that have got a name: Ceph's libraries give one to each of
// theirs. The Go runtime's have the process's; there are as many as calls of C ever ran at
// once, and it keeps them.
func cephThreads(process string) (number int, err error) {
	name, err := os.ReadFile(process + "comm")
	if err != nil {
		return 0, err
	}
	threads, err := filepath.Glob(process + "task/*/comm")
	for _, thread := range threads {
		if own, err := os.ReadFile(thread); err == nil && string(own) != string(name) { // else it has ended
			number++
		}
	}
	return number, err
}

// least is the lesser of each; zero is for not known.
func (h held) least(other held) held {
	for _, each := range [][2]*int{
		{&h.threads, &other.threads}, {&h.cephThreads, &other.cephThreads}, {&h.descriptors, &other.descriptors}, {&h.goroutines, &other.goroutines},
		{&h.residentMiB, &other.residentMiB}, {&h.heapMiB, &other.heapMiB},
	} {
		if mine, its := each[0], *each[1]; *mine == 0 || its < *mine {
			*mine = its
		}
	}
	return h
}

// metric is the sum of all that metrics have under a name.
func metric(metrics, name string) (sum int) {
	for line := range strings.Lines(metrics) {
		rest, is := strings.CutPrefix(line, name)
		if !is || !strings.HasPrefix(rest, " ") && !strings.HasPrefix(rest, "{") {
			continue
		}
		if fields := strings.Fields(rest); len(fields) > 0 {
			number, err := strconv.ParseFloat(fields[len(fields)-1], 64)
			if err == nil {
				sum += int(number)
			}
		}
	}
	return sum
}
