package e2e

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"
)

// held is what a process holds at a moment.
type held struct {
	threads, descriptors, goroutines int
	residentMiB, heapMiB             int
}

func (h held) String() string {
	return fmt.Sprintf("%4d threads, %4d descriptors, %5d goroutines, %5d MiB resident, %4d MiB Go heap",
		h.threads, h.descriptors, h.goroutines, h.residentMiB, h.heapMiB)
}

// held asks for the metrics first, so that their connection is open in every sample.
func (c *controller) held(ctx context.Context) (h held, err error) {
	_, metrics, err := c.get(ctx, "/metrics")
	if err != nil {
		return held{}, err
	}
	h.goroutines = metric(metrics, "go_goroutines")
	h.heapMiB = metric(metrics, "go_memstats_heap_inuse_bytes") >> 20
	process := fmt.Sprintf("/proc/%d/", c.cmd.Process.Pid)
	status, err := os.ReadFile(process + "status")
	if err != nil {
		return held{}, err
	}
	for line := range strings.Lines(string(status)) {
		if fields := strings.Fields(line); len(fields) > 1 {
			switch number, _ := strconv.Atoi(fields[1]); fields[0] {
			case "Threads:":
				h.threads = number
			case "VmRSS:":
				h.residentMiB = number >> 10
			}
		}
	}
	descriptors, err := os.ReadDir(process + "fd")
	h.descriptors = len(descriptors)
	return h, err
}

// least is the lesser of each; zero is for not known.
func (h held) least(other held) held {
	for _, each := range [][2]*int{
		{&h.threads, &other.threads}, {&h.descriptors, &other.descriptors}, {&h.goroutines, &other.goroutines},
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
