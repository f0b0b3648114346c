package localcluster

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"
)

// unmountBelow detaches everything mounted below dir, the latest first. Lazily:
// a FUSE mount whose server is gone never becomes idle.
func unmountBelow(dir string) error {
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return fmt.Errorf("listing mounts: %w", err)
	}
	var failures []error
	for _, point := range slices.Backward(mountPointsBelow(string(mounts), dir)) {
		if err := syscall.Unmount(point, syscall.MNT_DETACH); err != nil {
			failures = append(failures, fmt.Errorf("unmounting %s: %w", point, err))
		}
	}
	return errors.Join(failures...)
}

// mountPointsBelow reads /proc/self/mountinfo: the fifth field of a line is the
// mount point, in which blanks are written as octal escapes.
func mountPointsBelow(mountinfo, dir string) []string {
	var points []string
	for line := range strings.Lines(mountinfo) {
		fields := strings.Fields(line)
		if len(fields) < 5 {
			continue
		}
		if point := unescapeOctal(fields[4]); strings.HasPrefix(point, dir+"/") {
			points = append(points, point)
		}
	}
	return points
}

func unescapeOctal(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+3 < len(s) {
			if code, err := strconv.ParseUint(s[i+1:i+4], 8, 8); err == nil {
				b.WriteByte(byte(code))
				i += 3
				continue
			}
		}
		b.WriteByte(s[i])
	}
	return b.String()
}
